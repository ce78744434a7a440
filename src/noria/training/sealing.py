"""Sealing: a fitted model becomes a bundle, with all that serving and monitoring need of its training."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from noria.core.calendar import Period
from noria.core.errors import UserMistake
from noria.core.signature import Signature
from noria.data.rows import Rows
from noria.evaluation.gates import Verdict
from noria.evaluation.task import Reliability
from noria.features.fields import is_block
from noria.features.training_set import TrainingSet
from noria.models.bundle import (
    CARD_FILE,
    PROFILE_FILE,
    PROJECTION_FILE,
    SAMPLE_FILE,
    Bundle,
    Manifest,
    open_bundle,
    write_bundle,
)
from noria.models.export import Exported
from noria.models.lineage import LabelOf, Lineage, TableVersion, environment
from noria.models.profiled import profiled_columns
from noria.profiles.inputs import InputProjections
from noria.profiles.profile import Profile, profile
from noria.release.open_endpoint import OpenEndpoint
from noria.training.card import model_card
from noria.training.fit import Fitted
from noria.training.reports import Reports

SAMPLE_ROWS = 32
FITTED = 3  # every so many windows is one from which projections are learnt, where they learn closely
LIBRARIES = ("lightgbm", "numpy", "onnx", "onnxruntime", "duckdb", "pyarrow")


def seal(
    context: OpenEndpoint,
    training_set: TrainingSet,
    fitted: Fitted,
    metrics: dict[str, Any],
    verdicts: list[Verdict],
    reliability: Reliability | None,
    run: str,
    reports: Reports = (),
) -> Bundle:
    """The bundle of a fitted model, verified. metrics: the holdout's figures; run: the id of the run that made it; reports: of its gates"""
    files = context.stores.workspace.files
    reference, projections = _reference(context, training_set, fitted)
    manifest = _manifest(context, training_set, fitted.exported, metrics, run)
    left_out = {} if projections is None else projections.left_out
    told = "" if fitted.remembered is None else fitted.remembered.summary
    contents = {
        **fitted.exported.files,
        PROFILE_FILE: reference.to_json(),
        SAMPLE_FILE: json.dumps(msgspec.to_builtins(_sample(*fitted.proof))).encode(),
        CARD_FILE: model_card(
            manifest, context.endpoint.model, verdicts, reliability, left_out, fitted.exported.note, told, reports
        ).encode(),
        **({} if projections is None else {PROJECTION_FILE: projections.to_json()}),
    }
    return open_bundle(write_bundle(context.stores.workspace.bundles, manifest, contents, files).path, files)


def _reference(context: OpenEndpoint, training_set: TrainingSet, fitted: Fitted) -> tuple[Profile, InputProjections | None]:
    """The profile of what the model was trained on, of its inputs as numbers and the answers to them; and how inputs become numbers."""
    known, windows = in_reference(context.reference_period, training_set.at), context.grid.numbers(training_set.at)
    names, weights, projections = training_set.names, fitted.attribution, None
    if not is_block(training_set.fields):
        projections, known = _projections(training_set, known, windows)
        names, weights = projections.names, projections.shares(dict(zip(names, weights.tolist(), strict=True)))
    at = training_set.at.astype("datetime64[us]").astype(np.int64)
    task = context.endpoint.task
    names = (*names, *task.monitored)
    asked = fitted.answered
    features = training_set.features if asked.all() else training_set.features.where(asked)
    columns = profiled_columns(projections, names, features, fitted.answers, at[asked])
    weights = np.append(weights, np.zeros(len(task.monitored)))  # the answers themselves hang on all of them
    return profile(names, columns[known[asked]], windows[asked & known], weights), projections


def _projections(
    training_set: TrainingSet, known: NDArray[np.bool_], windows: NDArray[np.int64]
) -> tuple[InputProjections, NDArray[np.bool_]]:
    """How inputs become numbers, fitted on the reference; and the rows of which the profile is: where anything is learnt closely, the
    windows that it is learnt from are no fair sample of how others will look."""
    projections, spent = _fitted_on(training_set, known), windows % FITTED == 0
    if projections.learnt and (known & spent).any() and (known & ~spent).any():
        return _fitted_on(training_set, known & spent), known & ~spent
    return projections, known


def _fitted_on(training_set: TrainingSet, rows: NDArray[np.bool_]) -> InputProjections:
    places = np.flatnonzero(rows)
    return InputProjections.fit(training_set.features.take(places[np.argsort(training_set.at[places], kind="stable")]))


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
        signature=Signature(training_set.fields, model.task.outputs),
        task=model.task.definition(),
        feature_set=offline.feature_set.name,
        definition_hash=offline.feature_set.definition_hash(),
        run=run,
        lineage=_lineage(context, training_set),
        metrics=metrics,
        environment=environment(LIBRARIES),
        files={},
        trust=exported.trust,
    )


def _lineage(context: OpenEndpoint, training_set: TrainingSet) -> Lineage:
    model = context.endpoint.model
    built_from = [context.facts.tables[table.name].snapshot for table in model.built_from]
    return Lineage(
        tables=tuple(TableVersion(s.table, s.version, s.digest, s.rows) for s in (*training_set.snapshots, *built_from)),
        label=LabelOf(model.label.table.name, model.label.target, model.task.coding.positive(model.label)),
        start=training_set.start,
        as_of=training_set.as_of,
        training_set=training_set.id,
        rows=training_set.balance.to_dict(),
        trainer_code=model.trainer.code_hash(),
        parameters=model.trainer.parameters(),
        definitions=context.facts.offline.feature_set.definition(),
        reference=context.reference_period,
    )


def _sample(features: Rows, answers: Rows) -> dict[str, Any]:
    """A few rows with their answers, by which a server proves that it has the model."""
    step = max(1, len(features) // SAMPLE_ROWS)
    places = np.arange(0, len(features), step)[:SAMPLE_ROWS]
    return {
        "inputs": [list(row) for row in features.take(places).values()],
        "outputs": [list(row) for row in answers.take(places).values()],
    }
