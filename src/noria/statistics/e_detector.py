"""E-detectors: evidence for a change, accumulated over windows and over every possible start of the change.

The Shiryaev-Roberts recursion R ← (1 + R)·E with e-values E (expectation ≤ 1 while nothing is wrong) has an average run
length to a false alarm of at least the threshold at which it alarms (Shin, Ramdas & Rinaldo, "E-detectors: a nonparametric
framework for sequential change detection", 2024, theorem 2.4). An average of e-detectors is an e-detector whatever the
dependence between them, so columns may be pooled without independence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr

Floats = NDArray[np.float64]

TWO_SIDED = (-3.5, -2.5, -1.5, 1.5, 2.5, 3.5)
ONE_SIDED = (0.5, 1.0, 1.5)
MAX_EVIDENCE = 1e15  # evidence that is kept: more says nothing more, and would take as long to ebb as it took to grow


def threshold_for(*, alarms_per_year: float, windows_per_year: float) -> float:
    """The threshold at which an e-detector may alarm, so that false alarms stay within the budget.

    An average run length of `windows_per_year / alarms_per_year` windows is that many alarms a year.
    """
    return windows_per_year / alarms_per_year


def normal_scores(z: Floats, degrees: float | Floats) -> Floats:
    """Student-t scores (any shape) with `degrees` of freedom as normal scores of the same tail probability.

    The spread of a statistic is estimated from few windows and its tails are heavier than normal; scoring by t keeps
    the e-values honest (with normal scores every simulated heavy-tailed stream alarmed).
    """
    tail = stdtr(degrees, -np.abs(z))
    return np.asarray(-np.sign(z) * ndtri(np.maximum(tail, 1e-300)))


class ShiryaevRoberts:
    """Evidence for a change in each of several columns, a window at a time.

    E = exp(h·u − h²/2) is an e-value for a standard normal u and any tilt h; the detectors of all tilts are averaged.
    Windows without a value (NaN) add no evidence and take none away. Evidence is capped: what is never larger than an e-detector alarms
    no more often than it.
    """

    def __init__(self, columns: int, tilts: tuple[float, ...] = TWO_SIDED) -> None:
        self._tilts = np.asarray(tilts)[:, None]
        self._evidence = np.zeros((len(tilts), columns))

    def add(self, scores: Floats) -> Floats:
        """The evidence `(columns,)` after a window with these normal scores `(columns,)`."""
        self._evidence = _grown(self._evidence, scores, self._tilts)
        return np.asarray(self._evidence.mean(axis=0))


def _grown(evidence: Floats, scores: Floats, tilts: Floats) -> Floats:
    """Evidence `(…, tilts, columns)` after a window more, with normal scores `(columns,)`; tilts: `(tilts, 1)`."""
    seen = ~np.isnan(scores)
    e = np.exp(tilts * np.where(seen, scores, 0.0) - tilts**2 / 2)
    return np.minimum(np.where(seen, (1.0 + evidence) * e, evidence), MAX_EVIDENCE)


def alarms_begun_anew(scores: Floats, weights: Floats, thresholds: Floats, tilts: tuple[float, ...] = TWO_SIDED) -> NDArray[np.int64]:
    """How often the evidence of normal scores `(windows, columns)`, pooled by weights `(columns,)`, reaches each of the `thresholds`, where
    a detector begins anew after each of its alarms. Windows without a value (NaN) add no evidence and take none away."""
    h = np.asarray(tilts)[:, None]
    evidence, alarms = np.zeros((len(thresholds), len(tilts), scores.shape[1])), np.zeros(len(thresholds), np.int64)
    for window in scores:
        evidence = _grown(evidence, window, h)
        over = evidence.mean(axis=1) @ weights >= thresholds
        evidence[over] = 0.0
        alarms += over
    return alarms


def shiryaev_roberts(scores: Floats, tilts: tuple[float, ...] = TWO_SIDED) -> Floats:
    """Evidence after each window, from normal scores `(windows, columns)`; returns the same shape."""
    detector = ShiryaevRoberts(scores.shape[1], tilts)
    return np.array([detector.add(u) for u in scores]).reshape(scores.shape)
