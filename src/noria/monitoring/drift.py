"""The drift monitor: do the champion's inputs still look like those it was trained on?

Eight signed statistics per column and window are scored against how they varied from window to window in the stable past (season and
autocorrelation in it), with an effect floor, and accumulate as e-detectors, whose mean over columns alarms at the level that the budget
of false alarms implies. What is well is learnt from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.data.profile import STATISTICS, Profile
from noria.monitoring.windows import Window
from noria.statistics.baseline import Baseline, learn_baseline
from noria.statistics.e_detector import ShiryaevRoberts

Floats = NDArray[np.float64]

LEAST_REFERENCE = 20  # windows; below, the reference's own spread is not known
PERIOD = 7
DELAY = 3  # windows
CALM = 0.05  # of the level; above it, windows are not learnt from
MOST_PAST = 180
RELEARN = 7  # windows between two looks at the past: it moves slowly, and every turn of the loop reads all windows anew
UNSPENT = 10.0  # how much lower the level may be, by simulation (benchmarks/monitoring): the mean over so many statistics is careful
MOST_SCORE = 3.2  # of one window: what is wrong at once is a fault, drift lasts
MOVED, MOST_OF_THEM, PATIENCE = 2.0, 0.5, 2  # when most columns move together, it is a holiday until it has lasted longer
# Smaller shifts are trivial, however certain. A tenth of a standard deviation is 0.028 in ranks; for a relation: one correlation of 0.15.
FLOORS = {
    "mean_rank": 0.028,
    "spread": 0.012,
    "low_tail": 0.015,
    "high_tail": 0.015,
    "relation": 0.0225,
    "null_share": 0.015,
    "repeats": 0.015,
    "outside": 0.015,
}
FAULTS = {"null_share": "nulls", "repeats": "values that stand still", "outside": "values beyond all that were seen"}
LEAST_TOGETHER = 4  # columns, below which moving together says nothing
FAULT_FLOOR = 0.05  # of the rows
FAULTS_SHARE = 0.25  # of the budget


@dataclass(frozen=True)
class DriftReading:
    """Evidence per window and column `(windows, columns)`, pooled `(windows,)`, against the level of alarm.

    shift: each column's mean rank minus the reference's `(windows, columns)`, from −0.5 to 0.5
    faults: what is wrong with a column in one window by itself, as (window, column, words): nulls, standing values, unseen ones
    """

    columns: tuple[str, ...]
    evidence: Floats
    pooled: Floats
    shift: Floats
    level: float
    learning: bool
    faults: tuple[tuple[int, int, str], ...] = ()

    @property
    def alarmed_at(self) -> int | None:
        over = [*np.flatnonzero(self.pooled >= self.level)[:1].tolist(), *(window for window, _, _ in self.faults[:1])]
        return min(over) if over else None

    @property
    def alarming(self) -> bool:
        """Whether the evidence stands at or above the level now, or the newest window has a fault."""
        return len(self.pooled) > 0 and (bool(self.pooled[-1] >= self.level) or bool(self.faults_of(len(self.pooled) - 1)))

    def faults_of(self, window: int) -> list[tuple[str, str]]:
        """The faulty columns of a window, and what is wrong with each."""
        return [(self.columns[column], words) for at, column, words in self.faults if at == window]

    def leading(self, window: int) -> list[tuple[str, float]]:
        """The columns with most evidence at a window, with their shifts, faulty ones and then the strongest first."""
        faulty = {column for at, column, _ in self.faults if at == window % len(self.pooled)}
        order = sorted(range(len(self.columns)), key=lambda i: (i not in faulty, -self.evidence[window, i]))[:5]
        return [(self.columns[i], float(self.shift[window, i])) for i in order]

    @property
    def health(self) -> Health:
        if self.learning:
            return Unknown(f"the reference has under {LEAST_REFERENCE} windows to learn its spread from")
        if len(self.pooled) == 0:
            return Unknown("no window of traffic to compare yet")
        if faults := self.faults_of(len(self.pooled) - 1):
            return Unhealthy("; ".join(f"{column} has {words}" for column, words in faults[:5]))
        if self.alarming:
            return Unhealthy(f"inputs have moved; most of all {self.leading(-1)[0][0]}")
        return Healthy({"windows": len(self.pooled), "evidence": float(self.pooled[-1]), "level": self.level})

    def to_dict(self, window: int) -> dict[str, Any]:
        return {
            "columns": {name: round(shift, 4) for name, shift in self.leading(window)},
            "evidence": float(self.pooled[window]),
            "level": self.level,
            "faults": dict(self.faults_of(window % len(self.pooled))),
        }


def read_drift(reference: Profile, since: Sequence[Window], level: float, period: int = PERIOD, season_from: int = 0) -> DriftReading:
    """Judge the windows `since` the champion went live against its reference profile, and against those before them that were well.

    period: how many windows a season has; season_from: how many windows lie between the reference and the first of these
    """
    names = reference.names
    learning = len(reference.windows) < LEAST_REFERENCE
    seen = [w for w in since if w.statistics is not None and w.statistics.shape == (len(names), len(STATISTICS))]
    if learning or not seen:
        nothing = np.empty((0, len(names)))
        return DriftReading(names, nothing, np.empty(0), nothing, level / UNSPENT, learning)
    values = np.array([w.statistics for w in seen])
    rows = np.array([w.rows for w in seen])
    evidence, faults = _judged(reference, values, rows, level, period, season_from)
    shift = values[:, :, 0] - np.nanmean(reference.windows[:, :, 0], axis=0)
    return DriftReading(names, evidence, evidence.mean(axis=1), shift, level / UNSPENT, learning, tuple(faults))


def _judged(
    reference: Profile, values: Floats, rows: NDArray[np.int64], level: float, period: int, season_from: int
) -> tuple[Floats, list[tuple[int, int, str]]]:
    """Evidence per window and column `(windows, columns)`, and faults. A window is learnt from `DELAY` windows later, if all was well
    till then."""
    shape = values.shape[1:]
    flat = (len(values), shape[0] * shape[1])
    floor = np.tile([FLOORS[s] for s in STATISTICS], shape[0])
    floor.reshape(shape)[:, STATISTICS.index("relation")] /= max(shape[0] - 1, 1)
    centre = np.nan_to_num(np.nanmean(reference.windows, axis=0))
    within = reference.within(rows, centre).reshape(flat)
    known = list(reference.windows.reshape(len(reference.windows), -1))
    known_within = list(reference.within(reference.rows, centre).reshape(len(known), -1))
    phases = list(range(len(known)))
    first = len(known) + season_from
    past = _baseline(known, known_within, phases, period)
    certain = float(ndtri(1 - FAULTS_SHARE / level / (shape[0] * len(FAULTS))))
    detector, path, well = ShiryaevRoberts(flat[1]), np.empty((len(values), shape[0])), np.zeros(len(values), bool)
    faults: list[tuple[int, int, str]] = []
    together = 0
    for i, value in enumerate(values.reshape(flat)):
        score = np.clip(past.score(value, within[i], first + i, floor), -MOST_SCORE, MOST_SCORE)
        together = together + 1 if _most_have_moved(score.reshape(shape)) else 0
        holiday = 0 < together <= PATIENCE
        path[i] = detector.add(np.full_like(score, np.nan) if holiday else score).reshape(shape).mean(axis=1)
        found = past.score(value, within[i], first + i, np.full(flat[1], FAULT_FLOOR)).reshape(shape)
        for place, name in enumerate(STATISTICS):
            if name in FAULTS:
                faults += [(i, int(column), FAULTS[name]) for column in np.flatnonzero(found[:, place] > certain)]
        well[i] = path[i].mean() < CALM * level and not together
        ready = i - DELAY
        if ready >= 0 and well[ready : i + 1].all():
            known.append(past.clipped(values[ready].reshape(-1), within[ready], first + ready))
            known_within.append(within[ready])
            phases.append(first + ready)
            if len(known) % RELEARN == 0:
                past = _baseline(known[-MOST_PAST:], known_within[-MOST_PAST:], phases[-MOST_PAST:], period)
    return path, faults


def _most_have_moved(scores: Floats) -> bool:
    """Whether more than half of at least four columns stand out in a window, by any of their statistics `(columns, 8)`."""
    moved = np.abs(np.nan_to_num(scores)).max(axis=1) > MOVED
    return len(moved) >= LEAST_TOGETHER and bool(moved.mean() > MOST_OF_THEM)


def _baseline(known: Sequence[Floats], within: Sequence[Floats], phases: Sequence[int], period: int) -> Baseline:
    return learn_baseline(np.array(known), np.array(within), np.array(phases), period)
