"""A few faults in a real application (chunks, an index, retrieval, extractive answers) are found, and harmless changes are let pass.

`benchmarks/llm/faults.py` plants thirty of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noria.llm.chunking import Chunk, Recursive
from noria.llm.documents import Document
from noria.llm.evaluation import (
    Answered,
    Evaluated,
    Question,
    QuestionSet,
    compare,
    evaluate,
    no_slice_worse,
    not_worse,
)
from noria.llm.generation import DONT_KNOW, cited, extracted
from noria.llm.index import build
from noria.llm.retrieval import Conditions, Retriever

TOWNS = [f"{head}{tail}" for head in ("Alt", "Berg", "Klein", "Ost", "See", "Wald") for tail in ("dorf", "kirch", "stadt", "tal")]
FACTS = (
    "The mayor of {0} is called {1}son.",
    "A ferry in {0} costs {2} euros for each person.",
    "The bridge of {0} was built of stone in {3}.",
)
ASKED = (
    "What is the mayor of {0} called?",
    "What euros for each person costs a ferry in {0}?",
    "When was the bridge of {0} built of stone?",
)
DOCUMENTS = [
    Document(
        f"{town}.md",
        f"# {town}\n\n" + "\n\n".join(fact.format(town, town[:4] + town[-3:], n + 11, 1500 + n) for fact in FACTS),
        access=("staff",) if n % 6 == 5 else (),
    )
    for n, town in enumerate(TOWNS)
]
GATES = [
    *(not_worse(name, by=0.15) for name in ("recall@5", "mrr", "token_recall", "refusal", "cited_relevant")),
    no_slice_worse("refusal", over=["kind"], by=0.2),
]


def questions() -> QuestionSet:
    rows = [
        {
            "question": asked.format(town),
            "kind": "secret" if document.access else "open",
            **(
                {"unanswerable": True}
                if document.access
                else {"reference": fact.format(town, town[:4] + town[-3:], n + 11, 1500 + n), "relevant": [f"{town}.md"]}
            ),
        }
        for n, (town, document) in enumerate(zip(TOWNS, DOCUMENTS, strict=True))
        for asked, fact in zip(ASKED, FACTS, strict=True)
    ]
    return QuestionSet.of(rows, "towns")


class Letters:
    """An embedder by pairs of letters."""

    dimension, truncated = 128, 0

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(texts), 128), np.float32)
        for row, text in zip(found, texts, strict=True):
            for one, other in zip(text.lower(), text.lower()[1:], strict=False):
                row[(ord(one) * 31 + ord(other)) % 128] += 1
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)

    def embed_query(self, text: str) -> np.ndarray:
        return self.embed([text])[0]

    def definition(self) -> dict[str, Any]:
        return {"embedder": "letters"}


@dataclass(frozen=True)
class Towns:
    retriever: Retriever
    labels: tuple[str, ...] | None = ()
    found: Callable[[list[Chunk]], list[Chunk]] = list
    says: Callable[[str, Sequence[Chunk]], str] = lambda question, chunks: extracted(question, chunks, count=1, least=0.8)

    def answer(self, question: Question, repeat: int = 0) -> Answered:
        assert repeat == 0
        chunks = self.found([hit.chunk for hit in self.retriever.find(question.question, 5, Conditions.read(None, self.labels))])
        said = cited(self.says(question.question, chunks), chunks)
        ids, texts, places = (tuple(getattr(chunk, name) for chunk in chunks) for name in ("id", "told", "document"))
        finish = "unknown" if said.text == DONT_KNOW else "answered"
        return Answered(question.id, said.text, tuple(chunk.id for chunk in said.chunks), ids, texts, places, finish)

    def definition(self) -> dict[str, Any]:
        return {"application": "towns"}


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Towns:
    built = build(DOCUMENTS, Recursive(300, 0), Letters(), tmp_path_factory.mktemp("towns") / "index")
    return Towns(Retriever(built.index, Letters()))


@pytest.fixture(scope="module")
def champion(towns: Towns) -> Evaluated:
    found = evaluate(towns, questions())
    assert found.summary()["token_recall"]["mean"] > 0.9
    assert found.summary()["refusal"]["mean"] > 0.9
    return found


def outcomes(champion: Evaluated, candidate: Towns) -> set[str]:
    return {verdict.outcome for verdict in compare(champion, evaluate(candidate, questions()), GATES).verdicts}


def test_harmless_changes_pass(towns: Towns, champion: Evaluated, tmp_path: Path) -> None:
    again = build(DOCUMENTS[::-1], Recursive(310, 0), Letters(), tmp_path / "again")
    assert outcomes(champion, towns) == {"passed"}
    assert outcomes(champion, replace(towns, retriever=Retriever(again.index, Letters(), candidates=45))) == {"passed"}
    assert outcomes(champion, replace(towns, says=lambda q, c: f"{towns.says(q, c)}\n")) == {"passed"}


def test_faults_fail(towns: Towns, champion: Evaluated, tmp_path: Path) -> None:
    stale = build(DOCUMENTS[::2], Recursive(300, 0), Letters(), tmp_path / "stale")
    faults = {
        "a stale index": replace(towns, retriever=Retriever(stale.index, Letters())),
        "no access filter": replace(towns, labels=None),
        "truncated context": replace(towns, found=lambda chunks: [replace(chunk, text=chunk.text[:12]) for chunk in chunks]),
        "the best chunk lost": replace(towns, found=lambda chunks: chunks[1:]),
        "always refuses": replace(towns, says=lambda _question, _chunks: DONT_KNOW),
        "no citations": replace(towns, says=lambda q, c: towns.says(q, c).replace("[1]", "")),
    }
    assert {name for name, fault in faults.items() if "failed" not in outcomes(champion, fault)} == set()
