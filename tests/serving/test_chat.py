"""Chat completions: OpenAI's own client, unchanged, against a real server of models that stream, and of others."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from applications import SIGNATURE, WHOLE, application, as_json, embedder
from noria.core.clock import SystemClock
from noria.core.files import LocalFiles
from noria.core.signature import Field, Signature
from noria.evaluation.generation import INPUTS, Generation
from noria.serving import generated
from noria.serving.again import _numbers as what_is_compared
from noria.serving.log.segments import read_log
from noria.serving.protocol.v1 import chat as chats
from noria.serving.protocol.v1.errors import UnsupportedParameter
from servers import Standalone, make_bundle, soon
from texts import FOREVER, Events, talker

USER = "user"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("chat")
    bundles = folder / "bundles"
    others = {
        "whole": application(bundles, WHOLE, "whole").path,
        "talker": talker(bundles).path,
        "fine": make_bundle(bundles, 10.0).path,
        "vectors": embedder(bundles).path,
    }
    order = {"trust": True, "deadline_seconds": 3, "others": others}
    running = Standalone(folder / "server", application(bundles).path, order=order, trace_share=0.0, durability="process", grpc_port=0)
    yield running
    running.kill()


@pytest.fixture(scope="module")
def client(server: Standalone) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.where['url']}/v1", api_key="none", max_retries=0, timeout=20) as opened:
        yield opened


def said(*texts: str) -> Any:
    """A conversation in which user and assistant take turns; its last message is the user's."""
    roles = [USER if (len(texts) - place) % 2 else "assistant" for place in range(len(texts))]
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]


def logged(server: Standalone, endpoint: str = "log") -> dict[str, tuple[str, dict[str, Any], dict[str, Any]]]:
    """Prediction id → variant, what was asked, what was answered."""
    found = read_log(server.folder / endpoint, *FOREVER, LocalFiles())
    assert found is not None
    [values] = found.values.values()
    rows = zip(found.variant, values.inputs.dicts(), values.outputs.dicts(), strict=True)
    return dict(zip(found.ids, rows, strict=True))


def raw(server: Standalone, body: dict[str, Any], path: str = "/v1/chat/completions", **headers: str) -> tuple[int, Any]:
    return server.http("POST", path, as_json(body), headers)


def test_a_whole_answer_is_a_completion_and_its_id_is_that_of_the_logged_prediction(server: Standalone, client: openai.OpenAI) -> None:
    found = client.chat.completions.create(model="small", messages=said("say hello wörld 👋"))
    assert (found.object, found.model, len(found.choices)) == ("chat.completion", "small", 1)
    [choice] = found.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "hello wörld 👋 ", "stop")
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.total_tokens) == (7, 3, 10)
    assert abs(found.created - SystemClock().now().timestamp()) < 60
    variant, asked, answered = logged(server)[found.id]
    assert (variant, asked["question"], answered["answer"]) == ("champion", "say hello wörld 👋", "hello wörld 👋 ")
    more: Any = found.model_extra
    assert more["noria"]["prediction_id"] == found.id
    assert more["noria"]["cited"] == answered["cited"] == ["c1"]
    assert more["noria"]["found"][1] == {
        "id": "c3",
        "text": "Keys are kept as hashes.",
        "place": "serving.md#keys",
        "score": 0.5,
    }


