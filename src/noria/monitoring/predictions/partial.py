"""Windows that wait for their outcomes: what the loss will be by the outcomes that are known, and between what it must lie.

Outcomes that come early are not like the others. So each is weighted by how many of its kind are usually known by its age
(`noria.monitoring.label_delay`), which is learned from the newest windows whose outcomes are due.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from noria.evaluation.metric import Floats, Metric
from noria.monitoring.label_delay import Estimate, LabelDelay, learn_maturity
from noria.monitoring.predictions.answers import Answers
from noria.monitoring.predictions.maturity import Maturity
from noria.monitoring.predictions.outcomes import Outcomes
from noria.monitoring.windowed_table import WindowedTable
from noria.profiles.projection import seconds_of

LEARNT_FROM = 14  # due windows, the newest
SHOWN = 14  # waiting windows, the newest


@dataclass(frozen=True)
class PartialWindow:
    """A window that waits: the estimate of a mean loss."""

    start: datetime
    metric: Metric
    estimate: Estimate


def partial_windows(cut: WindowedTable, answers: Answers, outcomes: Outcomes, maturity: Maturity) -> Iterator[PartialWindow]:
    """The newest windows that wait, for each judged mean over rows. Nothing where outcomes have no times, or can't be counted."""
    task, metrics = answers.task, [metric for metric in answers.metrics if metric.over == "rows"]
    waiting = np.flatnonzero(~maturity.due & (maturity.rows > 0))[-SHOWN:].tolist()
    complete = np.flatnonzero(maturity.due & (maturity.known > 0))[-LEARNT_FROM:].tolist()
    if not (outcomes.timed and task.possible and metrics and waiting and complete):
        return
    times = seconds_of(cut.table.column(cut.time))
    delay = _learned(cut, answers, outcomes, times, complete)
    for place in waiting:
        rows = _rows(cut, place)[answers.answered[_slice(cut, place)]]
        labels, scores, age = outcomes.values[rows], answers.scores[rows], maturity.as_of.timestamp() - times[rows]
        labels = np.where(np.isin(labels, task.possible), labels, np.nan)
        for metric in metrics:
            losses = np.stack([metric.losses(np.full(len(rows), outcome), scores) for outcome in task.possible])
            yield PartialWindow(cut.starts[place], metric, delay.estimate(labels, task.strength(scores), age, losses))


def _learned(cut: WindowedTable, answers: Answers, outcomes: Outcomes, times: Floats, windows: list[int]) -> LabelDelay:
    """How soon outcomes become known, by the outcome and by the score."""
    rows = np.concatenate([_rows(cut, place) for place in windows])
    usable = answers.answered[rows] & np.isin(outcomes.values[rows], answers.task.possible) & ~np.isnan(outcomes.known_at[rows])
    rows = rows[usable]
    delays = outcomes.known_at[rows] - times[rows]
    return learn_maturity(delays, outcomes.values[rows], answers.task.strength(answers.scores[rows]), answers.task.possible)


def _slice(cut: WindowedTable, place: int) -> slice:
    return slice(int(cut.borders[place]), int(cut.borders[place + 1]))


def _rows(cut: WindowedTable, place: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The places of a window's rows."""
    return np.arange(cut.borders[place], cut.borders[place + 1], dtype=np.int64)
