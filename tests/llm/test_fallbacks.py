"""Several providers behind one port: who answers, who is passed over, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chat_server import chat_server, dies_after, fine, hangs, status
from noria.core.clock import ReplayClock
from noria.llm.generation import (
    AnswerTimedOut,
    BadRequest,
    Completion,
    ContextTooLong,
    Fallbacks,
    Message,
    NotAnswered,
    OpenAICompatible,
    Options,
    Retries,
)

HI = [Message("user", "hi")]
START = datetime(2026, 1, 1, tzinfo=UTC)


def of(base_url: str, model: str = "m") -> OpenAICompatible:
    return OpenAICompatible(model, base_url, retries=Retries(times=0), key_env="NORIA_TEST_KEY")


@pytest.mark.parametrize("trouble", [status(500), status(401), status(404), status(429), status(400, code="context_length_exceeded")])
def test_the_next_one_answers_and_the_answer_says_so(trouble: object) -> None:
    with chat_server(trouble) as first, chat_server(fine("b")) as second:  # type: ignore[arg-type]
        both = Fallbacks([of(first.base_url, "a"), of(second.base_url, "b")])
        made, (text, last) = both.generate(HI), list(both.stream(HI))
    assert isinstance(last, Completion)
    assert (made.text, text, last.text, made.attempts, last.attempts) == ("b", "b", "b", 2, 2)
    for each in (made, last):
        assert each.provider == f"b at {second.base_url[7:-3]}"
        assert [who.split(": ")[0] for who in each.passed_over] == [f"a at {first.base_url[7:-3]}"]


def test_one_that_hangs_leaves_time_for_the_next() -> None:
    with chat_server(hangs) as first, chat_server(fine("b")) as second:
        made = Fallbacks([of(first.base_url), of(second.base_url)]).generate(HI, Options(timeout=1.6))
    assert made.text == "b"
    assert 0.8 <= made.seconds < 1.6


def test_what_begins_as_one_answer_never_goes_on_as_another() -> None:
    with chat_server(dies_after("It ")) as first, chat_server(fine("b")) as second:
        parts = Fallbacks([of(first.base_url), of(second.base_url)]).stream(HI)
        assert next(parts) == "It "
        with pytest.raises(NotAnswered) as caught:
            next(parts)
    assert (caught.value.partial, len(second.requests)) == ("It ", 0)


def test_one_that_fails_again_and_again_is_left_alone_and_tried_once_later() -> None:
    clock = ReplayClock(START)
    with chat_server(*[status(500)] * 4, fine("a")) as first, chat_server(fine("b")) as second:
        both = Fallbacks([of(first.base_url), of(second.base_url)], failures=3, pause=30, clock=clock)
        for _ in range(6):
            assert both.generate(HI).text == "b"
        assert len(first.requests) == 3
        assert both.generate(HI).passed_over[0].endswith("left alone for 30 s")
        clock.advance_to(START + timedelta(seconds=31))
        assert [both.generate(HI).text, both.generate(HI).text] == ["b", "b"]
        assert len(first.requests) == 4  # one try, which failed
        clock.advance_to(START + timedelta(seconds=62))
        assert [both.generate(HI).text, both.generate(HI).text] == ["a", "a"]


def test_all_that_are_left_alone_are_told_with_when_to_come_again() -> None:
    with chat_server(status(500)) as first:
        one = Fallbacks([of(first.base_url)], failures=1, pause=30, clock=ReplayClock(START))
        with pytest.raises(NotAnswered, match="status 500"):
            one.generate(HI)
        with pytest.raises(NotAnswered, match="left alone") as caught:
            one.generate(HI)
    assert (caught.value.retry_after, len(first.requests)) == (30, 1)


def test_what_is_wrong_with_a_request_does_not_count_against_who_says_so() -> None:
    with chat_server(*[status(413)] * 5, fine("a")) as first:
        one = Fallbacks([of(first.base_url)], failures=1, clock=ReplayClock(START))
        for _ in range(5):
            with pytest.raises(ContextTooLong):
                one.generate(HI)
        assert one.generate(HI).text == "a"


def test_a_try_whose_reader_leaves_does_not_close_the_door_for_good() -> None:
    clock = ReplayClock(START)
    with chat_server(status(500), fine("a", "b")) as first:
        one = Fallbacks([of(first.base_url)], failures=1, pause=30, clock=clock)
        with pytest.raises(NotAnswered):
            one.generate(HI)
        clock.advance_to(START + timedelta(seconds=31))
        parts = one.stream(HI)
        assert next(parts) == "a"
        parts.close()  # type: ignore[attr-defined]
        assert one.generate(HI).text == "ab"


def test_none_that_answers_is_one_error_with_all_reasons() -> None:
    with chat_server(status(401, "bad")) as first, chat_server(hangs) as second, pytest.raises(NotAnswered) as caught:
        Fallbacks([of(first.base_url), of(second.base_url)]).generate(HI, Options(timeout=0.2))
    assert "NORIA_TEST_KEY" in str(caught.value)
    assert "took longer" in str(caught.value)
    with chat_server(hangs) as second, pytest.raises(AnswerTimedOut):
        Fallbacks([of(second.base_url)]).generate(HI, Options(timeout=0.1))


def test_the_order_is_in_the_definition() -> None:
    first, second = of("http://a/v1"), of("http://b/v1")
    assert Fallbacks([first, second]).definition()["of"] == [first.definition(), second.definition()]
    with pytest.raises(BadRequest):
        Fallbacks([])
