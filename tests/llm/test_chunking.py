"""Chunkers: whatever a text is like, nothing of it is lost, nothing is longer than allowed, and what is cited stands there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.errors import NoriaError
from noria.llm.chunking import (
    ByFunction,
    ByHeading,
    ByKind,
    BySentence,
    Chunker,
    Fixed,
    Recursive,
    Semantic,
    WithParents,
    chunked,
)
from noria.llm.chunking.structure import sections
from noria.llm.documents import Document, Place

PARTS = st.sampled_from(
    [
        *("# One\n", "## Two\n\n", "A sentence. ", "Und noch einer! ", "x" * 70, "\n\n", "\n", "\t", "\u2028", "é", "- item\n"),
        *("```py\n# no heading\n```\n", "| a | b |\n|---|---|\n", "Underlined\n=====\n", "日本語の文。"),
        *("def f(x):\n    return x\n", "class A:\n", "@wrap\n"),
    ]
)
TEXTS = st.lists(PARTS, max_size=60).map("".join)


def lengths(texts):  # stands for an embedder: by the length and the first letter
    found = np.array([[len(t), ord(t[0]), 1.0] for t in texts], np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


CHUNKERS: list[tuple[Chunker, int]] = [
    (Fixed(80, 20), 80),
    (Recursive(80, 20), 80),
    (Recursive(60, 0), 60),
    (BySentence(90, 40), 90),
    (ByHeading(100, 20, 40), 100),
    (ByFunction(80), 80),
    (WithParents(Recursive(200, 0), 60), 60),
    (Semantic(lengths, "lengths", 100), 100),
    (ByKind(ByHeading(90, 0), ByFunction(90), Recursive(90, 0)), 90),
]


@pytest.mark.parametrize(("chunker", "size"), CHUNKERS, ids=lambda value: type(value).__name__)
@given(text=TEXTS, kind=st.sampled_from(["markdown", "code", "plain"]))
@settings(max_examples=40, deadline=None)
def test_nothing_is_lost_and_nothing_is_too_long(chunker: Chunker, size: int, text: str, kind: str) -> None:
    document = Document("a", text, kind, "Title", "python" if kind == "code" else "")
    found = chunked(document, chunker)
    covered = np.zeros(len(text), bool)
    for chunk in found:
        assert chunk.text == text[chunk.at : chunk.end]
        assert 0 < len(chunk.text) <= size
        covered[chunk.at : chunk.end] = True
    assert all(covered[i] or letter.isspace() for i, letter in enumerate(text))
    assert [chunk.at for chunk in found] == sorted(chunk.at for chunk in found)
    assert len({chunk.id for chunk in found}) == len(found)
    assert found == chunked(document, chunker)


def test_sections_have_the_headings_above_them_and_code_has_none() -> None:
    text = "intro\n\n# A\ntext a\n## B\n```\n# not one\n```\n# C\nUnder\n-----\nlast"
    assert [(s.headings, text[s.at : s.end].split("\n")[0]) for s in sections(text)] == [
        ((), "intro"),
        (("A",), "# A"),
        (("A", "B"), "## B"),
        (("C",), "# C"),
        (("C", "Under"), "Under"),
    ]


def test_a_chunk_keeps_its_id_when_another_part_of_its_document_changes() -> None:
    paragraphs = ["One paragraph that is long enough.", "Another one, of other words, as long.", "The third of them is the last one."]
    changed = ["One paragraph that was changed a bit.", *paragraphs[1:]]
    before, after = (
        {c.text: c.id for c in chunked(Document("a", "\n\n".join(each), "plain"), Recursive(60, 0))} for each in (paragraphs, changed)
    )
    assert list(before) == paragraphs
    assert [before[p] == after[p] for p in paragraphs[1:]] == [True, True]
    assert set(before.values()).isdisjoint(set(after.values()) - {before[p] for p in paragraphs[1:]})


def test_the_end_of_a_chunk_is_repeated_in_whole_pieces_that_are_short_enough() -> None:
    text = "The first sentence is here. A second one follows it. And now the third one comes along. Then the fourth ends it."
    found = [c.text for c in chunked(Document("a", text, "plain"), Recursive(90, 40))]
    assert found[0] == "The first sentence is here. A second one follows it. And now the third one comes along."
    assert found[1] == "And now the third one comes along. Then the fourth ends it."
    too_long = [c.text for c in chunked(Document("a", text, "plain"), Recursive(90, 30))]
    assert too_long == [found[0], "Then the fourth ends it."]


def test_functions_stay_whole_with_what_stands_right_above_them() -> None:
    code = "import os\n\n\n# doubles\n@cached\ndef double(x):\n    return 2 * x\n\n\nclass Tree:\n    def grow(self):\n        pass\n"
    found = chunked(Document("a.py", code, "code", "a.py", "python"), ByFunction(60))
    assert [c.text.split("\n")[0] for c in found] == ["import os", "# doubles", "class Tree:"]
    assert found[1].headings == ("a.py", "def double(x):")
    assert found[1].embedded.startswith("a.py > def double(x):\n# doubles")


def test_a_small_chunk_hands_its_parent_to_the_generator_and_says_its_place() -> None:
    text = "One thing is here. " * 10 + "\n\n" + "Another is there. " * 10
    document = Document("a.pdf", text, "plain", places=(Place(0, "page 1"), Place(192, "page 2")))
    found = chunked(document, WithParents(Recursive(250, 0), 60))
    assert found[0].told == ("One thing is here. " * 10).strip()
    assert {found[0].place, found[-1].place} == {"page 1", "page 2"}


def test_semantic_chunks_end_where_the_subject_changes() -> None:
    def subject(texts):
        found = np.array([[("cat" in t.lower()) + 0.01, ("tax" in t.lower()) + 0.01] for t in texts], np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    text = "A cat sleeps. The cat eats. Cats purr. A tax is due. The tax is paid. Taxes rise."
    found = chunked(Document("a", text, "plain"), Semantic(subject, "subject", 200, quantile=0.8, around=1))
    assert [c.text for c in found] == ["A cat sleeps. The cat eats. Cats purr.", "A tax is due. The tax is paid. Taxes rise."]


@pytest.mark.parametrize("made", [lambda: Fixed(10), lambda: Recursive(100, 50), lambda: WithParents(size=0)])
def test_sizes_that_can_not_be_are_refused(made) -> None:
    with pytest.raises(NoriaError, match="can't be made"):
        made()
