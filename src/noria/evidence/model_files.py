"""Model files as people ask about them: what stands behind a prediction, and how what is served from a folder is doing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from noria.core.clock import SystemClock, from_epoch
from noria.core.errors import UserMistake
from noria.core.files import Files
from noria.core.health import Health, Healthy, Unhealthy, Unknown, worst
from noria.core.heartbeat import beats
from noria.core.ids import PredictionIds
from noria.core.signature import all_floats
from noria.evaluation.task import Task
from noria.evidence.explain import UnknownPrediction
from noria.evidence.problems import health_dict
from noria.loop.project import UnknownName, WhichEndpoint
from noria.models.bundle import PROFILE_FILE, Bundle, open_bundle
from noria.models.profiled import profiled_columns, projections_of
from noria.monitoring.monitors.served import served_balances
from noria.profiles.profile import STATISTICS, Profile
from noria.serving.log.predictions import Predictions
from noria.serving.log.segments import read_log
from noria.serving.model_files import ModelFiles

RECENT = timedelta(days=1)
MAX_ROWS = 20_000
FEWEST = 20  # rows of which anything is said
TOLERATED = 0.05  # of the rows, by which the share of nulls or of impossible values may exceed the sample's


def explain_file(served: ModelFiles, prediction_id: str) -> dict[str, Any]:
    """All that is known of one prediction of a model file, as plain data. Raises `UnknownPrediction`."""
    name, found = find_logged(served, prediction_id)
    bundle = sealed(served, found.bundle[0])
    manifest = bundle.manifest
    (values,) = msgspec.to_builtins(found.inputs(bundle.signature).dicts())  # times and bytes as texts
    (value,) = msgspec.to_builtins(found.outputs(bundle.signature).listed())
    file = manifest.lineage.parameters
    return {
        "prediction": {
            "id": found.ids[0],
            "endpoint": name,
            "variant": found.variant[0],
            "key": found.keys[0],
            "received_at": from_epoch(int(found.received_us[0])).isoformat(),
            "value": value,
            "latency_ms": int(found.latency_us[0]) / 1e3,
            "outcome": None,
            "read": {"value": _read(bundle, found), "outcome": "unknown so far"},
        },
        "bundle": {"id": bundle.id, "path": str(bundle.path), "verified": True, "metrics": manifest.metrics},
        "released_by": None,
        "file": {
            "name": file.get("file"),
            "sha256": file.get("sha256"),
            "kind": file.get("kind"),
            "path": served.served[name].path,
            "saved_at": manifest.lineage.as_of.isoformat(),
            "environment": manifest.environment,
        },
        "run": None,
        "features": [
            {"name": n, "value": v, "view": None, "table": None, "definition": "sent with the request"} for n, v in values.items()
        ],
        "definition_hash": manifest.definition_hash,
        "tables": [],
    }


def chosen_file(served: ModelFiles, endpoint: str | None) -> str:
    """The endpoint of that name; without one, the only one. Raises `UnknownName` or `WhichEndpoint`."""
    names = list(served.served)
    if endpoint is None and len(names) == 1:
        return names[0]
    if endpoint is None:
        raise WhichEndpoint(names)
    if endpoint not in names:
        raise UnknownName("endpoint", endpoint, names)
    return endpoint


def find_logged(served: ModelFiles, prediction_id: str) -> tuple[str, Predictions]:
    """The endpoint that made a prediction, and what was logged of it. Raises `UnknownPrediction`."""
    try:
        at = from_epoch(PredictionIds.milliseconds(prediction_id) * 1000)
    except (ValueError, OverflowError) as error:
        raise UnknownPrediction(prediction_id, "it is not a valid prediction id") from error
    for name in served.served:
        logged = read_log(served.workspace.log(name), at, at + timedelta(milliseconds=1), served.workspace.files)
        if logged is not None and prediction_id in logged.ids:
            return name, logged.where(np.array([i == prediction_id for i in logged.ids], dtype=bool))
    raise UnknownPrediction(prediction_id, f"nothing was logged under this id at {at:%Y-%m-%d %H:%M:%S} UTC")


def sealed(served: ModelFiles, bundle: str) -> Bundle:
    """A bundle that answered, in the workspace or where a folder of it was served from."""
    files = served.workspace.files
    elsewhere = [Path(each.bundle) for each in served.served.values() if Path(each.bundle).name == bundle]
    return open_bundle(elsewhere[0] if elsewhere else served.workspace.bundles / bundle, files)


def _read(bundle: Bundle, found: Predictions) -> str:
    """What was answered, as people read it: by the task where there is one, and as it is otherwise."""
    if bundle.manifest.task.get("name") not in (None, "none") and all_floats(bundle.signature.outputs):
        try:
            task = Task.of(bundle.manifest.task)
            return task.format_score(task.scores(found)[0])
        except UserMistake:
            pass  # a task of a project's own, which is not here
    return msgspec.json.encode(found.outputs(bundle.signature).listed()[0]).decode()


# --- status --------------------------------------------------------------------------------------------------------------


def status_of_files(served: ModelFiles) -> dict[str, Any]:
    """What `noria status` shows of a folder of model files, as plain data, in the form of a project's."""
    workspace = served.workspace
    signs, now = beats(workspace.root, workspace.files), SystemClock().now()
    stages = [{"stage": b.stage, "at": b.at.isoformat(), "stalled": "it has given no sign of life" if b.late(now) else None} for b in signs]
    endpoints = [_endpoint(served, name) for name in served.served]
    sums = [balance for name in served.served for balance in served_balances(workspace.log(name))]
    stalled = [Unhealthy(f"{stage['stage']} has stalled") for stage in stages if stage["stalled"]]
    lost = [Unhealthy(f"rows are missing: {each.stage}") for each in sums if not each.holds]
    # an endpoint without a sample is served all the same: that nothing compares its inputs is told beside it
    watched = [_health(endpoint) for endpoint in endpoints if endpoint["watched"]]
    running = any(stage["stalled"] is None for stage in stages)
    idle: list[Health] = [] if running else [Unknown("no server is running")]
    whole = worst([*lost, *stalled, *watched, *idle, Healthy({"sums that hold": len(sums), "endpoints": len(endpoints)})])
    last = max(served.served.items(), key=lambda each: each[1].at)[0] if served.served else "MODEL"
    return {
        "project": f"{len(endpoints)} model file{'s' * (len(endpoints) != 1)}",
        "folder": str(workspace.folder),
        "at": now.isoformat(),
        "incidents": [],
        "tables": [],
        "endpoints": endpoints,
        "conservation": [each.to_dict() for each in sums],
        "stages": stages,
        "undelivered": {},
        "health": health_dict(whole),
        "next": "noria top, to watch the server" if running else f"noria serve {last}",
    }


