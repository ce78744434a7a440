"""The verdict of a shadow whose answers are scored: for models whose outcomes belong to the answer that was shown.

That somebody found the champion's answer helpful says nothing of another answer. So the challenger answers the questions of live traffic
unseen, both answers to one question are scored alike, and the mean of their differences is tested by bets, which may be looked at after
every question. What could not be scored counts as if it had gone either way: a verdict holds whatever it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import in_words
from noria.core.errors import UserMistake, nearest
from noria.evaluation.answer_scores import AnswerScore
from noria.evaluation.task import Task
from noria.models.model import Model
from noria.release.rollout import Rollout, ShadowVerdict
from noria.statistics.betting import lower_bound, shown_above, upper_bound
from noria.statistics.confidence import Interval, asymptotic_sequence

Floats = NDArray[np.float64]

MIN_QUESTIONS = 20
MIN_OF_LIMITS = 100  # questions before something without an end, such as seconds, is judged
MIN_SLOPE = 0.2  # of a judge's scores on people's, below which it says too little of them


class OutcomeOfAnotherAnswer(UserMistake):
    """An outcome is said of the answer that was shown, and was to be used for another model's answer."""

    code = "NR-559"

    def __init__(self, task: Task, what: str) -> None:
        self.task = task.name
        super().__init__(
            what=f"{what} by outcomes, which are of the answers that were shown",
            where=f"the task {task.name!r}",
            fix='compare both answers in the shadow, nr.Rollout(score="answered"), or give each its own outcomes, nr.ABTest(…)',
        )


class NoSuchComparison(UserMistake):
    """A rollout is to be decided by a score that there is not, or that nothing may be decided by."""

    code = "NR-859"

    def __init__(self, endpoint: str, why: str, fix: str) -> None:
        self.endpoint = endpoint
        super().__init__(what=f"the shadow can't be judged so: {why}", where=f"nr.Rollout(…) of endpoint {endpoint!r}", fix=fix)


@dataclass(frozen=True)
class AnswerPlan:
    """By what answers in a shadow are compared. score: by which it is decided; limits: of what each answer takes, times the champion's"""

    score: AnswerScore
    limits: Sequence[tuple[AnswerScore, float]] = ()

    @property
    def scores(self) -> list[AnswerScore]:
        """All that are read of each answer."""
        return [self.score, *(score for score, _ in self.limits)]


@dataclass(frozen=True)
class Gains:
    """By how much the challenger was better in a score, by questions `(questions,)`: at least and at most, whatever is missing."""

    lowest: Floats
    highest: Floats


@dataclass(frozen=True)
class ComparedAnswers:
    """What was seen so far. failed: questions that the challenger failed to answer; repeated: asked before, which count once

    gains: of the score that decides; taken: of each limit, what the champion and the challenger took, `(questions, 2)`, NaN: not known
    missing: why answers have no score, and how many
    answers: that the challenger gave
    """

    gains: Gains
    taken: Mapping[str, Floats] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    repeated: int = 0
    answers: int = 0

    @property
    def questions(self) -> int:
        return len(self.gains.lowest)


def scores_of(model: Model) -> dict[str, AnswerScore]:
    """All scores of a model's answers that need no outcome, by name: first what the judges of its gates say."""
    judged = [score for gate in model.gates for score in getattr(gate, "answer_scores", ())]
    return {score.name: score for score in [*judged, *model.task.answer_scores]}


def answer_plan(endpoint: str, model: Model, plan: Rollout) -> AnswerPlan:
    """By what a rollout of such a model is decided. Raises `OutcomeOfAnotherAnswer` and `NoSuchComparison`."""
    if plan.metric is not None:
        raise OutcomeOfAnotherAnswer(model.task, f"the challenger was to be compared in {plan.metric}")
    known = scores_of(model)
    judged = [name for name, score in known.items() if score.judged]
    score = _known(endpoint, known, plan.score or next(iter(judged), "answered"))
    if not score.bounded:
        raise NoSuchComparison(endpoint, f"{score.name} has no end", f"limit it: not_above={{{score.name!r}: 1.2}}")
    if score.lacking:
        raise NoSuchComparison(
            endpoint, score.lacking, 'measure the judge and give its record to llm.judged(…, records=[…]), or score="answered"'
        )
    limits = [(_known(endpoint, known, name), times) for name, times in plan.not_above.items()]
    return AnswerPlan(score, limits)


def _known(endpoint: str, known: Mapping[str, AnswerScore], name: str) -> AnswerScore:
    if name not in known:
        raise NoSuchComparison(endpoint, f"there is no score {name!r}{nearest(name, known)}", f"use one of {', '.join(known)}")
    return known[name]


def require_outcomes_of_rows(endpoint: str, plan: Rollout) -> None:
    """Raise `NoSuchComparison` for what is only of answers that are scored, where a challenger is compared by outcomes."""
    usual = Rollout()
    given = [name for name in ("score", "not_above", "share", "answers") if getattr(plan, name) != getattr(usual, name)]
    if given:
        why = f"{', '.join(given)} is for models whose outcomes belong to the answer, and here every request counts"
        raise NoSuchComparison(endpoint, why, "leave it out")


