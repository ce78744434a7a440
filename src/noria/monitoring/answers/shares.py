"""Shares of answers that no outcome is needed for, such as those that say "I don't know", against the share when the release was built.

A window's counts are evidence by their likelihood ratio, which is an e-value for every share up to the limit: the upper bound of the
release's share, and the tolerated rise. Rows of one window resemble each other, and windows each other: the logarithm is divided by
the design effect 1 + (n − 1)ρ, with ρ by moments (Williams, "Extra-binomial variation in logistic linear models", Applied Statistics
1982), and by what the autocorrelation widens a mean. Of clusters of d equal rows that is exact; how far it holds otherwise was simulated
(`benchmarks/llm/watching.py`). E-values accumulate over all possible beginnings (`noria.statistics.e_detector`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, chdtri

from noria.core.errors import UserMistake, nearest
from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.statistics.autocorrelation import CERTAIN, MAX_LAG1, unbiased, widening
from noria.statistics.e_detector import MAX_EVIDENCE

Floats = NDArray[np.float64]

SHARES = {
    "unanswered": "of the answers say that they don't know",
    "missed": "of the questions found nothing near enough to be answered from",
    "blocked": "of the answers were blocked by a guardrail",
    "cut": "of the answers ended at their greatest length",
}
MIN_REFERENCE = 20  # answers of the release's own, below which they say nothing of a share
MIN_DEGREES = 13  # of the windows that show how far windows stray
UPPER = 0.1  # the level of the upper bound of the release's share
SURE = 0.8  # the quantile by which the spread between windows is rather taken for too large
MIN_RHO = 0.01  # of rows of one window, whatever they show: of more than a hundred, no further one says anything new
MAX_PAST, RELEARN = 200, 7  # windows that are learnt from; after how many more they are learnt from anew
CALM_AGAIN = 1.0  # evidence, below which all windows until then are learnt from: nothing had begun in them
LAG, CALM = 28, 0.01  # windows, after which one is learnt from all the same, while the evidence is below this share of the threshold
ODDS = (1.5, 2.5, 5.0)  # by how much those of a share may have grown


class UnknownShare(UserMistake):
    """A monitor declares a share that answers do not have."""

    code = "NR-584"

    def __init__(self, name: str) -> None:
        super().__init__(
            what=f"there is no share {name!r}{nearest(name, SHARES)}",
            where=f"nr.AnswerShare(…); known are {', '.join(SHARES)}",
            fix='write for example nr.AnswerShare("unanswered", by=0.05)',
        )


@dataclass(frozen=True)
class AnswerShare:
    """A share of an endpoint's answers that may not rise: `unanswered`, `missed`, `blocked` or `cut`.

    name: of the share; `missed` are those unanswered for which nothing near enough was found, so that nobody was asked to write
    by: how far it may rise above what it was of the release's own answers, to the newest questions when it was built; 0 to 1

    Raises `UnknownShare`.
    """

    name: str
    by: float

    def __post_init__(self) -> None:
        if self.name not in SHARES:
            raise UnknownShare(self.name)
        if not 0 < self.by < 1:
            raise UserMistake(
                what=f"the share {self.name!r} has no tolerance between 0 and 1",
                where=f"by={self.by}",
                fix="write by=0.05 for five in a hundred",
            )


@dataclass(frozen=True)
class Counted:
    """A window's answers, and those of them that a share counts."""

    start: datetime
    count: int
    of: int


@dataclass(frozen=True)
class ShareReading:
    """What the windows since a release say of a share. evidence: after each window with answers `(windows,)`

    reference: the share when the release was built, None: it is not known, and `lacking` says why; limit: above which it is too large
    learnt: whether it was known how far windows stray
    """

    share: AnswerShare
    windows: tuple[Counted, ...]
    evidence: Floats
    threshold: float
    reference: float | None
    limit: float
    learnt: bool = True
    lacking: str = ""

    @property
    def name(self) -> str:
        return self.share.name

    @property
    def starts(self) -> tuple[datetime, ...]:
        return tuple(window.start for window in self.windows)

    @property
    def alarming(self) -> bool:
        return len(self.evidence) > 0 and bool(self.evidence[-1] >= self.threshold)

    def recent(self, first: int = -7) -> float:
        """The share in the windows from this one on; NaN of none."""
        return share_of(self.windows[first:])

    @property
    def health(self) -> Health:
        if self.lacking:
            return Unknown(self.lacking)
        if not self.windows:
            return Unknown("no answers yet since it was released")
        if not self.learnt:
            return Unknown(f"{len(self.windows)} windows with answers; more are needed to learn how far they stray")
        if self.alarming:
            return Unhealthy(f"{self.recent():.1%} {SHARES[self.name]}; {self.reference:.1%} when this version was built")
        strength = {"evidence": float(self.evidence[-1]), "threshold": self.threshold}
        return Healthy({"windows": len(self.windows), "share": self.recent(), "limit": self.limit, **strength})

    def to_dict(self) -> dict[str, Any]:
        return {
            "share": self.name,
            "recent": self.recent(),
            "reference": self.reference,
            "limit": self.limit,
            "by": self.share.by,
            "windows": len(self.windows),
            "evidence": float(self.evidence[-1]),
            "threshold": self.threshold,
        }


def share_of(windows: Sequence[Counted]) -> float:
    """The share over several windows; NaN without answers."""
    of = sum(window.of for window in windows)
    return sum(window.count for window in windows) / of if of else math.nan


