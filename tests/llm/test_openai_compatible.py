"""Models behind the chat completions protocol: what is sent, what comes back, and everything that servers do wrong, on a real one."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from chat_server import (
    Behaviour,
    bytes_in_chunks,
    chat_server,
    dies,
    dies_after,
    endless,
    events,
    fine,
    hangs,
    hangs_after,
    keeps_alive,
    part,
    raw,
    status,
    trickles,
    whole,
)
from noria.llm.generation import Completion, Message, OpenAICompatible, Options, Prices, Retries, Usage
from noria.llm.generation.failures import (
    AnswerTimedOut,
    BadAnswer,
    BadKey,
    BadRequest,
    ContextTooLong,
    NoAnswer,
    NoSuchModel,
    NotAnswered,
    TooManyRequests,
)

HI = [Message("user", "hi")]
SOON = Retries(times=2, first=0.001, longest=0.002)
NEVER = Retries(times=0)


def of(base_url: str, **changes: Any) -> OpenAICompatible:
    return OpenAICompatible("m", base_url, **{"retries": SOON, "key_env": "NORIA_TEST_KEY", **changes})


def streamed(generator: OpenAICompatible, options: Options = Options()) -> tuple[list[str], Completion]:
    *parts, last = generator.stream(HI, options)
    assert isinstance(last, Completion)
    assert all(isinstance(each, str) for each in parts)
    return [str(each) for each in parts], last


def answered(generator: OpenAICompatible, how: str, options: Options = Options()) -> Completion:
    return generator.generate(HI, options) if how == "whole" else streamed(generator, options)[1]


def asked(behaviours: tuple[Behaviour, ...], how: str, options: Options = Options(), **changes: Any) -> tuple[Completion, int]:
    """The answer of a server with these behaviours, and how many requests there were."""
    with chat_server(*behaviours) as server:
        generator = of(server.base_url, **changes)
        answer = answered(generator, how, options)
        generator.close()
        return answer, len(server.requests)


both = pytest.mark.parametrize("how", ["whole", "streamed"])


@both
def test_an_answer_comes_with_what_it_took(how: str) -> None:
    made, _ = asked((fine("Hel", "lo."),), how, prices=Prices(2.0, 8.0, cached=1.0))
    assert (made.text, made.finish, made.model, made.id, made.attempts) == ("Hello.", "stop", "m-2026", "chatcmpl-1", 1)
    assert made.usage == Usage(7, 3, 4, cost=pytest.approx((3 * 2 + 4 * 1 + 3 * 8) / 1e6))
    assert made.provider.startswith("m at 127.0.0.1:")
    assert (made.first_part is None) == (how == "whole")
    assert made.seconds > 0


def test_the_parts_are_those_of_the_answer() -> None:
    with chat_server(fine("Hel", "lo", " wörld")) as server:
        assert streamed(of(server.base_url))[0] == ["Hel", "lo", " wörld"]


def test_what_is_sent_is_the_protocol() -> None:
    options = Options(temperature=0.5, most_tokens=9, seed=3, stop=("\n", "END"))
    with chat_server(fine("a")) as server:
        streamed(of(server.base_url, extra={"top_p": 0.9}, without=["seed"]), options)
        of(server.base_url, limit="max_completion_tokens").generate([Message("system", "s"), *HI], Options(seed=None))
        first, second = server.requests
    assert first == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "max_tokens": 9,
        "stop": ["\n", "END"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "top_p": 0.9,
    }
    assert second["max_completion_tokens"] == 512
    assert not {"max_tokens", "seed", "stream", "stop"} & set(second)


def test_connections_are_kept_whole_and_streamed_and_after_errors() -> None:
    with chat_server(fine("a"), fine("b"), status(400), fine("c"), fine("d")) as server:
        generator = of(server.base_url)
        generator.generate(HI)
        streamed(generator)
        with pytest.raises(BadRequest):
            generator.generate(HI)
        streamed(generator)
        generator.generate(HI)
        assert (len(server.requests), server.connections) == (5, 1)


def test_an_idle_connection_that_the_server_closed_is_no_error() -> None:
    def closes(exchange: Any) -> None:
        fine("a")(exchange)
        exchange.close_connection = True

    with chat_server(closes) as server:
        generator = of(server.base_url, retries=SOON)
        assert [generator.generate(HI).text for _ in range(5)] == ["a"] * 5


@both
@pytest.mark.parametrize("trouble", [status(500), status(503, wait=0.01), status(429), status(408), status(409), dies, raw(b"")])
def test_what_passes_is_tried_again(trouble: Behaviour, how: str) -> None:
    made, requests = asked((trouble, trouble, fine("fine")), how)
    assert (made.text, made.attempts, requests) == ("fine", 3, 3)


@both
@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (status(401, "no"), BadKey),
        (status(403), BadKey),
        (status(404, "The model `m` does not exist", code="model_not_found"), NoSuchModel),
        (status(400, "m: unknown model"), NoSuchModel),
        (status(400, "This model's maximum context length is 10 tokens, you requested 12"), ContextTooLong),
        (status(400, "too much", code="context_length_exceeded"), ContextTooLong),
        (status(400, "the request exceeds the available context size (512 tokens)"), ContextTooLong),
        (status(413), ContextTooLong),
        (status(400, "temperature must be below 2"), BadRequest),
        (status(422), BadRequest),
        (status(307, headers={"Location": "http://elsewhere.example/v1"}), BadRequest),
        (status(429, "quota", code="insufficient_quota"), TooManyRequests),
        (status(500, headers={"x-should-retry": "false"}), NotAnswered),
        (raw(b"<html>log in</html>", "text/html"), BadAnswer),
        (raw(b"{"), BadAnswer),
        (raw(b"[]"), BadAnswer),
        (raw(b"{}"), BadAnswer),
        (raw(b'{"choices": []}'), BadAnswer),
        (raw(b'{"choices": [{"message": {"content": 7}}]}'), BadAnswer),
        (raw(b'{"choices": [{"message": "hi"}]}'), BadAnswer),
        (raw(b"[" * 100_000), BadAnswer),
        (raw(b'{"choices": [{"message": {"content": "\xff"}}]}'), BadAnswer),
    ],
)
def test_what_stays_is_told_at_once(trouble: Behaviour, kind: type[NoAnswer], how: str) -> None:
    with chat_server(trouble, fine("never")) as server, pytest.raises(NoAnswer) as caught:
        answered(of(server.base_url), how)
    assert (type(caught.value), len(server.requests)) == (kind, 1)
    assert caught.value.partial == ""
    assert "m at 127.0.0.1" in caught.value.where


@both
def test_what_does_not_pass_is_told_in_the_end(how: str) -> None:
    with chat_server(status(500, "out of memory")) as server, pytest.raises(NotAnswered, match="status 500: out of memory"):
        answered(of(server.base_url), how)
    assert len(server.requests) == 3


def test_nobody_there_is_told(unused_port: int) -> None:
    with pytest.raises(NotAnswered, match="refused"):
        of(f"http://127.0.0.1:{unused_port}/v1").generate(HI)


@pytest.mark.parametrize(
    "wait", [{"Retry-After": "9"}, {"retry-after-ms": "9000"}, {"Retry-After": format_datetime(datetime(2200, 1, 1, tzinfo=UTC))}]
)
def test_a_provider_that_says_when_is_left_alone_until_then(wait: dict[str, str]) -> None:
    with chat_server(status(429, headers=wait), fine("never")) as server, pytest.raises(TooManyRequests) as caught:
        of(server.base_url).generate(HI, Options(timeout=5))
    assert len(server.requests) == 1
    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= 9


@pytest.mark.parametrize("wait", ["soon", "nan", "-5", "inf", "0", "Mon, 99 Foo 2026"])
def test_a_wait_that_is_none_is_no_matter(wait: str) -> None:
    assert asked((status(503, wait=wait), fine("a")), "whole")[1] == 2


@both
@pytest.mark.parametrize("trouble", [hangs, trickles])
def test_a_server_that_hangs_is_late(trouble: Behaviour, how: str) -> None:
    with chat_server(trouble) as server, pytest.raises(AnswerTimedOut, match=r"the whole answer took longer than 0\.15 s"):
        answered(of(server.base_url, first_part=None), how, Options(timeout=0.15))


@pytest.mark.parametrize("trouble", [hangs, keeps_alive])
def test_a_first_part_that_does_not_come_is_late_and_tried_again(trouble: Behaviour) -> None:
    made, requests = asked((trouble, fine("a")), "streamed", first_part=0.5)
    assert (made.text, requests) == ("a", 2)
    with pytest.raises(AnswerTimedOut, match=r"the first part took longer than 0\.05 s"):
        asked((trouble,), "streamed", first_part=0.05)


def test_a_part_that_does_not_come_is_late_and_never_tried_again() -> None:
    with chat_server(hangs_after("It ", "is")) as server:
        parts: Iterator[str | Completion] = of(server.base_url, between=0.4).stream(HI)
        assert [next(parts), next(parts)] == ["It ", "is"]
        with pytest.raises(AnswerTimedOut, match="the next part") as caught:
            next(parts)
    assert (caught.value.partial, len(server.requests)) == ("It is", 1)


IT_IS = b'data: {"choices":[{"delta":{"content":"It is"}}]}\n\n'


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (dies_after("It ", "is"), NotAnswered),
        (bytes_in_chunks(*[b"data: " + json.dumps(part({"content": word})).encode() + b"\n\n" for word in ("It ", "is")]), NotAnswered),
        (bytes_in_chunks(IT_IS + b'data: {"choices":[{"de'), NotAnswered),
        (bytes_in_chunks(IT_IS + b"data: garbage\n\n"), BadAnswer),
        (bytes_in_chunks(IT_IS + b'data: {"error":{"message":"oom","code":500}}\n\n'), NotAnswered),
        (bytes_in_chunks(IT_IS + b'data: {"error":"oom"}\n\n'), NotAnswered),
        (bytes_in_chunks(IT_IS + b'data: {"choices":[{"delta":{"content":[1, {}]}}]}\n\n'), NotAnswered),
    ],
)
def test_an_answer_that_breaks_off_says_what_was_handed_out(trouble: Behaviour, kind: type[NoAnswer]) -> None:
    with chat_server(trouble, fine("never")) as server, pytest.raises(NoAnswer) as caught:
        streamed(of(server.base_url))
    assert (type(caught.value), caught.value.partial, len(server.requests)) == (kind, "It is", 1)


@pytest.mark.parametrize(
    "trouble",
    [
        bytes_in_chunks(b'data: {"error":{"message":"overloaded","code":503}}\n\n'),
        bytes_in_chunks(b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n', end=False),
        bytes_in_chunks(),
        dies_after(),
    ],
)
def test_a_stream_that_breaks_off_before_its_first_part_is_tried_again(trouble: Behaviour) -> None:
    made, requests = asked((trouble, fine("a")), "streamed")
    assert (made.text, made.attempts, requests) == ("a", 2, 2)


@pytest.mark.parametrize("data", [b"<html>log in</html>", b"data: <html>\n\n", b"data: 7\n\n", b"data: {}\n\n", b'{"choices": []}'])
def test_a_stream_of_garbage_is_told(data: bytes) -> None:
    with pytest.raises(NoAnswer) as caught:
        asked((bytes_in_chunks(data),), "streamed", retries=NEVER)
    assert caught.value.code in ("NR-836", "NR-838")


STREAM = b"".join(b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n" for event in events(["Grüße ", "aus ", "東京 🎏"]))


@pytest.mark.parametrize(
    "chunks",
    [
        [STREAM, b"data: [DONE]\n\n"],
        [STREAM[at : at + 1] for at in range(len(STREAM))],  # each letter, and each half of one, by itself
        [STREAM[at : at + 7] for at in range(0, len(STREAM), 7)] + [b"data: [DONE]"],
        [STREAM.replace(b"\n", b"\r\n"), b"data: [DONE]\r\n\r\n"],
        [piece for byte in STREAM.replace(b"\n", b"\r\n") for piece in (bytes([byte]),)],
        [STREAM.replace(b"\n", b"\r")],
        [b"\xef\xbb\xbf: hello\n\n: still here\n\nevent: message\nid: 4\nretry: 10\n", STREAM.replace(b"\n\n", b"\n: alive\n\n")],
        [STREAM.replace(b"data: ", b"data:")],
        [STREAM.replace(b', "choices"', b',\ndata: "choices"')],
    ],
    ids=["whole", "bytes", "sevens", "CRLF", "CRLF in bytes", "CR", "comments", "no space", "several lines"],
)
def test_a_stream_is_read_however_it_is_cut(chunks: list[bytes]) -> None:
    made, _ = asked((bytes_in_chunks(*chunks),), "streamed", retries=NEVER)
    assert (made.text, made.finish, made.usage.prompt_tokens) == ("Grüße aus 東京 🎏", "stop", 7)


def test_what_comes_after_the_end_does_not_reach_the_next_answer() -> None:
    late = bytes_in_chunks(STREAM, b"data: [DONE]\n\n", b"data: " + json.dumps(part({"content": "late"})).encode() + b"\n\n")
    with chat_server(late, fine("b")) as server:
        generator = of(server.base_url)
        assert streamed(generator)[1].text == "Grüße aus 東京 🎏"
        assert streamed(generator)[1].text == "b"


def test_a_server_that_keeps_the_stream_open_after_its_end_is_not_waited_for() -> None:
    def stays(exchange: Any) -> None:
        exchange.begin()
        exchange.chunk(STREAM + b"data: [DONE]\n\n")
        exchange.told.over.wait()

    assert asked((stays,), "streamed")[0].text == "Grüße aus 東京 🎏"


def test_a_server_that_does_not_stream_is_heard() -> None:
    assert asked((raw(json.dumps(whole("Hello.")).encode()),), "streamed")[0].text == "Hello."


@both
@pytest.mark.parametrize(
    "usage", [None, {}, "ten", {"prompt_tokens": -1, "completion_tokens": "x"}, {"prompt_tokens": 3, "completion_tokens": 0}]
)
def test_usage_that_is_missing_or_can_not_be_is_estimated(usage: object, how: str) -> None:
    made, _ = asked((fine("word " * 100, usage=usage),), how, prices=Prices(1.0, 1.0))
    assert made.usage.estimated
    assert 90 <= made.usage.completion_tokens <= 160
    assert made.usage.cost == pytest.approx((made.usage.prompt_tokens + made.usage.completion_tokens) / 1e6)


@both
@pytest.mark.parametrize(
    ("said", "finish"), [("stop", "stop"), ("length", "length"), ("content_filter", "filtered"), ("tool_calls", "tools"), ("eos", "stop")]
)
def test_why_it_ended_is_told(said: str, finish: str, how: str) -> None:
    assert asked((fine("a", finish=said),), how)[0].finish == finish


@both
def test_an_answer_that_a_filter_withholds_is_no_error(how: str) -> None:
    made, requests = asked((status(400, "withheld", code="content_filter"),), how)
    assert (made.text, made.finish, requests) == ("", "filtered", 1)
    refused = json.dumps(whole(None, refusal="I can't help with that.")).encode()
    made, _ = asked((raw(refused),), how, options=Options(schema={"type": "object"}))
    assert (made.text, made.finish, made.data) == ("I can't help with that.", "filtered", None)


@both
def test_an_answer_is_bounded(how: str) -> None:
    with pytest.raises(BadAnswer, match="longer than 10,000 bytes"):
        asked((fine("x" * 11_000),), how, most_bytes=10_000)
    with pytest.raises(BadAnswer, match="longer than 10,000 bytes"):
        asked((endless,), "streamed", most_bytes=10_000)


def test_a_packed_answer_that_bursts_is_bounded() -> None:
    bomb = gzip.compress(b'{"choices": "' + b"x" * 50_000_000)
    with pytest.raises(BadAnswer, match="longer than 1,000,000 bytes"):
        asked((raw(bomb, headers={"Content-Encoding": "gzip"}),), "whole", most_bytes=1_000_000)


def test_closing_the_iterator_ends_the_answer() -> None:
    with chat_server(endless) as server:
        parts: Any = of(server.base_url).stream(HI)
        assert str(next(parts)).startswith("on and on")
        parts.close()
        assert server.noticed.wait(10)


def test_the_parts_may_be_read_in_other_threads_than_the_first() -> None:
    found = list[str | Completion]()
    with chat_server(fine("a", "b", "c")) as server:
        parts = of(server.base_url).stream(HI)
        for _ in range(4):
            thread = threading.Thread(target=lambda: found.append(next(parts)))
            thread.start()
            thread.join()
    assert found[:3] == ["a", "b", "c"]
    assert isinstance(found[3], Completion)


def test_many_threads_share_a_generator() -> None:
    def answers(exchange: Any) -> None:
        fine(exchange.body["messages"][0]["content"])(exchange)

    found = dict[int, str]()
    with chat_server(answers) as server:
        generator = of(server.base_url)

        def ask(number: int) -> None:
            for again in range(10):
                text = f"{number}-{again}"
                made = generator.generate([Message("user", text)]) if again % 2 else list(generator.stream([Message("user", text)]))[-1]
                assert isinstance(made, Completion)
                found[number * 10 + again] = made.text

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {number * 10 + again: f"{number}-{again}" for number in range(8) for again in range(10)}


SECRET = "sk-very-secret-000"


def test_a_key_is_sent_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORIA_TEST_KEY", SECRET + "\n")
    monkeypatch.setenv("NORIA_TEST_ORG", "org-secret")
    with chat_server(fine("a"), status(401, f"Incorrect API key {SECRET}"), status(500, SECRET)) as server:
        generator = of(server.base_url, headers_env={"OpenAI-Organization": "NORIA_TEST_ORG"}, retries=NEVER)
        generator.generate(HI)
        assert server.headers[0]["authorization"] == f"Bearer {SECRET}"
        assert server.headers[0]["openai-organization"] == "org-secret"
        with pytest.raises(BadKey, match="the key in NORIA_TEST_KEY is refused") as refused:
            generator.generate(HI)
        with pytest.raises(NotAnswered) as failed:
            generator.generate(HI)
    shown = f"{refused.value} {failed.value} {refused.value.to_dict()} {vars(generator)} {generator.definition()}"
    assert "secret" not in shown.replace("could be secret", "")


def test_no_key_where_none_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NORIA_TEST_KEY", raising=False)
    with chat_server(fine("a"), status(401)) as server:
        of(server.base_url).generate(HI)
        assert "authorization" not in server.headers[0]
        with pytest.raises(BadKey, match="NORIA_TEST_KEY is not set"):
            of(server.base_url).generate(HI)


def test_a_server_that_needs_no_key_is_told_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with chat_server(fine("a"), status(401)) as server:
        generator = OpenAICompatible.opened(OpenAICompatible("m", server.base_url, key_env=None, retries=NEVER).definition())
        assert generator.generate(HI).text == "a"
        assert "authorization" not in server.headers[0]
        with pytest.raises(BadKey, match="key_env=None says that there is none"):
            generator.generate(HI)


def test_a_key_that_no_header_may_have_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORIA_TEST_KEY", "secret\nX: y")
    with pytest.raises(BadKey) as caught:
        of("http://127.0.0.1:1/v1").generate(HI)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "ftp://a/v1", "https://", "http://user:secret@a/v1", "http://a/v1?key=secret", "", "http://a:99999", "http://a b"],
)
def test_an_address_that_is_none_or_has_secrets_is_refused(url: str) -> None:
    with pytest.raises(BadRequest) as caught:
        OpenAICompatible("m", url)
    assert "secret@" not in str(caught.value)
    assert "=secret" not in str(caught.value)


def test_an_address_may_have_its_path() -> None:
    with chat_server(fine("a")) as server:
        assert of(server.base_url + "/chat/completions").generate(HI).text == "a"
        with pytest.raises(NoSuchModel, match="no route"):
            of(server.base_url + "/v2").generate(HI)


def test_a_server_that_wants_the_limit_by_its_other_name_gets_it() -> None:
    refuses = status(400, "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
    with chat_server(refuses, fine("a"), fine("b")) as server:
        generator = of(server.base_url, retries=NEVER)
        assert [generator.generate(HI).text, generator.generate(HI).text] == ["a", "b"]
        assert [("max_tokens" in sent, "max_completion_tokens" in sent) for sent in server.requests] == [(True, False)] + [
            (False, True)
        ] * 2


@pytest.mark.parametrize(
    "bad", [{"temperature": -1}, {"temperature": float("nan")}, {"most_tokens": 0}, {"timeout": 0}, {"stop": "x"}, {"stop": ("",)}]
)
def test_options_that_can_not_be_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        Options(**bad)


@both
@pytest.mark.parametrize(("message", "extra"), [("half \ud83d", {}), ("hi", {"bad": object()})])
def test_what_can_not_be_sent_is_refused(message: str, extra: dict[str, Any], how: str) -> None:
    with chat_server(fine("a")) as server:
        generator = of(server.base_url, extra=extra)
        with pytest.raises(BadRequest, match="can't be sent"):
            next(generator.stream([Message("user", message)])) if how == "streamed" else generator.generate([Message("user", message)])
    assert server.requests == []


def test_a_definition_opens_the_same_generator() -> None:
    generator = of("http://localhost:8000/v1", prices=Prices(1, 2), extra={"top_p": 0.5}, between=3.0, headers_env={"api-key": "AZURE"})
    assert json.loads(json.dumps(generator.definition())) == generator.definition()
    assert OpenAICompatible.opened(generator.definition()).definition() == generator.definition()


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
