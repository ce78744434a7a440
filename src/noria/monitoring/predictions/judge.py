"""Judging a table of predictions: one cut into windows, one pass over them, one budget of false alarms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from noria.core.clock import duration
from noria.evaluation.metric import Floats
from noria.evaluation.performance import Performance
from noria.monitoring.drift_reading import MIN_REFERENCE
from noria.monitoring.expected import read_expected
from noria.monitoring.performance import PerformanceReading, read_performance, read_slices
from noria.monitoring.predictions.answers import Answers, JudgeOptions, read_answers
from noria.monitoring.predictions.maturity import mature
from noria.monitoring.predictions.measured import MeasuredWindow, expected_losses, measure_windows
from noria.monitoring.predictions.outcomes import Outcomes, read_outcomes
from noria.monitoring.predictions.partial import partial_windows
from noria.monitoring.predictions.reading import Estimated, PredictionsReading
from noria.monitoring.predictions.slices import cut_by
from noria.monitoring.predictions.tolerances import tolerances
from noria.monitoring.predictions.values import (
    NotPredictions,
    epoch_unit,
    is_number,
    numbers,
    plain,
    require_columns,
    seconds,
    texts,
    times,
)
from noria.monitoring.table import check_asked, judge_cut, threshold_of
from noria.monitoring.windowed_table import WindowedTable, cut_table, no_times
from noria.monitoring.windows import Window

if TYPE_CHECKING:
    import pyarrow as pa

REFERENCE = 60  # windows, or half of all where there are fewer
TABLE_SHARE, PERFORMANCE_SHARE, ESTIMATE_SHARE = (
    0.45,
    0.45,
    0.1,
)  # of the budget, where there are outcomes; without them, the table has it all
CLASSES_SHARE, SLICES_SHARE = 0.3, 0.3  # of the performance's, where classes or slices are judged by themselves
EXACT = 2.0**53  # below which whole numbers are exact as floats
REPEATED_IDS = "(ids that came before)"
MAX_MODELS = 100  # each of which has its part of the budget
MIN_WINDOWS = 5  # of the reference with outcomes, below which there is no baseline


@dataclass(frozen=True)
class Plan:
    """How a table is judged: see `noria.evidence.predictions.judge_predictions`. tolerances: by the names of metrics; slices: columns"""

    every: timedelta | int = timedelta(days=1)
    reference: int | datetime | None = None
    rolling: bool = False
    budget: float = 2.0
    until: datetime | None = None
    time_zone: str | None = None
    leave_out: tuple[str, ...] = ()
    matures: timedelta | None = None
    tolerances: Mapping[str, float] = field(default_factory=dict)
    slices: tuple[str, ...] = ()

    @staticmethod
    def of(every: str | timedelta | int, matures: str | timedelta | None) -> Plan:
        """With durations as people write them."""
        return Plan(every if isinstance(every, int) else duration(every), matures=None if matures is None else duration(matures))


def read_predictions(rows: pa.Table, asked: JudgeOptions, plan: Plan, name: str, notes: Sequence[str] = ()) -> PredictionsReading:
    """Judge the predictions of one model. notes: what is already known of the table, in sentences

    Raises `NotPredictions`, `NotOutcomes`, `UndecidedTask`, and `NotJudged`.
    """
    require_columns(rows, [asked.time], "the time", name)
    require_columns(rows, asked.prediction, "the prediction", name)
    require_columns(rows, [asked.outcome, asked.outcome_time, asked.id], "the outcome or the id", name)
    _require_different(asked, name)
    check_asked(rows, plan.every, plan.budget, plan.leave_out, name)
    unit = epoch_unit(rows.column(asked.time))
    notes = [*notes, *([f"the times are read as {unit} since 1970-01-01 UTC"] if unit else [])]
    read = times(rows.column(asked.time))
    if read.null_count == len(read) and rows.column(asked.time).null_count < len(read):
        raise no_times(asked.time, rows.column(asked.time), name)
    rows = rows.set_column(rows.column_names.index(asked.time), asked.time, read)
    cut = cut_table(rows, asked.time, plan.every, plan.until, plan.time_zone, name)
    reference = _reference(cut, plan.reference)
    first = int(cut.borders[min(reference, len(cut.starts))])
    answers = read_answers(cut.table, asked, first, name)
    outcomes = _outcomes(cut, asked, answers, name)
    repeated = _repeated(cut, asked.id)
    table = _table(cut, asked, answers, repeated)
    judged = bool(outcomes.known.any())
    share = TABLE_SHARE if judged else 1.0
    left_out = tuple(dict.fromkeys(column for column in plan.leave_out if column in table.column_names))
    told = judge_cut(
        replace(cut, table=table),
        reference,
        rolling=plan.rolling,
        false_alarms_per_year=share * plan.budget,
        name=name,
        leave_out=left_out,
        measured=tuple(answers.watched),
    )
    maturity = mature(cut, outcomes, answers.answered & (repeated < 1), plan.matures, reference)
    windows = measure_windows(cut, answers, outcomes, 1 - repeated, maturity, cut_by(cut, plan.slices, first, name))
    performance = _performance(cut, answers, windows, reference, plan) if judged else ()
    estimated, why = _estimated(cut, answers, outcomes, windows, reference, plan, performance) if judged else (None, _unjudged(asked))
    partial = tuple(partial_windows(cut, answers, outcomes, maturity))
    shares = {"inputs, answers and row counts": share}
    shares |= {"performance": PERFORMANCE_SHARE, "estimated performance": ESTIMATE_SHARE} if judged else {}
    found = [*notes, *answers.notes, *outcomes.notes, *_repeats(repeated), *_foretold(cut, outcomes), *_turned(performance)]
    return PredictionsReading(
        name,
        answers,
        plan.budget,
        shares,
        told,
        maturity,
        tuple(windows),
        performance,
        estimated,
        why,
        asked.outcome,
        partial,
        tuple(found),
    )


def _turned(performance: Sequence[PerformanceReading]) -> list[str]:
    """What is to be said of probabilities that are higher where the outcome did not come about: they may be those of the other one."""
    for reading in performance:
        past = reading.past
        if reading.metric.name == "auc" and len(past) > 1 and past.mean() + 3 * past.std(ddof=1) / len(past) ** 0.5 < 0.5:
            return [
                f"the AUC of the reference is {past.mean():.2f}, below 0.5: the predictions seem to be the probability of the other "
                "outcome; name that one with --positive"
            ]
    return []


def _require_different(asked: JudgeOptions, where: str) -> None:
    """Raise `NotPredictions` for a column that is named as two things."""
    named = [name for name in (asked.time, *asked.prediction, asked.outcome) if name is not None]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise NotPredictions(
            what=f"column {twice!r} is named for two things",
            where=where,
            fix="name different columns for the time, the prediction and the outcome",
        )


def by_model(rows: pa.Table, column: str, where: str) -> dict[str, pa.Table]:
    """The rows of each model, without the column that names it; rows without a name are left out. Raises `NotPredictions`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    require_columns(rows, [column], "the model (`by`)", where)
    encoded = texts(rows.column(column)).combine_chunks().dictionary_encode()
    rest = rows.drop_columns([column])
    names = encoded.dictionary.to_pylist()
    if len(names) > MAX_MODELS:
        raise NotPredictions(
            what=f"column {column!r} names {len(names):,} models, and at most {MAX_MODELS} can be judged",
            where=where,
            fix="name the column of the model, or filter the table",
        )
    return {
        name: rest.filter(pc.fill_null(pc.equal(encoded.indices, pa.scalar(i)), False)) for i, name in sorted(enumerate(names), key=_second)
    }


