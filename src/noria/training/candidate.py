"""Making a candidate: build the training set, fit, judge, seal, track. The same inputs give the same bundle, made once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from noria.core.calendar import Period
from noria.core.ids import canonical_json, digest
from noria.core.progress import Progress, Tell, silence
from noria.evaluation.answer_counts import counted
from noria.evaluation.binary import Binary
from noria.evaluation.gates import Evaluation, Gate, ModelGate, Verdict, all_passed
from noria.evaluation.generation import Generation
from noria.evaluation.holdout import bounds_of_gains, bounds_of_losses, constant
from noria.evaluation.performance import by_window, counted_groups, value_of
from noria.evaluation.task import Task
from noria.features.fields import table_rows
from noria.features.groups import whole_groups
from noria.features.outcomes import known_rows
from noria.features.training_set import TrainingSet, build_training_set
from noria.models.lineage import environment
from noria.models.model import Model
from noria.release.open_endpoint import OpenEndpoint
from noria.release.rollout import units_of
from noria.stores.answer_counts import AnswerCounts
from noria.stores.candidates import CandidateDetail, Comparisons, GateResult, HoldoutMetrics
from noria.training.champion_answers import champion_answers
from noria.training.fit import Fitted, build_candidate, fit_candidate, opened
from noria.training.reports import Page, Reports, write_reports
from noria.training.sealing import LIBRARIES, seal

if TYPE_CHECKING:
    import pyarrow as pa


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


def make_candidate(context: OpenEndpoint, as_of: datetime, champion: str | None, tell: Tell = silence) -> Candidate:
    """The candidate that training at `as_of` gives, judged against the champion. Made once, then found again."""
    model = context.endpoint.model
    tell(Progress("train", "joining features and outcomes point-in-time"))
    training_set = build_training_set(
        context.facts.offline, model.label, context.facts.outcomes, model.task, start=context.facts.offline.first(), as_of=as_of
    )
    with_probe = context.gated or champion is None
    run = run_id(context, training_set, champion if with_probe else None, with_probe)
    record = context.stores.workspace.runs / f"{run}.json"
    if context.stores.workspace.files.exists(record):
        return Candidate.of(json.loads(context.stores.workspace.files.read(record)))
    if model.task.learns:
        fitted = fit_candidate(model, training_set, context.randomness, with_probe=with_probe, tell=tell)
    else:
        fitted = build_candidate(model, training_set, context.facts.tables, with_probe=with_probe, tell=tell)
    evaluation = _evaluate(context, training_set, fitted, champion)
    verdicts, pages = _verdicts(context, fitted, evaluation, champion, tell) if with_probe else ([], [])
    reports = write_reports(context.stores.workspace, run, pages)
    candidate = _sealed(context, training_set, fitted, evaluation, verdicts, run, reports)
    _track(context, candidate, training_set)
    context.stores.workspace.files.make_folder(record.parent)
    context.stores.workspace.files.write(record, canonical_json(candidate.to_dict()).encode())
    return candidate


def _verdicts(
    context: OpenEndpoint, fitted: Fitted, evaluation: Evaluation, champion: str | None, tell: Tell
) -> tuple[list[Verdict], list[Page]]:
    """What the model's gates say, in their order, and the pages of those that ask the models themselves, which are given them."""
    model, verdicts, pages = context.endpoint.model, list[Verdict](), list[Page]()
    if not any(isinstance(gate, ModelGate) for gate in model.gates):
        return [gate.judge(evaluation) for gate in model.gates if isinstance(gate, Gate)], pages
    before = None if champion is None else context.stores.model(champion)
    with opened(model, fitted) as candidate:
        for gate in model.gates:
            if isinstance(gate, ModelGate):
                found = gate.judge_models(candidate, before, tell)
                verdicts += found.verdicts
                pages += [Page(gate.name, found.page)] if found.page else []
            else:
                verdicts.append(gate.judge(evaluation))
    return verdicts, pages


def run_id(context: OpenEndpoint, training_set: TrainingSet, champion: str | None, with_probe: bool) -> str:
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
            **_built_from(context, training_set.as_of),
            **_declared(context.reference_period),
            **({"slices": list(context.slices)} if context.slices else {}),
            **({"weights": model.weights} if model.weights else {}),
            **_meaning(model.task),
            "seed": context.randomness.root,
            "environment": environment(LIBRARIES),
        }
    )


