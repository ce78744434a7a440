"""Making a candidate: build the training set, fit, judge, seal, track. The same inputs give the same bundle, made once."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.core.ids import canonical_json, digest, short
from noria.core.progress import Progress, Tell, silence
from noria.core.signature import Signature
from noria.evaluation.binary import Binary
from noria.evaluation.gates import Evaluation, Verdict, all_passed
from noria.evaluation.task import Reliability, Task
from noria.features.training_set import TrainingSet, build_training_set, feature_matrix
from noria.loop.champion_answers import champion_answers
from noria.loop.context import EndpointContext
from noria.models.bundle import CARD_FILE, MODEL_FILE, PROFILE_FILE, SAMPLE_FILE, Manifest, open_bundle, write_bundle
from noria.models.lineage import LabelOf, Lineage, TableVersion
from noria.models.model import Model
from noria.monitoring.monitor import Period
from noria.monitoring.windows import by_window
from noria.profiles.profile import profile
from noria.release.rollout import units_of
from noria.stores.candidates import CandidateDetail, GateResult, HoldoutMetrics
from noria.training.fit import Fitted, fit_candidate

SAMPLE_ROWS = 32
LIBRARIES = ("lightgbm", "numpy", "onnx", "onnxruntime", "duckdb", "pyarrow")


@dataclass(frozen=True)
class Candidate:
    """A sealed candidate. `detail` is what later decisions read: gates, gains by day, the baseline's performance, rows."""

    bundle: str
    run: str
    passed: bool
    detail: CandidateDetail
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "detail": self.detail.to_dict()}

    @staticmethod
    def of(found: Mapping[str, Any]) -> Candidate:
        """The candidate that `to_dict` gave."""
        return Candidate(**{**found, "detail": CandidateDetail.of(found["detail"])})


def make_candidate(context: EndpointContext, as_of: datetime, champion: str | None, tell: Tell = silence) -> Candidate:
    """The candidate that training at `as_of` gives, judged against the champion. Made once, then found again."""
    model = context.endpoint.model
    tell(Progress("train", "joining features and outcomes point-in-time"))
    training_set = build_training_set(
        context.facts.offline, model.label, context.facts.outcomes, model.task, start=context.facts.offline.first(), as_of=as_of
    )
    with_probe = context.policy.gated or champion is None
    run = run_id(context, training_set, champion if with_probe else None, with_probe)
    record = context.stores.workspace.runs / f"{run}.json"
    if context.stores.workspace.files.exists(record):
        return Candidate.of(json.loads(context.stores.workspace.files.read(record)))
    fitted = fit_candidate(model, training_set, context.randomness, with_probe=with_probe, tell=tell)
    evaluation = _evaluate(context, training_set, fitted, champion)
    verdicts = [gate.judge(evaluation) for gate in model.gates] if with_probe else []
    candidate = _seal(context, training_set, fitted, evaluation, verdicts, run)
    _track(context, candidate, training_set)
    context.stores.workspace.files.make_folder(record.parent)
    context.stores.workspace.files.write(record, canonical_json(candidate.to_dict()).encode())
    return candidate


def run_id(context: EndpointContext, training_set: TrainingSet, champion: str | None, with_probe: bool) -> str:
    """The run's id: the hash of everything that could change its result."""
    model = context.endpoint.model
    return digest(
        {
            "model": model.name,
            "training_set": training_set.id,
            "as_of": training_set.as_of,
            "definitions": context.facts.offline.feature_set.definition_hash(),
            "code": model.trainer.code_hash(),
            "parameters": model.trainer.parameters(),
            "holdout": model.holdout if with_probe else None,
            "champion": champion,
            "gates": [repr(g) for g in model.gates],
            **_declared(context.reference_period),
            **({"slices": list(context.slices)} if context.slices else {}),
            **_meaning(model.task),
            "seed": context.randomness.root,
            "environment": environment(),
        }
    )


def _meaning(task: Task) -> dict[str, Any]:
    """A task, as runs state it: all were binary, and stated none, before there were others."""
    return {} if task == Binary() else {"task": task.definition(), "metrics": [repr(metric) for metric in task.metrics]}


def environment() -> dict[str, str]:
    """The versions that a model's digits depend on."""
    found = {"python": platform.python_version(), "noria": version("noria")}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except ModuleNotFoundError:
            continue
    return found


