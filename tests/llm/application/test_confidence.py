"""Confidence is the chance that an answer helps, as far as that is known; where too little is, the card says so."""

from __future__ import annotations

import numpy as np
import pytest

from noria.evaluation.calibration import expected_error
from noria.llm.application.confidence import MIN_ANSWERS, Curve, calibrated, curve_of, fitted, helped
from noria.llm.evaluation.answered import Answered
from noria.llm.evaluation.questions import Question


def drawn(count: int, seed: int = 1, slope: float = 8.0) -> tuple[np.ndarray, np.ndarray]:
    """Similarities, and whether answers helped: the nearer the source the oftener, and far oftener than the cosine says."""
    rng = np.random.default_rng(seed)
    similarity = rng.uniform(0.1, 0.7, count)
    return similarity, (rng.random(count) < Curve(slope, -slope * 0.3)(similarity)).astype(float)


def test_the_curve_is_the_chance_and_its_error_is_that_of_unseen_answers() -> None:
    found = calibrated(zip(*drawn(300), strict=True))
    assert found.curve is not None
    assert (found.answers, found.error < 0.1, found.brier < found.similarity_brier) == (300, True, True)
    assert found.error < found.similarity_error / 2
    similarity, outcomes = drawn(4_000, 2)
    assert expected_error(outcomes, found.curve(similarity)) < 0.06  # live answers, of which nothing was known
    assert expected_error(outcomes, similarity) > 0.15
    assert found.summary.startswith("Confidence is the chance that an answer helps, fitted on 300 answers")
    assert curve_of(found.to_dict()) == found.curve


def test_too_little_evidence_is_said_and_nothing_is_fitted() -> None:
    similarity, outcomes = drawn(MIN_ANSWERS - 1)
    few = calibrated(zip(similarity, outcomes, strict=True))
    assert few.curve is None
    assert few.summary.startswith("Not calibrated: 49 answers of which it is known whether they help")
    assert curve_of(few.to_dict()) is curve_of(None) is None
    alike = calibrated((0.5, 1.0) for _ in range(200))
    assert "10 of either kind" in alike.lacking


def test_where_nearer_is_not_better_all_have_the_same_chance() -> None:
    similarity, outcomes = drawn(400, 3, slope=-8.0)
    curve = fitted(similarity, outcomes)
    assert curve.slope == 0.0
    assert float(curve(0.1)) == float(curve(0.9)) == pytest.approx(outcomes.mean(), abs=0.01)


def test_what_is_never_wrong_is_still_not_certain() -> None:
    similarity = np.linspace(0, 1, 100)
    curve = fitted(similarity, (similarity > 0.5).astype(float))
    assert 0.9 < float(curve(1.0)) < 1.0
    assert np.all(np.diff(curve(similarity)) > 0)


def test_an_answer_helps_by_what_its_question_knows() -> None:
    answer = Answered("q", "Bern is the capital.", cited=("c1",), found=("c1",), found_places=("swiss.md, Cities",))
    assert helped(Question("q", "?", relevant={"swiss.md": 1}), answer) == 1.0
    assert helped(Question("q", "?", relevant={"rome.md": 1}), answer) == 0.0
    assert helped(Question("q", "?", references=("The capital is Bern",)), answer) == 1.0
    assert helped(Question("q", "?", references=("Rome, of course, in Italy",)), answer) == 0.0
    assert helped(Question("q", "?", unanswerable=True), answer) == 0.0
    assert helped(Question("q", "?"), answer) is None
