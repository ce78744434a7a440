"""Baselines: where a window's statistic lies from window to window while nothing is wrong, and how far from there a new one is.

Two variances: s² = τ² + σ²/m, between windows and within one of m rows, so that volume may grow, and a million rows don't make trifles
certain. Season: additive effects of a window's phase (a day of the week), where an analysis of variance finds any, shrunk. Autocorrelation:
the scale is widened by w = √((1 + φ)/(1 − φ)), and the mean's own error with it, √(1 + w²/k); whitening was simulated, and is worse.

Rows come in clusters (one user's, one customer's), which no row tells. They make τ² larger, and what is left over with fewer rows larger
still: a window of fewer rows than the past ones is taken to have as many fewer clusters. Clusters of unequal size make shares skewed;
scores on the long side are shortened by what skewness windows had (Wilson & Hilferty 1931), as far as it is not that of single rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, fdtrc

from noria.statistics.autocorrelation import CERTAIN, MAX_LAG1, unbiased, widening
from noria.statistics.e_detector import normal_scores

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TAIL_DEGREES = 15.0
SEASON_LEVEL = 0.001  # at which a season is believed in
SEASONS_OF_EACH_PHASE = 4  # windows of each phase, below which no season is looked for
BLOCKS, MIN_BLOCKS, BLOCKS_LEVEL = (7, 28), 8, 0.001  # windows of each; of them; at which they are believed to stray further than chance
RELEARN, LOOKS = 7, 50  # windows between two looks at the past, which moves slowly; looks while all of a long one is renewed
MIN_SD = 1e-6
SKEWNESS_SHOWN, MAX_SKEWNESS = 2 / 3, 3.0  # what some dozens of windows show of the skewness that they are drawn from (simulated)
MIN_BETWEEN = 0.1  # of the whole variance: the difference of two estimates may be nothing by chance, and volume grow afterwards


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
    """What past windows say of each statistic: arrays `(statistics,)`, the season's effects `(period, statistics)`.

    between, within: the variances τ², and σ²/m of past windows on average (0 where rows do not come in clusters)
    skewness: of windows, as far as it is not that of single rows
    """

    spread: Spread
    between: Floats
    within: Floats
    skewness: Floats
    season: Floats

    def expected(self, phase: int) -> Floats:
        """Where a window of this phase lies."""
        return np.asarray(self.spread.mean + self.season_at(phase))

    def season_at(self, phase: int) -> Floats:
        """How far off its mean a window of this phase lies."""
        return np.asarray(self.season[phase % len(self.season)])

    def sd(self, within: Floats) -> Floats:
        """How far a window of this variance within (σ²/m) strays, of itself and of what its baseline does not know."""
        w = widening(self.spread.autocorrelation)
        own = np.sqrt(self.between * self._fewer(within) + within)
        return np.asarray(w * np.maximum(own, MIN_SD) * np.sqrt(1 + w**2 / self.spread.windows))

    def score(self, value: Floats, within: Floats, phase: int, floor: Floats) -> Floats:
        """Signed normal scores of a window's statistics, what lies within an effect floor being no effect."""
        away = value - self.expected(phase)
        z = np.sign(away) * np.maximum(0.0, np.abs(away) - floor) / self.sd(within)
        return normal_scores(shortened(z, self.skewness * np.sqrt(self._fewer(within))), TAIL_DEGREES)

    def _fewer(self, within: Floats) -> Floats:
        """How many times fewer rows a window has than past ones, by its variance within; 1 where it has more."""
        known = self.within > 0
        return np.where(known, np.maximum(within / np.where(known, self.within, 1.0), 1.0), 1.0)

    def clipped(self, value: Floats, within: Floats, phase: int) -> Floats:
        """A window's statistics as they may be learnt from: none further away than three of its standard deviations."""
        far = 3 * self.sd(within)
        return np.clip(value, self.expected(phase) - far, self.expected(phase) + far)


