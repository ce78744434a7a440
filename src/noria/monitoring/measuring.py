"""The windows of an endpoint: the prediction log and the outcomes become rows of the catalog, and are read from there."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import duration, microseconds
from noria.core.errors import OutsideWorld, UserMistake
from noria.core.ids import finite
from noria.evaluation.answer_counts import counted, spent
from noria.evaluation.generation import Generation
from noria.evaluation.performance import Performance, measure
from noria.features.outcomes import known_rows
from noria.models.registry import CANDIDATE, CHALLENGER, CHAMPION
from noria.monitoring.monitor import Monitor
from noria.monitoring.offline_shadow import offline_challengers, recorded_challengers, with_answers
from noria.monitoring.recorded import profiled
from noria.monitoring.served_skew import served_skew
from noria.monitoring.shadow import pairing
from noria.monitoring.watched import WatchedEndpoint
from noria.release.releases import current_release, released_champions
from noria.serving.log.predictions import CUT, FALLBACK, Predictions
from noria.serving.log.segments import read_log
from noria.serving.observe.failures import FailuresUnread, failed_between
from noria.stores.answer_counts import AnswerCounts, SpentCounts, answers_summed, spent_summed
from noria.stores.progress import progress_of, set_progress
from noria.stores.windows import (
    ExpectedLoss,
    MaturedWindow,
    TrafficCounts,
    WindowRow,
    add_windows,
    complete_window,
    windows_due,
)

logger = logging.getLogger("noria.monitoring")

SLOW = 1000  # microseconds in a millisecond


class ClockWentBack(OutsideWorld):
    """It is earlier than what was already observed."""

    code = "NR-403"

    def __init__(self, now: datetime, measured: datetime) -> None:
        super().__init__(
            what="the system clock has gone backwards",
            where=f"it says {now:%Y-%m-%d %H:%M} UTC, and windows up to {measured:%Y-%m-%d %H:%M} UTC were already observed",
            fix="correct this machine's clock; nothing was observed or decided",
        )


def measure_windows(context: WatchedEndpoint, now: datetime) -> None:
    """Record every window that has closed, and the performance of every window whose outcomes are now due."""
    release = current_release(context)
    if release is None or not context.watched:
        return
    tick, name = context.grid.tick, context.endpoint.name
    before = progress_of(context.stores.catalog, f"windows/{name}")
    measured = context.grid.floor(release.champion_since) if before is None else before.at
    if now < measured:
        raise ClockWentBack(now, measured)
    first = context.grid.floor(measured)
    first = first if first == measured else first + tick  # with a longer tick than before, windows go on from its next border
    closed = [first + i * tick for i in range((context.grid.floor(now) - first) // tick)]
    fresh = [row for start in closed for row in _closed_window(context, start, newest=start == closed[-1])]
    with context.stores.catalog.transaction() as c:
        add_windows(c, fresh)
        set_progress(c, f"windows/{name}", closed[-1] + tick if closed else measured)
    # of those just recorded as well: after a rest, a loop finds windows that are due already
    due = windows_due(context.stores.catalog, name, now - context.endpoint.model.label.maturity - tick)
    matured = [found for start in due for found in _matured_window(context, start, now)]
    if not matured:
        return
    with context.stores.catalog.transaction() as c:
        for found in matured:
            complete_window(c, name, found)


def _watched(logged: Predictions) -> Predictions:
    """The predictions that a bundle is judged by: not those in which it stood in for another, or was cut short."""
    return logged.where(np.array([v not in (FALLBACK, CUT) for v in logged.variant], dtype=bool))


def _closed_window(context: WatchedEndpoint, start: datetime, *, newest: bool) -> list[WindowRow]:
    """One row per bundle that answered or shadowed in the window; one with no rows if nothing was logged at all. newest: whether it is the
    one that closed last, whose skew is watched"""
    logged, offline = _logged(context, start)
    found = [] if logged is None else list(_answered(context, start, logged, offline))
    if not any(row.role == CHAMPION for row in found):
        release = current_release(context)
        assert release is not None
        found.append(WindowRow(context.endpoint.name, start, release.champion, CHAMPION, 0))
    if context.monitor is not None:
        first = next(place for place, row in enumerate(found) if row.role == CHAMPION)
        skew = _skew(context, logged.by(CHAMPION)) if newest and logged is not None and context.monitor.skew is not None else None
        found[first] = replace(found[first], traffic=_traffic(context, start, logged), skew=skew)
    return found


def _logged(context: WatchedEndpoint, start: datetime) -> tuple[Predictions | None, set[str]]:
    """What a window's log has, with the answers of challengers that no server could ask; and which those are."""
    logged = read_log(context.stores.log_folder, start, start + context.grid.tick, context.stores.workspace.files)
    if logged is None:
        return None, set()
    offline = offline_challengers(context, logged, start)
    return with_answers(context, logged, offline), offline


