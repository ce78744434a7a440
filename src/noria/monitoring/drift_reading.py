"""What the drift monitor says: evidence by window and column, faults, and what has moved with what since when.

From scores to words: columns that begin to drift together are one movement, the same fault in several columns is one, and both say which
columns, since when, and what it looks like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.data.profile import STATISTICS
from noria.monitoring.findings import OVER, began, episodes

Floats = NDArray[np.float64]
Kind = Literal["upstream fault", "population shift", "changed relation", "season"]

LEAST_REFERENCE = 20  # windows; below, the reference's own spread is not known
LEAST_SHIFT = 0.028  # in ranks, a tenth of a standard deviation: smaller ones are no effect, however certain
MOVED = 2.0  # of a score, from which a column stands out
RELATIONS = ("relation", "residual")
FAULTS = {
    "null_share": "nulls",
    "repeats": "values that stand still",
    "outside": "values that never were or can't be",
    "mean_rank": "a step of all values",
    "spread": "a spread that has changed at once",
    "slices": "values that have moved in one slice of the rows",
}
SHARES_OF_ROWS = ("null_share", "repeats", "outside")  # what the figure of a fault is; of the others it is an effect
MOST_NAMED = 5  # columns in one sentence
CHANGE = 1.5  # standard deviations of a score, for which the beginning of a change is looked for
SUDDEN, MOST_OF_A_SOURCE, STEP = 3, 0.8, 2.5  # windows, within which so many columns of one source have moved together, and so far


@dataclass(frozen=True)
class Fault:
    """What is wrong with a column in one window by itself. statistic: the share that says so; share: how large it is"""

    window: int
    column: str
    statistic: str
    share: float

    @property
    def words(self) -> str:
        return FAULTS[self.statistic]


@dataclass(frozen=True)
class FaultGroup:
    """The same fault in columns of one source in a window. first: the window from which it has lasted without a break"""

    source: str
    statistic: str
    faults: tuple[Fault, ...]
    first: int
    window: int

    @property
    def columns(self) -> list[str]:
        return [fault.column for fault in self.faults]

    @property
    def subject(self) -> str:
        """The source; the column, if it is but one."""
        alone = len(self.faults) == 1 or not self.source
        return f"{self.faults[0].column if alone else self.source}: {self.statistic}"

    def words(self, where: str = "") -> str:
        """What is wrong, in words; where: in which rows, if that is known."""
        more = len(self.faults) - MOST_NAMED
        named = ", ".join(self.columns[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        share = f"{self.faults[0].share:.0%} are " if self.statistic in SHARES_OF_ROWS else ""
        return f"{named}: {share}{self.faults[0].words}{where}"


@dataclass(frozen=True)
class Movement:
    """Columns of one source that drift at the same time, the one with most of the evidence first.

    start: the window in which their evidence alarmed; end: that in which it was over
    after: the window in which the movement before was over, in the same source: this one began no earlier
    """

    source: str
    start: int
    end: int
    columns: tuple[str, ...]
    after: int


@dataclass(frozen=True)
class DriftReading:
    """Evidence per window and column `(windows, columns)`, pooled `(windows,)`, against the level of alarm.

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
    pooled: Floats
    shift: Floats
    scores: Floats
    recurs: NDArray[np.bool_]
    weights: Floats
    level: float
    learning: bool
    unjudged: int = 0
    faults: tuple[Fault, ...] = ()

    @property
    def alarmed_at(self) -> int | None:
        over = [*np.flatnonzero(self.pooled >= self.level)[:1].tolist(), *(fault.window for fault in self.faults[:1])]
        return min(over) if over else None

    @property
    def drifting(self) -> bool:
        """Whether the evidence of drift stands at or above the level now."""
        return len(self.pooled) > 0 and bool(self.pooled[-1] >= self.level)

    @property
    def alarming(self) -> bool:
        """Whether there is drift now, or the newest window has a fault."""
        return self.drifting or bool(self.faults_of(len(self.pooled) - 1))

    def faults_of(self, window: int) -> list[Fault]:
        """The faults of a window."""
        return [fault for fault in self.faults if fault.window == window % max(len(self.pooled), 1)]

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
        """What has drifted so far: sources (column → source; a column without one is its own) whose part of the evidence alarmed. Where no
        source's part suffices by itself, it is that of the column that leads. faults_too: also where faults tell it anyhow"""
        parts = self.weights * self.evidence
        if not faults_too:
            parts = self._less_what_faults_tell(parts)
        sources = [source_of.get(name, name) for name in self.columns]
        own = {source: [i for i, s in enumerate(sources) if s == source] for source in dict.fromkeys(sources)}
        paths = {source: parts[:, columns].sum(axis=1) for source, columns in own.items()}
        found = []
        for source, spells in _spells(paths, [sources[i] for i in parts.argmax(axis=1)], self.level).items():
            columns, moved = own[source], list[Movement]()
            for start, end in spells:
                names = tuple(self.columns[columns[i]] for i in _in_order(parts[start:end, columns], self.level))
                last = moved[-1] if moved else None
                if last is not None and last.end == start and last.columns[0] == names[0]:  # it has grown, and is no other one
                    others = tuple(name for name in names if name not in last.columns)
                    moved[-1] = replace(last, end=end, columns=last.columns + others)
                else:
                    moved.append(Movement(source, start, end, names, 0 if last is None else last.end))
            found += moved
        return found

    def _less_what_faults_tell(self, parts: Floats) -> Floats:
        """Each column's part of the evidence, but for the spells that its faults tell anyhow."""
        parts = parts.copy()
        for column in {self.columns.index(fault.column) for fault in self.faults}:
            for start, end in episodes(parts[:, column], self.level):
                if self._told_by_faults(column, start, end):
                    parts[start:end, column] = 0.0
        return parts

    def _told_by_faults(self, column: int, start: int, end: int) -> bool:
        """Whether at least half of the windows in which a column stands out have a fault of it."""
        strong = np.flatnonzero((np.abs(np.nan_to_num(self.scores[start:end, column])) > MOVED).any(axis=1)) + start
        faulty = {fault.window for fault in self.faults if fault.column == self.columns[column]}
        return 0 < len(strong) <= 2 * len(faulty.intersection(strong.tolist()))

    def faulty(self, window: int, source_of: Mapping[str, str]) -> list[FaultGroup]:
        """A window's faults: those of one kind in several columns of one source belong together."""
        groups: dict[tuple[str, str], list[Fault]] = {}
        for fault in self.faults_of(window):
            groups.setdefault((source_of.get(fault.column, ""), fault.statistic), []).append(fault)
        found = []
        for (source, statistic), faults in groups.items():
            first, columns = window, {fault.column for fault in faults}
            while first and any(f.statistic == statistic and f.column in columns for f in self.faults_of(first - 1)):
                first -= 1
            found.append(FaultGroup(source, statistic, tuple(faults), first, window))
        return found

    def since(self, moved: Movement) -> datetime:
        """When a movement began, by the column that leads it."""
        return self.starts[self._began(moved.start, self.columns.index(moved.columns[0]), moved.after)]

    def how_far(self, window: int, name: str) -> str:
        """How far a column's mean has moved at a window, in words: what drifts may be its spread, its tails or its relations alone."""
        shift = self.shift[window, self.columns.index(name)]
        return f"{shift:+.2f} in ranks" if abs(shift) >= LEAST_SHIFT else "not in its mean"

    def kind(self, window: int, source_of: Mapping[str, str], name: str) -> Kind:
        """What it looks like, from which columns moved, when, and where they come from (column → source)."""
        if self.faults_of(window):
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
            if len(own) < len(self.columns) and len(moved) >= MOST_OF_A_SOURCE * len(own) and step > STEP:
                return "upstream fault"
        return "population shift"

    def _began(self, window: int, column: int, after: int = 0) -> int:
        """When a column's drift began, as seen at a window: the most likely moment of a change in what stands out most (Page 1954), since
        its last drift was over, and no earlier than the window `after`."""
        over = [end for _, end in episodes(self.weights[column] * self.evidence[:, column], self.level) if end <= window]
        first = max([after, *over])
        scores = np.nan_to_num(self.scores[first : window + 1, column])
        recent = scores[-SUDDEN - 1 :].mean(axis=0)
        strongest = int(np.abs(recent).argmax())
        steps = CHANGE * np.sign(recent[strongest]) * scores[:, strongest] - CHANGE**2 / 2
        before = np.append(0.0, np.cumsum(steps)[:-1])  # the sum before each window is least where the change begins
        return window - int(before[::-1].argmin())

    @property
    def health(self) -> Health:
        if self.learning:
            return Unknown(f"the reference has under {LEAST_REFERENCE} windows, or under two weeks, to learn its spread from")
        if self.unjudged:
            return Unknown(
                f"the newest {self.unjudged} windows have rows that the reference can't judge: other columns, or nothing kept of them"
            )
        if len(self.pooled) == 0:
            return Unknown("no window of traffic to compare yet")
        if faults := self.faults_of(len(self.pooled) - 1):
            return Unhealthy("; ".join(f"{fault.column} has {fault.words}" for fault in faults[:5]))
        if began(self.pooled, self.level) is not None:  # until it is over: an open finding and a monitor that is well don't go together
            return Unhealthy(f"inputs have moved; most of all {self.leading(-1)[0][0]}")
        return Healthy({"windows": len(self.pooled), "evidence": float(self.pooled[-1]), "level": self.level})

    def to_dict(self, window: int) -> dict[str, Any]:
        """The evidence a decision or a finding is stored with."""
        return {
            "columns": {name: round(shift, 4) for name, shift in self.leading(window)},
            "evidence": float(self.pooled[window]),
            "level": self.level,
            "faults": {fault.column: fault.words for fault in self.faults_of(window)},
        }


