"""An endpoint of embeddings, spoken to over HTTP: a real server that does what each test says."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from noria.core.errors import NoriaError
from noria.llm.embedding import BadEmbeddings, EmbeddingsAway, EmbeddingsRefused, NoKey, OpenAIEmbedder

Behaviour = Callable[[dict[str, Any]], Response]


def vector(text: str, size: int = 4) -> np.ndarray:
    return np.array([len(text), sum(map(ord, text)) % 97, 1, 2] * (size // 4), np.float32)


def answered(body: dict[str, Any], size: int | None = None) -> dict[str, Any]:
    """What OpenAI's API answers, in another order than it was asked."""
    found = []
    for place, text in enumerate(body["input"]):
        numbers = vector(text, size or body.get("dimensions", 4))
        plain = base64.b64encode(numbers.astype("<f4").tobytes()).decode() if body["encoding_format"] == "base64" else numbers.tolist()
        found.append({"object": "embedding", "index": place, "embedding": plain})
    return {"object": "list", "data": found[::-1], "model": body["model"], "usage": {"prompt_tokens": 3 * len(found), "total_tokens": 0}}


class Server:
    """behaviours: what it does, request by request; the last one from then on. asked: the bodies of the requests"""

    def __init__(self, port: int) -> None:
        self.url, self.asked, self.keys = f"http://127.0.0.1:{port}/v1", list[dict[str, Any]](), list[str]()
        self.behaviours: list[Behaviour] = []

    async def answer(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        self.keys.append(request.headers.get("authorization", ""))
        behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        return behaviour(body)

    def does(self, *behaviours: Behaviour) -> None:
        self.behaviours, self.asked, self.keys = list(behaviours), [], []


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(listening.getsockname()[1])
        app = Starlette(routes=[Route("/v1/embeddings", server.answer, methods=["POST"])])
        run = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=run.run, args=([listening],))
        thread.start()
        while not run.started:
            time.sleep(0.01)
        yield server
        run.should_exit = True
        thread.join()


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    running.does(lambda body: JSONResponse(answered(body)))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-value")
    return running


def embedder(server: Server, **settings: Any) -> tuple[OpenAIEmbedder, list[float]]:
    pauses = list[float]()
    return OpenAIEmbedder("small", server.url, **{"timeout": 5.0, "attempts": 3, "pause": pauses.append, **settings}), pauses


def unit(text: str, size: int = 4) -> np.ndarray:
    return vector(text, size) / np.linalg.norm(vector(text, size))


@pytest.mark.parametrize("encoding", ["base64", "float"])
def test_texts_come_back_as_vectors_in_their_order(server: Server, encoding: Any) -> None:
    made, _ = embedder(server, encoding=encoding, batch=3)
    texts = ["one", "two two", "", "日本語", "five", "é" * 50, "seven"]
    np.testing.assert_allclose(made.embed(texts), [unit(text or " ") for text in texts], rtol=1e-6)
    assert (made.dimension, made.truncated, made.tokens, made.requests) == (4, 0, 3 * 8, 4)
    assert sorted(len(body["input"]) for body in server.asked) == [1, 1, 3, 3]
    assert set(server.keys) == {"Bearer sk-secret-value"}
    assert made.embed([]).shape == (0, 4)


def test_settings_reach_the_server_and_the_definition_has_no_secret(server: Server) -> None:
    made, _ = embedder(server, dimensions=8, query_prefix="query: ", text_prefix="passage: ", max_letters=20)
    np.testing.assert_allclose(made.embed_query("x"), unit("query: x", 8), rtol=1e-6)
    found = made.embed_told(["y" * 30, "z"])
    np.testing.assert_allclose(found.vectors, [unit("passage: " + "y" * 11, 8), unit("passage: z", 8)], rtol=1e-6)
    assert (found.cut.tolist(), made.truncated) == ([True, False], 1)
    assert server.asked[0]["dimensions"] == 8
    assert "sk-secret" not in json.dumps(made.definition()) + json.dumps(made.arguments()) + repr(vars(made))
    assert OpenAIEmbedder(**made.arguments()).definition() == made.definition()


def failing(status: int, **headers: str) -> Behaviour:
    return lambda _: JSONResponse({"error": {"message": "busy"}}, status, headers)


def test_a_busy_server_is_asked_again_after_as_long_as_it_says(server: Server) -> None:
    fine = server.behaviours[0]
    server.does(failing(429, **{"retry-after": "7"}), failing(503), fine)
    made, pauses = embedder(server, dimensions=4)
    np.testing.assert_allclose(made.embed(["a"])[0], unit("a"), rtol=1e-6)
    assert pauses[0] == 7.0
    assert 0.5 <= pauses[1] <= 1.0
    server.does(failing(503, **{"retry-after": "99999"}))
    with pytest.raises(EmbeddingsAway, match="no embeddings after 3 attempts: HTTP 503 busy"):
        made.embed(["a"])
    assert max(pauses) == 30.0