def judge_answers(plan: Rollout, compared: AnswerPlan, found: ComparedAnswers, lasted: timedelta, *, waited_out: bool) -> ShadowVerdict:
    """Decide on a challenger from the answers that were scored so far.

    lasted: how long it has shadowed; waited_out: whether that is as long as it may, or all the answers that it may give are given
    """
    seen = {
        "score": compared.score.name,
        "questions": found.questions,
        "answers": found.answers,
        "failed": found.failed,
        "repeated": found.repeated,
        "not_scored": dict(found.missing),
        "outcomes": "of the champion's answers, and not used",
    }
    if found.questions < MIN_QUESTIONS:
        why = f"{found.questions} questions were answered by both and scored; {MIN_QUESTIONS} are needed to say anything"
        return ShadowVerdict("refuse" if waited_out else "wait", why, None, seen)
    level, slopes = _level(plan, compared.score)
    if slopes[0] < MIN_SLOPE:
        return ShadowVerdict("refuse", f"the judge {compared.score.name} follows people too little to decide by it", None, seen)
    interval = _interval(found.gains, _ends(compared.score), level, slopes)
    words = (
        f"{compared.score.name} {interval.mean:+.3f} in [{interval.lower:+.3f}, {interval.upper:+.3f}] on {found.questions:,} questions"
        f"{_lacking(found)}"
    )
    worse, not_worse = shown(plan, compared.score, found.gains)
    over, unsure = _limited(plan, compared, found)
    if worse or over:
        return ShadowVerdict("refuse", f"the challenger is worse: {over or words}", interval, seen)
    if not_worse and not unsure and lasted >= plan.shortest:
        return ShadowVerdict("promote", f"not worse by {plan.margin:g}: {words}", interval, seen)
    waits = words if not not_worse else unsure or f"{words}; it shadows for {in_words(plan.shortest)} at least"
    if waited_out:
        return ShadowVerdict("refuse", f"still undecided: {waits}", interval, seen)
    return ShadowVerdict("wait", f"undecided: {waits}", interval, seen)


def shown(plan: Rollout, score: AnswerScore, gains: Gains) -> tuple[bool, bool]:
    """Whether it is shown that the challenger is worse by more than the margin, and that it is not. What is shown stays shown."""
    (low, high), (level, (least, most)) = _ends(score), _level(plan, score)
    worse = shown_above(-gains.highest, -high, plan.margin * most, level)
    return worse, shown_above(gains.lowest, low, -plan.margin * least, level)


def _level(plan: Rollout, score: AnswerScore) -> tuple[float, tuple[float, float]]:
    """The level that is left for the difference, and what a judge's slope may be at the other half."""
    return (plan.alpha / 2, score.slopes(plan.alpha / 2)) if score.judged else (plan.alpha, (1.0, 1.0))


def _ends(score: AnswerScore) -> tuple[float, float]:
    width = score.bounds[1] - score.bounds[0]
    return -width, width


def _interval(gains: Gains, ends: tuple[float, float], level: float, slopes: tuple[float, float]) -> Interval:
    """The mean gain, with bounds that each hold with 1 − level over all looks; a judge's are stretched by its slope."""
    least, most = slopes
    under, over = lower_bound(gains.lowest, *ends, level), upper_bound(gains.highest, *ends, level)
    known = gains.lowest[gains.lowest == gains.highest]
    mean = float(known.mean()) if len(known) else 0.0
    return Interval(mean, under / (least if under < 0 else most), over / (least if over > 0 else most), len(gains.lowest))


def _limited(plan: Rollout, compared: AnswerPlan, found: ComparedAnswers) -> tuple[str, str]:
    """The limit that the challenger is shown to be over, and the one that it is not yet shown to be under; empty where there is none."""
    unsure = ""
    for score, times in compared.limits:
        taken = found.taken.get(score.name, np.empty((0, 2)))
        if np.isnan(taken).any():
            unsure = unsure or f"{score.name} is not known of {int(np.isnan(taken).any(axis=1).sum())} answers"
            continue
        if len(taken) < MIN_OF_LIMITS:
            unsure = unsure or f"{score.name} of {len(taken)} questions, and {MIN_OF_LIMITS} are needed"
            continue
        if not taken.any():
            continue
        contrast = taken[:, 1] - times * taken[:, 0]
        lower, upper = asymptotic_sequence(contrast, alpha=plan.alpha, planned=2 * MIN_OF_LIMITS)
        words = f"{score.name} {taken[:, 1].mean():.4g}, the champion's {taken[:, 0].mean():.4g}"
        if lower[-1] > 0:
            return f"more than {times:g} times the {words}", unsure
        if upper[-1] >= 0:
            unsure = unsure or f"whether it takes less than {times:g} times: {words}"
    return "", unsure


def _lacking(found: ComparedAnswers) -> str:
    told = [f"{count} not scored ({why})" for why, count in sorted(found.missing.items(), key=lambda each: -each[1])[:2]]
    return f", {'; '.join(told)}" if told else ""


def to_plain(found: ComparedAnswers) -> dict[str, Any]:
    """What was seen, as it is kept between two rounds."""
    return {
        "lowest": found.gains.lowest.tolist(),
        "highest": found.gains.highest.tolist(),
        "taken": {name: [[None if math.isnan(v) else v for v in row] for row in rows.tolist()] for name, rows in found.taken.items()},
        "missing": dict(found.missing),
        "failed": found.failed,
        "repeated": found.repeated,
        "answers": found.answers,
    }


def of_plain(kept: Mapping[str, Any]) -> ComparedAnswers:
    """What `to_plain` gave."""
    gains = Gains(np.array(kept.get("lowest", []), np.float64), np.array(kept.get("highest", []), np.float64))
    taken = {
        name: np.array([[math.nan if v is None else v for v in row] for row in rows], np.float64).reshape(-1, 2)
        for name, rows in kept.get("taken", {}).items()
    }
    return ComparedAnswers(gains, taken, kept.get("missing", {}), *(kept.get(name, 0) for name in ("failed", "repeated", "answers")))
