"""What a judge says of a sample of an endpoint's answers, against the share of good ones that is promised.

Three things are held apart. *What the judge says on average* has bounds that hold however often one looks: the predictable plug-in
empirical Bernstein confidence sequence (Waudby-Smith & Ramdas 2024, theorem 2). *What people would say* is seen through the judge's errors,
as far as these were measured (`noria.statistics.seen_through`). *Whether it has got worse* is told by bets that begin at every answer
(`noria.statistics.falling_mean`), since a mean since the release hides a fall.

Answers are drawn at random among those of each window, so that it is no matter how they resemble each other: each verdict has the mean
of its window's answers as its expectation. What the judge could not say is unknown, and counts neither for nor against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.statistics.confidence import bounded_sequence
from noria.statistics.falling_mean import evidence_of_fall
from noria.statistics.seen_through import JudgeErrors, judge_errors
from noria.stores.verdicts import AnswerVerdict

Floats = NDArray[np.float64]

MIN_LABELS = 50  # of people, below which a judge counts as not measured
GOOD = 0.5  # from which an answer counts as good, where people grade more finely
MIN_JUDGED = 20  # answers, below which nothing is said
MAX_MISSING = 0.5  # of the verdicts of the newest answers, from which on the judge itself is in trouble
NEWEST = 20
ALPHA = 0.1  # of the bounds: half for the sequence, and half for the judge's errors
RISK = 0.05  # that the judge is worse than its labels show: then a limit on its scale would be too high


class Said(NamedTuple):
    """What a judge said: a score from 0 to 1, or None and why there is none."""

    score: float | None
    missing: str = ""
    tokens: int = 0
    dollars: float | None = None


Ask = Callable[[str, str, Sequence[str]], Said]
"""Of a question, its answer, and the texts that were found."""


@dataclass(frozen=True)
class SampledJudge:
    """A judge that is asked about a sample of an endpoint's answers; `llm.sampled` makes one.

    name: of what it judges, such as `faithfulness`; key: by which it is known, another one with another model or prompt
    at_least: the share of good answers that is promised; a_day: how many answers are judged a day (UTC), at most
    dollars: that may be spent on it a day; None: as many as are needed
    human, judged: what people and the judge say of the same answers, `(labels,)`, from its record; empty where it was never measured
    """

    name: str
    key: str
    at_least: float
    a_day: int
    dollars: float | None = None
    human: tuple[float, ...] = ()
    judged: tuple[float, ...] = ()
    ask: Ask = field(compare=False, repr=False, kw_only=True)

    @cached_property
    def errors(self) -> JudgeErrors:
        """How it errs, as far as it was measured."""
        human, judged = np.array(self.human), np.array(self.judged)
        return judge_errors(judged[human >= GOOD], judged[human < GOOD], ALPHA / 2)

    @property
    def lacking(self) -> str:
        """Why what it says is not what people say; empty where that is known."""
        if not self.human:
            return "it was never measured against people"
        if len(self.human) < MIN_LABELS:
            return f"{len(self.human)} answers were labelled by people to measure it; {MIN_LABELS} are needed"
        return self.errors.lacking

    @cached_property
    def limit(self) -> float:
        """The mean of its own scores that is too low: what it says at least where as many answers are good as was promised; where it was
        not measured, that share itself."""
        if self.lacking:
            return self.at_least
        human, judged = np.array(self.human), np.array(self.judged)
        return judge_errors(judged[human >= GOOD], judged[human < GOOD], 2 * RISK).least_said(self.at_least)


@dataclass(frozen=True)
class Bounds:
    """A mean and its bounds, which hold at every look."""

    lower: float
    mean: float
    upper: float

    def words(self) -> str:
        return f"{self.mean:.1%} ({self.lower:.1%} to {self.upper:.1%})"


@dataclass(frozen=True)
class JudgedReading:
    """What a judge's verdicts since a release say.

    starts, evidence: of the verdicts with a score, when their answers were asked for, and the evidence of a fall after each `(judged,)`
    said: the judge's mean; people: the share that people would call good, None where the judge was not measured
    missing: how many verdicts have no score; dollars: what the judge took, as far as it says
    troubled: why nothing is said of the newest answers, empty where something is
    """

    judge: SampledJudge
    starts: tuple[datetime, ...]
    predictions: tuple[str, ...]
    scores: Floats
    evidence: Floats
    threshold: float
    said: Bounds | None
    people: Bounds | None
    missing: int
    dollars: float = 0.0
    troubled: str = ""

    @property
    def name(self) -> str:
        return self.judge.name

    @property
    def alarming(self) -> bool:
        return len(self.evidence) > 0 and bool(self.evidence[-1] >= self.threshold)

    @property
    def summary(self) -> str:
        """What is said in a sentence, about everything since the release."""
        assert self.said is not None
        lacking = f", {self.missing} not judged" if self.missing else ""
        judged = f"of {len(self.scores)} answers{lacking}"
        if self.people is None:
            return f"the judge says {self.said.words()} {judged}; {self.judge.lacking}"
        return f"{self.people.words()} {judged} are good by a judge with known errors (it says {self.said.mean:.1%})"

    @property
    def health(self) -> Health:
        if self.troubled:
            return Unknown(self.troubled)
        if self.said is None:
            return Unknown(f"{len(self.scores)} answers judged; {MIN_JUDGED} are needed")
        if self.people is None:
            return Unknown(self.summary)
        if self.alarming:
            return Unhealthy(f"{self.name} has fallen below {self.judge.at_least:.0%}: {self.summary}")
        if self.people.lower < self.judge.at_least:
            return Unknown(f"not shown yet to be {self.judge.at_least:.0%} or more: {self.summary}")
        strength = {"evidence": float(self.evidence[-1]), "threshold": self.threshold}
        return Healthy({"judged": len(self.scores), "lower": self.people.lower, "at_least": self.judge.at_least, **strength})

    def to_dict(self) -> dict[str, Any]:
        return {
            "judge": self.name,
            "at_least": self.judge.at_least,
            "judged": len(self.scores),
            "missing": self.missing,
            "dollars": self.dollars,
            "said": None if self.said is None else vars(self.said),
            "people": None if self.people is None else vars(self.people),
            "limit": self.judge.limit,
            "evidence": float(self.evidence[-1]) if len(self.evidence) else 0.0,
            "threshold": self.threshold,
        }


def read_judged(judge: SampledJudge, verdicts: Sequence[AnswerVerdict], threshold: float) -> JudgedReading:
    """Judge the verdicts since a release, in the order of their answers. threshold: of the evidence of a fall"""
    known = [verdict for verdict in verdicts if verdict.score is not None]
    scores = np.array([verdict.score for verdict in known], np.float64)
    said = people = None
    if len(scores) >= MIN_JUDGED:
        lower, upper = bounded_sequence(scores, 0.0, 1.0, alpha=ALPHA / 2)
        said = Bounds(float(lower[-1]), float(scores.mean()), float(upper[-1]))
        people = Bounds(*judge.errors.share(said.lower, said.mean, said.upper)) if not judge.lacking else None
    starts, predictions = tuple(v.received for v in known), tuple(v.prediction for v in known)
    evidence, missing = evidence_of_fall(scores, judge.limit), len(verdicts) - len(known)
    dollars = sum(verdict.dollars or 0.0 for verdict in verdicts)
    return JudgedReading(judge, starts, predictions, scores, evidence, threshold, said, people, missing, dollars, _trouble(judge, verdicts))


def _trouble(judge: SampledJudge, verdicts: Sequence[AnswerVerdict]) -> str:
    """Why nothing is known of the newest answers: the judge mostly fails, or can't be asked within its money."""
    newest = verdicts[-NEWEST:]
    if judge.dollars is not None and any(verdict.tokens and verdict.dollars is None for verdict in newest):
        return "the judge does not say what it costs, so that only one answer a day is judged: give its generator prices, or no dollars"
    failed = [verdict.missing for verdict in newest if verdict.score is None]
    if len(newest) < NEWEST or len(failed) < MAX_MISSING * len(newest):
        return ""
    return f"the judge could not judge {len(failed)} of the newest {len(newest)} answers: {max(sorted(set(failed)), key=failed.count)}"