def drip() -> Iterator[bytes]:
    for _ in range(100):
        time.sleep(0.05)
        yield b" "


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (lambda _: StreamingResponse(drip()), "did not finish its answer within 0.3 s|timed out"),
        (
            lambda body: Response(json.dumps(answered(body))[:40], headers={"content-length": "4000"}),
            "broke off|IncompleteRead|reset|bytes",
        ),
    ],
    ids=["drips", "breaks off"],
)
def test_a_server_that_hangs_or_dies_is_away(server: Server, behaviour: Behaviour, words: str) -> None:
    server.does(behaviour)
    with pytest.raises(EmbeddingsAway, match=words):
        embedder(server, dimensions=4, timeout=0.3, attempts=1)[0].embed(["a"])


def test_nobody_there_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    made = OpenAIEmbedder("m", f"http://127.0.0.1:{port}/v1", key_env=None, attempts=2, pause=lambda _: None)
    with pytest.raises(EmbeddingsAway, match=r"after 2 attempts: .*refused"):
        made.embed(["a"])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_told_at_once_without_the_key(server: Server, status: int) -> None:
    server.does(lambda _: JSONResponse({"error": {"message": "wrong: sk-secret-value"}}, status))
    made, pauses = embedder(server, dimensions=4)
    with pytest.raises(EmbeddingsRefused, match=rf"HTTP {status} wrong: \*\*\*") as raised:
        made.embed(["a"])
    assert pauses == []
    assert "sk-secret" not in repr(raised.value.to_dict())


def test_a_text_that_is_too_long_for_the_server_is_cut_and_told(server: Server) -> None:
    def strict(body: dict[str, Any]) -> Response:
        if any(len(text) > 500 for text in body["input"]):
            return JSONResponse({"error": {"message": "This model's maximum context length is 500 tokens"}}, 400)
        return JSONResponse(answered(body))

    server.does(strict)
    made, _ = embedder(server, dimensions=4)
    found = made.embed_told(["a" * 100, "b" * 3_000, "c" * 500])
    assert found.cut.tolist() == [False, True, False]
    np.testing.assert_allclose(found.vectors[[0, 2]], [unit("a" * 100), unit("c" * 500)], rtol=1e-6)
    assert made.truncated == 1
    server.does(lambda _: JSONResponse({"error": {"message": "input is too long"}}, 413))
    with pytest.raises(EmbeddingsRefused, match="HTTP 413"):
        made.embed(["d" * 3_000])


def changed(**change: Any) -> Behaviour:
    return lambda body: JSONResponse({**answered(body), **change})


GARBAGE: list[tuple[Behaviour, str]] = [
    (lambda _: PlainTextResponse("<html>not json"), "not what OpenAI's API answers"),
    (lambda _: PlainTextResponse("[" * 100_000), "not what OpenAI's API answers"),
    (changed(data=[]), "0 embeddings for 2 texts"),
    (changed(data=[{"index": 0, "embedding": [1, 2, 3, 4]}] * 2), "2 embeddings for 2 texts"),
    (changed(data=[{"index": i, "embedding": [1.0] * (3 + i)} for i in range(2)]), "vectors of 3, 4 numbers"),
    (changed(data=[{"index": i, "embedding": [0.0] * 4} for i in range(2)]), "is zero"),
    (changed(data=[{"index": i, "embedding": [1.0, None, 1, 1]} for i in range(2)]), "not what OpenAI|no numbers"),
    (changed(data=[{"index": i, "embedding": "AAA="} for i in range(2)]), "not what OpenAI"),
    (changed(data=[{"index": i, "embedding": "!!"} for i in range(2)]), "not what OpenAI"),
    (changed(data=None), "not what OpenAI"),
    (lambda body: JSONResponse(answered(body, 8)), "vectors of 8 numbers"),
]


@pytest.mark.parametrize(("behaviour", "words"), GARBAGE, ids=[words for _, words in GARBAGE])
def test_an_answer_that_is_none_is_refused(server: Server, behaviour: Behaviour, words: str) -> None:
    server.does(behaviour)
    with pytest.raises(BadEmbeddings, match=words):
        embedder(server, dimensions=4)[0].embed(["a", "b"])


def test_another_length_than_before_is_refused(server: Server) -> None:
    made, _ = embedder(server)
    assert made.dimension == 4
    server.does(lambda body: JSONResponse(answered(body, 8)))
    with pytest.raises(BadEmbeddings, match="vectors of 8 numbers, where others have 4"):
        made.embed(["a"])


def test_a_missing_key_and_a_wrong_address_are_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(NoKey, match="OPENAI_API_KEY"):
        embedder(server)[0].embed(["a"])
    assert embedder(server, key_env=None)[0].embed(["a"]).shape == (1, 4)
    assert server.keys[-1] == ""
    for url in ("localhost:8000", "ftp://host/v1", "https://user:secret@host/v1", "https://host/v1?key=secret"):
        with pytest.raises(NoriaError, match="address can't be used") as raised:
            OpenAIEmbedder("m", url)
        assert "secret" not in str(raised.value)