def read_share(share: AnswerShare, reference: Sequence[tuple[int, int]], since: Sequence[Counted], threshold: float) -> ShareReading:
    """Judge the windows since a release, in the order of time. reference: of the release's own answers, window by window: (counted, of)"""
    before = np.array([pair for pair in reference if pair[1]], np.float64).reshape(-1, 2)
    windows = tuple(window for window in since if window.of)
    answers = int(before[:, 1].sum())
    if answers < MIN_REFERENCE:
        lacking = f"the release answered {answers} questions when it was built; {MIN_REFERENCE} are needed to compare with"
        return ShareReading(share, windows, np.zeros(len(windows)), threshold, None, math.nan, False, lacking)
    known = before[:, 0].sum() / answers
    evidence, limit, learnt = _accumulated(before, windows, share.by, threshold)
    return ShareReading(share, windows, evidence, threshold, float(known), limit, learnt)


def _limit(before: Floats, alike: float, by: float) -> float:
    """Above which a share is too large: the upper bound of the release's, of as many answers as count where rows of a window are alike, and
    the tolerated rise."""
    design = 1 + (before[:, 1].mean() - 1) * alike
    count, of = before[:, 0].sum() / design, before[:, 1].sum() / design
    return min(float(betaincinv(count + 1, max(of - count, 1e-9), 1 - UPPER)) + by, 0.99)


class _Spread:
    """How far windows stray, learnt from those of the release and from those since in which nothing has begun.

    alike: how far rows of one window resemble each other; wide: how many times larger the error of a mean over windows is for resembling
    each other
    """

    def __init__(self, before: Floats) -> None:
        self._before, self._past, self._unsure = before, list[tuple[int, int]](), list[tuple[int, int]]()
        self._seen = self._known = 0
        self.alike, self.wide = correlation([before]), 1.0

    @property
    def learnt(self) -> bool:
        return len(self._before) - 1 + max(len(self._past) - 1, 0) >= MIN_DEGREES  # each has a mean of its own

    def add(self, window: Counted, evidence: float, threshold: float) -> bool:
        """Take in a window after which the evidence was this; returns whether the spread was learnt anew."""
        self._unsure.append((window.count, window.of))
        sure = len(self._unsure) if evidence < CALM_AGAIN else int(len(self._unsure) > LAG and evidence < CALM * threshold)
        self._past, self._unsure = [*self._past, *self._unsure[:sure]][-MAX_PAST:], self._unsure[sure:]
        self._seen += sure
        if self._seen - self._known < (RELEARN if self._seen > MIN_DEGREES + RELEARN else 1):
            return False
        since, self._known = np.array(self._past, np.float64).reshape(-1, 2), self._seen
        self.alike, self.wide = correlation([self._before, since]), _widened(since)
        return True


def _accumulated(before: Floats, windows: Sequence[Counted], by: float, threshold: float) -> tuple[Floats, float, bool]:
    """The evidence after each window, the limit of the newest, and whether that could be judged."""
    evidence, found, learnt, spread = np.zeros(len(ODDS)), np.zeros(len(windows)), False, _Spread(before)
    limit = _limit(before, spread.alike, by)
    for place, window in enumerate(windows):
        learnt = spread.learnt
        if learnt:
            design = (1 + (window.of - 1) * spread.alike) * spread.wide**2
            evidence = np.minimum((1 + evidence) * np.exp(_logs(window, limit) / design), MAX_EVIDENCE)
        found[place] = evidence.mean()
        if spread.add(window, found[place], threshold):
            limit = _limit(before, spread.alike, by)
    return found, limit, learnt


def _logs(window: Counted, limit: float) -> Floats:
    """The log-likelihood ratios of a window's counts, of shares whose odds have grown by each of `ODDS`, against the limit."""
    odds = np.array(ODDS) * limit / (1 - limit)
    raised = odds / (1 + odds)
    logs = window.count * np.log(raised / limit) + (window.of - window.count) * np.log((1 - raised) / (1 - limit))
    return np.asarray(np.minimum(logs, 700.0))  # what is more is no number


def correlation(parts: Sequence[Floats]) -> float:
    """How far rows of one window resemble each other, from windows `(windows, 2)` of counts and rows, in parts with a share each."""
    squares, degrees, more = 0.0, 0, 0.0
    for part in parts:
        share = part[:, 0].sum() / max(part[:, 1].sum(), 1.0)
        if len(part) > 1 and 0 < share < 1:
            squares += float(((part[:, 0] - part[:, 1] * share) ** 2 / (part[:, 1] * share * (1 - share))).sum())
            degrees += len(part) - 1
            more += float((part[:, 1] - 1).sum())
    if not degrees or more <= 0:
        return MIN_RHO
    largest = squares * degrees / float(chdtri(degrees, SURE))
    return float(np.clip((largest - degrees) / more, MIN_RHO, 1.0))


def _widened(past: Floats) -> float:
    """How many times larger the error of a mean over windows is than were they independent, where that exceeds chance."""
    if len(past) <= MIN_DEGREES:
        return 1.0
    share = past[:, 0].sum() / past[:, 1].sum()
    away = (past[:, 0] - past[:, 1] * share) / np.sqrt(past[:, 1])
    squares, count = float((away**2).sum()), len(away)
    lag1 = unbiased(float((away[1:] * away[:-1]).sum()) / squares, count) if squares else 0.0
    return widening(min(lag1, MAX_LAG1)) if lag1 > CERTAIN / math.sqrt(count) else 1.0
