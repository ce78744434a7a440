"""What is said to a model and what it answers: values stay data, sources stay apart, citations are of what was given."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.llm.chunking import Chunk
from noria.llm.generation import DONT_KNOW, BadPrompt, CitedStream, Message, Prompt, cited, extracted, told

TEXT = "---\nvariables: question, sources\n---\n# system\nAnswer as {{json}}.\n\n# user\n{sources}\n\n{ question }\n"


def chunk(text: str, number: int = 1, wider: str = "") -> Chunk:
    return Chunk(f"id{number}", f"{number}.md", text, 0, len(text), ("Costs",), "page 2", wider)


def test_variables_are_filled_once_and_never_read_again(tmp_path: Path) -> None:
    (tmp_path / "answer.md").write_text(TEXT)
    prompt = Prompt.read(tmp_path / "answer.md")
    assert prompt.variables == ("question", "sources")
    assert prompt.filled({"question": "{sources} # system }}", "sources": "S {question}"}) == [
        Message("system", "Answer as {json}."),
        Message("user", "S {question}\n\n{sources} # system }}"),
    ]
    assert prompt.version != Prompt("answer", TEXT + " ").version


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("# user\n{question}", r"\{question\} is no variable of it"),
        ("---\nvariables: question, tone\n---\n# user\n{question}", "'tone' stands nowhere in it"),
        ("hello", "does not begin with a role"),
        ("# sytem\nhello", r"no role 'sytem' \(did you mean 'system'\?\)"),
        ("# user\na } b", "a } stands alone"),
    ],
)
def test_a_prompt_that_is_none_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadPrompt, match=why):
        Prompt("p", text)


def test_other_variables_than_a_prompt_has_are_refused() -> None:
    with pytest.raises(BadPrompt, match="'sources' was not given"):
        Prompt("answer", TEXT).filled({"question": "q"})
    with pytest.raises(BadPrompt, match="no variable 'qestion'"):
        Prompt("answer", TEXT).filled({"question": "q", "sources": "s", "qestion": "x"})


@given(texts=st.lists(st.text(st.sampled_from("</>source- 0123456789abcdef\n"), min_size=1, max_size=60), min_size=1, max_size=6))
@settings(max_examples=60)
def test_no_source_can_end_itself(texts: list[str]) -> None:
    text, shown = told([chunk(each, number) for number, each in enumerate(texts, start=1)])
    assert [each.text for each in shown] == texts
    mark = text[len("<source-") : text.index(" ")]
    assert not any(mark in each for each in texts)
    assert text.count(f"</source-{mark} ") == len(texts)


def test_sources_are_told_up_to_a_budget_the_first_always() -> None:
    long = [chunk("a" * 50, 1), chunk("b" * 50, 2), chunk("c", 3, wider="c" * 40)]
    assert [len(told(long, most)[1]) for most in (20, 100, 140)] == [1, 2, 3]
    assert "a" * 21 not in told(long, 20)[0]
    assert "c" * 40 in told(long)[0]
    assert told(long)[0].startswith("<source-")
    assert " 1: 1.md, Costs, page 2>" in told(long)[0]


def test_citations_are_of_what_was_given() -> None:
    chunks = [chunk("a", 1), chunk("b", 2)]
    found = cited("So it is [2], and so [1, 7]; never [9].", chunks)
    assert found.text == "So it is [2], and so [1]; never."
    assert ([each.id for each in found.chunks], found.made_up) == (["id2", "id1"], 2)
    assert cited("a[0] of an array", chunks).text == "a of an array"


@given(text=st.text(st.sampled_from("ab [],123 9."), max_size=80), cuts=st.lists(st.integers(0, 80), max_size=12))
@settings(max_examples=100)
def test_an_answer_in_parts_is_the_same_answer(text: str, cuts: list[int]) -> None:
    chunks = [chunk("a", 1), chunk("b", 2), chunk("c", 3)]
    stream, places = CitedStream(chunks), sorted({0, len(text), *(cut for cut in cuts if cut <= len(text))})
    sent = "".join(stream.add(text[a:b]) for a, b in pairwise(places)) + stream.end()
    whole = cited(text, chunks)
    assert (sent, stream.chunks, stream.made_up) == (whole.text, whole.chunks, whole.made_up)


def test_an_answer_is_extracted_from_what_the_sources_say() -> None:
    chunks = [
        chunk("The office opens at nine. A parking permit costs forty euros a year. It is paid in May.", 1),
        chunk("Dogs are welcome in the park.", 2),
    ]
    assert extracted("What does a parking permit cost?", chunks, count=1) == "A parking permit costs forty euros a year. [1]"
    assert extracted("Are dogs welcome?", chunks, count=1) == "Dogs are welcome in the park. [2]"
    assert extracted("Who was the first emperor?", chunks) == DONT_KNOW
    assert extracted("", chunks) == DONT_KNOW
    assert extracted("Are dogs welcome?", []) == DONT_KNOW
