"""Baselines: where a window's statistic lies from window to window while nothing is wrong, and how far from there a new one is.

Two variances: s² = τ² + σ²/m, between windows and within one of m rows, so that volume may grow, and a million rows don't make trifles
certain. Season: additive effects of a window's phase (a day of the week), where an analysis of variance finds any, shrunk. Autocorrelation:
the scale is widened by w = √((1 + φ)/(1 − φ)), and the mean's own error with it, √(1 + w²/k); whitening was simulated, and is worse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from noria.statistics.e_detector import normal_scores

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TAIL_DEGREES = 15.0
SEASON_LEVEL = 0.001  # at which a season is believed in
SEASONS_OF_EACH_PHASE = 4  # windows of each phase, below which no season is looked for
RELEARN = 7  # windows between two looks at the past, which moves slowly
LEAST_SD = 1e-6
LEAST_BETWEEN = 0.1  # of the whole variance: the difference of two estimates may be nothing by chance, and volume grow afterwards


@dataclass(frozen=True)
class Spread:
    """Where a statistic lies from window to window while nothing is wrong, per column: arrays `(columns,)`.

    `autocorrelation` is the lag-1 autocorrelation, shrunk for bias and set to 0 where it does not exceed chance.
    """

    mean: Floats
    sd: Floats
    autocorrelation: Floats
    windows: int


@dataclass(frozen=True)
class Baseline:
    """What past windows say of each statistic: arrays `(statistics,)`, the season's effects `(period, statistics)`."""

    spread: Spread
    between: Floats
    season: Floats

    def expected(self, phase: int) -> Floats:
        """Where a window of this phase lies."""
        return np.asarray(self.spread.mean + self.season[phase % len(self.season)])

    def sd(self, within: Floats) -> Floats:
        """How far a window of this variance within (σ²/m) strays, of itself and of what its baseline does not know."""
        w = np.sqrt((1 + self.spread.autocorrelation) / (1 - self.spread.autocorrelation))
        own = np.sqrt(self.between + within)
        return np.asarray(w * np.maximum(own, LEAST_SD) * np.sqrt(1 + w**2 / self.spread.windows))

    def score(self, value: Floats, within: Floats, phase: int, floor: Floats) -> Floats:
        """Signed normal scores of a window's statistics, what lies within an effect floor being no effect."""
        away = value - self.expected(phase)
        z = np.sign(away) * np.maximum(0.0, np.abs(away) - floor) / self.sd(within)
        return normal_scores(z, TAIL_DEGREES)

    def clipped(self, value: Floats, within: Floats, phase: int) -> Floats:
        """A window's statistics as they may be learnt from: none further away than three of its standard deviations."""
        far = 3 * self.sd(within)
        return np.clip(value, self.expected(phase) - far, self.expected(phase) + far)


class Past:
    """A baseline that goes on learning: what was well is added, and every seventh window it is learnt anew from the newest `most`.

    There is none before there are `least` windows. A window is its statistics `(statistics,)`, their variances within, and its phase.
    """

    def __init__(self, period: int, most: int, least: int) -> None:
        self._period, self._most, self._least = period, most, least
        self._values: list[Floats] = []
        self._within: list[Floats] = []
        self._phases: list[int] = []
        self.baseline: Baseline | None = None

    @staticmethod
    def of(values: Floats, within: Floats, phases: Integers, period: int, most: int) -> Past:
        """The past that is known from the beginning: arrays `(windows, statistics)`, and `(windows,)`."""
        past = Past(period, most, len(values))
        past._values, past._within, past._phases = list(values), list(within), phases.tolist()
        past._learn()
        return past

    def add(self, value: Floats, within: Floats, phase: int) -> None:
        """Take in a window that was well."""
        self._values.append(value)
        self._within.append(within)
        self._phases.append(phase)
        if len(self._values) >= self._least and (self.baseline is None or len(self._values) % RELEARN == 0):
            self._learn()

    def _learn(self) -> None:
        newest = slice(-self._most, None)
        values, within, phases = (np.array(each[newest]) for each in (self._values, self._within, self._phases))
        self.baseline = learn_baseline(values, within, phases, self._period)


def learn_baseline(values: Floats, within: Floats, phase: Integers, period: int = 1) -> Baseline:
    """The baseline of windows `(windows, statistics)`, their variances within `(windows, statistics)` and phases `(windows,)`."""
    season = _season(values, phase, period)
    spread = _learn_spread(values - season[phase % period])
    total = spread.sd**2
    between = np.maximum(total - np.nanmean(within, axis=0), LEAST_BETWEEN * total)
    return Baseline(spread, np.nan_to_num(between), season)


def _learn_spread(values: Floats) -> Spread:
    """The spread of a statistic over past windows, from `(windows, columns)`; needs at least three windows."""
    count = len(values)
    mean, sd = np.nanmean(values, axis=0), np.nanstd(values, axis=0, ddof=1)
    centred = np.nan_to_num((values - mean) / np.where(sd > 0, sd, 1.0))
    lag1 = (centred[1:] * centred[:-1]).sum(axis=0) / max(count - 1, 1)
    lag1 = lag1 + (1 + 3 * lag1) / count  # Kendall's correction of the small-sample bias
    lag1 = np.where(lag1 > 1.64 / np.sqrt(count), np.clip(lag1, 0.0, 0.9), 0.0)
    return Spread(mean, sd, lag1, count)


def _season(values: Floats, phase: Integers, period: int) -> Floats:
    """The effects of each phase, zero where none is found (one-way analysis of variance)."""
    none = np.zeros((period, values.shape[1]))
    of = phase % period
    counts = np.bincount(of, minlength=period)
    if period < 2 or counts.min() < SEASONS_OF_EACH_PHASE:
        return none
    filled = np.where(np.isnan(values), np.nanmean(values, axis=0), values)
    means = np.array([filled[of == p].mean(axis=0) for p in range(period)])
    centre = (counts[:, None] * means).sum(axis=0) / counts.sum()
    between = (counts[:, None] * (means - centre) ** 2).sum(axis=0) / (period - 1)
    inside = ((filled - means[of]) ** 2).sum(axis=0) / (len(values) - period)
    chance = fdtrc(period - 1, len(values) - period, between / np.maximum(inside, 1e-300))
    shrunk = (means - centre) * (counts / (counts + 1.0))[:, None]
    return np.where((chance < SEASON_LEVEL) & (inside > 0), shrunk, none)