def _evaluate(context: EndpointContext, training_set: TrainingSet, fitted: Fitted, champion: str | None) -> Evaluation:
    """The probe against the champion on the holdout, each on its own features, but for rows that the champion may have seen."""
    judged, lacking = fitted.holdout.copy(), "no row was held out"
    if champion is not None:
        trained = context.stores.bundle(champion).manifest.lineage.as_of
        judged &= training_set.at >= np.datetime64(trained.replace(tzinfo=None), "us")
        lacking = (
            f"the champion, trained as of {trained:%Y-%m-%d %H:%M} UTC, may have seen all {int(fitted.holdout.sum()):,} rows of the holdout"
        )
    rows = training_set.rows.filter(_mask(judged))
    answers = None if champion is None else champion_answers(context, champion, rows)
    if answers is not None and not answers.known.all():
        judged[judged] = answers.known
        rows = rows.filter(_mask(answers.known))
    features = feature_matrix(rows, training_set.features)
    return Evaluation(
        task=context.endpoint.task,
        labels=training_set.labels[judged],
        candidate=fitted.probe[judged[fitted.holdout]],
        champion=None if answers is None or answers.lost else answers.scores[answers.known],
        unit=_windows(context, training_set.at[judged]),
        slices={
            name: np.asarray(rows.column(name).to_pylist()) for name in _slice_columns(context.endpoint.model) if name in rows.column_names
        }
        | {name: features[:, training_set.features.index(name)] for name in context.slices},
        lacking=lacking,
        lost="" if answers is None else answers.lost,
    )


def _seal(
    context: EndpointContext,
    training_set: TrainingSet,
    fitted: Fitted,
    evaluation: Evaluation,
    verdicts: list[Verdict],
    run: str,
) -> Candidate:
    data, metrics, task = training_set.dataset(), _metrics(evaluation), evaluation.task
    known = in_reference(context.reference_period, training_set.at)
    reference = profile(
        (*training_set.features, "prediction"),
        np.column_stack([data.features, fitted.in_sample])[known],
        _windows(context, training_set.at[known]),
        np.append(fitted.attribution, 0.0),  # the prediction itself hangs on all of them
    )
    unseen = fitted.holdout  # all of it, whatever the champion has seen
    reliability = task.reliability(training_set.labels[unseen], fitted.probe, _windows(context, training_set.at[unseen]))
    if reliability is not None:
        metrics["calibration"] = reliability.to_dict()
    manifest = _manifest(context, training_set, metrics, run)
    contents = {
        MODEL_FILE: fitted.model,
        PROFILE_FILE: reference.to_json(),
        SAMPLE_FILE: json.dumps(_sample(data.features, fitted.in_sample)).encode(),
        CARD_FILE: _card(manifest, verdicts, task, reliability).encode(),
    }
    bundle = write_bundle(context.stores.workspace.bundles, manifest, contents, context.stores.workspace.files)
    open_bundle(bundle.path, context.stores.workspace.files)
    cut_by = {name: evaluation.slices[name] for name in context.slices}
    windows = by_window(task, evaluation.labels, evaluation.candidate, evaluation.unit, cut_by)
    by_unit = replace(evaluation, unit=units_of(evaluation.unit, context.grid.tick))  # as a shadow's gains are counted
    detail = CandidateDetail(
        gates=tuple(GateResult(v.gate, v.outcome, v.why) for v in verdicts),
        gains={metric.name: by_unit.improvement_by_unit(metric).tolist() for metric in task.losses},
        baseline=tuple(w.to_dict() for w in windows),
        calibration=() if task.estimator is None else tuple(map(float, task.estimator.fit(evaluation.labels, evaluation.candidate))),
        metrics=msgspec.convert(metrics, HoldoutMetrics),
        task=task.definition(),
        rows=training_set.balance,
        training_set=training_set.id,
    )
    return Candidate(bundle.id, run, all_passed(verdicts), detail, fitted.seconds)


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


def _manifest(context: EndpointContext, training_set: TrainingSet, metrics: dict[str, Any], run: str) -> Manifest:
    model, offline = context.endpoint.model, context.facts.offline
    return Manifest(
        name=model.name,
        runtime="onnx",
        signature=Signature.of_numbers(training_set.features),
        task=model.task.definition(),
        feature_set=offline.feature_set.name,
        definition_hash=offline.feature_set.definition_hash(),
        run=run,
        lineage=_lineage(context, training_set),
        metrics=metrics,
        environment=environment(),
        files={},
    )


def _lineage(context: EndpointContext, training_set: TrainingSet) -> Lineage:
    model, period = context.endpoint.model, context.reference_period
    return Lineage(
        tables=tuple(TableVersion(s.table, s.version, s.digest, s.rows) for s in training_set.snapshots),
        label=LabelOf(model.label.table.name, model.label.column, model.label.positive),
        start=training_set.start,
        as_of=training_set.as_of,
        training_set=training_set.id,
        rows=training_set.balance.to_dict(),
        trainer_code=model.trainer.code_hash(),
        parameters=model.trainer.parameters(),
        definitions=context.facts.offline.feature_set.definition(),
        reference=None if period is None else (period.start, period.end),
    )


