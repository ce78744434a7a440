"""Chunkers chosen by what they find: on a corpus where one of them is better, and on one where none is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from noria.cli.app import app
from noria.core.errors import NoriaError
from noria.llm.chunking import Fixed
from noria.llm.chunking.chunk import Chunk
from noria.llm.documents import Document, read_documents
from noria.llm.embedding import HashedEmbedder
from noria.llm.evaluation.questions import Question
from noria.llm.index import Hit
from noria.llm.tuning import NothingToTune, UnknownChunker, chunker_named, tune_chunks
from noria.llm.tuning.chunks import _ndcg, _Sought
from noria.llm.tuning.intervals import mean_interval, paired_intervals

COUNT = 14


def facts(seed: int) -> list[str]:
    """Sentences, each with a word of its own."""
    rng = np.random.default_rng(seed)
    return [
        f"The {rng.choice(['blue', 'red', 'old'])} part{seed}x{i} weighs {rng.integers(100)} grams and is kept apart." for i in range(40)
    ]


@pytest.fixture(scope="module")
def corpus() -> tuple[list[Document], list[Question]]:
    """Long documents of many small facts, and questions for one fact each."""
    documents = [Document(f"d{seed}.txt", "\n\n".join(facts(seed)), "plain") for seed in range(COUNT)]
    questions = [
        Question(f"q{seed}", f"What does part{seed}x{29 - seed} weigh?", relevant={f"d{seed}.txt": 1.0}, made_from=facts(seed)[29 - seed])
        for seed in range(COUNT)
    ]
    return documents, questions


def test_a_chunker_that_finds_better_is_chosen(corpus, tmp_path: Path) -> None:
    documents, questions = corpus
    told = list[str]()
    chunkers = {"whole": Fixed(6_000, 0), "small": Fixed(150, 70)}
    found = tune_chunks(
        documents, questions, HashedEmbedder(), chunkers, most_letters=600, cache=tmp_path, tell=lambda p: told.append(p.message)
    )
    assert (found.chosen, found.questions, found.skipped) == ("small", COUNT, 0)
    whole, small = found.tried
    assert small.difference_interval[0] > 0
    assert small.ndcg - whole.ndcg == pytest.approx(small.difference)
    assert whole.chunks == COUNT < small.chunks == small.embedded
    assert any(text.startswith("small: nDCG") for text in told)
    again = tune_chunks(documents, questions, HashedEmbedder(), chunkers, most_letters=600, cache=tmp_path)
    assert [each.embedded for each in again.tried] == [0, 0]
    assert [(each.ndcg, each.interval) for each in again.tried] == [(each.ndcg, each.interval) for each in found.tried]


def test_the_first_stays_where_none_is_better_beyond_doubt(corpus) -> None:
    documents, questions = corpus
    found = tune_chunks(documents, questions, HashedEmbedder(), {"one": Fixed(150, 70), "same": Fixed(151, 70)}, most_letters=600)
    assert found.chosen == "one"


def hit(document: str, at: int, end: int, wider: str = "") -> Hit:
    return Hit(Chunk(f"{document}{at}", document, "x" * (end - at), at, end, wider=wider), 1.0)


def test_what_fits_counts_once_and_as_far_as_it_is_new() -> None:
    sought = _Sought("q", {"a": 1.0}, {"a": (100, 200)})
    assert _ndcg(sought, [hit("a", 100, 200)], 1_000) == 1
    assert _ndcg(sought, [hit("a", 0, 150)], 1_000) == 0.5
    assert _ndcg(sought, [hit("b", 0, 10), hit("a", 90, 210)], 1_000) == pytest.approx(1 / np.log2(3))
    assert _ndcg(sought, [hit("a", 100, 150), hit("a", 100, 150), hit("a", 120, 200)], 1_000) == pytest.approx(0.5 + 0.5 / 2)
    assert _ndcg(sought, [hit("b", 0, 600), hit("a", 0, 600)], 1_000) == 0
    assert _ndcg(sought, [hit("a", 0, 600)], 150) == 0.5
    assert _ndcg(sought, [hit("b", 0, 6, wider="y" * 950), hit("a", 100, 200)], 1_000) == 0
    assert _ndcg(sought, [], 1_000) == 0
    graded = _Sought("q", {"a": 2.0, "b": 1.0}, {})
    assert _ndcg(graded, [hit("a", 0, 9), hit("a", 9, 18), hit("b", 0, 9)], 1_000) == pytest.approx((2 + 1 / 2) / (2 + 1 / np.log2(3)))


def test_intervals_hold_as_often_as_they_say() -> None:
    """Means of nothing: each interval has zero in 95 of 100 draws, and all three at once as well."""
    rng = np.random.default_rng(0)
    drawn = [rng.normal(0, 1, (60, 3)) for _ in range(200)]
    alone = np.mean([low <= 0 <= high for each in drawn for low, high in [mean_interval(each[:, 0])]])
    together = np.mean([all(low <= 0 <= high for low, high in paired_intervals(each)) for each in drawn])
    assert 0.90 <= alone <= 0.98
    assert 0.90 <= together <= 0.98
    assert paired_intervals(np.zeros((5, 2))) == [(0.0, 0.0)] * 2


def test_what_can_not_be_tried_is_told(corpus) -> None:
    documents, questions = corpus
    with pytest.raises(NothingToTune, match="of 2 questions, 0 have a relevant document"):
        tune_chunks(documents, [Question("a", "?"), Question("b", "?", relevant={"gone": 1.0})], HashedEmbedder())
    with pytest.raises(NothingToTune, match="1 chunker"):
        tune_chunks(documents, questions, HashedEmbedder(), {"one": Fixed()})
    with pytest.raises(UnknownChunker, match="did you mean 'recursive'"):
        chunker_named("recursve:100")
    for text in ("fixed:x", "fixed:100:-1", "parents:400:100:1"):
        with pytest.raises(UnknownChunker):
            chunker_named(text)
    with pytest.raises(NoriaError, match="can't be made"):
        chunker_named("recursive:100:80")


def test_the_command_tries_a_folder_and_says_what_to_take(corpus, tmp_path: Path) -> None:
    documents, questions = corpus
    folder = tmp_path / "docs"
    folder.mkdir()
    for document in documents:
        (folder / document.id).write_text(document.text)
    (folder / "empty.md").touch()
    assert read_documents(folder).refused == {"empty.md": "it is empty"}
    asked = tmp_path / "questions.jsonl"
    asked.write_text("".join(json.dumps(question.to_dict()) + "\n" for question in questions))
    command = ["llm", "tune-chunks", str(folder), "--questions", str(asked), "--chunker", "fixed:6000:0", "--chunker", "fixed:150:70"]
    ran = CliRunner().invoke(app, [*command, "--letters", "600"])
    assert ran.exit_code == 0, ran.output
    assert "left out: empty.md: it is empty" in ran.output
    assert "take fixed:150:70" in ran.output
    found = json.loads(CliRunner().invoke(app, [*command, "--letters", "600", "--json"]).stdout)
    assert found["chosen"] == "fixed:150:70"
    assert found["embedder"]["embedder"] == "hashed"