def _built_from(context: OpenEndpoint, as_of: datetime) -> dict[str, Any]:
    """The tables that a model is built from, as runs state them."""
    tables = context.endpoint.model.built_from
    return {"built_from": {t.name: context.facts.tables[t.name].snapshot.digest_before(as_of) for t in tables}} if tables else {}


def _declared(period: Period | None) -> dict[str, Any]:
    """A fixed reference, as runs state it."""
    return {} if period is None else {"reference": [each.isoformat() for each in period]}


def _meaning(task: Task) -> dict[str, Any]:
    """A task, as runs state it: all were binary, and stated none, before there were others."""
    return {} if task == Binary() else {"task": task.definition(), "metrics": [repr(metric) for metric in task.metrics]}


def _evaluate(context: OpenEndpoint, training_set: TrainingSet, fitted: Fitted, champion: str | None) -> Evaluation:
    """The probe against the champion on the holdout, each on its own features, but for rows that the champion may have seen. Where it may
    have seen them all, the probe alone."""
    judged, seen, groups = fitted.holdout.copy(), "", training_set.groups
    if not context.endpoint.task.learns:  # an outcome is of the answer that was given then
        if champion is not None and context.endpoint.task.outcomes_belong_to_the_answer:
            seen = "what people said is of the answers that they were shown"  # so that no gate on outcomes passes for want of a champion
        champion, judged = None, judged & known_rows(training_set.labels)
    if champion is not None:
        trained = context.stores.bundle(champion).manifest.lineage.as_of
        judged &= training_set.moments >= np.datetime64(trained.replace(tzinfo=None), "us")
        if fitted.holdout.any() and not judged.any():
            rows_of_both = int(fitted.holdout.sum())
            seen = f"the champion, trained as of {trained:%Y-%m-%d %H:%M} UTC, may have seen all {rows_of_both:,} rows of the holdout"
            judged = fitted.holdout.copy()
    rows = training_set.rows.filter(_mask(judged))
    answers = None if champion is None or seen else champion_answers(context, champion, rows)
    known = None if answers is None else answers.known if groups is None else whole_groups(answers.known, groups[judged])
    if known is not None and not known.all():
        judged[judged] = known
        rows = rows.filter(_mask(known))
    features = table_rows(training_set.fields, rows)
    return Evaluation(
        task=context.endpoint.task,
        labels=training_set.labels[judged],
        candidate=fitted.probe[judged[fitted.holdout]],
        champion=None if answers is None or answers.lost else answers.scores[known],
        unit=context.grid.numbers(training_set.moments[judged]),
        slices={name: _slice_values(rows.column(name)) for name in _slice_columns(context.endpoint.model) if name in rows.column_names}
        | {name: features.categories(name) for name in context.slices},
        lacking="no row was held out",
        lost=seen if answers is None else answers.lost,
        groups=None if groups is None else groups[judged],
    )


def _sealed(
    context: OpenEndpoint,
    training_set: TrainingSet,
    fitted: Fitted,
    evaluation: Evaluation,
    verdicts: list[Verdict],
    run: str,
    reports: Reports,
) -> Candidate:
    metrics, task, unseen = _metrics(evaluation), evaluation.task, fitted.holdout  # all of it, whatever the champion has seen
    known = known_rows(training_set.labels[unseen])
    at = context.grid.numbers(training_set.at[unseen])
    if task.outcomes_belong_to_the_answer:  # what was said of other answers does not tell how sure these may be
        reliability = fitted.reliability
    else:
        reliability = task.reliability(training_set.labels[unseen][known], fitted.probe[known], at[known])
    if reliability is not None:
        metrics["calibration"] = reliability.to_dict()
    bundle = seal(context, training_set, fitted, metrics, verdicts, reliability, run, reports)
    detail = _detail(context, training_set, evaluation, verdicts, metrics, _compared(training_set, fitted, evaluation))
    detail = msgspec.structs.replace(detail, answers=_answers(context, training_set, fitted), reports=reports)
    return Candidate(bundle.id, run, all_passed(verdicts), detail, fitted.seconds)


