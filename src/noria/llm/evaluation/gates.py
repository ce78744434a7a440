"""Gates on applications of language models: what a candidate has to show before it goes live.

Each is a test on questions, the units that are drawn independently of each other; repeats of a question are averaged first. A gate asks for
evidence at its `level` *and* for an effect that matters (`by`), so that it says one of three things: passed (it is shown), failed (the
opposite is shown), or unknown (neither, or what is missing could change it). Only a pass opens the way, and a wrong pass has the chance
`level`.

What is missing (a judge that timed out, refused or could not be read, an application that failed) is never a loss and never a pass: a gate
says what holds whatever the missing values are, and unknown otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from noria.evaluation.gates import NO_CHAMPION, Outcome, Verdict
from noria.llm.evaluation.evidence import Evidence, evidence_of, of_people
from noria.llm.evaluation.failures import BadGate
from noria.llm.evaluation.pairs import Comparison
from noria.llm.evaluation.slice_gate import ANSWERS, LEVEL, NoSliceWorse
from noria.statistics.agreement import share_bounds
from noria.statistics.bounded_mean import bounded_mean, free_mean, needed

MIN_QUESTIONS = 20
POWER = 0.975  # of passing where nothing changed: two runs of one application then differ in 5 % at most


@runtime_checkable
class AnswerGate(Protocol):
    """A rule on a comparison. compares: `answers`, by which an `nr.Model` knows that it is one of `llm.judged`"""

    @property
    def compares(self) -> str: ...

    @property
    def name(self) -> str: ...
    def judge(self, comparison: Comparison) -> Verdict: ...


@dataclass(frozen=True)
class NotWorse:
    """Passes where it is shown that the candidate's mean is worse by less than `by`; fails where it is shown that it is worse by more.

    steady: whether there must also be so many questions that another run of an application that did not change would pass as well
    """

    compares: ClassVar[str] = ANSWERS
    metric: str
    by: float
    level: float = LEVEL
    steady: bool = False

    @property
    def name(self) -> str:
        return f"not worse in {self.metric} by {self.by:g}"

    def judge(self, comparison: Comparison) -> Verdict:
        found = _gain(self.name, self.metric, self.level, comparison)
        if isinstance(found, Verdict):
            return found
        if found.lower > -self.by:
            more = _more(found, self.by, self.level) if self.steady and not found.clearly_better else ""
            if more:
                return Verdict(self.name, "unknown", f"{found.words('another run might not show it')}{more}")
            return Verdict(self.name, "passed", found.words(f"worse by less than {self.by:g}"))
        if found.upper < -self.by:
            return Verdict(self.name, "failed", found.words(f"worse by more than {self.by:g}"))
        return Verdict(self.name, "unknown", f"{found.words('neither is shown')}{_more(found, self.by, self.level)}")


@dataclass(frozen=True)
class Better:
    """Passes where the candidate's mean is shown to be better, and is by `by` at least; fails where it is shown to be better by less."""

    compares: ClassVar[str] = ANSWERS
    metric: str
    by: float
    level: float = LEVEL

    @property
    def name(self) -> str:
        return f"better in {self.metric} by {self.by:g}"

    def judge(self, comparison: Comparison) -> Verdict:
        found = _gain(self.name, self.metric, self.level, comparison)
        if isinstance(found, Verdict):
            return found
        if found.lower > 0 and found.mean >= self.by:
            return Verdict(self.name, "passed", found.words("better, and by enough"))
        if found.upper < self.by:
            return Verdict(self.name, "failed", found.words(f"better by less than {self.by:g}"))
        return Verdict(self.name, "unknown", f"{found.words('neither is shown')}{_more(found, max(self.by, 1e-9), self.level)}")