def test_a_streamed_answer_comes_in_chunks_of_one_id_and_ends_with_what_was_found_and_what_it_took(
    server: Standalone, client: openai.OpenAI
) -> None:
    stream = client.chat.completions.create(
        model="small", messages=said("say one two three"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    [identifier] = {chunk.id for chunk in chunks}
    *parts, last, usage = chunks
    assert [chunk.choices[0].delta.content for chunk in parts] == ["one ", "two ", "three "]
    assert [chunk.choices[0].delta.role for chunk in parts] == ["assistant", None, None]
    assert [chunk.choices[0].finish_reason for chunk in [*parts, last]] == [None, None, None, "stop"]
    assert all(chunk.usage is None for chunk in [*parts, last])
    assert (usage.choices, usage.usage.total_tokens) == ([], 10)  # type: ignore[union-attr]
    extension: Any = last.model_extra["noria"]  # type: ignore[index]
    assert [each["id"] for each in extension["found"]] == ["c1", "c3"]
    assert logged(server)[identifier][2]["answer"] == "one two three "
    assert logged(server)[identifier][2]["found_places"] == ["serving.md#http", "serving.md#keys"]


def test_parts_leave_as_they_are_made(client: openai.OpenAI) -> None:
    times = []
    start = time.monotonic()
    for chunk in client.chat.completions.create(model="small", messages=said("slowly 0.15 a b c"), stream=True):
        times.append((time.monotonic() - start, chunk.choices[0].delta.content))
    assert [text for _, text in times] == ["a ", "b ", "c ", None]
    assert times[2][0] - times[0][0] > 0.2


def test_the_asynchronous_client_and_many_at_once(server: Standalone) -> None:
    async def ask(client: openai.AsyncOpenAI, number: int) -> tuple[str, str]:
        if number % 2:
            found = await client.chat.completions.create(model="small", messages=said(f"say number {number}"))
            return found.id, found.choices[0].message.content or ""
        stream = await client.chat.completions.create(model="small", messages=said(f"say number {number}"), stream=True)
        chunks = [chunk async for chunk in stream]
        return chunks[0].id, "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    async def all_of_them() -> list[tuple[str, str]]:
        async with openai.AsyncOpenAI(base_url=f"{server.where['url']}/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(24)))

    found = asyncio.run(all_of_them())
    assert [text for _, text in found] == [f"number {number} " for number in range(24)]
    assert len({identifier for identifier, _ in found}) == 24
    assert {identifier for identifier, _ in found} <= set(logged(server))


@pytest.mark.parametrize(("question", "reason"), [("say a", "stop"), ("unknown", "stop"), ("blocked", "content_filter")])
def test_finish_reasons(client: openai.OpenAI, question: str, reason: str) -> None:
    found = client.chat.completions.create(model="small", messages=said(question))
    *_, last = client.chat.completions.create(model="small", messages=said(question), stream=True)
    assert (found.choices[0].finish_reason, last.choices[0].finish_reason) == (reason, reason)


def test_an_answer_that_was_replaced_after_its_parts_were_sent_is_told_and_logged(server: Standalone, client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="small", messages=said("blocked"), stream=True))
    assert chunks[0].choices[0].delta.content == "I may "
    assert chunks[-1].model_extra["noria"]["answer"] == ""  # type: ignore[index]
    assert logged(server)[chunks[0].id][2]["answer"] == ""
    plain = list(client.chat.completions.create(model="small", messages=said("say a"), stream=True))
    assert "answer" not in plain[-1].model_extra["noria"]  # type: ignore[index]


def test_earlier_messages_are_the_conversation_and_parts_of_a_message_are_its_lines(client: openai.OpenAI) -> None:
    messages: Any = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
        {"role": "assistant", "content": "three"},
        {"role": "user", "content": [{"type": "text", "text": "memory"}]},
    ]
    found = client.chat.completions.create(model="small", messages=messages)
    assert json.loads(found.choices[0].message.content or "") == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "one\ntwo"},
        {"role": "assistant", "content": "three"},
    ]
    alone = client.chat.completions.create(model="small", messages=said("memory"))
    assert alone.choices[0].message.content == "nothing"


def test_a_model_that_makes_no_parts_answers_a_stream_in_one_and_one_of_texts_can_be_chatted_with(client: openai.OpenAI) -> None:
    whole = list(client.chat.completions.create(model="whole", messages=said("say a b"), stream=True))
    assert [chunk.choices[0].delta.content for chunk in whole] == ["a b ", None]
    assert client.chat.completions.create(model="whole", messages=said("unpriced")).model_extra["noria"]["cost"] is None  # type: ignore[index]
    found = client.chat.completions.create(model="talker", messages=said("say a b"))
    assert (found.choices[0].message.content, found.usage) == ("a b ", None)
    parts = list(client.chat.completions.create(model="talker", messages=said("say a b"), stream=True))
    assert [chunk.choices[0].delta.content for chunk in parts] == ["a ", "b ", None]
    with pytest.raises(openai.BadRequestError, match="one message, and no conversation") as refused:
        client.chat.completions.create(model="talker", messages=said("a", "b", "say c"))
    assert refused.value.param == "messages"


