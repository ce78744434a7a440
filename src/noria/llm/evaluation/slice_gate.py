"""The gate on slices: a severe loss in one of them fails, however the mean rises."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from noria.evaluation.gates import NO_CHAMPION, Verdict
from noria.llm.evaluation.pairs import Comparison, Differences
from noria.statistics.bounded_mean import bounded_mean

LEVEL = 0.05
ANSWERS = "answers"  # what gates of this room compare: an `nr.Model` has them through `llm.judged` alone


@dataclass(frozen=True)
class NoSliceWorse:
    """Fails where it is shown of a slice that it is worse by more than `by`, however the mean rises; the level is shared among the slices
    (Holm 1979). Unknown where a slice looks so without enough evidence. With `strict`, passes only if of every slice the opposite is shown.

    A slice of fewer than `least` questions is judged together with the others of its kind.
    """

    compares: ClassVar[str] = ANSWERS
    metric: str
    over: tuple[str, ...]
    by: float
    level: float = LEVEL
    least: int = 5
    strict: bool = False

    @property
    def name(self) -> str:
        return f"no slice over {', '.join(self.over)} worse in {self.metric} by {self.by:g}"

    def judge(self, comparison: Comparison) -> Verdict:
        if comparison.before is None:
            return Verdict(self.name, "passed", NO_CHAMPION)
        metric = comparison.after.metric(self.metric, self.name)
        record, why = comparison.record(metric)
        if why:
            return Verdict(self.name, "unknown", why)
        if not metric.bounded:
            return Verdict(self.name, "unknown", f"{self.metric} has no ends, which the test of small slices needs")
        by = self.by * (1.0 if record is None else min(max(record.slope, 0.0), 1.0))  # a judge that errs shrinks differences
        differences = comparison.differences(self.metric, self.name)
        slices = self._slices(differences)
        if not slices:
            return Verdict(self.name, "unknown", f"no slice over {', '.join(self.over)} has {self.least} questions")
        shown, level = list[str](), self.level
        for name, part in sorted(slices, key=lambda each: _chance(each[1], by)):
            chance = _chance(part, by)
            if chance > level / (len(slices) - len(shown)):
                break
            shown.append(f"{name}: {part.highest.mean():+.3f} on {len(part.questions)} questions")
        if shown:
            return Verdict(self.name, "failed", f"worse by more than {self.by:g}, as is shown: {'; '.join(shown)}")
        return self._without_loss(slices, by)

    def _without_loss(self, slices: Sequence[tuple[str, Differences]], by: float) -> Verdict:
        worst, part = min(slices, key=lambda each: float(each[1].lowest.mean()))
        mean = float(part.lowest.mean())
        said = f"worst of {len(slices)} slices is {worst}: {mean:+.3f} on {len(part.questions)} questions"
        lacking = sum(each.missing for _, each in slices)
        if mean < -by:
            why = "with what is missing counted as worst" if part.missing else "which is not shown at the level"
            return Verdict(self.name, "unknown", f"{said}, {why}")
        unseen = [name for name, each in slices if bounded_mean(each.lowest, *each.ends, self.level).lower <= -by]
        if self.strict and unseen:
            return Verdict(self.name, "unknown", f"{said}; too few questions to rule it out in {', '.join(unseen[:5])}")
        return Verdict(self.name, "passed", f"{said}{f', {lacking} missing' if lacking else ''}")

    def _slices(self, differences: Differences) -> list[tuple[str, Differences]]:
        """The slices that are judged; small ones as one for each column."""
        found = list[tuple[str, Differences]]()
        for column in self.over:
            values = np.array([question.slices.get(column, "") for question in differences.questions], object)
            small = np.zeros(len(values), bool)
            for value in sorted(set(values.tolist()) - {""}):
                inside = values == value
                if inside.sum() >= self.least:
                    found.append((f"{column}={value}", differences.of(inside)))
                else:
                    small |= inside
            if small.sum() >= self.least:
                found.append((f"the small slices of {column}", differences.of(small)))
        return found


def _chance(part: Differences, by: float) -> float:
    """How likely it is that a slice which is worse by no more than `by` looks as it does: the smaller of two bounds.

    Hoeffding's inequality in its sharper form (1963, theorem 1), which is exact where every value lies at an end; and that of
    `bounded_mean`, which keeps its level from six values on (simulated).
    """
    low, high = part.ends
    seen = (float(part.highest.mean()) - low) / (high - low)
    least = (-by - low) / (high - low)
    if seen >= least:
        return 1.0
    distance = (1 - seen) * math.log((1 - seen) / (1 - least)) + (seen * math.log(seen / least) if seen > 0 else 0.0)
    exact = math.exp(-len(part.questions) * distance)
    return min(exact, _by_t(part, by))


def _by_t(part: Differences, by: float) -> float:
    """The smallest level at which the upper bound of the mean lies below −by, by halving."""
    under, over = 1e-9, 0.5
    if bounded_mean(part.highest, *part.ends, over).upper >= -by:
        return 1.0
    for _ in range(30):
        middle = math.sqrt(under * over)
        under, over = (under, middle) if bounded_mean(part.highest, *part.ends, middle).upper < -by else (middle, over)
    return over