@dataclass(frozen=True)
class AtLeast:
    """Passes where the candidate's mean is shown to be `value` or better, fails where it is shown to be worse."""

    compares: ClassVar[str] = ANSWERS
    metric: str
    value: float
    level: float = LEVEL

    @property
    def name(self) -> str:
        return f"{self.metric} is {self.value:g} or better"

    def judge(self, comparison: Comparison) -> Verdict:
        metric = comparison.after.metric(self.metric, self.name)
        record, why = comparison.record(metric)
        if why:
            return Verdict(self.name, "unknown", why)
        of = comparison.after.by_question(self.metric)
        if len(of.questions) < MIN_QUESTIONS:
            return Verdict(self.name, "unknown", _too_few(len(of.questions)))
        if of.missing and not metric.bounded:
            return Verdict(self.name, "unknown", f"{of.missing} values are missing")
        low, high = metric.bounds
        if record is not None:
            under, over = of_people(of.lowest, of.highest, record, self.level)
        elif metric.bounded:
            under, over = bounded_mean(of.lowest, low, high, self.level), bounded_mean(of.highest, low, high, self.level)
        else:
            under = over = free_mean(of.lowest, self.level)
        least, most = under.lower, over.upper
        better, worse = (least >= self.value, most < self.value) if metric.best == "highest" else (most <= self.value, least > self.value)
        outcome: Outcome = "passed" if better else "failed" if worse else "unknown"
        mean = float(of.known.mean()) if len(of.known) else math.nan
        lacking = f", {of.missing} missing" if of.missing else ""
        return Verdict(
            self.name,
            outcome,
            f"{metric.format(mean)} on {len(of.questions)} questions, {1 - self.level:.0%} bounds {least:.3f} and {most:.3f}{lacking}",
        )


@dataclass(frozen=True)
class Within:
    """Passes where it is shown that `share` of the questions stay within a limit, such as 95 % within 3 s; fails where fewer do."""

    compares: ClassVar[str] = ANSWERS
    metric: str
    limit: float
    share: float = 0.95
    level: float = LEVEL

    @property
    def name(self) -> str:
        return f"{self.share:.0%} within {self.limit:g} in {self.metric}"

    def judge(self, comparison: Comparison) -> Verdict:
        metric, of = comparison.after.metric(self.metric, self.name), comparison.after.by_question(self.metric)
        if metric.judge is not None:
            return Verdict(self.name, "unknown", "what a judge says has no limit for each question; use at_least")
        lacking = len(comparison.after.questions) - len(of.questions) if not metric.bounded else of.missing
        if len(of.questions) < MIN_QUESTIONS:
            return Verdict(self.name, "unknown", _too_few(len(of.questions)))
        inside = of.known <= self.limit if metric.best == "lowest" else of.known >= self.limit
        count, whole = int(inside.sum()), len(of.known) + lacking
        worst, _ = share_bounds(count, whole, 2 * self.level)
        _, best = share_bounds(count + lacking, whole, 2 * self.level)
        outcome: Outcome = "passed" if worst >= self.share else "failed" if best < self.share else "unknown"
        said = f"{count} of {whole} questions are; at least {worst:.1%} and at most {best:.1%} of all"
        return Verdict(self.name, outcome, f"{said}{f', {lacking} missing' if lacking else ''}")


@dataclass(frozen=True)
class NotAbove:
    """Passes where the candidate's mean is shown to be below `times` the champion's, fails where above it: for seconds, cost, tokens."""

    compares: ClassVar[str] = ANSWERS
    metric: str
    times: float
    level: float = LEVEL

    @property
    def name(self) -> str:
        return f"{self.metric} below {self.times:g} times the champion's"

    def judge(self, comparison: Comparison) -> Verdict:
        if comparison.before is None:
            return Verdict(self.name, "passed", NO_CHAMPION)
        metric = comparison.after.metric(self.metric, self.name)
        before, after = comparison.before.by_question(self.metric), comparison.after.by_question(self.metric)
        old = {question.id: value for question, value in zip(before.questions, before.lowest.tolist(), strict=True)}
        new = {question.id: value for question, value in zip(after.questions, after.lowest.tolist(), strict=True)}
        both = [question.id for question in comparison.after.questions if question.id in old and question.id in new]
        lacking = len(comparison.after.questions) - len(both)
        if before.missing or after.missing or lacking:
            return Verdict(
                self.name,
                "unknown",
                f"{max(before.missing, after.missing, lacking)} of {len(comparison.after.questions)} values are missing",
            )
        if len(both) < MIN_QUESTIONS:
            return Verdict(self.name, "unknown", _too_few(len(both)))
        contrast = free_mean(np.array([new[each] - self.times * old[each] for each in both]), self.level)
        outcome: Outcome = "passed" if contrast.upper < 0 else "failed" if contrast.lower > 0 else "unknown"
        means = [sum(of[each] for each in both) / len(both) for of in (new, old)]
        if means == [0.0, 0.0]:
            outcome = "passed"
        return Verdict(self.name, outcome, f"{metric.format(means[0])}, champion {metric.format(means[1])} on {len(both)} questions")