def article(kind: Kind) -> str:
    """A kind with its article."""
    return f"an {kind}" if kind.startswith("u") else f"a {kind}"


def _spells(paths: Mapping[str, Floats], leading: Sequence[str], level: float) -> dict[str, list[tuple[int, int]]]:
    """The episodes `(first, end)` of each source's part of the evidence `(windows,)`. Where all parts together reach the level and no
    episode lasts, one begins of the source that is leading in that window, until its part has ebbed."""
    found = {source: episodes(path, level) for source, path in paths.items()}
    for i in np.flatnonzero(sum(paths.values()) >= level).tolist() if paths else ():
        if any(start <= i < end for spells in found.values() for start, end in spells):
            continue
        path, spells = paths[leading[i]], found[leading[i]]
        end = next((j for j in range(i + 1, len(path)) if path[j] < OVER * path[i]), len(path))
        grown = next((spell for spell in spells if i < spell[0] <= end), None)  # it came to suffice by itself
        rest = [spell for spell in spells if spell != grown]
        found[leading[i]] = sorted([*rest, (i, end if grown is None else grown[1])])
    return found


def _in_order(parts: Floats, level: float) -> list[int]:
    """Which columns a movement is of, by their parts of its evidence `(windows, columns)`: the leading one, then those that came to suffice
    by themselves."""
    leading = int(parts[0].argmax())
    reached = [(int(over[0]), -parts[over[0], i], i) for i in range(parts.shape[1]) if len(over := np.flatnonzero(parts[:, i] >= level))]
    return [leading, *(i for _, _, i in sorted(reached) if i != leading)]
