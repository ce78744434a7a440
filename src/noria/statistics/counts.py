"""Series of counts: how many rows the next window usually has, and how likely what came is.

A count is taken as a logarithm: a level that moves (exponential smoothing, at the pace that would have foretold the past best), the effects
of a season (a day of the week, an hour of the day), and noise. How likely one is that lies so far off is worked out twice, and the larger
chance counts:

- by the errors of past forecasts, as a mixture of Student's t distributions of several degrees of freedom, each weighted by how well it
  describes them: some dozens of windows do not show whether tails are heavy, and what stood out before makes them heavier;
- by counting, as a negative binomial: of three rows that usually come, none is no wonder, whatever logarithms say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, gammaln, stdtr

from noria.statistics.baseline import season_effects, to_be_learnt

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PACES = (0.02, 0.05, 0.1, 0.2, 0.4)  # of the last error, by which a level follows
WARM_UP = 7  # windows, by which a level has been found
DEGREES = np.array([1.5, 2.0, 3.0, 5.0, 10.0, 30.0])
DOUBT = 0.5  # the power to which likelihoods are taken, as errors are neither independent nor of just these shapes (simulated)
EM_STEPS = 8
MIN_NOISE = 0.01  # from window to window, as a share: what is always the same may change by a row
FAR, MAX_OFF = 3.0, 10.0  # standard deviations: a level follows no further; what stood out is remembered as no more
DEGREES_BEYOND = 9.0  # of the distance from a floor, which past errors mostly lie within (simulated)
MAD = 1.4826  # median absolute deviations in a standard deviation


@dataclass(frozen=True)
class _Usual:
    """What a past says. season: effects by phase; pace: of `PACES`; noise: the standard deviation between windows, beside that of counting

    scales, weights: the t distributions of standardised errors, one for each of `DEGREES`; spread: their standard deviation
    """

    season: Floats
    pace: float
    noise: float
    scales: Floats
    weights: Floats
    spread: float

    def sd(self, median: float) -> float:
        """How far a logarithm strays from where it usually lies."""
        return float(np.sqrt(self.noise**2 + 1 / max(np.expm1(median), 1.0)))

    def chance(self, off: float, floor: float) -> float:
        """How likely an error of so many standard deviations is, or a larger one to the same side. By the shape of past errors; and, where
        it lies beyond a floor, no likelier than nearly normal ones were that are so far beyond it."""
        by_shape = float(self.weights @ stdtr(DEGREES, -abs(off) / self.scales))
        beyond = float(stdtr(DEGREES_BEYOND, -max(abs(off) - floor, 0.0) / self.spread))
        return min(by_shape, beyond)


class CountSeries:
    """A series of counts, window after window, learnt anew now and then from the newest `most`, once there are `least`.

    periods: after how many windows a season recurs, the longest first, each a multiple of the next
    """

    def __init__(self, periods: Sequence[int], most: int, least: int) -> None:
        self._periods, self._most, self._least = periods, most, least
        self._values: list[float] = []
        self._phases: list[int] = []
        self._stood_out: list[tuple[int, float]] = []
        self._count = self._silent = 0
        self._level = self._missed = 0.0
        self._usual: _Usual | None = None

    @property
    def learnt(self) -> bool:
        """Whether there is past enough to tell what is usual."""
        return self._usual is not None

    def add(self, rows: int, phase: int) -> None:
        """Take in a window that was well."""
        value = float(np.log1p(rows))
        if self._usual is not None:
            self._follow_silence(rows, phase)
            median = self._median(phase)
            far = FAR * self._usual.sd(median)
            self._level += self._usual.pace * float(np.clip(value - median, -far, far))
        self._values.append(value)
        self._phases.append(phase)
        self._count += 1
        if to_be_learnt(self._count, self._most, self._least, learnt=self.learnt):
            self._learn()
        if len(self._phases) > 2 * max(self._most, self._least):  # what is never looked at again
            del self._values[: -self._most], self._phases[: -self._most]

    def set_aside(self, rows: int, phase: int) -> None:
        """Take in a window that stood out: it moves no level. How far it is off is remembered, once of several in a row."""
        off = float(np.clip(self._off(rows, phase), -MAX_OFF, MAX_OFF))
        self._follow_silence(rows, phase)
        if not self._stood_out or self._stood_out[-1][0] < self._count:
            self._stood_out.append((self._count, off))

    def expected(self, phase: int) -> float:
        """How many rows there usually are."""
        return max(float(np.expm1(self._median(phase))), 0.0)

    def chance(self, rows: int, phase: int, floor: float) -> float:
        """How likely it is that so many rows come, or that are further off on the same side; of none, that none come for so long.

        floor: off by less than this, as a logarithm, is no matter
        """
        usual, off, mean = self._known, self._off(rows, phase), self.expected(phase)
        by_errors, size = usual.chance(off, floor / usual.sd(self._median(phase))), 1 / usual.noise**2
        if rows == 0:
            return max(by_errors ** (self._silent + 1), float((size / (size + self._missed + mean)) ** size))
        share = size / (size + mean)
        by_counting = float(betainc(size, rows + 1, share)) if off < 0 else 1 - float(betainc(size, rows, share))
        return max(by_errors, by_counting)

    @property
    def _known(self) -> _Usual:
        assert self._usual is not None, "a series is asked once it is learnt"
        return self._usual

    def _median(self, phase: int) -> float:
        season = self._known.season
        return self._level + float(season[phase % len(season)])

    def _off(self, rows: int, phase: int) -> float:
        """By how many standard deviations a window is off."""
        median = self._median(phase)
        return (float(np.log1p(rows)) - median) / self._known.sd(median)

    def _follow_silence(self, rows: int, phase: int) -> None:
        """How many windows have had no rows until now, and how many rows were expected in them."""
        self._silent, self._missed = (0, 0.0) if rows else (self._silent + 1, self._missed + self.expected(phase))

    def _learn(self) -> None:
        values, phases = np.array(self._values[-self._most :]), np.array(self._phases[-self._most :])
        season = _season(values, phases, self._periods)
        errors, levels = _foretold(values - season[phases % len(season)])
        best = _best_pace(errors)
        error, forecast = errors[best], np.expm1(values - errors[best])
        told = (np.arange(len(values)) >= WARM_UP) & (forecast >= 1)  # of nothing, nothing is foretold without fail
        told = told if told.sum() >= self._least - WARM_UP else np.arange(len(values)) >= WARM_UP
        error, counting = error[told], 1 / np.maximum(forecast[told], 1.0)
        square = float((error**2).mean())
        noise = float(np.sqrt(max(square - counting.mean(), 0.1 * square, MIN_NOISE**2)))
        self._stood_out = [(at, off) for at, off in self._stood_out if at > self._count - self._most]
        aside = np.array([off for _, off in self._stood_out])
        standard = np.concatenate([error / np.sqrt(noise**2 + counting), aside])
        scales, weights = _tails(standard)
        self._level = float(levels[best])
        self._usual = _Usual(season, PACES[best], noise, scales, weights, max(float(np.sqrt((standard**2).mean())), 1.0))


def _season(values: Floats, phases: Integers, periods: Sequence[int]) -> Floats:
    """The effects of each phase, of what is left over of the mean of the season around each window. Twice, as effects are found shrunk, and
    large ones (a night, a day of rest) leave much over."""
    left = values - _mean_around(values, max(periods, default=1))
    season = np.zeros(max(periods, default=1))
    for _ in range(2):
        season += season_effects((left - season[phases % len(season)])[:, None], phases, periods)[0][:, 0]
    return season


def _mean_around(values: Floats, span: int) -> Floats:
    """The mean of the `span` windows around each, at both ends of the nearest ones; of a week at least."""
    count, half = len(values), max(span // 2, 3)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    first = np.clip(np.arange(count) - half, 0, max(count - 2 * half - 1, 0))
    last = np.minimum(first + 2 * half + 1, count)
    return np.asarray((sums[last] - sums[first]) / (last - first))


def _foretold(values: Floats) -> tuple[Floats, Floats]:
    """At each pace, the errors of the forecasts of each window by those before `(paces, windows)`, and the level after all `(paces,)`."""
    first = float(np.median(values[: max(WARM_UP, len(values) // 4)]))
    step = MAD * float(np.median(np.abs(np.diff(values)))) / math.sqrt(2) if len(values) > 1 else 0.0
    far = FAR * max(step, MIN_NOISE)
    errors, levels = np.empty((len(PACES), len(values))), np.empty(len(PACES))
    for i, pace in enumerate(PACES):
        told, level = [], first
        for value in values.tolist():  # plain numbers: each forecast needs the one before
            error = value - level
            told.append(error)
            level += pace * min(max(error, -far), far)
        errors[i], levels[i] = told, level
    return errors, levels


def _best_pace(errors: Floats) -> int:
    """The pace `(paces, windows)` whose errors are least, of which none counts for more than three usual ones."""
    size = np.abs(errors[:, WARM_UP:])
    most = FAR * MAD * np.median(size, axis=1, keepdims=True)
    return int(np.argmin((np.minimum(size, most) ** 2).mean(axis=1)))


def _tails(errors: Floats) -> tuple[Floats, Floats]:
    """Of standardised errors `(windows,)`, the scale of each t distribution (by EM; Lange, Little & Taylor 1989), and its weight."""
    squares = errors**2
    scale = np.full(len(DEGREES), max(float(squares.mean()), 1e-12))
    for _ in range(EM_STEPS):
        pull = (DEGREES[:, None] + 1) / (DEGREES[:, None] + squares / scale[:, None])
        scale = np.maximum((pull * squares).mean(axis=1), 1e-12)
    one = gammaln((DEGREES + 1) / 2) - gammaln(DEGREES / 2) - 0.5 * np.log(DEGREES * np.pi * scale)
    all_of_them = len(errors) * one - (DEGREES + 1) / 2 * np.log1p(squares / (DEGREES * scale)[:, None]).sum(axis=1)
    weights = np.exp(DOUBT * (all_of_them - all_of_them.max()))
    return np.sqrt(scale), weights / weights.sum()
