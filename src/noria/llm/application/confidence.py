"""Confidence as the chance that an answer helps: a map from how near the nearest source is, fitted to answers of which it is known.

Feedback is no such evidence: it was given on another version's answers. Questions whose right answers are known are: the application
answers them when it is built, and an answer helps if it cites what is relevant, or has most words of a right answer. It is a logistic curve
(Platt 1999, "Probabilistic outputs for support vector machines", with his smoothed targets, which keep it from certainty), rising or flat.
How good it is is measured on answers that it was not fitted on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.evaluation.calibration import expected_error
from noria.llm.evaluation.answered import Answered
from noria.llm.evaluation.citations import cited_relevant
from noria.llm.evaluation.questions import Question
from noria.llm.evaluation.text_metrics import token_recall

Floats = NDArray[np.float64]

MIN_ANSWERS, MIN_OF_EACH = 50, 10  # of answers, and of those that helped, and of those that did not
FOLDS = 5
MAX_WORDS = 0.5  # of a right answer's, from which an answer is one
STEPS, DONE = 100, 1e-10
EDGE = 1e-6


@dataclass(frozen=True)
class Curve:
    """The chance that an answer helps, by the similarity of its nearest source: 1 / (1 + exp(−intercept − slope · similarity))."""

    slope: float
    intercept: float

    def __call__(self, similarity: Any) -> Any:
        return 1 / (1 + np.exp(-np.clip(self.intercept + self.slope * np.asarray(similarity, np.float64), -30, 30)))


@dataclass(frozen=True)
class Calibrated:
    """A curve and what was measured of it. lacking: why there is none; then confidence is the similarity itself

    answers, helped: how many it was fitted on, and how many of these helped
    error, brier: the expected calibration error and the mean squared error of confidence, on answers that its curve was not fitted on;
        similarity_error, similarity_brier: those of the similarity
    """

    curve: Curve | None
    lacking: str = ""
    answers: int = 0
    helped: int = 0
    error: float = 0.0
    brier: float = 0.0
    similarity_error: float = 0.0
    similarity_brier: float = 0.0

    @property
    def summary(self) -> str:
        """What was measured, as the card has it."""
        if self.curve is None:
            return f"Not calibrated: {self.lacking}. The confidence of an answer is how near its nearest source is, and no probability."
        return (
            f"Confidence is the chance that an answer helps, fitted on {self.answers} answers to questions whose right answers are known, "
            f"of which {self.helped} helped. On answers that it was not fitted on (five folds), the expected calibration error is "
            f"{self.error:.3f} (of the similarity itself {self.similarity_error:.3f}) and the Brier score {self.brier:.3f} "
            f"({self.similarity_brier:.3f})."
        )

    def to_dict(self) -> dict[str, float]:
        """The figures, and the curve where there is one, as a run and a bundle state them."""
        found: dict[str, float] = {"answers": self.answers, "helped": self.helped}
        if self.curve is None:
            return found
        measured = {name: getattr(self, name) for name in ("error", "brier", "similarity_error", "similarity_brier")}
        return {**found, **measured, **asdict(self.curve)}


def helped(question: Question, answered: Answered) -> float | None:
    """Whether an answer helps, as far as a question says what would: 1, 0, or None where it says nothing."""
    if question.unanswerable:
        return 0.0
    if question.relevant:
        return cited_relevant(question, answered)
    if question.references:
        return float(token_recall(answered.answer, question.references) >= MAX_WORDS)
    return None


def calibrated(seen: Iterable[tuple[float, float]]) -> Calibrated:
    """The curve of answers (similarity, whether it helped), as they come."""
    rows = np.array(list(seen), np.float64).reshape(-1, 2)
    similarity, outcomes = rows[:, 0], rows[:, 1]
    good = int(outcomes.sum())
    if len(rows) < MIN_ANSWERS or min(good, len(rows) - good) < MIN_OF_EACH:
        told = f"{len(rows)} answers of which it is known whether they help, of which {good} do"
        return Calibrated(None, f"{told}; {MIN_ANSWERS} are needed, and {MIN_OF_EACH} of either kind", len(rows), good)
    fold, unseen = np.arange(len(rows)) % FOLDS, np.empty(len(rows))
    for number in range(FOLDS):
        unseen[fold == number] = fitted(similarity[fold != number], outcomes[fold != number])(similarity[fold == number])
    errors = [expected_error(outcomes, scores) for scores in (unseen, similarity)]
    squares = [float(((scores - outcomes) ** 2).mean()) for scores in (unseen, similarity)]
    return Calibrated(fitted(similarity, outcomes), "", len(rows), good, errors[0], squares[0], errors[1], squares[1])


def fitted(similarity: Floats, outcomes: Floats) -> Curve:
    """The curve by Newton's method, on Platt's targets: of `n` answers that helped (n + 1) / (n + 2), and of the others 1 / (n + 2)."""
    good = float(outcomes.sum())
    target = np.where(outcomes > 0, (good + 1) / (good + 2), 1 / (len(outcomes) - good + 2))
    x, found = np.column_stack([np.ones(len(similarity)), similarity]), np.zeros(2)
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ found, -30, 30)))
        information = (x.T * (p * (1 - p) + EDGE)) @ x
        step = np.linalg.solve(information + EDGE * np.eye(2), x.T @ (target - p))
        found = found + np.clip(step, -5.0, 5.0)
        if np.abs(step).max() < DONE:
            break
    if found[1] <= 0:  # nearer sources do not mean better answers here: all have the same chance
        share = float(target.mean())
        return Curve(0.0, float(np.log(share / (1 - share))))
    return Curve(float(found[1]), float(found[0]))


def curve_of(settings: Mapping[str, Any] | None) -> Curve | None:
    """The curve of a bundle's settings; None where it has none."""
    found = settings or {}
    return Curve(found["slope"], found["intercept"]) if "slope" in found else None