class Past:
    """A baseline that goes on learning: what was well is added, and every seventh window it is learnt anew from the newest `most`.

    There is none before there are `least` windows. A window is its statistics `(statistics,)`, their variances within, and its phase.
    """

    def __init__(self, periods: Sequence[int], most: int, least: int) -> None:
        self._periods, self._most, self._least = periods, most, least
        self._values: list[Floats] = []
        self._within: list[Floats] = []
        self._phases: list[int] = []
        self._count = 0
        self.baseline: Baseline | None = None

    @staticmethod
    def of(values: Floats, within: Floats, phases: Integers, periods: Sequence[int], most: int) -> Past:
        """The past that is known from the beginning: arrays `(windows, statistics)`, and `(windows,)`."""
        past = Past(periods, most, len(values))
        past._values, past._within, past._phases, past._count = list(values), list(within), phases.tolist(), len(values)
        past._learn()
        return past

    def add(self, value: Floats, within: Floats, phase: int) -> None:
        """Take in a window that was well."""
        self._values.append(value)
        self._within.append(within)
        self._phases.append(phase)
        self._count += 1
        if to_be_learnt(self._count, self._most, self._least, learnt=self.baseline is not None):
            self._learn()
        if len(self._phases) > 2 * max(self._most, self._least):  # what is never looked at again
            del self._values[: -self._most], self._within[: -self._most], self._phases[: -self._most]

    def _learn(self) -> None:
        newest = slice(-self._most, None)
        values, within, phases = (np.array(each[newest]) for each in (self._values, self._within, self._phases))
        self.baseline = learn_baseline(values, within, phases, self._periods)


