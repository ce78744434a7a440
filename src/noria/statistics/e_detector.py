"""E-detectors: evidence for a change, accumulated over windows and over every possible start of the change.

The Shiryaev-Roberts recursion R ← (1 + R)·E with e-values E (expectation ≤ 1 while nothing is wrong) has an average run
length to a false alarm of at least the level at which it alarms (Shin, Ramdas & Rinaldo, "E-detectors: a nonparametric
framework for sequential change detection", 2024, theorem 2.4). An average of e-detectors is an e-detector whatever the
dependence between them, so columns may be pooled without independence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr

Floats = NDArray[np.float64]

TWO_SIDED = (-3.5, -2.5, -1.5, 1.5, 2.5, 3.5)
ONE_SIDED = (0.5, 1.0, 1.5)
MOST = 1e15  # evidence that is kept: more says nothing more, and would take as long to ebb as it took to grow


def level_for(*, alarms_per_year: float, windows_per_year: float) -> float:
    """The level at which an e-detector may alarm, so that false alarms stay within the budget.

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
        seen, h = ~np.isnan(scores), self._tilts
        e = np.exp(h * np.where(seen, scores, 0.0)[None, :] - h**2 / 2)
        self._evidence = np.minimum(np.where(seen[None, :], (1.0 + self._evidence) * e, self._evidence), MOST)
        return np.asarray(self._evidence.mean(axis=0))


def alarms_begun_anew(scores: Floats, weights: Floats, levels: Floats, tilts: tuple[float, ...] = TWO_SIDED) -> NDArray[np.int64]:
    """How often the evidence of normal scores `(windows, columns)`, pooled by weights `(columns,)`, reaches each of the levels `(levels,)`,
    where a detector begins anew after each of its alarms. Windows without a value (NaN) add no evidence and take none away."""
    h = np.asarray(tilts)[:, None]
    evidence, alarms = np.zeros((len(levels), len(tilts), scores.shape[1])), np.zeros(len(levels), np.int64)
    for window in scores:
        seen = ~np.isnan(window)
        e = np.exp(h * np.where(seen, window, 0.0) - h**2 / 2)
        evidence = np.where(seen, np.minimum((1.0 + evidence) * e, MOST), evidence)
        over = evidence.mean(axis=1) @ weights >= levels
        evidence[over] = 0.0
        alarms += over
    return alarms


def shiryaev_roberts(scores: Floats, tilts: tuple[float, ...] = TWO_SIDED) -> Floats:
    """Evidence after each window, from normal scores `(windows, columns)`; returns the same shape."""
    detector = ShiryaevRoberts(scores.shape[1], tilts)
    return np.array([detector.add(u) for u in scores]).reshape(scores.shape)


@dataclass(frozen=True)
class Spread:
    """Where a statistic lies from window to window while nothing is wrong, per column: arrays `(columns,)`.

    `autocorrelation` is the lag-1 autocorrelation, shrunk for bias and set to 0 where it does not exceed chance.
    """

    mean: Floats
    sd: Floats
    autocorrelation: Floats
    windows: int


def learn_spread(values: Floats) -> Spread:
    """The spread of a statistic over past windows, from `(windows, columns)`; needs at least three windows."""
    count = len(values)
    mean, sd = np.nanmean(values, axis=0), np.nanstd(values, axis=0, ddof=1)
    centred = np.nan_to_num((values - mean) / np.where(sd > 0, sd, 1.0))
    lag1 = (centred[1:] * centred[:-1]).sum(axis=0) / max(count - 1, 1)
    lag1 = lag1 + (1 + 3 * lag1) / count  # Kendall's correction of the small-sample bias
    lag1 = np.where(lag1 > 1.64 / np.sqrt(count), np.clip(lag1, 0.0, 0.9), 0.0)
    return Spread(mean, sd, lag1, count)


def drift_scores(values: Floats, past: Spread, floor: Floats, *, least_sd: float = 1e-4) -> Floats:
    """Signed scores of new windows `(windows, columns)` against their past, with an effect floor `(columns,)`.

    z = sign·max(0, |y − mean| − floor) / (w·sd·√(1 + w²/k)), where w = √((1 + φ)/(1 − φ)) widens for autocorrelation and
    k is the number of past windows. The floor inside the score keeps trivial but lasting shifts from adding up for ever.
    """
    w = np.sqrt((1 + past.autocorrelation) / (1 - past.autocorrelation))
    scale = w * np.maximum(past.sd, least_sd) * np.sqrt(1 + w**2 / past.windows)
    shift = values - past.mean
    z = np.sign(shift) * np.maximum(0.0, np.abs(shift) - floor) / scale
    return normal_scores(z, 5.0)
