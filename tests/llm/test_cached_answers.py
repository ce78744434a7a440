"""Answers that are kept: the same question is asked once, whoever asks, and another is another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chat_server import chat_server, dies_after, fine, status
from noria.llm.generation import BadRequest, Cached, Completion, Fallbacks, Message, NoAnswer, OpenAICompatible, Options, Retries

HI = [Message("user", "hi")]


def of(base_url: str, model: str = "m", **more: Any) -> OpenAICompatible:
    return OpenAICompatible(model, base_url, key_env="NORIA_TEST_KEY", **{"retries": Retries(times=0), **more})


def test_the_same_question_is_asked_once(tmp_path: Path) -> None:
    with chat_server(fine("a", "ö 🎏")) as server:
        first = Cached(of(server.base_url), tmp_path)
        made = first.generate(HI)
        again = Cached(of(server.base_url, retries=Retries(times=5), between=1.0), tmp_path)  # asked otherwise, answered alike
        kept = again.generate(HI, Options(timeout=1))
        text, last = again.stream(HI)
    assert (len(server.requests), first.made, again.hits) == (1, 1, 2)
    assert (kept.text, kept.usage, kept.seconds, kept.model, kept.attempts) == (made.text, made.usage, made.seconds, made.model, 0)
    assert (text, last) == ("aö 🎏", kept)


def test_a_streamed_answer_is_kept_too_and_only_once_it_is_whole(tmp_path: Path) -> None:
    with chat_server(dies_after("a"), status(500), fine("a", "b"), fine("a", "b")) as server:
        cached = Cached(of(server.base_url), tmp_path)
        for _ in range(2):
            with pytest.raises(NoAnswer):
                list(cached.stream(HI))
        parts: Any = cached.stream(HI)
        next(parts)
        parts.close()
        assert [part for part in cached.stream(HI) if isinstance(part, str)] == ["a", "b"]
        assert [part for part in cached.stream(HI) if isinstance(part, str)] == ["ab"]
    assert len(server.requests) == 4


def test_what_makes_another_answer_is_another_question(tmp_path: Path) -> None:
    with chat_server(fine("a")) as server:
        plain = Cached(of(server.base_url), tmp_path)
        plain.generate(HI)
        plain.generate([Message("system", "hi")])
        plain.generate([*HI, *HI])
        for options in (Options(most_tokens=9), Options(seed=1), Options(stop=("a",)), Options(tenant="t")):
            plain.generate(HI, options)
        Cached(of(server.base_url, "other"), tmp_path).generate(HI)
        Cached(of(server.base_url, extra={"top_p": 0.5}), tmp_path).generate(HI)
        Cached(Fallbacks([of(server.base_url)]), tmp_path).generate(HI)
        for _ in range(2):
            plain.generate(HI, Options(temperature=0.1))  # which is never kept
    assert len(server.requests) == 12
    assert plain.definition() == of(server.base_url).definition()


def test_data_is_kept_with_its_answer(tmp_path: Path) -> None:
    with chat_server(fine('{"a": [1, null, "ö"]}')) as server:
        cached = Cached(of(server.base_url), tmp_path)
        for _ in range(2):
            assert cached.generate(HI, Options(schema={"type": "object"})).data == {"a": [1, None, "ö"]}
    assert len(server.requests) == 1


def test_a_cache_that_is_broken_is_no_reason_not_to_answer(tmp_path: Path) -> None:
    with chat_server(fine("a")) as server:
        cached = Cached(of(server.base_url), tmp_path)
        cached.generate(HI)
        for path in tmp_path.iterdir():
            path.unlink()
        (tmp_path / "answers.sqlite").write_bytes(b"no database at all" * 100)
        made = cached.generate(HI)
    assert isinstance(made, Completion)
    assert (made.text, cached.failed, len(server.requests)) == ("a", 2, 2)
    with pytest.raises(BadRequest, match="can't keep answers"):
        Cached(of("http://a/v1"), tmp_path / "answers.sqlite")