def to_be_learnt(count: int, most: int, least: int, *, learnt: bool) -> bool:
    """Whether a past is learnt after so many windows: first when there are `least`, and anew now and then, of the newest `most`."""
    return count >= least and (not learnt or count % max(RELEARN, min(count, most) // LOOKS) == 0)


def learn_baseline(values: Floats, within: Floats, phase: Integers, periods: Sequence[int] = ()) -> Baseline:
    """The baseline of windows `(windows, statistics)`, their variances within `(windows, statistics)` and phases `(windows,)`.

    There must be three windows at least.
    periods: after how many windows a season recurs, the longest first, each a multiple of the next: a week, a day
    """
    season, widened = season_effects(values, phase, periods)
    left = values - season[phase % len(season)]
    mean, sd = mean_of_known(left), sd_of_known(left)
    standard = np.nan_to_num((left - mean) / np.where(sd > 0, sd, 1.0))
    spread = Spread(mean, sd * widened, _autocorrelation(standard), len(left))
    total, inside = np.nan_to_num(spread.sd**2), np.nan_to_num(np.nanmean(within, axis=0))
    between = np.maximum(total - inside, MIN_BETWEEN * total)
    by_clusters = np.clip(1 - inside / np.where(total > 0, total, 1.0), 0.0, 1.0)
    return Baseline(spread, between, inside, by_clusters * _skewness(standard), season)


def mean_of_known(values: Floats) -> Floats:
    """The mean over the first axis of what is not NaN; NaN where nothing is known."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def sd_of_known(values: Floats) -> Floats:
    """The standard deviation over the first axis of what is not NaN; NaN where fewer than two are known."""
    count = (~np.isnan(values)).sum(axis=0)
    squares = np.nan_to_num((values - mean_of_known(values)) ** 2).sum(axis=0)
    return np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)


def _autocorrelation(standard: Floats) -> Floats:
    """The autocorrelation at lag 1 of standardised windows `(windows, statistics)`, 0 where it does not exceed chance; or the one at which
    means of a week's windows, or of four weeks', would stray as far as they do, where that exceeds chance: spells outlast lag 1."""
    count = len(standard)
    lag1 = unbiased((standard[1:] * standard[:-1]).sum(axis=0) / max(count - 1, 1), count)
    found = np.where(lag1 > CERTAIN / np.sqrt(count), np.clip(lag1, 0.0, MAX_LAG1), 0.0)
    for size in BLOCKS:
        found = np.maximum(found, _as_at_lag_1(standard, size))
    return found


def _as_at_lag_1(standard: Floats, size: int) -> Floats:
    """By the variance of the means of blocks of so many windows (Carlstein 1986), as an autocorrelation at lag 1."""
    blocks = len(standard) // size
    if blocks < MIN_BLOCKS:
        return np.zeros(standard.shape[1])
    means = standard[-blocks * size :].reshape(blocks, size, -1).mean(axis=1)
    widened = size * means.var(axis=0, ddof=1)
    certain = widened * (blocks - 1) > chdtri(blocks - 1, BLOCKS_LEVEL)
    return np.where(certain, np.clip((widened - 1) / (widened + 1), 0.0, MAX_LAG1), 0.0)


def _skewness(standard: Floats) -> Floats:
    """The skewness of what standardised windows `(windows, statistics)` are drawn from; 0 where nothing is known of it."""
    return np.asarray(np.clip((standard**3).mean(axis=0) / SKEWNESS_SHOWN, -MAX_SKEWNESS, MAX_SKEWNESS))


def skewness_shown(standard: Floats) -> float:
    """The skewness of what standardised windows `(windows,)` are drawn from; 0 where they are too few to show it, or show none."""
    found = float((standard * standard * standard).mean()) if len(standard) else 0.0  # ten times as fast as a power
    shown = abs(found) > CERTAIN * np.sqrt(6 / max(len(standard), 1))
    return float(np.clip(found / SKEWNESS_SHOWN, -MAX_SKEWNESS, MAX_SKEWNESS)) if shown else 0.0


def shortened(z: Floats, skewness: Floats) -> Floats:
    """Scores on the long side of a skewed distribution as those of a normal one (of a gamma distribution; Wilson & Hilferty 1931)."""
    size, long_side = np.maximum(np.abs(skewness), 1e-6), z * np.sign(skewness) > 0
    far = np.where(long_side, np.abs(z), 0.0)
    shorter = 6 / size * (np.cbrt(size / 2 * far + 1) - 1) + size / 6
    return np.where(long_side, np.sign(z) * np.minimum(shorter, far), z)


def season_effects(values: Floats, phase: Integers, periods: Sequence[int]) -> tuple[Floats, Floats]:
    """The effects of each phase of the longest season `(period, statistics)`, zero where none is found, and by what factor windows stray
    further than those do that they were learnt from `(statistics,)`.

    Of several seasons, the shortest comes first (the hour of a day), then whole ones of it (the day of a week), then each phase of the
    longest (the hour of a week), of what is left over each time: so a past of two weeks is of use, and a longer one knows more.
    """
    period = max(periods, default=1)
    found, widened = np.zeros((period, values.shape[1])), np.ones(values.shape[1])
    place = np.arange(period)
    for step, (of, count) in enumerate(_cuts(periods)):
        effects = _effects(values - found[phase % period], of(phase), count)
        found += effects[of(place)]
        if step == 2 and effects.any():  # only the last learns so much from so few windows of each phase
            each = len(values) / len(np.unique(of(phase)))
            shrunk = each / (each + 1)
            further = np.sqrt((1 + shrunk**2 / each) / (1 - (2 - shrunk) * shrunk / each))
            widened = np.where(effects.any(axis=0), further, 1.0)
    return found, widened


def _cuts(periods: Sequence[int]) -> Iterator[tuple[Callable[[Integers], Integers], int]]:
    """The ways to cut windows by seasons: the group of a phase, and how many groups there are."""
    if periods:
        shortest, longest = periods[-1], periods[0]
        yield lambda phase: phase % shortest, shortest
        if longest > shortest:
            yield lambda phase: phase // shortest % (longest // shortest), longest // shortest
            yield lambda phase: phase % longest, longest


def _effects(values: Floats, of: Integers, groups: int) -> Floats:
    """How far each group lies from the mean `(groups, statistics)`, shrunk; zero where none is found (one-way analysis of variance).

    Groups that have hardly a window, such as the weekends of a business that rests then, are left out: nothing is found of them.
    """
    counts = np.bincount(of, minlength=groups)
    enough = counts >= SEASONS_OF_EACH_PHASE
    known = np.flatnonzero(enough)
    found = np.zeros((groups, values.shape[1]))
    if len(known) < 2 or (2 * counts[~enough] >= counts.max()).any():
        return found
    values, of, counts = values[enough[of]], of[enough[of]], counts[known]
    filled = np.where(np.isnan(values), mean_of_known(values), values)
    found[known] = [filled[of == g].mean(axis=0) for g in known]
    inside = ((filled - found[of]) ** 2).sum(axis=0) / (len(values) - len(known))
    centre = (counts[:, None] * found[known]).sum(axis=0) / counts.sum()
    away = found[known] - centre
    between = (counts[:, None] * away**2).sum(axis=0) / (len(known) - 1)
    chance = fdtrc(len(known) - 1, len(values) - len(known), between / np.maximum(inside, 1e-300))
    found[known] = np.where((chance < SEASON_LEVEL) & (inside > 0), away * (counts / (counts + 1.0))[:, None], 0.0)
    return found
