"""The official client and ours against the same server: the same requests, the same answers, the same troubles."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from chat_server import Server, bytes_in_chunks, chat_server, dies_after, events, fine, hangs, status
from noria.llm.generation import (
    AnswerTimedOut,
    BadKey,
    BadRequest,
    Completion,
    Message,
    NoAnswer,
    NoSuchModel,
    NotAnswered,
    OpenAICompatible,
    Options,
    Retries,
    TooManyRequests,
)
from openai_clients import closed_clients, openai_client  # noqa: F401 - a fixture

HI = [Message("system", "Be brief."), Message("user", "hi 🎏")]
SENT: Any = [{"role": message.role, "content": message.content} for message in HI]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def ours(server: Server, timeout: float = 30.0) -> tuple[OpenAICompatible, Options]:
    generator = OpenAICompatible("m", server.base_url, key_env="NORIA_TEST_KEY", retries=Retries(times=0), first_part=None)
    return generator, Options(temperature=0.5, most_tokens=9, seed=3, stop=("END",), timeout=timeout)


def official(server: Server, timeout: float = 30.0) -> openai.OpenAI:
    return openai_client(server.base_url, "sk-test", timeout=timeout)


ASKED: Any = {"model": "m", "messages": SENT, "temperature": 0.5, "max_tokens": 9, "seed": 3, "stop": ["END"]}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORIA_TEST_KEY", "sk-test")


def test_both_send_and_read_the_same_whole_answer() -> None:
    with chat_server(fine("Grüße ", "🎏")) as server:
        generator, options = ours(server)
        mine, theirs = generator.generate(HI, options), official(server).chat.completions.create(**ASKED)
    assert server.requests[0] == server.requests[1]
    assert server.headers[0]["authorization"] == server.headers[1]["authorization"] == "Bearer sk-test"
    assert theirs.usage is not None
    assert (mine.text, mine.finish, mine.id, mine.model) == (
        theirs.choices[0].message.content,
        theirs.choices[0].finish_reason,
        theirs.id,
        theirs.model,
    )
    assert (mine.usage.prompt_tokens, mine.usage.completion_tokens) == (theirs.usage.prompt_tokens, theirs.usage.completion_tokens)
    assert theirs.usage.prompt_tokens_details is not None
    assert mine.usage.cached_tokens == theirs.usage.prompt_tokens_details.cached_tokens


STREAM = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events(["Grüße ", "aus ", "東京 🎏"]))


@pytest.mark.parametrize(
    "behaviour",
    [
        fine("Grüße ", "aus ", "東京 🎏"),
        bytes_in_chunks(*[bytes([byte]) for byte in STREAM], b"data: [DONE]\n\n"),
        bytes_in_chunks(STREAM.replace(b"\n", b"\r\n"), b"data: [DONE]\r\n\r\n"),
        bytes_in_chunks(b": hello\n\n", STREAM, b"data: [DONE]\n\n"),
    ],
    ids=["plain", "bytes", "CRLF", "comments"],
)
def test_both_send_and_read_the_same_stream(behaviour: Any) -> None:
    with chat_server(behaviour) as server:
        generator, options = ours(server)
        *parts, last = generator.stream(HI, options)
        chunks = list(official(server).chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True}))
    assert server.requests[0] == server.requests[1]
    assert isinstance(last, Completion)
    assert parts == [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    usage = chunks[-1].usage
    assert usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (usage.prompt_tokens, usage.completion_tokens)


def test_both_ask_for_a_schema_alike() -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    with chat_server(fine('{"a": 1}')) as server:
        generator, _ = ours(server)
        assert generator.generate(HI, Options(temperature=0.5, most_tokens=9, seed=3, stop=("END",), schema=SCHEMA)).data == {"a": 1}
        official(server).chat.completions.create(**ASKED, response_format=form)
    assert server.requests[0] == server.requests[1]


@pytest.mark.parametrize(
    ("trouble", "mine", "theirs"),
    [
        (status(401), BadKey, openai.AuthenticationError),
        (status(403), BadKey, openai.PermissionDeniedError),
        (status(404), NoSuchModel, openai.NotFoundError),
        (status(400), BadRequest, openai.BadRequestError),
        (status(422), BadRequest, openai.UnprocessableEntityError),
        (status(429), TooManyRequests, openai.RateLimitError),
        (status(500), NotAnswered, openai.InternalServerError),
        (hangs, AnswerTimedOut, openai.APITimeoutError),
    ],
)
def test_both_say_the_same_of_troubles(trouble: Any, mine: type[NoAnswer], theirs: type[openai.OpenAIError]) -> None:
    with chat_server(trouble) as server:
        generator, options = ours(server, timeout=0.2)
        with pytest.raises(NoAnswer) as caught:
            generator.generate(HI, options)
        assert type(caught.value) is mine
        with pytest.raises(theirs):
            official(server, timeout=0.2).chat.completions.create(**ASKED)


def test_a_stream_that_ends_too_soon_is_an_error_for_us_alone() -> None:
    """The official client takes a stream without its end for the whole answer, and then half an answer passes for one."""
    half = bytes_in_chunks(b'data: {"choices":[{"index":0,"delta":{"content":"It is"}}]}\n\n')
    with chat_server(half) as server:
        theirs = list(official(server).chat.completions.create(**ASKED, stream=True))
        assert theirs[0].choices[0].delta.content == "It is"
        with pytest.raises(NotAnswered, match="ended before the answer did"):
            list(ours(server)[0].stream(HI))
    with chat_server(dies_after("It is")) as server, pytest.raises(NotAnswered, match="broke off after 5 characters"):
        list(ours(server)[0].stream(HI))
