"""Explaining a prediction: from its id to the bundle, the run, the feature definitions and the table versions behind it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np

from noria.core.clock import from_epoch
from noria.core.errors import UserMistake
from noria.core.ids import PredictionIds
from noria.core.signature import Signature, all_floats
from noria.evaluation.task import Task
from noria.evidence.training import reports_of
from noria.features.outcomes import known_rows
from noria.loop.context import EndpointContext, Policy
from noria.loop.project import Project
from noria.models.bundle import Bundle, open_bundle
from noria.release.endpoint import Endpoint
from noria.serving.log.predictions import Predictions
from noria.serving.log.seal import read_sealed
from noria.serving.log.segments import read_log
from noria.stores.candidates import candidate_of
from noria.stores.decisions import decisions_of
from noria.stores.workspace import Workspace

PREDICTION_ID = re.compile(r"[0-9a-f]{12}-\w+-[0-9a-f]{8}")


class UnknownPrediction(UserMistake):
    """No log has this prediction id."""

    code = "NR-601"
    http_status = 404

    def __init__(self, prediction_id: str, why: str) -> None:
        self.prediction_id = prediction_id
        super().__init__(
            what=f"there is no prediction {prediction_id!r}",
            where=why,
            fix="use an id from a response, or from the prediction log",
        )


def explain(project: Project, workspace: Workspace, prediction_id: str) -> dict[str, Any]:
    """All that stands behind one prediction, as plain data. Raises `UnknownPrediction`."""
    return _explained(project, workspace, *find_prediction(project, workspace, prediction_id))


def find_prediction(project: Project, workspace: Workspace, prediction_id: str) -> tuple[Endpoint, Predictions]:
    """The endpoint that made a prediction, and what was logged of it, in a segment or sealed. Raises `UnknownPrediction`."""
    try:
        at = from_epoch(PredictionIds.milliseconds(prediction_id) * 1000)
    except (ValueError, OverflowError) as error:
        raise UnknownPrediction(prediction_id, "it is not a valid prediction id") from error
    until = at + timedelta(milliseconds=1)

    def signature_of(bundle: str) -> Signature:
        return open_bundle(workspace.bundles / bundle, workspace.files).signature

    for endpoint in project.endpoints:
        logged = read_log(workspace.log(endpoint.name), at, until, workspace.files)
        if logged is None or prediction_id not in logged.ids:
            logged = read_sealed(endpoint.name, workspace.tables, signature_of, at, until, prediction_id)
        if logged is not None and prediction_id in logged.ids:
            return endpoint, logged.where(np.array([i == prediction_id for i in logged.ids], dtype=bool))
    raise UnknownPrediction(prediction_id, f"nothing was logged under this id at {at:%Y-%m-%d %H:%M:%S} UTC")


def key_of(project: Project, workspace: Workspace, text: str) -> str:
    """The key of the row that a prediction of this id was for; the text itself where it is no id of a logged prediction."""
    try:
        endpoint, found = find_prediction(project, workspace, text)
    except UnknownPrediction:
        if PREDICTION_ID.fullmatch(text):  # a key that is written like this one would be a strange coincidence
            raise
        return text
    key = found.keys[0]
    if key is None:
        raise UserMistake(
            what="the predicted row has no key",
            where=f"prediction {text} of {endpoint.name}",
            fix='send keys with rows ("keys": […]), so that outcomes can be joined',
        )
    return key


def _explained(project: Project, workspace: Workspace, endpoint: Endpoint, found: Predictions) -> dict[str, Any]:
    context = EndpointContext.open(project, workspace, endpoint, Policy.declared(project, endpoint))
    bundle, task = context.stores.bundle(found.bundle[0]), endpoint.task
    lineage = bundle.manifest.lineage
    outcome = context.facts.outcomes.known_at(found.keys, from_epoch(2**53))
    (known,) = known_rows(outcome)
    (values,) = msgspec.to_builtins(found.inputs(bundle.signature).dicts())  # times and bytes as texts
    (value,) = msgspec.to_builtins(found.outputs(bundle.signature).listed())
    return {
        "prediction": {
            "id": found.ids[0],
            "endpoint": endpoint.name,
            "variant": found.variant[0],
            "key": found.keys[0],
            "received_at": from_epoch(int(found.received_us[0])).isoformat(),
            "value": value,
            "latency_ms": int(found.latency_us[0]) / 1e3,
            "outcome": task.plain(outcome[0]) if known else None,
            "read": {
                "value": _read(task, bundle.signature, found),
                "outcome": task.format_outcome(outcome[0]) if known else "unknown so far",
            },
        },
        "bundle": {"id": bundle.id, "path": str(bundle.path), "verified": True, "metrics": bundle.manifest.metrics},
        "released_by": _released_by(context, bundle.id),
        "run": {
            "id": bundle.manifest.run,
            "mlflow": context.tracking.find(bundle.manifest.run),
            "as_of": lineage.as_of.isoformat(),
            "training_set": lineage.training_set,
            "rows": lineage.rows,
            "trainer_code": lineage.trainer_code,
            "parameters": lineage.parameters,
            "environment": bundle.manifest.environment,
            "reports": reports_of(candidate_of(context.stores.catalog, endpoint.name, bundle.id)),
        },
        "features": [{"name": name, "value": value, **_defined(bundle, name)} for name, value in values.items()],
        "definition_hash": bundle.manifest.definition_hash,
        "tables": [msgspec.to_builtins(table) for table in lineage.tables],
    }


def _read(task: Task, signature: Signature, found: Predictions) -> str:
    """What was answered, as people read it: numbers as the task has them, anything else as it is."""
    if all_floats(signature.outputs):
        return task.format_score(task.scores(found)[0])
    return msgspec.json.encode(found.outputs(signature).listed()[0]).decode()


def _released_by(context: EndpointContext, bundle: str) -> dict[str, Any] | None:
    """The decision that made the bundle champion; None if it only shadowed."""
    for row in decisions_of(context.stores.catalog, context.endpoint.name):
        if row.action == "promote" and row.subject == bundle:
            return {"at": row.at.isoformat(), "reason": row.reason}
    return None


def _defined(bundle: Bundle, feature: str) -> dict[str, Any]:
    """Where a feature comes from, by the definitions sealed in the bundle."""
    definitions = bundle.manifest.lineage.definitions or {"views": (), "request": {}}
    for view in definitions["views"]:
        if feature in view["aggregate"]:
            return {"view": view["name"], "table": view["table"], "definition": view["aggregate"][feature]}
        if feature in view["latest"]:
            return {"view": view["name"], "table": view["table"], "definition": f"latest within {view['ttl']}"}
    for name, transform in definitions["request"].items():
        if feature in transform["features"]:
            return {"view": None, "table": definitions["spine"], "definition": f"request transform {name}"}
    return {"view": None, "table": None, "definition": "unknown"}