def test_conditions_search_and_a_key_are_an_extension(server: Standalone, client: openai.OpenAI) -> None:
    body = {"noria": {"conditions": {"document": "people"}, "key": "question 7"}}
    found = client.chat.completions.create(model="small", messages=said("say a"), extra_body=body)
    assert found.model_extra["noria"]["found"] == []  # type: ignore[index]
    log = read_log(server.folder / "log", *FOREVER, LocalFiles())
    assert log is not None
    keys = dict(zip(log.ids, log.keys, strict=True))
    assert keys[found.id] == "question 7"
    plain = client.chat.completions.create(model="small", messages=said("say a"))
    log = read_log(server.folder / "log", *FOREVER, LocalFiles())
    assert log is not None
    assert log.keys[log.ids.index(plain.id)] == plain.id  # so that what is said of it can be joined


# --- what is refused, and how ---

ONE = [{"role": USER, "content": "say a"}]
PICTURE = [{"role": USER, "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"n": 2}, 400, "NR-860", "n"),
        ({"tools": [{"type": "function"}]}, 400, "NR-860", "tools"),
        ({"logprobs": True}, 400, "NR-860", "logprobs"),
        ({"response_format": {"type": "json_object"}}, 400, "NR-860", "response_format"),
        ({"temprature": 0.5}, 400, "NR-860", "temprature"),
        ({"messages": []}, 400, "NR-860", "messages"),
        ({"messages": PICTURE}, 400, "NR-860", "messages"),
        ({"messages": [{"role": "tool", "content": "5", "tool_call_id": "x"}, *ONE]}, 400, "NR-860", "messages"),
        ({"messages": [{"role": "wizard", "content": "5"}, *ONE]}, 400, "NR-860", "messages"),
        ({"messages": [{"role": "assistant", "content": "5"}]}, 400, "NR-860", "messages"),
        ({"messages": [{"role": USER, "content": "  "}]}, 400, "NR-860", "messages"),
        ({"messages": [{"role": USER, "content": 5}]}, 400, "NR-510", None),
        ({"messages": "say a"}, 400, "NR-510", None),
        ({"noria": {"conditons": {}}}, 400, "NR-860", "conditons"),
        ({"model": "smal"}, 404, "NR-514", None),
        ({"model": "fine"}, 400, "NR-861", "model"),
        ({"model": "vectors"}, 400, "NR-861", "model"),
        ({"model": None}, 400, "NR-510", None),
    ],
)
def test_what_can_not_be_done_is_refused_in_openais_form(
    server: Standalone, body: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    for stream in (False, True):
        found = raw(server, {"model": "small", "messages": ONE, "stream": stream, **body})
        assert found[0] == status, found
        error = found[1]["error"]
        assert (error["code"], error["param"]) == (code, param), error
        assert error["type"] in ("invalid_request_error", "not_found_error")
        assert error["message"]


HARMLESS: dict[str, Any] = {
    "n": 1, "tools": [], "tool_choice": "none", "logprobs": False, "response_format": {"type": "text"}, "modalities": ["text"],
    "temperature": 0.5, "top_p": 1, "max_tokens": 5, "max_completion_tokens": 5, "stop": ["x"], "seed": 7, "user": "someone",
    "metadata": {"a": "b"}, "store": False, "presence_penalty": 0, "logit_bias": {}, "stream_options": None, "parallel_tool_calls": True,
}  # fmt: skip


def test_what_asks_for_nothing_else_is_taken(server: Standalone) -> None:
    status, found = raw(server, {"model": "small", "messages": ONE, **HARMLESS})
    assert (status, found["choices"][0]["message"]["content"]) == (200, "a ")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"model": "small"}', b"\xff", b"[" * 100_000])
