"""Maturity: how many outcomes are known by what age, and what the early ones say of all.

Fraud is reported late and delivery early: the outcomes that come first are not like the others. So the curve G(age | score) is learnt from
windows that are complete, in bands of the score, and what is known is weighted by 1/G (Horvitz & Thompson 1952; for delayed labels:
Chapelle 2014). What can't be known yet stands beside it: the share still missing, and the best and the worst that it may bring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BANDS = 5
MIN_KNOWN = 0.05  # of a band's outcomes, below which it can't be spoken for
COMPLETE = 0.95  # of all outcomes, from which on a window is judged


@dataclass(frozen=True)
class Estimate:
    """A mean loss from some of its outcomes. value: weighted; plain: of those that are known; least, most: whatever the others bring

    missing: the share of outcomes that has not come yet
    """

    value: float
    plain: float
    least: float
    most: float
    missing: float

    @property
    def complete(self) -> bool:
        """Whether so many outcomes are known that the window may be judged."""
        return self.missing <= 1 - COMPLETE

    def to_dict(self) -> dict[str, Any]:
        return {name: None if np.isnan(value) else value for name, value in vars(self).items()}


@dataclass(frozen=True)
class LabelDelay:
    """The learnt curves. borders: of the scores' bands `(bands − 1,)`; outcomes: those that there are, rising; delays: of each band and
    outcome the delays, rising

    A delay is how long after its prediction an outcome became known, in seconds; infinite where it never did.
    """

    outcomes: tuple[float, ...]
    borders: Floats
    delays: tuple[tuple[Floats, ...], ...]

    def _known_by(self, age_seconds: Floats, scores: Floats) -> Floats:
        """The share of each outcome `(outcomes, rows)` that is known by such ages, at such scores."""
        band = self.borders.searchsorted(scores)
        found = np.zeros((len(self.outcomes), len(scores)))
        for b, by_outcome in enumerate(self.delays):
            here = band == b
            for outcome, delays in enumerate(by_outcome):
                found[outcome, here] = delays.searchsorted(age_seconds[here], side="right") / max(len(delays), 1)
        return found

    def estimate(self, labels: Floats, scores: Floats, age_seconds: Floats, losses: Floats) -> Estimate:
        """The mean loss of a window `(rows,)`, whose labels are NaN where they are not known yet.

        losses: of each row, should its outcome be so `(outcomes, rows)`
        """
        known = ~np.isnan(labels)
        if not known.any():
            return Estimate(float("nan"), float("nan"), float(losses.min(axis=0).mean()), float(losses.max(axis=0).mean()), 1.0)
        which, rows = np.searchsorted(self.outcomes, labels[known]), np.flatnonzero(known)
        weight = 1 / np.maximum(self._known_by(age_seconds, scores)[which, rows], MIN_KNOWN)
        came, least, most = losses[which, rows], losses.min(axis=0), losses.max(axis=0)
        least[rows] = most[rows] = came
        value = float((came * weight).sum() / weight.sum())
        return Estimate(value, float(came.mean()), float(least.mean()), float(most.mean()), float((~known).mean()))


def learn_maturity(delays: Floats, labels: Floats, scores: Floats, outcomes: tuple[float, ...]) -> LabelDelay:
    """The curves from complete windows: of each row `(rows,)` the delay in seconds, the outcome, one of `outcomes`, and the score."""
    borders = np.unique(np.quantile(scores, np.linspace(0, 1, BANDS + 1)[1:-1])) if len(scores) else np.empty(0)
    band = borders.searchsorted(scores)
    curves = tuple(tuple(np.sort(delays[(band == b) & (labels == outcome)]) for outcome in outcomes) for b in range(len(borders) + 1))
    return LabelDelay(outcomes, borders, curves)