def _health(endpoint: dict[str, Any]) -> Health:
    told = endpoint["health"]
    if told["health"] == "healthy":
        return Healthy(told["evidence"])
    return Unhealthy(told["cause"]) if told["health"] == "unhealthy" else Unknown(told["why"])


def _endpoint(served: ModelFiles, name: str) -> dict[str, Any]:
    file, bundle = served.served[name], served.bundle(name)
    watched = PROFILE_FILE in bundle.manifest.files
    health, figures = (
        _inputs(served, name, bundle)
        if watched
        else (Unknown(f"served without --sample: its inputs are compared with nothing; {_by_itself(served, name, bundle)}"), {})
    )
    return {
        "name": name,
        "champion": bundle.id,
        "since": file.at.isoformat(),
        "file": file.path,
        "kind": bundle.manifest.lineage.parameters.get("kind"),
        "trained_as_of": None,
        "challenger": None,
        "reports": [],
        "watched": watched,
        "inputs": figures,
        "monitors": [{"monitor": "inputs against the sample", **health_dict(health)}],
        "findings": [],
        "decisions": [],
        "history": None,
        "health": health_dict(health),
    }


def _by_itself(served: ModelFiles, name: str, bundle: Bundle) -> str:
    """How the windows of its log are compared with each other."""
    log, here = served.workspace.log(name), Path.cwd()
    where = log.relative_to(here) if log.is_relative_to(here) else log
    answer = bundle.signature.outputs[0].name
    return f"`noria monitor predictions {where} --time at --prediction {answer}` compares its days with the first ones"


def _inputs(served: ModelFiles, name: str, bundle: Bundle) -> tuple[Health, dict[str, Any]]:
    """How the last day's rows differ from the sample: impossible values and nulls are told at once; a shift is measured, and not judged,
    since rows of one sample do not say how much windows usually differ."""
    files, now = served.workspace.files, SystemClock().now()
    logged = read_log(served.workspace.log(name), now - RECENT, now + timedelta(seconds=1), files)
    if logged is None or not len(logged.ids):
        return Unknown("no predictions in the last day"), {}
    own = logged.where(np.array([each == bundle.id for each in logged.bundle], dtype=bool))
    if not len(own.ids):
        return Unknown("no predictions of this bundle in the last day"), {}
    if len(own.ids) < FEWEST:
        return Unknown(f"{len(own.ids)} predictions in the last day, and fewer than {FEWEST} say little"), {}
    figures = _figures(own, bundle, files)
    broken = [
        f"{column}: {told['outside_share']:.0%} of the values are outside of what the sample has"
        for column, told in figures.items()
        if told["outside_share"] > told["usual_outside"] + TOLERATED
    ] + [
        f"{column}: {told['null_share']:.0%} of the values are null"
        for column, told in figures.items()
        if told["null_share"] > told["usual_nulls"] + TOLERATED
    ]
    if broken:
        return Unhealthy("; ".join(broken[:3]) + (f"; and {len(broken) - 3} more" if len(broken) > 3 else "")), figures
    furthest = max((abs(told["shift"]) for told in figures.values()), default=0.0)
    return Healthy({"rows": min(len(own.ids), MAX_ROWS), "largest shift of ranks": round(furthest, 3)}), figures


def _figures(logged: Predictions, bundle: Bundle, files: Files) -> dict[str, Any]:
    reference, projections = Profile.from_json(files.read(bundle.file(PROFILE_FILE))), projections_of(bundle, files)
    rows = logged.where(np.arange(len(logged.ids)) >= len(logged.ids) - MAX_ROWS)
    inputs, outputs = rows.inputs(bundle.signature), rows.outputs(bundle.signature)
    sketch = reference.sketch()
    sketch.add(profiled_columns(projections, reference.names, inputs, outputs, np.asarray(rows.received_us, np.int64)))
    found = np.nan_to_num(reference.statistics_of(sketch))
    usual = np.nan_to_num(reference.windows).max(axis=0) if len(reference.windows) else np.zeros_like(found)
    place = {name: STATISTICS.index(name) for name in ("mean_rank", "null_share", "outside")}
    ranks = np.nan_to_num(reference.usual_ranks)
    return {
        column: {
            "shift": float(found[i, place["mean_rank"]] - ranks[i]),
            "null_share": float(found[i, place["null_share"]]),
            "outside_share": float(found[i, place["outside"]]),
            "usual_nulls": float(usual[i, place["null_share"]]),
            "usual_outside": float(usual[i, place["outside"]]),
        }
        for i, column in enumerate(reference.names)
    }