def test_bodies_that_are_none(server: Standalone, body: bytes) -> None:
    status, found = server.http("POST", "/v1/chat/completions", body)
    assert (status, found["error"]["type"]) == (400, "invalid_request_error"), found


def test_errors_of_every_layer_are_in_openais_form_below_v1_and_nowhere_else(server: Standalone) -> None:
    for method, path, body, headers, status in (
        ("GET", "/v1/chat/completions", None, {}, 405),
        ("POST", "/v1/completions", b"{}", {}, 404),
        ("POST", "/v1/chat/completions", b"{}", {"content-encoding": "gzip"}, 415),
        ("POST", "/v1/chat/completions", as_json({"model": "small", "messages": ONE}), {"x-noria-timeout-ms": "x"}, 400),
        ("POST", "/v1/chat/completions", b" " * 5_000_000, {}, 413),
        ("GET", "/v1/models/none", None, {}, 404),
    ):
        found = server.http(method, path, body, headers)
        assert (found[0], set(found[1])) == (status, {"error"}), found
        assert set(found[1]["error"]) == {"message", "type", "param", "code"}
    assert server.http("POST", "/predict/none", b"{}")[1]["error"].startswith("there is no endpoint")


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["fine", "small", "talker", "vectors", "whole"]
    assert client.models.retrieve("small").owned_by == "noria"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("smal")


# --- what goes wrong midway ---


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("fails", "no more words"),
        ("without", "ended without its other outputs"),
        ("lacking", "lack found_texts"),
        ("misfit", "cited: string"),
    ],
)
def test_a_failure_midway_raises_in_the_client_and_what_was_sent_is_logged(
    server: Standalone, client: openai.OpenAI, question: str, words: str
) -> None:
    parts: list[Any] = []
    stream = client.chat.completions.create(model="small", messages=said(question), stream=True)
    with pytest.raises(openai.APIError, match=words) as failed:
        parts.extend(stream)
    assert [chunk.choices[0].delta.content for chunk in parts] == ["a "]
    body: Any = failed.value.body
    assert (body["code"], body["prediction_id"]) == ("NR-304", parts[0].id)
    variant, asked, answered = logged(server)[parts[0].id]
    assert (variant, asked["question"], answered["answer"], answered["confidence"]) == ("cut", question, "a ", None)
    with pytest.raises(openai.InternalServerError, match=words):
        client.chat.completions.create(model="small", messages=said(question))


@pytest.mark.parametrize("question", ["breaks", "infinite", "after"])
def test_a_failure_before_the_first_part_has_a_status(client: openai.OpenAI, question: str) -> None:
    for stream in (False, True):
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="small", messages=said(question), stream=stream)


def test_a_client_that_leaves_has_the_model_stop(server: Standalone, client: openai.OpenAI) -> None:
    def counts() -> Any:
        return next(each for each in server.http("GET", "/status")[1]["endpoints"] if each["endpoint"] == "small")

    before = counts()["counts"]
    stream = client.chat.completions.create(model="small", messages=said("slowly 0.05 " + "on " * 100), stream=True)
    identifier = next(iter(stream)).id
    stream.close()
    soon(lambda: counts()["open_streams"] == 0)
    after = counts()["counts"]
    assert (after["gone"] - before["gone"], after["cut"] - before["cut"]) == (1, 1)
    assert logged(server)[identifier][0] == "cut"


def test_a_clients_timeout_and_a_deadline_of_the_request(server: Standalone, client: openai.OpenAI) -> None:
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).chat.completions.create(model="small", messages=said("slowly 0.2 a b c d e f"))
    body = {"model": "small", "messages": said("slowly 0.2 a b c d e f")}
    status, found = raw(server, body, **{"x-noria-timeout-ms": "300"})
    assert (status, found["error"]["type"], found["error"]["code"]) == (504, "timeout_error", "NR-525")
    with pytest.raises(openai.APIError, match="deadline"):
        list(
            client.chat.completions.create(
                model="small", messages=said("slowly 0.2 a b c d e f"), stream=True, extra_headers={"x-noria-timeout-ms": "500"}
            )
        )


