"""What a model answers to rows that it did not learn from, for the reference of its answers.

A model that remembers its training rows (a forest of full depth, few neighbours, a network that was trained for long) answers them more
surely than it will answer any row that it is sent. Compared with those, every window that it serves has drifted. Whether it does is seen in
the holdout, which two models have answered: the probe, which never saw it, and the final one, which did. Where they are apart, two more are
trained, each on half of the blocks of time, and each answers the other half (blocked cross-validation: Bergmeir & Benítez, "On the use of
cross-validation for time series predictor evaluation", Information Sciences 191, 2012).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.data.rows import Rows, stacked
from noria.evaluation.task import Task
from noria.features.training_set import TrainingSet
from noria.models.profiled import answer_columns

APART = 0.05  # of 1, the greatest difference between two distributions of a column, from which monitors of answers would notice it
BLOCKS = 10  # of time, every other of which one of the two models learns from
COMPARED = 100_000  # rows at most: more say nothing new
MAX_CLASSES = 20  # values of an outcome, up to which they are taken for classes


@dataclass(frozen=True)
class Remembered:
    """That a model answers rows that it learned from otherwise than others.

    column: of its answers, in which most; apart: the greatest difference between the two distributions of it, from 0 to 1
    told_apart: whether the reference has answers to rows that were not learnt from
    """

    column: str
    apart: float
    told_apart: bool = True

    @property
    def summary(self) -> str:
        """What that means for the reference, for the model's card."""
        what = (
            f"The model answers rows that it learned from otherwise than others: `{self.column}` is distributed differently, by up to "
            f"{self.apart:.0%} of the rows."
        )
        if self.told_apart:
            return (
                f"{what} So later answers are compared with those of two models of the same configuration, each trained on half of the "
                "rows and asked about the other half."
            )
        return f"{what} Halves of its rows can't be learnt from, so a drift of its answers may be told from the first window on."


@dataclass(frozen=True)
class Probed:
    """What the probe said: to rows that it learned from, and to those of the holdout."""

    seen: Rows
    unseen: Rows


def remembered(task: Task, probed: Probed, seen: Rows) -> Remembered | None:
    """Whether a model answers rows that it learned from otherwise than others; None where it does not.

    seen: the answers of the final model to the holdout, from which it did learn. They are apart from the probe's where what is to be learnt
    has changed, and the probe's answers are apart from one another where the rows have; only memory does both.
    """
    if not len(seen) or not len(probed.seen):
        return None
    final, seen_, unseen = (answer_columns(rows.part(0, COMPARED), task.monitored) for rows in (seen, probed.seen, probed.unseen))
    apart = [min(_distance(final[:, i], unseen[:, i]), _distance(seen_[:, i], unseen[:, i])) for i in range(len(task.monitored))]
    most = int(np.argmax(apart))
    return Remembered(task.monitored[most], apart[most]) if apart[most] > APART else None


def answers_out_of_sample(training_set: TrainingSet, answered_by: Callable[[NDArray[np.bool_], Rows], Rows]) -> Rows | None:
    """An answer to each row of a training set, of a model that did not learn from it; None where the halves can't teach what the whole can:
    too few moments, or outcomes that only one of them has.

    answered_by: of rows to learn from `(rows of the training set,)` and rows to answer, their answers
    """
    first = _halves(training_set.moments)
    if not _teach_alike(training_set.labels, first):
        return None
    parts = [answered_by(half, training_set.features.where(~half)) for half in (first, ~first)]
    order = np.concatenate([np.flatnonzero(~first), np.flatnonzero(first)])
    return stacked(parts).take(np.argsort(order))


def _halves(moments: NDArray[np.datetime64]) -> NDArray[np.bool_]:
    """Every other block of time `(rows,)`; the rows of a moment are in one block."""
    first_of_each, place = np.unique(moments, return_inverse=True)
    return np.asarray(place * BLOCKS // len(first_of_each) % 2 == 0)


def _teach_alike(labels: NDArray[np.float64], first: NDArray[np.bool_]) -> bool:
    """Whether both halves have rows, and each outcome of few values has all of them in both."""
    if first.all():
        return False
    for outcome in labels.reshape(len(labels), -1).T:
        values = [np.unique(part[~np.isnan(part)]) for part in (outcome, outcome[first], outcome[~first])]
        if len(values[0]) <= MAX_CLASSES and not all(len(part) == len(values[0]) for part in values):
            return False
    return True


def _distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The Kolmogorov-Smirnov distance of two columns `(rows,)`; unknown values are one value of their own, below all others."""
    one, other = (np.sort(np.where(np.isfinite(each), each, -np.inf)) for each in (one, other))
    at = np.concatenate([one, other])
    below = [np.searchsorted(each, at, side="right") / len(each) for each in (one, other)]
    return float(np.abs(below[0] - below[1]).max())