def _answered(context: WatchedEndpoint, start: datetime, logged: Predictions, offline: set[str]) -> Iterator[WindowRow]:
    """What is kept of each bundle that answered or shadowed. Of an offline shadow, pairs wait for the outcomes."""
    watched, released = _watched(logged), released_champions(context)
    for role, bundle in sorted(set(zip(watched.variant, watched.bundle, strict=True))):
        rows = watched.of(bundle)
        row = WindowRow(context.endpoint.name, start, bundle, role, len(rows))
        if role == CHAMPION and context.monitor is not None and bundle in released:
            row = _measured(context, context.monitor, row, rows)
        if role == CHALLENGER and bundle not in offline:
            row = replace(row, paired=pairing(context.endpoint.task, watched.by(CHAMPION), rows, None))
        yield row


def _traffic(context: WatchedEndpoint, start: datetime, logged: Predictions | None) -> TrafficCounts:
    """What the traffic of a window was like, whichever bundle answered."""
    try:
        failed: int | None = failed_between(context.stores.log_folder, start, start + context.grid.tick)
    except FailuresUnread as error:
        logger.error("%s", error)
        failed = None
    freshness, (answers, took) = context.endpoint.slo.freshness, _answers(context, logged)
    if logged is None:
        stale = dict.fromkeys(freshness, 0)
        return TrafficCounts(0, 0, 0, 0, fallbacks=0, failed=failed, stale=stale, answers=answers, spent=took)
    rows, fallbacks = logged.by(CHAMPION, CANDIDATE), logged.by(FALLBACK)  # in an A/B test both answer
    keys = [key for key in rows.keys if key is not None]
    return TrafficCounts(
        rows=len(rows),
        keys=len(keys),
        repeated=len(keys) - len(set(keys)),
        slow=int((rows.latency_us > SLOW * context.endpoint.slo.p99_ms).sum()),
        fallbacks=len(fallbacks),
        failed=failed,
        stale={name: _late(context.known.ages(name, rows.received_us), span) for name, span in freshness.items()},
        answers=answers,
        spent=took,
    )


def _answers(context: WatchedEndpoint, logged: Predictions | None) -> tuple[AnswerCounts | None, SpentCounts | None]:
    """How champions answered in words, and what all that was logged took; None where an endpoint does not answer in words."""
    if not isinstance(context.endpoint.task, Generation):
        return None, None
    if logged is None:
        return AnswerCounts(), SpentCounts()
    ended = answers_summed(counted(values.outputs) for values in logged.by(CHAMPION).values.values())
    return ended, spent_summed(spent(values.outputs) for values in logged.values.values())


def _late(ages: NDArray[np.int64], span: str | timedelta) -> int:
    return int((ages > microseconds(duration(span))).sum())


def _skew(context: WatchedEndpoint, rows: Predictions) -> dict[str, Any]:
    """The skew of what a window was served, or why it can't be measured."""
    try:
        return dict(finite(served_skew(context.own, rows).to_dict()))
    except Exception as error:
        logger.error("the skew of %s can't be measured: %r", context.endpoint.name, error, exc_info=logger.isEnabledFor(logging.DEBUG))
        return {"failed": f"{type(error).__name__}: {error}"}


def _measured(context: WatchedEndpoint, monitor: Monitor, row: WindowRow, rows: Predictions) -> WindowRow:
    """A champion's window with its statistics, the losses to be expected of its scores, and business metrics."""
    return replace(
        row,
        statistics=context.stores.profile(row.bundle).statistics(profiled(context, row.bundle, rows)),
        expected=_expected(context, monitor, row.bundle, rows),
        metrics=_metrics(context, row.bundle, rows, None),
    )


