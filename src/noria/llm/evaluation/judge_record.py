"""How good a judge is, measured against what people say. Without that, and for another prompt or model than was measured, no gate goes
by it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.files import LocalFiles
from noria.core.ids import finite
from noria.llm.evaluation.failures import BadHumanLabels
from noria.llm.evaluation.judge import Judge, PairJudge, judge_digest
from noria.statistics.agreement import kappa, share_bounds

Floats = NDArray[np.float64]
MIN_LABELS = 50  # human labels, below which a judge counts as not measured
GOOD = 0.5  # from which an answer counts as good, for agreement
DRAWS = 2_000
ALPHA = 0.05
MIN_SLOPE = 0.2  # of a judge's scores on people's, below which it says too little of them
MAX_LENGTH_BIAS = 0.3  # of the correlation of its error with an answer's length, above which it goes by the length
MAX_ORDER = 0.25  # of the answers whose score changes with the order of the chunks


@dataclass(frozen=True)
class HumanLabel:
    """What a person says of an answer. score: 0 to 1, as the judge's; often 0 or 1"""

    question: str
    answer: str
    score: float
    chunks: tuple[str, ...] = ()
    reference: str | None = None


@dataclass(frozen=True)
class JudgeRecord:
    """A judge measured against people.

    judge: by which it is known; labels: how many answers both judged; missing: how many the judge could not
    human, judged: the scores `(labels,)`
    accuracy, kappa: of good or not (0.5 or more), with the exact bounds of the first; bias: the judge's mean less the people's, with bounds
    slope: by how much the judge's score rises where the people's rises by 1, with bounds: what is left of a difference in its scores
    length_bias: the correlation of its error with the answer's length; order: the share of answers whose score changes when the chunks come
        in reverse; consistency: the share whose score stays the same when it is asked again (None: not tried)
    """

    judge: str
    name: str
    definition: Mapping[str, Any]
    labels: int
    missing: int
    human: tuple[float, ...]
    judged: tuple[float, ...]
    accuracy: float
    accuracy_bounds: tuple[float, float]
    kappa: float
    bias: float
    bias_bounds: tuple[float, float]
    slope: float
    slope_bounds: tuple[float, float]
    length_bias: float
    length_bias_bounds: tuple[float, float]
    order: float | None = None
    consistency: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "definition": dict(self.definition)}

    def summary(self) -> str:
        """What is to be said of it in one line."""
        low, high = self.accuracy_bounds
        return (
            f"{self.name}: agrees with people on {self.accuracy:.0%} of {self.labels} answers ({low:.0%} to {high:.0%}), "
            f"kappa {self.kappa:.2f}, bias {self.bias:+.3f}, length bias {self.length_bias:+.2f}"
        )

    def why_not(self) -> str:
        """Why no gate may go by it; empty where one may: too few labels, too little agreement, or a bias by length or by order."""
        if self.labels < MIN_LABELS:
            return f"the judge was measured on {self.labels} human labels; {MIN_LABELS} are needed"
        least = self.slope_bounds[0]
        if math.isnan(least) or least < MIN_SLOPE:  # whatever it is corrected by, it would then say the same of every candidate
            rises = f"its scores rise by {least:.2f} or more where theirs rise by 1; {MIN_SLOPE} is needed"
            return f"the judge follows people too little (accuracy {self.accuracy:.0%}, kappa {self.kappa:.2f}): {rises}"
        low, high = self.length_bias_bounds
        if low > MAX_LENGTH_BIAS or high < -MAX_LENGTH_BIAS:
            return f"the judge goes by the length of answers: its error has a correlation of {self.length_bias:+.2f} with it"
        if self.order is not None and self.order > MAX_ORDER:
            return f"the judge goes by the order of the chunks: in reverse, {self.order:.0%} of its scores are others"
        return ""

    def write(self, path: str | Path) -> None:
        LocalFiles().write(Path(path), json.dumps(finite(self.to_dict()), indent=1).encode())

    @staticmethod
    def read(path: str | Path) -> JudgeRecord:
        """The record that `write` wrote. Raises `BadHumanLabels` for another file."""
        try:
            given = json.loads(Path(path).read_bytes())
            pairs = ("human", "judged", "accuracy_bounds", "bias_bounds", "slope_bounds", "length_bias_bounds")
            lists = {name: tuple(math.nan if value is None else value for value in given[name]) for name in pairs}
            numbers = {name: math.nan if given[name] is None else given[name] for name in ("kappa", "length_bias")}
            return JudgeRecord(**{**given, **lists, **numbers})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadHumanLabels(f"{path} is no record of a judge: {error}", "measure the judge: measured(judge, labels)") from error


