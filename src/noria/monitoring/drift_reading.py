"""What the drift monitor says: evidence by window and column, faults, and what has moved with what since when.

From scores to words: columns that begin to drift together are one movement, the same fault in several columns is one, and both say which
columns, since when, and what it looks like.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.monitoring.drift_lives import Lives
from noria.monitoring.findings import began, episodes
from noria.profiles.profile import STATISTICS

Floats = NDArray[np.float64]
Kind = Literal["upstream fault", "population shift", "changed relation", "season"]

MIN_REFERENCE = 20  # windows; below, the reference's own spread is not known
MIN_SHIFT = 0.028  # in ranks, a tenth of a standard deviation: smaller ones are no effect, however certain
MOVED = 2.0  # of a score, from which a column stands out
RELATIONS = ("relation", "residual")
FAULTS = {
    "null_share": "nulls",
    "repeats": "frozen (repeated) values",
    "outside": "unseen or out-of-range values",
    "mean_rank": "a level shift of all values",
    "spread": "a sudden change of spread",
    "slices": "a shift in one slice of the rows",
}
VALUE_FAULTS = ("repeats", "outside", "mean_rank", "spread", "slices")  # which change what values are like, too
SHARES_OF_ROWS = ("null_share", "repeats", "outside")  # what the figure of a fault is; of the others it is an effect
PRESENCE = [STATISTICS.index(name) for name in SHARES_OF_ROWS]  # how many values there are that can be; the others: what they are like
VALUES = [i for i in range(len(STATISTICS)) if i not in PRESENCE]
MAX_NAMED = 5  # columns in one sentence
CHANGE = 1.5  # standard deviations of a score, for which the beginning of a change is looked for
SUDDEN, MAX_OF_A_SOURCE, STEP = 3, 0.8, 2.5  # windows, within which so many columns of one source have moved together, and so far


@dataclass(frozen=True)
class Fault:
    """What is wrong with a column in one window by itself. statistic: the share that says so; share: how large it is"""

    window: int
    column: str
    statistic: str
    share: float

    @property
    def summary(self) -> str:
        return FAULTS[self.statistic]


@dataclass(frozen=True)
class FaultGroup:
    """The same fault in columns of one source, in which it began in one window, and as it is in another.

    first: the window from which it has lasted without a break
    eldest: whether no other columns of the source have had it for longer
    """

    source: str
    statistic: str
    faults: tuple[Fault, ...]
    first: int
    window: int
    eldest: bool = True

    @property
    def columns(self) -> list[str]:
        return [fault.column for fault in self.faults]

    @property
    def subject(self) -> str:
        """The source; the column, if it is but one, or an older fault of this kind lasts in others of the source."""
        alone = len(self.faults) == 1 or not self.source or not self.eldest
        return f"{self.faults[0].column if alone else self.source}: {self.statistic}"

    def summary(self, where: str = "") -> str:
        """What is wrong, in words; where: in which rows, if that is known."""
        more = len(self.faults) - MAX_NAMED
        named = ", ".join(self.columns[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
        share = f"{self.faults[0].share:.0%} are " if self.statistic in SHARES_OF_ROWS else ""
        return f"{named}: {share}{self.faults[0].summary}{where}"


@dataclass(frozen=True)
class Movement:
    """Columns of one source that began to drift together, the one that led first.

    start: the window in which their evidence alarmed; end: that in which it was over
    after: the window in which the movement before was over that the same column led: this one began no earlier
    presence: whether it is the leading column's nulls, repeats or impossible values, and not what its values are like
    """

    source: str
    start: int
    end: int
    columns: tuple[str, ...]
    after: int
    presence: bool = False

    @property
    def subject(self) -> str:
        """The column that leads, of its source: what another begins while this lasts is another finding."""
        led = f"{self.columns[0]} (presence)" if self.presence else self.columns[0]
        return led if self.source in ("", self.columns[0]) else f"{self.source}: {led}"


@dataclass(frozen=True)
class DriftReading:
    """Evidence per window and column `(windows, columns)`, pooled `(windows,)`, against the alarm threshold.

    presence: the part of the evidence that is of nulls, repeats and impossible values, not of what values are like `(windows, columns)`

    starts: when each window began; shift: each column's mean rank minus where it usually lies, by the reference and
        the season `(windows, columns)`, from −0.5 to 0.5
    scores: of each window's statistics `(windows, columns, 10)`, normal where nothing is wrong
    recurs: whether they lay as far off, or half as far, at the same time of an earlier year `(windows, columns, 10)`
    weights: of each column `(columns,)`, summing to 1
    unjudged: so many of the newest windows have rows and no statistics that fit the reference
    """

    columns: tuple[str, ...]
    starts: tuple[datetime, ...]
    evidence: Floats
    presence: Floats
    pooled: Floats
    shift: Floats
    scores: Floats
    recurs: NDArray[np.bool_]
    weights: Floats
    threshold: float
    learning: bool
    unjudged: int = 0
    faults: tuple[Fault, ...] = ()

    @property
    def alarmed_at(self) -> int | None:
        over = [*np.flatnonzero(self.pooled >= self.threshold)[:1].tolist(), *(fault.window for fault in self.faults[:1])]
        return min(over) if over else None

    @property
    def drifting(self) -> bool:
        """Whether the evidence of drift stands at or above the threshold now."""
        return len(self.pooled) > 0 and bool(self.pooled[-1] >= self.threshold)

    @property
    def alarming(self) -> bool:
        """Whether there is drift now, or the newest window has a fault."""
        return self.drifting or bool(self.faults_of(len(self.pooled) - 1))

    def faults_of(self, window: int) -> list[Fault]:
        """The faults of a window."""
        return list(self._faults_by_window.get(window % max(len(self.pooled), 1), ()))

    @cached_property
    def _faults_by_window(self) -> dict[int, list[Fault]]:
        found: dict[int, list[Fault]] = {}
        for fault in self.faults:
            found.setdefault(fault.window, []).append(fault)
        return found

    @cached_property
    def lasted(self) -> dict[tuple[int, str, str], int]:
        """The last window of each fault, by that in which it began, its column and its statistic."""
        return {(first, f.column, f.statistic): f.window for f in self.faults for first in (self._since[f.window, f.column, f.statistic],)}

    @cached_property
    def _since(self) -> dict[tuple[int, str, str], int]:
        """The window from which each fault has lasted without a break, by its own window, column and statistic."""
        found: dict[tuple[int, str, str], int] = {}
        for f in self.faults:
            found[f.window, f.column, f.statistic] = found.get((f.window - 1, f.column, f.statistic), f.window)
        return found

    def leading(self, window: int) -> list[tuple[str, float]]:
        """The columns with most evidence at a window, with their shifts: faulty ones first, then by what they are likely to hurt."""
        faulty = {fault.column for fault in self.faults_of(window)}
        weighed = self.weights * self.evidence[window]
        order = sorted(range(len(self.columns)), key=lambda i: (self.columns[i] not in faulty, -weighed[i]))[:5]
        return [(self.columns[i], float(self.shift[window, i])) for i in order]

    def moved(self, source_of: Mapping[str, str], *, faults_too: bool = True) -> list[Movement]:
        """What drifts now."""
        return [m for m in self.movements(source_of, faults_too=faults_too) if m.end == len(self.pooled)]

    def movements(self, source_of: Mapping[str, str], *, faults_too: bool = True) -> list[Movement]:
        """What has drifted so far. Each column has a life of its own: it begins when its weighted part of the evidence reaches the
        threshold, and is over when that has ebbed; where no part suffices by itself, with those of its source, or of all columns, that no
        movement tells yet. Columns of one source (column → source; one without is its own) that began together are one movement.

        Weights sum to one, and a part that is told counts for no other: over all lives together, the threshold keeps the budget.
        faults_too: also where faults tell it anyhow
        """
        values, presence = self.weights * (self.evidence - self.presence), self.weights * self.presence
        if not faults_too:
            values, presence = self._less_what_faults_tell(values, VALUE_FAULTS), self._less_what_faults_tell(presence, FAULTS)
        count, sources = len(self.columns), [source_of.get(name, name) for name in self.columns]
        lives = Lives(np.column_stack([values, presence]), [*sources, *sources], self.threshold, self._lane_began)
        return [
            Movement(m.source, m.start, m.end, self._named(m.columns), m.after, m.columns[0] >= count)
            for m in sorted(lives.all(), key=lambda m: m.start)
        ]

    def _named(self, lanes: Sequence[int]) -> tuple[str, ...]:
        """The columns of lanes: those of values come first, then those of presence."""
        return tuple(dict.fromkeys(self.columns[lane % len(self.columns)] for lane in lanes))

    def _lane_began(self, window: int, lane: int) -> int:
        count = len(self.columns)
        return self._began(window, lane % count, of=PRESENCE if lane >= count else VALUES)

    def _less_what_faults_tell(self, parts: Floats, statistics: Iterable[str]) -> Floats:
        """Each column's part of the evidence, but for the spells that its faults tell anyhow, by these statistics."""
        parts, told = parts.copy(), set(statistics)
        faults: dict[str, set[int]] = {}
        for fault in self.faults:
            if fault.statistic in told:
                faults.setdefault(fault.column, set()).add(fault.window)
        for name, windows in faults.items():
            column = self.columns.index(name)
            for start, end in episodes(parts[:, column], self.threshold):
                if self._told_by_faults(column, start, end, windows):
                    parts[start:end, column] = 0.0
        return parts

    def _told_by_faults(self, column: int, start: int, end: int, faulty: set[int]) -> bool:
        """Whether at least half of the windows in which a column stands out have a fault of it."""
        strong = np.flatnonzero((np.abs(np.nan_to_num(self.scores[start:end, column])) > MOVED).any(axis=1)) + start
        return 0 < len(strong) <= 2 * len(faulty.intersection(strong.tolist()))

    def faulty(self, window: int, source_of: Mapping[str, str]) -> list[FaultGroup]:
        """A window's faults: those of one kind that began together in several columns of one source belong together."""
        groups: dict[tuple[str, str, int], list[Fault]] = {}
        for fault in self.faults_of(window):
            first = self._since[fault.window, fault.column, fault.statistic]
            groups.setdefault((source_of.get(fault.column, ""), fault.statistic, first), []).append(fault)
        eldest: dict[tuple[str, str], int] = {}
        for source, statistic, first in groups:
            eldest[source, statistic] = min(first, eldest.get((source, statistic), first))
        return [
            FaultGroup(source, statistic, tuple(faults), first, window, first == eldest[source, statistic])
            for (source, statistic, first), faults in groups.items()
        ]

    def since(self, moved: Movement) -> datetime:
        """When a movement began, by the column that leads it."""
        of = PRESENCE if moved.presence else VALUES
        return self.starts[self._began(moved.start, self.columns.index(moved.columns[0]), moved.after, of)]

    def summary(self, moved: Movement, kind: Kind, led: str, *, named: int) -> str:
        """A movement in words. kind: what it looks like; led: what its leading column has done; named: so many columns at most"""
        others = f", then {', '.join(moved.columns[1:named])}" if len(moved.columns) > 1 else ""
        return f"{led} ({self.how_far(moved.start, moved.columns[0])}){others}; it looks like {_article(kind)}"

    def how_far(self, window: int, name: str) -> str:
        """How far a column's mean has moved at a window, in words: what drifts may be its spread, its tails or its relations alone."""
        shift = self.shift[window, self.columns.index(name)]
        return f"{shift:+.2f} in mean rank" if abs(shift) >= MIN_SHIFT else "same mean"

    def kind(self, window: int, source_of: Mapping[str, str], name: str) -> Kind:
        """What it looks like, from which columns moved, when, and where they come from (column → source)."""
        since = {f.column: self._since[f.window, f.column, f.statistic] for f in self.faults_of(window)}
        if name in since or any(window - first <= SUDDEN for first in since.values()):  # an older one of another column is no cause
            return "upstream fault"
        recent = np.nan_to_num(self.scores[max(window - SUDDEN, 0) : window + 1])
        strength = np.abs(recent).mean(axis=0)
        leading = self.columns.index(name)
        strongest = int(strength[leading].argmax())
        if self.recurs[max(window - SUDDEN, 0) : window + 1, leading, strongest].mean() > 0.5:
            return "season"
        if STATISTICS[strongest] in RELATIONS and strength[leading].max() > MOVED / 2:
            return "changed relation"
        moved = {self.columns[i] for i in range(len(self.columns)) if strength[i].max() > MOVED / 2}
        sources = {source_of.get(name, "") for name in moved}
        if len(sources) == 1 and sources != {""} and window - self._began(window, leading) < SUDDEN:
            (source,) = sources
            own = [i for i, name in enumerate(self.columns) if source_of.get(name) == source]
            step = float(strength[own].max(axis=1).mean())
            if len(own) < len(self.columns) and len(moved) >= MAX_OF_A_SOURCE * len(own) and step > STEP:
                return "upstream fault"
        return "population shift"

    def _began(self, window: int, column: int, after: int = 0, of: Sequence[int] = range(len(STATISTICS))) -> int:
        """When a column's drift began, as seen at a window: the most likely moment of a change in what stands out most of these statistics
        (Page 1954), since its last drift was over, and no earlier than the window `after`."""
        part = self.presence if of is PRESENCE else self.evidence - self.presence if of is VALUES else self.evidence
        over = [end for _, end in episodes(self.weights[column] * part[:, column], self.threshold) if end <= window]
        first = max([after, *over])
        scores = np.nan_to_num(self.scores[first : window + 1, column][:, list(of)])
        recent = scores[-SUDDEN - 1 :].mean(axis=0)
        strongest = int(np.abs(recent).argmax())
        steps = CHANGE * np.sign(recent[strongest]) * scores[:, strongest] - CHANGE**2 / 2
        before = np.append(0.0, np.cumsum(steps)[:-1])  # the sum before each window is least where the change begins
        return window - int(before[::-1].argmin())

    @property
    def health(self) -> Health:
        if self.learning:
            return Unknown(f"the reference has fewer than {MIN_REFERENCE} windows, or under two weeks, from which to learn its spread")
        if self.unjudged:
            return Unknown(
                f"the newest {self.unjudged} windows can't be compared with the reference: other columns, or no statistics kept of them"
            )
        if len(self.pooled) == 0:
            return Unknown("no window of traffic to compare yet")
        if faults := self.faults_of(len(self.pooled) - 1):
            return Unhealthy("; ".join(f"{fault.column} has {fault.summary}" for fault in faults[:5]))
        if began(self.pooled, self.threshold) is not None:  # until it is over: an open finding and a monitor that is well don't go together
            return Unhealthy(f"inputs have drifted, {self.leading(-1)[0][0]} most")
        return Healthy({"windows": len(self.pooled), "evidence": float(self.pooled[-1]), "threshold": self.threshold})

    def to_dict(self, window: int) -> dict[str, Any]:
        """The evidence a decision or a finding is stored with."""
        return {
            "columns": {name: round(shift, 4) for name, shift in self.leading(window)},
            "evidence": float(self.pooled[window]),
            "threshold": self.threshold,
            "faults": {fault.column: fault.summary for fault in self.faults_of(window)},
        }


def _article(kind: Kind) -> str:
    """A kind with its article."""
    return f"an {kind}" if kind.startswith("u") else f"a {kind}"
