"""RAGAS and DeepEval with their real libraries, asked by a scripted generator; left out where they are not installed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from llm.evaluation.scripted import Scripted, Table, numbered, right
from noria.core.errors import MissingExtra
from noria.integrations.deepeval import DeepEvalJudge, deepeval_model
from noria.integrations.ragas import RagasJudge, ragas_llm
from noria.llm.evaluation import evaluate

pytestmark = pytest.mark.filterwarnings("ignore")


def for_ragas(text: str) -> Any:
    """What RAGAS's faithfulness asks for: statements of the answer, then whether each follows from the context."""
    if "verdict" in text:
        return {
            "statements": [{"statement": "It is 1.", "reason": "said", "verdict": 1}, {"statement": "x", "reason": "not", "verdict": 0}]
        }
    return {"statements": ["It is 1.", "x"]}


def for_deepeval(text: str) -> Any:
    """The same of DeepEval's: truths, claims, verdicts and a reason."""
    if re.search(r"list of facts|truths", text, re.IGNORECASE) and "verdicts" not in text:
        return {"truths": ["It is 1."], "claims": ["It is 1.", "x"], "reason": "so"}
    if "verdicts" in text and "verdict" in text:
        return {
            "verdicts": [{"verdict": "yes", "reason": "said"}, {"verdict": "no", "reason": "not"}],
            "claims": ["a", "b"],
            "truths": ["a"],
            "reason": "so",
        }
    return {"claims": ["It is 1.", "x"], "truths": ["It is 1."], "reason": "half of it"}


def test_metrics_of_ragas_are_judges() -> None:
    metrics = pytest.importorskip("ragas.metrics.collections")
    plain = RagasJudge(metrics.ExactMatch())
    assert plain.needs_reference
    assert plain.judge("?", "It is 1.", [], "It is 1.").score == 1
    asked = RagasJudge(metrics.Faithfulness(llm=ragas_llm(Scripted(for_ragas))))
    assert (asked.name, asked.needs_reference) == ("ragas_faithfulness", False)
    assert asked.judge("?", "It is 1. x", ["It is 1."]).score == 0.5
    found = evaluate(Table(right), numbered(3), [], [asked, plain])
    assert found.summary()["ragas_faithfulness"]["mean"] == 0.5
    down = RagasJudge(metrics.Faithfulness(llm=ragas_llm(Scripted(lambda _: "no"))))
    assert down.judge("?", "It is 1.", ["x"]).missing == "failed"
    assert asked.definition() != RagasJudge(metrics.Faithfulness(llm=ragas_llm(Scripted(for_ragas, name="other")))).definition()


def test_metrics_of_deepeval_are_judges() -> None:
    pytest.importorskip("deepeval")
    from deepeval.metrics import ExactMatchMetric, FaithfulnessMetric

    plain = DeepEvalJudge(ExactMatchMetric())
    assert plain.needs_reference
    assert plain.judge("?", "It is 1.", [], "It is 1.").score == 1
    model = deepeval_model(Scripted(for_deepeval))
    asked = DeepEvalJudge(FaithfulnessMetric(model=model, async_mode=False))
    assert (asked.name, asked.needs_reference) == ("deepeval_faithfulness", False)
    assert asked.judge("?", "It is 1. x", ["It is 1."]).score == 0.5
    assert evaluate(Table(right), numbered(3), [], [asked, plain]).summary()["deepeval_faithfulness"]["mean"] == 0.5
    down = DeepEvalJudge(FaithfulnessMetric(model=deepeval_model(Scripted(lambda _: "no")), async_mode=False))
    assert down.judge("?", "It is 1.", ["x"]).missing == "failed"


def test_without_the_library_it_is_said_which_one_to_install() -> None:
    for library, make in (("ragas", ragas_llm), ("deepeval", deepeval_model)):
        try:
            __import__(library)
        except ImportError:
            with pytest.raises(MissingExtra, match=library):
                make(Scripted(for_ragas))
