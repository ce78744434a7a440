"""Questions rewritten for a search: whatever a model writes, there is a question to search with."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat_server import chat_server, fine, status
from noria.llm.generation import Completion, Message, OpenAICompatible, Options, Retries, rewritten, several_ways

TALK = [Message("system", "s"), Message("user", "What is a\nlease?"), Message("assistant", "A lock that expires.")]


def of(base_url: str) -> OpenAICompatible:
    return OpenAICompatible("m", base_url, key_env="NORIA_TEST_KEY", retries=Retries(times=0))


class Says:
    """A generator that says one thing."""

    def __init__(self, text: str) -> None:
        self.text = text

    def generate(self, *_asked: object) -> Completion:
        return Completion(self.text)


@pytest.mark.parametrize(
    ("said", "question"),
    [
        ("How long does a lease last?", "How long does a lease last?"),
        ('"How long does a lease last?"\n', "How long does a lease last?"),
        ("\n\nStandalone question: How long does a lease last?\nThis is because", "How long does a lease last?"),
        ("1. **How long does a lease last?**", "How long does a lease last?"),
        ("- „Wie lange gilt ein Lease?“", "Wie lange gilt ein Lease?"),
    ],
)
def test_a_follow_up_is_a_question_of_its_own(said: str, question: str) -> None:
    with chat_server(fine(said)) as server:
        found = rewritten("How long does it last?", TALK, of(server.base_url))
        sent = server.requests[0]["messages"][-1]["content"]
    assert (found.text, found.why_not) == (question, "")
    assert "User: What is a lease?\nAssistant: A lock that expires.\n\nLast question: How long does it last?" in sent


@pytest.mark.parametrize("said", ["", "   \n", "```", "---", "Here is the question:", "x" * 2000, "It lasts a minute."])
def test_what_is_no_question_leaves_the_question_as_it_was(said: str) -> None:
    with chat_server(fine(said)) as server:
        found = rewritten("How long does it last?", TALK, of(server.base_url))
    assert found.text == "How long does it last?"
    assert found.why_not


def test_a_model_that_fails_leaves_the_question_as_it_was_and_says_why() -> None:
    with chat_server(status(500, "oom")) as server:
        found, ways = rewritten("And it?", TALK, of(server.base_url)), several_ways("And it?", of(server.base_url))
    assert (found.text, ways.questions) == ("And it?", ("And it?",))
    assert "NR-836" in found.why_not
    assert "oom" in ways.why_not
    with chat_server(fine("I won't", finish="content_filter")) as server:
        assert rewritten("And it?", TALK, of(server.base_url)).why_not == "the answer was withheld"


def test_nobody_is_asked_where_there_is_nothing_to_rewrite() -> None:
    nobody = of("http://127.0.0.1:1/v1")
    assert rewritten("What is a lease?", [], nobody).text == "What is a lease?"
    assert rewritten("What is a lease?", [Message("system", "s")], nobody).why_not == "there is no conversation that it could lean on"
    assert rewritten(" ", TALK, nobody).why_not == several_ways("", nobody).why_not == "there is no question"
    assert several_ways("a", nobody, 0).questions == ("a",)


@pytest.mark.parametrize(
    "said",
    [
        "How do I end a permit?\nWhat ends a permit?\n",
        "Here are two:\n1. How do I end a permit?\n2) What ends a permit?",
        "- How do I end a permit?\n\n- how do I END a permit\n* What ends a permit?\n* cancel a permit?",
        "To cancel it, go to the office.\nHow do I end a permit?\nWhat ends a permit?",
        '["How do I end a permit?", "What ends a permit?"]',
        '```json\n["How do I end a permit?", "What ends a permit?"]\n```',
    ],
)
def test_several_ways_are_the_question_first_and_each_once(said: str) -> None:
    with chat_server(fine(said)) as server:
        ways = several_ways("Cancel a permit?", of(server.base_url), 2)
    assert ways.questions == ("Cancel a permit?", "How do I end a permit?", "What ends a permit?")
    assert ways.why_not == ""


def test_fewer_ways_than_were_asked_are_told() -> None:
    with chat_server(fine("What ends a permit?\nWhat ends a permit?")) as server:
        ways = several_ways("Cancel a permit?", of(server.base_url), 3)
    assert (len(ways.questions), ways.why_not) == (2, "the model wrote 2 fewer that differ")


@given(text=st.text(max_size=200) | st.text(st.sampled_from('ab?1.)-*"[]{}`:\n,'), max_size=60), count=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_whatever_a_model_writes_there_are_questions(text: str, count: int) -> None:
    ways = several_ways("Why?", Says(text), count)  # type: ignore[arg-type]
    assert ways.questions[0] == "Why?"
    assert len(ways.questions) <= count + 1
    assert all(way.strip() == way and way and "\n" not in way for way in ways.questions)
    found = rewritten("Why?", TALK, Says(text))  # type: ignore[arg-type]
    assert found.text.strip()
    assert (found.text == "Why?") or not found.why_not


def test_an_answer_cut_short_is_no_question() -> None:
    with chat_server(fine("How long does a lea", finish="length")) as server:
        assert rewritten("And it?", TALK, of(server.base_url), Options(most_tokens=5)).why_not == "what the model wrote has no end"
