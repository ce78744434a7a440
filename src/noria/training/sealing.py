"""Sealing: a fitted model becomes a bundle, with all that serving and monitoring need of its training."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.calendar import Period
from noria.core.errors import UserMistake
from noria.core.signature import Signature
from noria.evaluation.gates import Verdict
from noria.evaluation.task import Reliability
from noria.features.training_set import TrainingSet
from noria.models.bundle import CARD_FILE, PROFILE_FILE, SAMPLE_FILE, Bundle, Manifest, open_bundle, write_bundle
from noria.models.export import Exported
from noria.models.lineage import LabelOf, Lineage, TableVersion
from noria.profiles.profile import profile
from noria.release.open_endpoint import OpenEndpoint
from noria.training.card import model_card
from noria.training.fit import Fitted

SAMPLE_ROWS = 32
LIBRARIES = ("lightgbm", "numpy", "onnx", "onnxruntime", "duckdb", "pyarrow")


def seal(
    context: OpenEndpoint,
    training_set: TrainingSet,
    fitted: Fitted,
    metrics: dict[str, Any],
    verdicts: list[Verdict],
    reliability: Reliability | None,
    run: str,
) -> Bundle:
    """The bundle of a fitted model, verified. metrics: the holdout's figures; run: the id of the run that made it"""
    data, files = training_set.dataset(), context.stores.workspace.files
    known = in_reference(context.reference_period, training_set.at)
    reference = profile(
        (*training_set.features, "prediction"),
        np.column_stack([data.features, fitted.in_sample])[known],
        context.grid.numbers(training_set.at[known]),
        np.append(fitted.attribution, 0.0),  # the prediction itself hangs on all of them
    )
    manifest = _manifest(context, training_set, fitted.exported, metrics, run)
    contents = {
        **fitted.exported.files,
        PROFILE_FILE: reference.to_json(),
        SAMPLE_FILE: json.dumps(_sample(data.features, fitted.in_sample)).encode(),
        CARD_FILE: model_card(manifest, context.endpoint.model, verdicts, reliability, fitted.exported.note).encode(),
    }
    return open_bundle(write_bundle(context.stores.workspace.bundles, manifest, contents, files).path, files)


def in_reference(period: Period | None, at: NDArray[np.datetime64]) -> NDArray[np.bool_]:
    """Which rows of a training set, by their times `(rows,)`, inputs are compared with later: all, or those of a fixed period."""
    if period is None:
        return np.ones(len(at), np.bool_)
    start, end = (np.datetime64(each.replace(tzinfo=None), "us") for each in period)
    known = np.asarray((at >= start) & (at < end))
    if not known.any():
        raise UserMistake(
            what="the reference period contains no training rows",
            where=f"nr.Monitor(reference=…): {period.start:%Y-%m-%d %H:%M} to {period.end:%Y-%m-%d %H:%M} UTC; the training set has "
            f"{len(at):,} rows, the last of {at.max()}",
            fix="give a period whose outcomes are known when the first model is trained, or leave `reference` out",
        )
    return known


def _manifest(context: OpenEndpoint, training_set: TrainingSet, exported: Exported, metrics: dict[str, Any], run: str) -> Manifest:
    model, offline = context.endpoint.model, context.facts.offline
    return Manifest(
        name=model.name,
        runtime=exported.runtime,
        signature=Signature.of_numbers(training_set.features),
        task=model.task.definition(),
        feature_set=offline.feature_set.name,
        definition_hash=offline.feature_set.definition_hash(),
        run=run,
        lineage=_lineage(context, training_set),
        metrics=metrics,
        environment=environment(),
        files={},
        trust=exported.trust,
    )


def _lineage(context: OpenEndpoint, training_set: TrainingSet) -> Lineage:
    model = context.endpoint.model
    return Lineage(
        tables=tuple(TableVersion(s.table, s.version, s.digest, s.rows) for s in training_set.snapshots),
        label=LabelOf(model.label.table.name, model.label.column, model.task.coding.positive(model.label)),
        start=training_set.start,
        as_of=training_set.as_of,
        training_set=training_set.id,
        rows=training_set.balance.to_dict(),
        trainer_code=model.trainer.code_hash(),
        parameters=model.trainer.parameters(),
        definitions=context.facts.offline.feature_set.definition(),
        reference=context.reference_period,
    )


def environment() -> dict[str, str]:
    """The versions that a model's digits depend on."""
    found = {"python": platform.python_version(), "noria": version("noria")}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _sample(features: NDArray[np.float32], predictions: NDArray[np.float64]) -> dict[str, Any]:
    """A few rows with their answers, by which a server proves that it has the model."""
    step = max(1, len(features) // SAMPLE_ROWS)
    return {
        "inputs": [[None if np.isnan(v) else float(v) for v in row] for row in features[::step][:SAMPLE_ROWS]],
        "outputs": [[answer] for answer in predictions[::step][:SAMPLE_ROWS].tolist()],
    }