def measured(judge: Judge, labels: Sequence[HumanLabel], *, again: int = 20) -> JudgeRecord:
    """A judge measured on answers that people have labelled. again: how many are judged twice more, once with the chunks in reverse

    Raises `BadHumanLabels` for scores that do not lie between 0 and 1, or where the judge could say nothing.
    """
    wrong = next((label for label in labels if not 0 <= label.score <= 1), None)
    if wrong is not None:
        raise BadHumanLabels(f"a label is {wrong.score}", "give scores from 0 to 1")
    judged = [judge.judge(label.question, label.answer, label.chunks, label.reference) for label in labels]
    both = [(label, found.score) for label, found in zip(labels, judged, strict=True) if found.score is not None]
    if len(both) < 2:
        raise BadHumanLabels(f"the judge could judge {len(both)} of {len(labels)} answers", "see why: judge.judge(…).why")
    human, scores = np.array([label.score for label, _ in both]), np.array([score for _, score in both])
    lengths = np.array([math.log1p(len(label.answer)) for label, _ in both])
    right = (human >= GOOD) == (scores >= GOOD)
    rng = np.random.default_rng([7, len(both)])
    drawn = [rng.integers(0, len(both), len(both)) for _ in range(DRAWS)]
    repeated = [_again(judge, label, score) for label, score in both[:again]]
    return JudgeRecord(
        judge_digest(judge),
        judge.name,
        judge.definition(),
        len(both),
        len(labels) - len(both),
        tuple(human.tolist()),
        tuple(scores.tolist()),
        float(right.mean()),
        share_bounds(int(right.sum()), len(right), ALPHA),
        kappa(human >= GOOD, scores >= GOOD),
        float((scores - human).mean()),
        _bounds([float((scores - human)[at].mean()) for at in drawn]),
        slope(human, scores),
        _bounds([slope(human[at], scores[at]) for at in drawn]),
        correlation(scores - human, lengths),
        _bounds([correlation((scores - human)[at], lengths[at]) for at in drawn]),
        _share([one for one, _ in repeated]),
        _share([other for _, other in repeated]),
    )


@dataclass(frozen=True)
class PositionBias:
    """How the order of two answers sways a judge. changed: the share of pairs of which it prefers another answer when they are swapped,
    with exact bounds; first: the mean preference for whatever stands first, 0.5 where the order does not count; missing: pairs it can't
    say"""

    pairs: int
    missing: int
    changed: float
    changed_bounds: tuple[float, float]
    first: float


def position_bias(judge: PairJudge, pairs: Sequence[tuple[str, str, str, Sequence[str]]]) -> PositionBias:
    """A judge of pairs asked twice of each (question, one answer, the other, chunks), the second time with the answers swapped."""
    found = list[tuple[float, float]]()
    for question, one, other, chunks in pairs:
        ahead, behind = judge.prefer(question, one, other, chunks).first, judge.prefer(question, other, one, chunks).first
        if ahead is not None and behind is not None:
            found.append((ahead, behind))
    changed = sum(ahead != 1 - behind for ahead, behind in found)
    first = sum(ahead + behind for ahead, behind in found) / (2 * len(found)) if found else math.nan
    share = changed / len(found) if found else math.nan
    return PositionBias(len(found), len(pairs) - len(found), share, share_bounds(changed, len(found), ALPHA), first)


def slope(human: Floats, scores: Floats) -> float:
    """The slope of the least-squares line of the judge's scores on people's; NaN where people always say the same."""
    spread = float(human.var())
    return float(((human - human.mean()) * (scores - scores.mean())).mean()) / spread if spread > 1e-12 else math.nan


def correlation(one: Floats, other: Floats) -> float:
    """Pearson's; 0 where one of the two is always the same."""
    spread = float(one.std() * other.std())
    return float(((one - one.mean()) * (other - other.mean())).mean()) / spread if spread > 1e-12 else 0.0


def _again(judge: Judge, label: HumanLabel, score: float) -> tuple[bool | None, bool | None]:
    """Whether the score changes with the chunks in reverse, and whether it is the same when asked again."""
    back = judge.judge(label.question, label.answer, label.chunks[::-1], label.reference).score if len(label.chunks) > 1 else None
    same = judge.judge(label.question, label.answer, label.chunks, label.reference).score
    return (None if back is None else back != score), (None if same is None else same == score)


def _share(seen: Sequence[bool | None]) -> float | None:
    known = [each for each in seen if each is not None]
    return sum(known) / len(known) if known else None


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return math.nan, math.nan
    low, high = np.quantile(known, [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)