def _second(pair: tuple[int, str]) -> str:
    return pair[1]


def _reference(cut: WindowedTable, asked: int | datetime | None) -> int:
    """How many windows are the reference: as asked, those before a moment, or the usual number, at most half of them."""
    if isinstance(asked, datetime):
        ends = [*cut.starts[1:], cut.newest]
        return sum(end <= asked for end in ends)
    return asked if asked is not None else max(cut.calendar.least(MIN_REFERENCE), min(REFERENCE, len(cut.starts) // 2))


def _outcomes(cut: WindowedTable, asked: JudgeOptions, answers: Answers, name: str) -> Outcomes:
    """The outcomes that are known as far as the table goes."""
    column = None if asked.outcome is None else cut.table.column(asked.outcome)
    known_at = None if asked.outcome_time is None else cut.table.column(asked.outcome_time)
    where = f"{name}, column {asked.outcome!r}"
    outcomes = read_outcomes(column, known_at, cut.table.num_rows, answers.task, asked.positive, where)
    return outcomes if cut.until is None else outcomes.by(cut.until.timestamp())


def _repeated(cut: WindowedTable, column: str | None) -> Floats:
    """1 for each row whose id came before, 0 for others `(rows,)`."""
    if column is None:
        return np.zeros(cut.table.num_rows)
    if is_number(cut.table.schema.field(column).type):
        values = numbers(cut.table.column(column))
        if np.isfinite(values).all() and np.abs(values).max(initial=0) < EXACT and len(np.unique(values)) == len(values):
            return np.zeros(len(values))  # much the fastest, and the rule
    codes = np.asarray(plain(cut.table.column(column)).combine_chunks().dictionary_encode().indices.fill_null(-1), np.int64)
    newest = np.maximum.accumulate(np.concatenate([[-1], codes[:-1]])) if len(codes) else codes  # codes are given in order of appearance
    return np.asarray((codes >= 0) & (codes <= newest), np.float64)


def _foretold(cut: WindowedTable, outcomes: Outcomes) -> tuple[str, ...]:
    early = outcomes.known & (outcomes.known_at < seconds(cut.table.column(cut.time)))
    count = int(early.sum())
    return (f"{count:,} outcomes were known before their predictions were made: check the times",) if count else ()


def _repeats(repeated: Floats) -> tuple[str, ...]:
    count = int(repeated.sum())
    return (f"{count:,} rows repeat an id: the first of each counts in the performance metrics",) if count else ()


def _table(cut: WindowedTable, asked: JudgeOptions, answers: Answers, repeated: Floats) -> pa.Table:
    """The columns that are monitored: the time, the inputs, and answers in a form that shows how they move."""
    import pyarrow as pa

    known = {*asked.prediction, asked.outcome, asked.outcome_time, asked.id}
    table = cut.table.drop_columns([name for name in cut.table.column_names if name in known])
    for name, column in answers.watched.items():
        table = table.append_column(_free(name, table.column_names), column)
    if asked.id is not None and REPEATED_IDS not in table.column_names:
        table = table.append_column(REPEATED_IDS, pa.array(repeated))
    return table


def _free(name: str, taken: Iterable[str]) -> str:
    return name if name not in taken else f"{name} (answer)"


def _unjudged(asked: JudgeOptions) -> str:
    return "no column of outcomes was named to learn it from" if asked.outcome is None else "no outcome is known yet to learn it from"


def _performance(
    cut: WindowedTable, answers: Answers, windows: Sequence[MeasuredWindow], reference: int, plan: Plan
) -> tuple[PerformanceReading, ...]:
    """Each metric against the reference. What is stated in `tolerances` is judged in place of the usual metrics."""
    past = [w.performance for w in windows[:reference] if w.performance is not None]
    if len(past) < MIN_WINDOWS:
        return ()
    metrics = tuple(answers.task.metric(name) for name in plan.tolerances) or answers.metrics
    classes = () if plan.tolerances else answers.class_metrics
    since = [_as_window(w.start, w.performance) for w in windows[reference:] if w.performance is not None]
    budget = PERFORMANCE_SHARE * plan.budget
    whole = budget * (1 - CLASSES_SHARE * bool(classes) - SLICES_SHARE * bool(plan.slices))
    found = []
    for of, share in ((metrics, whole), (classes, budget * CLASSES_SHARE)):
        for tolerance in tolerances(of, past, plan.tolerances) if of else ():
            found.append(read_performance(answers.task, tolerance, past, since, threshold_of(cut, reference, share / len(of))))
    each = SLICES_SHARE * budget / len(metrics)
    for tolerance in tolerances(metrics, past, plan.tolerances) if plan.slices else ():
        found += read_slices(answers.task, tolerance, past, since, lambda slices: threshold_of(cut, reference, each / slices))
    return tuple(found)


def _as_window(start: datetime, performance: Performance) -> Window:
    return Window(start, "", "champion", performance.rows, None, performance)


def _estimated(
    cut: WindowedTable,
    answers: Answers,
    outcomes: Outcomes,
    windows: Sequence[MeasuredWindow],
    reference: int,
    plan: Plan,
    performance: Sequence[PerformanceReading],
) -> tuple[Estimated | None, str]:
    """What the first watched mean over rows is expected to be before outcomes come, or why nothing can be said of it."""
    metric = next((r.metric for r in performance if r.metric.over == "rows"), None)
    if answers.task.estimator is None:
        return None, "class labels without probabilities do not say how sure they are"
    if metric is None:
        return None, "the reference has too few outcomes to learn it from"
    expected, fitted = expected_losses(cut, answers, outcomes, metric, reference)
    if not fitted:
        return None, "the reference has too few outcomes to learn it from"
    unknown = [np.nan] * answers.scores.shape[1] if answers.scores.ndim == 2 else np.nan  # the means of outcomes and answers
    past = [Performance(1, 0, unknown, unknown, {metric.name: e.mean}) for e in expected[:reference] if e is not None]
    since = [
        _as_window(start, Performance(1, 0, unknown, unknown, {metric.name: e.mean}))
        for start, e in zip(cut.starts[reference:], expected[reference:], strict=True)
        if e is not None
    ]
    if len(past) < MIN_WINDOWS or not since:
        return None, "too few windows to compare with"
    tolerance = next(r.tolerance for r in performance if r.metric == metric)
    reading = read_performance(answers.task, tolerance, past, since, threshold_of(cut, reference, ESTIMATE_SHARE * plan.budget))
    pairs = [
        (w.start, e, None if w.performance is None else w.performance.value(metric))
        for w, e in zip(windows, expected, strict=True)
        if e is not None
    ]
    residuals = [came - e.mean for _, e, came in pairs[: len(past)] if came is not None and not np.isnan(came)]
    bias = float(np.mean(residuals)) if residuals else 0.0
    return Estimated(reading, read_expected(metric, tolerance, reading.baseline, pairs), tuple(expected), bias), ""