def _declared(period: Period | None) -> dict[str, Any]:
    """A fixed reference, as runs state it."""
    return {} if period is None else {"reference": [each.isoformat() for each in period]}


def reference_of(lineage: Lineage) -> Period | None:
    """The fixed reference that a bundle's lineage states; None: all that it was trained on."""
    return None if lineage.reference is None else Period(*lineage.reference)


def _sample(features: NDArray[np.float32], predictions: NDArray[np.float64]) -> dict[str, Any]:
    """A few rows with their answers, by which a server proves that it has the model."""
    step = max(1, len(features) // SAMPLE_ROWS)
    return {
        "inputs": [[None if np.isnan(v) else float(v) for v in row] for row in features[::step][:SAMPLE_ROWS]],
        "outputs": [[answer] for answer in predictions[::step][:SAMPLE_ROWS].tolist()],
    }


def _metrics(evaluation: Evaluation) -> dict[str, Any]:
    """The holdout's figures: the probe's, and the champion's where there is one; empty without a holdout."""
    if len(evaluation.labels) == 0:
        return {}
    labels, groups = evaluation.labels, evaluation.groups
    found: dict[str, Any] = {"holdout_rows": len(labels), "holdout_positives": float(labels.mean())}
    for who, predictions in (("candidate", evaluation.candidate), ("champion", evaluation.champion)):
        if predictions is not None:
            judged = [metric for metric in evaluation.task.metrics if metric.over != "means"]
            figures = {metric.name: metric.value(labels, predictions, groups) for metric in judged}
            found[who] = {name: value for name, value in figures.items() if np.isfinite(value)}  # a holdout of one class has no AUC
    return found


def _track(context: EndpointContext, candidate: Candidate, training_set: TrainingSet) -> None:
    """The run and the version in the registry; writing them again changes nothing."""
    tracking, bundle = context.stores.workspace.tracking, context.stores.bundle(candidate.bundle)
    numbers = {
        f"{who}_{name}": v
        for who, m in msgspec.to_builtins(candidate.detail.metrics).items()
        if isinstance(m, dict)
        for name, v in m.items()
    }
    tracking.log_run(
        candidate.run,
        at=training_set.as_of,
        parameters={**bundle.manifest.lineage.parameters, "rows": len(training_set.labels), "as_of": training_set.as_of},
        metrics={**{k: v for k, v in numbers.items() if np.isfinite(v)}, "training_seconds": candidate.seconds},
        tags={"noria.bundle": candidate.bundle, "noria.training_set": training_set.id},
    )
    tracking.register(context.endpoint.model.name, bundle, candidate.run)


def _card(manifest: Manifest, verdicts: list[Verdict], task: Task, reliability: Reliability | None) -> str:
    lineage, metrics = manifest.lineage, manifest.metrics
    tables = "\n".join(f"- {t.table} version {t.version} ({t.rows:,} rows, {short(t.digest)})" for t in lineage.tables)
    figures = "\n".join(
        f"- {who}: " + ", ".join(f"{name} {task.metric(name).format(value)}" for name, value in values.items())
        for who, values in metrics.items()
        if who in ("candidate", "champion")
    )
    gates = "\n".join(f"- {v.outcome}: {v.gate} ({v.why})" for v in verdicts)
    return f"""# {manifest.name}

Trained at {lineage.as_of.isoformat()} on {lineage.rows["rows_out"]["training rows"]:,} rows since {lineage.start.isoformat()};
target: `{lineage.label.table}.{lineage.label.column}` = {lineage.label.positive}.

## Data

{tables}

Feature set `{manifest.feature_set}` ({short(manifest.definition_hash)}), {len(manifest.signature.inputs)} features:
{", ".join(manifest.signature.names)}.

## Evaluation on the holdout

{figures or "not evaluated"}

{gates or "no gates"}

## Calibration

{task.uncalibrated if reliability is None else reliability.summary}

The evaluated model had the same training configuration but no holdout rows; the served model was trained on all rows.
"""


def _windows(context: EndpointContext, at: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """The number of the grid's window that each time lies in."""
    grid = context.grid
    us = at.astype("datetime64[us]").astype(np.int64) - grid.offset // timedelta(microseconds=1)
    return np.asarray(us // (grid.tick // timedelta(microseconds=1)), dtype=np.int64)


def _slice_columns(model: Model) -> list[str]:
    return sorted({column for gate in model.gates for column in getattr(gate, "over", ())})


def _mask(keep: NDArray[np.bool_]) -> Any:
    import pyarrow as pa

    return pa.array(keep)