def test_a_raw_stream_is_data_lines_and_done(server: Standalone) -> None:
    body = as_json({"model": "small", "messages": ONE, "stream": True})
    with socket.create_connection(("127.0.0.1", server.where["port"]), 10) as sock:
        sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        data = b""
        while more := sock.recv(65_536):
            data += more
    assert b"content-type: text/event-stream" in data
    assert data.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


# --- the same model by other ways ---


def test_plain_requests_stream_it_too_and_the_last_event_has_all_outputs(server: Standalone) -> None:
    row = {**dict.fromkeys(SIGNATURE.names), "question": "say a b"}
    events = Events(server, {"rows": [row], "stream": True})
    found = list(events)
    events.close()
    assert [name for name, _, _ in found] == ["part", "part", "answer"]
    [prediction] = found[-1][1]["predictions"]
    assert (prediction["answer"], prediction["found"], prediction["cost"]) == ("a b ", ["c1", "c3"], 0.001)
    status, whole = server.http("POST", "/predict/small", as_json({"rows": [row, {**row, "question": "unpriced"}]}))
    assert status == 200, whole
    assert [each["cost"] for each in whole["predictions"]] == [0.001, None]
    assert [each["answer"] for each in whole["predictions"]] == ["a b ", "unpriced "]


def test_streams_share_the_model_with_whole_answers(client: openai.OpenAI) -> None:
    def streamed(number: int) -> str:
        chunks = client.chat.completions.create(model="small", messages=said(f"slowly 0.01 a b {number}"), stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    def whole(number: int) -> str:
        return client.chat.completions.create(model="small", messages=said(f"say c d {number}")).choices[0].message.content or ""

    with ThreadPoolExecutor(8) as pool:
        parts, wholes = pool.map(streamed, range(8)), pool.map(whole, range(16))
        assert list(parts) == [f"a b {number} " for number in range(8)]
        assert list(wholes) == [f"c d {number} " for number in range(16)]


def test_a_completion_that_is_asked_for_again_is_the_same_where_it_says_the_same(server: Standalone) -> None:
    """Though ids and times differ: what `noria replay-request` compares."""

    def answered(question: str, *, stream: bool) -> Any:
        found = raw(server, {"model": "small", "messages": said(question), "stream": stream})[1]
        return what_is_compared(found if isinstance(found, str) else json.dumps(found))

    for stream in (False, True):
        assert answered("say a b", stream=stream) == answered("say a b", stream=stream)
        assert answered("say a b", stream=stream) != answered("say a c", stream=stream)
        assert "NR-304" in str(answered("fails", stream=stream))


# --- the pieces ---


def test_the_names_are_those_of_the_task() -> None:
    names = [field.name for field in (*INPUTS, *Generation().outputs)]
    own = [generated.QUESTION, generated.CONVERSATION, generated.ACCESS, generated.CONDITIONS, generated.MODE, generated.ANSWER]
    own += [
        generated.TENANT,
        generated.OPTIONS,
        generated.CITED,
        generated.FOUND,
        generated.FOUND_TEXTS,
        generated.FOUND_PLACES,
        generated.FOUND_SCORES,
        generated.FINISH,
    ]
    own += [generated.PROMPT_TOKENS, generated.COMPLETION_TOKENS, generated.COST, generated.ASKED]
    assert set(own) == set(names) - {"confidence", "decisions", "similarity"}
    assert Generation.name == generated.TASK


def test_parameters_that_a_model_reads_are_its_inputs() -> None:
    signature = Signature((Field("prompt", "string"), Field("temperature"), Field("seed", "int64")), (Field("text", "string"),))
    asked = chats.decoded(as_json({"model": "m", "messages": ONE, "temperature": 0.5}))
    assert chats.row_of(asked, signature, chats.require_chat("m", signature)).rows == [("say a", 0.5, None)]
    with pytest.raises(UnsupportedParameter, match="no conditions"):
        chats.row_of(
            chats.decoded(as_json({"model": "m", "messages": ONE, "noria": {"conditions": {"a": 1}}})),
            signature,
            "prompt",
        )