def _gain(gate: str, metric: str, level: float, comparison: Comparison) -> Evidence | Verdict:
    """What is shown of a candidate's gain; or the verdict where there is no champion, or no evidence."""
    if comparison.before is None:
        return Verdict(gate, "passed", NO_CHAMPION)
    found = evidence_of(comparison, metric, gate, level)
    return Verdict(gate, "unknown", found) if isinstance(found, str) else found


def _more(found: Evidence, by: float, level: float) -> str:
    """How many questions would show it."""
    if found.spread is None or found.ends is None:
        return ""
    count = needed(found.spread, by, found.ends[0], level, POWER)
    return f"; about {count:,} questions would show it" if count > found.count else ""


def _too_few(count: int) -> str:
    return f"{count} questions; {MIN_QUESTIONS} are needed to say anything"


def not_worse(metric: str, *, by: float, level: float = LEVEL, steady: bool = False) -> NotWorse:
    """A gate: the candidate is worse than the champion by less than `by`, as is shown at the level.

    steady: unknown too where another run of the same would often not pass, since the questions are too few for that: as many as it says
    """
    return NotWorse(metric, _positive("not_worse", "by", by), _level("not_worse", level), steady)


def better(metric: str, *, by: float, level: float = LEVEL) -> Better:
    """A gate: the candidate is shown to be better than the champion, and by `by` at least, the smallest gain that matters."""
    return Better(metric, _positive("better", "by", by), _level("better", level))


def at_least(metric: str, value: float, *, level: float = LEVEL) -> AtLeast:
    """A gate: the candidate's mean is shown to be `value` or better: at least so much, or of what is best low, at most."""
    return AtLeast(metric, _number("at_least", "value", value), _level("at_least", level))


def within(metric: str, limit: float, *, share: float = 0.95, level: float = LEVEL) -> Within:
    """A gate: of the questions a share of at least `share` is shown to stay within a limit, such as seconds."""
    if not 0 < share < 1:
        raise BadGate(f"within({metric!r}, share={share})", "a share lies between 0 and 1", "give such as 0.95")
    return Within(metric, _number("within", "limit", limit), share, _level("within", level))


def not_above(metric: str, *, times: float, level: float = LEVEL) -> NotAbove:
    """A gate: the candidate takes less than so many times what the champion takes, of seconds, cost or tokens, as is shown at the level."""
    return NotAbove(metric, _positive("not_above", "times", times), _level("not_above", level))


def no_slice_worse(
    metric: str, *, over: Sequence[str], by: float, level: float = LEVEL, least: int = 5, strict: bool = False
) -> NoSliceWorse:
    """A gate: of no slice it is shown, nor does it look so, that it is worse than the champion by more than `by`.

    over: names of the questions' slices; least: questions of a slice that is judged by itself
    strict: whether a pass needs of each slice that the opposite is shown
    """
    if not over or isinstance(over, str):
        raise BadGate(f"no_slice_worse({metric!r}, over={over!r})", "a slice gate needs a list of slices", 'name some: over=["language"]')
    return NoSliceWorse(metric, tuple(over), _positive("no_slice_worse", "by", by), _level("no_slice_worse", level), max(least, 1), strict)


def _positive(gate: str, name: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise BadGate(f"{gate}({name}={value})", f"{name} must be more than 0", "give the smallest effect that matters, such as 0.02")
    return float(value)


def _number(gate: str, name: str, value: float) -> float:
    if not math.isfinite(value):
        raise BadGate(f"{gate}({name}={value})", f"{name} is no finite number", "give a number in the metric's unit")
    return float(value)


def _level(gate: str, level: float) -> float:
    if not 0 < level <= 0.5:
        raise BadGate(f"{gate}(level={level})", "a level lies between 0 and 0.5", "give the chance of a wrong pass, such as 0.05")
    return float(level)
