"""Metrics of answers, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from llm.evaluation.scripted import right, wrong
from noria.data.rows import Rows
from noria.evaluation.generation import Generation
from noria.llm.evaluation import (
    Answered,
    Question,
    UnknownAnswerMetric,
    answer_metrics,
    answered_rows,
    citation_precision,
    citation_recall,
    cited_relevant,
    exact,
    is_refusal,
    refusal_correctness,
    retrieval_metrics,
    similarity,
    token_f1,
    token_recall,
    toxicity,
)
from noria.llm.evaluation.citations import statements
from noria.llm.evaluation.retrieval_metrics import ranking, retrieval_values
from noria.llm.generation import DONT_KNOW


def test_retrieval_is_measured_by_chunk_or_document_each_once() -> None:
    question = Question("q", "?", relevant={"a.md": 1, "b.md": 2, "c9": 1, "zero.md": 0})
    answered = Answered("q", found=("c1", "c2", "c3", "c9"), found_places=("z.md, Costs", "b.md, page 2", "b.md, page 3", "d.md"))
    assert ranking(question, answered) == ["z.md, Costs", "b.md", "c9"]
    found = retrieval_values(question, answered, ("R@5", "P@5", "RR", "nDCG@10", "R@1"))
    gain = 2 / np.log2(3) + 1 / np.log2(4)
    ideal = 2 + 1 / np.log2(3) + 1 / np.log2(4)
    assert found == pytest.approx({"R@5": 2 / 3, "P@5": 2 / 5, "RR": 1 / 2, "nDCG@10": gain / ideal, "R@1": 0}, abs=1e-4)
    assert retrieval_values(Question("q", "?"), answered, ("RR",)) == {}
    assert retrieval_values(question, Answered("q"), ("RR",)) == {"RR": 0.0}


def test_a_document_is_not_another_whose_name_begins_alike() -> None:
    question = Question("q", "?", relevant={"a.md": 1})
    assert ranking(question, Answered("q", found=("c",), found_places=("a.md.bak, x",))) == ["a.md.bak, x"]
    copied = Question("q", "?", relevant={"b.md": 1})
    assert ranking(copied, Answered("q", found=("c",), found_places=("z.md, Costs; also b.md; also y.md",))) == ["b.md"]


def test_metrics_have_the_names_that_people_know() -> None:
    assert [metric.name for metric in retrieval_metrics(["recall@3", "mrr"])] == ["recall@3", "mrr", "distinct"]
    for name in ("recal@3", "recall", "recall@x", "recall@0"):
        with pytest.raises(UnknownAnswerMetric):
            retrieval_metrics([name])


def test_answers_are_compared_word_by_word() -> None:
    assert exact("The  forty Euros! [1]", ["40", "forty euros"]) == 1
    assert exact("forty", ["forty euros"]) == 0
    assert token_f1("forty euros a year", ["forty euros"]) == pytest.approx(2 * 2 / (3 + 2))
    assert token_recall("It costs forty euros a year. [2]", ["forty euros"]) == 1
    assert token_f1("", ["x"]) == 0
    assert token_f1("straße", ["STRASSE"]) == 1
    assert token_recall("anything", []) == 0


class Letters:
    """An embedder of the letters that a text has."""

    dimension, truncated = 26, 0

    def embed(self, texts: list[str]) -> np.ndarray:
        found = np.array([[text.lower().count(chr(97 + place)) for place in range(26)] for text in texts], np.float32)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)

    def embed_query(self, text: str) -> np.ndarray:
        return self.embed([text])[0]

    def definition(self) -> dict[str, str]:
        return {"embedder": "letters"}


def test_similarity_is_that_of_the_nearest_reference_without_citations() -> None:
    assert similarity("abc [1]", ["xyz", "cab"], Letters()) == pytest.approx(1)
    assert similarity(" [1]", ["abc"], Letters()) == 0
    assert similarity("abc", ["xyz"], Letters()) == 0


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        (DONT_KNOW, True),
        ("I don’t know.", True),
        ("Sorry, I could not find any information about that.", True),
        ("The sources don't mention it.", True),
        ("There is not enough information in the context.", True),
        ("Je ne sais pas.", True),
        ("You do not need a permit. [1]", False),
        ("The server does not answer requests after ten minutes.", False),
        ("Forty euros.", False),
        ("", False),
    ],
)
def test_refusals_are_known_by_their_words(text: str, refused: bool) -> None:
    assert is_refusal(Answered("q", text)) is refused


def test_refusing_is_right_just_where_there_is_no_answer() -> None:
    answerable, unanswerable = Question("a", "?", ("x",)), Question("u", "?", unanswerable=True)
    refused, said = Answered("q", "whatever", finish="unknown"), Answered("q", "Forty euros. [1]")
    assert [refusal_correctness(q, a) for q in (answerable, unanswerable) for a in (refused, said, Answered("q"))] == [0, 1, 0, 1, 0, 0]


def same(source: str, statement: str) -> float:
    return float(statement.rstrip(".") in source)


def test_citations_must_say_what_the_answer_says() -> None:
    answered = Answered("q", "A is B. [1] C is D [2].", ("x", "y"), ("x", "y", "z"), ("A is B, as is known", "nothing", "C is D"))
    assert statements(answered.answer) == [("A is B.", (1,)), ("C is D.", (2,))]
    assert citation_precision(answered, same) == 0.5
    assert citation_recall(answered, same) == 0.5
    assert citation_precision(Answered("q", "A is B."), same) == 0
    assert citation_recall(Answered("q", DONT_KNOW, finish="unknown"), same) == 0
    assert cited_relevant(Question("7", "?", relevant={"7.md": 1}), right(Question("7", "?"))) == 1
    assert cited_relevant(Question("7", "?", relevant={"7.md": 1}), wrong(Question("7", "?"))) == 0


def test_coarse_words_are_found_and_harmless_ones_left_alone() -> None:
    assert [toxicity(text) for text in ("You fucking idiot", "I'll kill you", "kill yourself", "Du Arschloch!")] == [1, 1, 1, 1]
    assert [toxicity(text) for text in ("the Scunthorpe cock-a-doodle class", "kill the process", "assess the bass", "Dickens")] == [
        0,
        0,
        0,
        0,
    ]


def test_whether_a_metric_says_something_does_not_depend_on_the_answer() -> None:
    metrics = [*retrieval_metrics(), *answer_metrics(Letters(), same)]
    question = Question("7", "?", ("It is 7.",), {"7.md": 1})
    answers = [right(question), wrong(question), Answered("7"), Answered("7", DONT_KNOW, finish="unknown")]
    for metric in metrics:
        if metric.name not in ("seconds", "cost", "tokens"):
            assert all(metric.of(question, answered) is not None for answered in answers), metric.name
    assert {metric.name for metric in metrics if metric.of(Question("8", "?", unanswerable=True), answers[0]) is not None} == {
        "distinct",
        "refusal",
        "toxicity",
        "failed",
        "seconds",
    }


def test_what_a_model_of_the_task_answers_is_read_row_by_row() -> None:
    values = [
        ["Forty. [1]", ["c"], ["c", "d"], ["text", "more"], ["a.md", "b.md"], [0.5, 0.4], 0.9, "answered", 100, 7, None, None, None, None]
    ]
    values += [[DONT_KNOW, [], [], [], [], [], 0.1, "unknown", None, None, 0.01, None, None, None]]
    first, second = answered_rows(Rows.of_values(Generation().outputs, values), ["q1", "q2"], [0.5, None])
    assert (first.question_id, first.cited, first.found_texts, first.usage.prompt_tokens, first.usage.cost) == (
        "q1",
        ("c",),
        ("text", "more"),
        100,
        None,
    )
    assert (second.finish, second.usage.cost, second.seconds, is_refusal(second)) == ("unknown", 0.01, None, True)
    assert Answered.read(first.to_dict()) == first
