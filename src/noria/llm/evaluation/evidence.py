"""What is shown of a difference: from the questions alone, from a judge that was measured, or from a judge and some labels of people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.llm.evaluation.judge_record import MIN_SLOPE, JudgeRecord
from noria.llm.evaluation.pairs import Comparison, Differences
from noria.statistics.bounded_mean import BoundedMean, bounded_mean, free_mean
from noria.statistics.prediction_powered import MIN_LABELS, powered_mean

Floats = NDArray[np.float64]
MIN_QUESTIONS = 20
HALF_THE_LEVEL = 1.25  # by how much further a bound lies at half the level, for levels up to 0.05


@dataclass(frozen=True)
class Evidence:
    """By how much a candidate is better, with bounds that each hold with 1 − level, whatever the missing values are.

    mean: of the questions of which nothing is missing; spread: their standard deviation, where more questions would show more
    ends: between which a difference lies; how: what it was worked out from
    """

    mean: float
    lower: float
    upper: float
    count: int
    missing: int
    level: float
    how: str = ""
    spread: float | None = None
    ends: tuple[float, float] | None = None

    @property
    def clearly_better(self) -> bool:
        """Whether a gain is shown at about half the level, which two runs of an application that did not change seldom do."""
        return self.mean - HALF_THE_LEVEL * (self.mean - self.lower) > 0

    def words(self, conclusion: str) -> str:
        """The evidence in a sentence."""
        lacking = f", {self.missing} missing" if self.missing else ""
        how = f", {self.how}" if self.how else ""
        bounds = f"{1 - self.level:.0%} bounds {self.lower:+.3f} and {self.upper:+.3f}"
        return f"{conclusion}: {self.mean:+.3f} on {self.count:,} questions, {bounds}{lacking}{how}"


def evidence_of(comparison: Comparison, name: str, where: str, level: float) -> Evidence | str:
    """What is shown of a metric's paired difference; or why nothing can be said. Raises `UnknownAnswerMetric`."""
    metric = comparison.after.metric(name, where)
    differences = comparison.differences(name, where)
    if len(differences.questions) < MIN_QUESTIONS:
        return f"{len(differences.questions)} questions; {MIN_QUESTIONS} are needed to say anything"
    people = comparison.human.get(name, {})
    if len(differences.known) < MIN_QUESTIONS and not people:
        return f"{len(differences.known)} questions of which nothing is missing; {MIN_QUESTIONS} are needed to say anything"
    if differences.missing and not metric.bounded:
        return f"{differences.missing} values are missing"
    if metric.judge is not None and people:
        return _powered(differences, people, level)
    record, why = comparison.record(metric)
    if why:
        return why
    if record is not None:
        return through_the_judge(differences, record, level)
    if not metric.bounded:
        return _of(differences, free_mean(differences.lowest, level), free_mean(differences.highest, level), level)
    low, high = differences.ends
    return _of(differences, bounded_mean(differences.lowest, low, high, level), bounded_mean(differences.highest, low, high, level), level)


def of_people(lowest: Floats, highest: Floats, record: JudgeRecord, level: float) -> tuple[BoundedMean, BoundedMean]:
    """The mean of what people would say of answers `(questions,)` that a judge scored, from what its record says of its errors.

    Prediction-powered with λ = 1: the judge's mean, less its mean error on the labelled answers, which are taken to be of the same kind.
    """
    human, judged = np.array(record.human), np.array(record.judged)
    found = [powered_mean(human, judged, scores, level, power=1.0, ends=(0.0, 1.0)) for scores in (lowest, highest)]
    bounds = [BoundedMean(each.mean, each.lower, each.upper, len(lowest)) for each in found]
    return bounds[0], bounds[1]


def _of(differences: Differences, under: BoundedMean, over: BoundedMean, level: float) -> Evidence:
    known = differences.known
    mean = float(known.mean()) if len(known) else math.nan
    spread = float(known.std(ddof=1)) if len(known) > 1 else None
    ends = differences.ends if all(map(math.isfinite, differences.ends)) else None
    return Evidence(mean, under.lower, over.upper, len(differences.questions), differences.missing, level, "", spread, ends)


def through_the_judge(differences: Differences, record: JudgeRecord, level: float) -> Evidence | str:
    """A judge that errs shrinks differences by its slope on people's scores (Rogan & Gladen 1978, for shares): they are stretched again, by
    what the slope may be at half the level, and tested at the other half."""
    least, most = slope_bounds(record, level / 2)
    if math.isnan(least) or least < MIN_SLOPE:
        return f"the judge follows people too little: its scores rise by {least:.2f} or more where theirs rise by 1; {MIN_SLOPE} is needed"
    low, high = differences.ends
    under, over = bounded_mean(differences.lowest, low, high, level / 2), bounded_mean(differences.highest, low, high, level / 2)
    known = differences.known
    mean = float(known.mean()) / record.slope if len(known) else math.nan
    lower = under.lower / (least if under.lower < 0 else most)
    upper = over.upper / (least if over.upper > 0 else most)
    how = f"by a judge with slope {record.slope:.2f} on {record.labels} human labels"
    spread = float(known.std(ddof=1)) / least if len(known) > 1 else None
    return Evidence(mean, lower, upper, len(differences.questions), differences.missing, level, how, spread, (low / least, high / least))


def slope_bounds(record: JudgeRecord, alpha: float) -> tuple[float, float]:
    """The bounds of a judge's slope, each of which holds with 1 − alpha: by its standard error, robust to unequal spread (White 1980,
    HC3)."""
    from scipy.special import stdtrit

    human, judged = np.array(record.human), np.array(record.judged)
    centred = human - human.mean()
    squares = float((centred**2).sum())
    if len(human) < 4 or squares <= 1e-12:
        return math.nan, math.nan
    slope = float((centred * judged).sum()) / squares
    residuals = judged - judged.mean() - slope * centred
    leverage = np.minimum(1 / len(human) + centred**2 / squares, 0.99)
    error = math.sqrt(float((centred**2 * (residuals / (1 - leverage)) ** 2).sum())) / squares
    half = float(stdtrit(len(human) - 2, 1 - alpha)) * error
    return slope - half, slope + half


def _powered(differences: Differences, people: Mapping[str, tuple[float | None, float]], level: float) -> Evidence | str:
    """From what people say of both answers to some questions, and the judge of both answers to all: PPI++ on the paired differences."""
    gains = {each: pair[1] - pair[0] for each, pair in people.items() if pair[0] is not None}
    labelled = np.array([question.id in gains for question in differences.questions])
    if labelled.sum() < MIN_LABELS:
        return f"people have labelled both answers to {int(labelled.sum())} questions; {MIN_LABELS} are needed"
    said = np.array([gains[question.id] for question, is_labelled in zip(differences.questions, labelled, strict=True) if is_labelled])
    middle = (differences.lowest + differences.highest) / 2  # a missing judgement of a labelled question is no loss: people have said it
    ends = differences.ends
    bounds = (differences.lowest, differences.highest)
    low, high = (powered_mean(said, middle[labelled], others[~labelled], level, ends=ends) for others in bounds)
    how = f"from {low.labels} human labels and {low.predictions} judgements that count {low.power:.2f}"
    missing = int((differences.lowest != differences.highest)[~labelled].sum())
    return Evidence((low.mean + high.mean) / 2, low.lower, high.upper, len(differences.questions), missing, level, how)
