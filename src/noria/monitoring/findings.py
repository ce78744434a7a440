"""Findings: what monitors report, from the moment it is first seen until it is over. Pure values; the loop keeps them.

What is found at one endpoint while something else is still wrong there belongs to one incident: people are called once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = str  # such as "drift" or "no_data": each monitor names its own
Severity = Literal["page", "inform"]

SEVERITIES = ("page", "inform")  # the worst first
KINDS = (  # of the same severity, which is told first
    *("performance", "stalled", "no_data", "data_quality", "skew", "volume", "objective", "action", "metric"),
    *("faithfulness", "answers", "spending"),
    *("estimated_performance", "drift"),
)
OVER = 0.2  # of the alarm threshold, below which an episode of evidence is over
SURGE = 10.0  # times a peak, to which evidence that had ebbed rises again


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong now, known by its kind, its subject and when it began.

    since: when it began, as far as the windows tell; words: what happened, in one sentence; fix: what to do about it
    episode: whether it is an episode of evidence, whose `since` stays as long as it lasts: a later one is another finding
    details: gives the finding with what takes a look at logged rows; it is called once, when the finding opens
    """

    kind: Kind
    subject: str
    since: datetime
    severity: Severity
    summary: str
    fix: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    episode: bool = False
    details: Callable[[], Finding] | None = field(default=None, compare=False, repr=False)

    def key(self, endpoint: str, champion: str) -> str:
        """The same finding has the same key, however often it is seen."""
        return f"{endpoint}/{champion}/{self.kind}/{self.subject}/{self.since:%Y%m%dT%H%M}"

    def detailed(self) -> Finding:
        """The finding with its details."""
        return self if self.details is None else self.details()


def gravity(severity: str, kind: Kind) -> tuple[int, int]:
    """Where a finding stands among others, the worst first, by its severity and then by its kind."""
    return _place(SEVERITIES, severity), _place(KINDS, kind)


def _place(known: Sequence[str], name: str) -> int:
    return known.index(name) if name in known else len(known)


def summed_up(findings: Iterable[Finding]) -> str:
    """Some findings in a sentence: what the worst says, and how many more there are."""
    return and_more([f.summary for f in sorted(findings, key=lambda f: (*gravity(f.severity, f.kind), f.since))])


def and_more(sentences: Sequence[str]) -> str:
    """The first of some sentences, and how many more there are."""
    return sentences[0] + (f" (and {len(sentences) - 1} more)" if len(sentences) > 1 else "")


@dataclass(frozen=True)
class Observed:
    """Everything that is wrong at a moment, and the kinds that could be judged: what could not be judged is not over."""

    findings: tuple[Finding, ...]
    judged: frozenset[Kind]


def episodes(path: NDArray[np.float64], threshold: float) -> list[tuple[int, int]]:
    """The stretches `(first, end)` of a path of evidence `(windows,)` from when it reached the threshold until it was over; the last
    one ends with the path if it lasts.

    Evidence that has ebbed to a tenth of its peak and then rises to ten times that peak is a new episode: an old one hides no new one.
    """
    found: list[tuple[int, int]] = []
    start, peak, ebbed = None, 0.0, False
    for i, value in enumerate(path):
        if start is None:
            if value >= threshold:
                start, peak, ebbed = i, float(value), False
        elif value < OVER * threshold:
            found.append((start, i))
            start = None
        elif ebbed and value >= SURGE * peak:
            found.append((start, i))
            start, peak, ebbed = i, float(value), False
        else:
            ebbed = ebbed or value < peak / SURGE
            peak = peak if ebbed else max(peak, float(value))
    return found if start is None else [*found, (start, len(path))]


def began(path: NDArray[np.float64], threshold: float) -> int | None:
    """When the newest episode of evidence `(windows,)` began; None if there is none, or it is over."""
    found = episodes(path, threshold)
    return found[-1][0] if found and found[-1][1] == len(path) else None