def _expected(context: WatchedEndpoint, monitor: Monitor, bundle: str, rows: Predictions) -> dict[str, ExpectedLoss]:
    """What each watched mean over rows is expected to be, before outcomes come; nothing where the task can't say."""
    task, fitted = context.endpoint.task, context.stores.candidate_detail(bundle).calibration
    if task.estimator is None:
        return {}
    scores = task.scores(rows)
    told = {metric.name: task.estimator.expected(metric, scores, fitted) for metric in monitor.losses(task)}
    known = {name: expected for name, expected in told.items() if not math.isnan(expected.mean)}
    return {name: ExpectedLoss(float(expected.mean), float(expected.sd)) for name, expected in known.items()}


def _matured_window(context: WatchedEndpoint, start: datetime, now: datetime) -> list[MaturedWindow]:
    logged, _ = _logged(context, start)
    if logged is None:
        return []
    watched = _watched(logged)
    task = context.endpoint.task
    nothing = Performance.of_nothing(task).to_dict()
    found = [MaturedWindow(start, bundle, nothing) for bundle in sorted(recorded_challengers(context, start).difference(watched.bundle))]
    champions, released = watched.by(CHAMPION), released_champions(context)
    shadows = set(watched.by(CHALLENGER).bundle)
    for bundle in sorted(set(watched.bundle)):
        rows = watched.of(bundle)
        if bundle in shadows and task.outcomes_belong_to_the_answer:
            rows = rows.where(np.array([variant != CHALLENGER for variant in rows.variant], bool))  # unseen, so that nobody said anything
            if not len(rows):
                found.append(MaturedWindow(start, bundle, nothing))
                continue
        labels = context.facts.outcomes.known_at(rows.keys, now)
        cut_by = _cut_by(context, bundle, rows) if bundle in released else {}
        groups = context.endpoint.model.groups_of(rows.keys)
        matured = MaturedWindow(start, bundle, measure(task, labels, task.scores(rows), cut_by, groups).to_dict())
        if bundle in shadows and not task.outcomes_belong_to_the_answer:
            known = context.facts.outcomes.known_at(champions.keys, now)
            asked_together = context.endpoint.model.groups_of(champions.keys)
            matured = replace(matured, paired=pairing(task, champions, rows.by(CHALLENGER), known, asked_together))
        if context.monitor is not None and any(metric.needs_outcomes for metric in context.monitor.metrics):
            matured = replace(matured, metrics=_metrics(context, bundle, rows, labels))
        found.append(matured)
    return found


def _cut_by(context: WatchedEndpoint, bundle: str, rows: Predictions) -> dict[str, NDArray[Any]]:
    """The features whose values make slices, as they were served."""
    signature = context.stores.bundle(bundle).signature
    inputs = rows.inputs(signature) if context.slices else None
    return {} if inputs is None else {name: inputs.categories(name) for name in context.slices if name in signature.names}


def _metrics(context: WatchedEndpoint, bundle: str, rows: Predictions, labels: NDArray[np.float64] | None) -> dict[str, float | None]:
    """The business metrics of a window: those that need outcomes only once there are labels. What can't be drawn is null."""
    import pyarrow as pa

    assert context.monitor is not None
    found: dict[str, float | None] = {}
    wanted = [m for m in context.monitor.metrics if labels is not None or not m.needs_outcomes]
    if wanted:
        columns = {"key": pa.array(rows.keys, pa.string()), "received_at": pa.array(rows.received_us, pa.timestamp("us", tz="UTC"))}
        signature, task = context.stores.bundle(bundle).signature, context.endpoint.task
        predictions = pa.table({**columns, **rows.inputs(signature).columns(), **task.answer_columns(rows.outputs(signature))})
        known = np.full((len(rows), task.coding.width), np.nan) if labels is None else labels.reshape(len(rows), -1)
        there = known_rows(known)
        keys = [key for key, known_too in zip(rows.keys, there, strict=True) if known_too]
        told = known[there] if task.coding.width > 1 else known[there, 0]
        outcomes = pa.table({"key": pa.array(keys, pa.string()), **task.outcome_columns(told)})
        for metric in wanted:
            try:
                found[metric.name] = metric.draw(predictions, outcomes)
            except UserMistake as error:
                logger.error("%s", error)
                found[metric.name] = None
    return found