def _compared(training_set: TrainingSet, fitted: Fitted, evaluation: Evaluation) -> Comparisons:
    before = training_set.labels[~fitted.holdout]
    return Comparisons(
        bounds=dict(bounds_of_losses(evaluation)) if len(evaluation.labels) else {},
        gains=dict(bounds_of_gains(evaluation)),
        constant=constant(evaluation.task, before, evaluation),
        lost=evaluation.lost,
        importance=dict(zip(training_set.names, fitted.attribution.tolist(), strict=True)) if evaluation.task.learns else {},
    )


def _detail(
    context: OpenEndpoint,
    training_set: TrainingSet,
    evaluation: Evaluation,
    verdicts: list[Verdict],
    metrics: dict[str, Any],
    compared: Comparisons,
) -> CandidateDetail:
    task, cut_by = evaluation.task, {name: evaluation.slices[name] for name in context.slices}
    windows = by_window(task, evaluation.labels, evaluation.candidate, evaluation.unit, cut_by, evaluation.groups)
    by_unit = replace(evaluation, unit=units_of(evaluation.unit, context.grid.tick))  # as a shadow's gains are counted
    return CandidateDetail(
        gates=tuple(GateResult(v.gate, v.outcome, v.why) for v in verdicts),
        gains={metric.name: by_unit.improvement_by_unit(metric).tolist() for metric in task.losses},
        baseline=tuple(w.to_dict() for w in windows),
        calibration=() if task.estimator is None else tuple(map(float, task.estimator.fit(evaluation.labels, evaluation.candidate))),
        metrics=msgspec.convert(metrics, HoldoutMetrics),
        task=task.definition(),
        rows=training_set.balance,
        training_set=training_set.id,
        compared=compared,
    )


def _answers(context: OpenEndpoint, training_set: TrainingSet, fitted: Fitted) -> tuple[AnswerCounts, ...]:
    """How the model answered what it was asked of the training set, window by window; empty where it does not answer in words."""
    if not isinstance(context.endpoint.task, Generation):
        return ()
    windows = context.grid.numbers(training_set.at[fitted.answered])
    return tuple(counted(fitted.answers.where(windows == window)) for window in np.unique(windows))


def _metrics(evaluation: Evaluation) -> dict[str, Any]:
    """The holdout's figures: the probe's, and the champion's where there is one; empty without a holdout."""
    if len(evaluation.labels) == 0:
        return {}
    labels, groups, task = evaluation.labels, evaluation.groups, evaluation.task
    found: dict[str, Any] = {"holdout_rows": len(labels), "holdout_positives": task.means(labels, evaluation.candidate)[0]}
    if groups is not None:
        found["holdout_groups"] = list(counted_groups(task, labels, evaluation.candidate, groups))
    for who, predictions in (("candidate", evaluation.candidate), ("champion", evaluation.champion)):
        if predictions is not None:
            judged = [metric for metric in task.metrics if metric.over != "means"]
            figures = {metric.name: value_of(metric, labels, predictions, groups) for metric in judged}
            found[who] = {name: value for name, value in figures.items() if np.isfinite(value)}  # a holdout of one class has no AUC
    return found


def _track(context: OpenEndpoint, candidate: Candidate, training_set: TrainingSet) -> None:
    """The run and the version in the registry; writing them again changes nothing."""
    tracking, bundle = context.tracking, context.stores.bundle(candidate.bundle)
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
        tags={"noria.bundle": candidate.bundle, "noria.training_set": training_set.id, **_report_tags(context, candidate)},
    )
    tracking.register(context.endpoint.model.name, bundle, candidate.run)


def _report_tags(context: OpenEndpoint, candidate: Candidate) -> dict[str, str]:
    """Where the pages of its gates lie."""
    folder = context.stores.workspace.folder
    return {f"noria.report.{Path(path).stem}": (folder / path).resolve().as_uri() for _, path in candidate.detail.reports}


def _slice_columns(model: Model) -> list[str]:
    return sorted({column for gate in model.gates for column in getattr(gate, "over", ())})


def _slice_values(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column as what rows are told apart by, None where it is null; lists as texts."""
    import pyarrow as pa

    values = column.to_pylist()
    if pa.types.is_nested(column.type):
        values = [None if value is None else str(value) for value in values]
    return np.asarray(values)


def _mask(keep: NDArray[np.bool_]) -> Any:
    import pyarrow as pa

    return pa.array(keep)
