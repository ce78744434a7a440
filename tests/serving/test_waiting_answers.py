"""An application whose generator is a server of models: answers side by side, and what becomes of a request that nobody waits for."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest

from app_bundles import QUESTION, application, application_bundle
from applications import as_json
from chat_server import Exchange, chat_server, fine, status
from noria import llm
from noria.llm.generation.retries import Retries
from openai_clients import closed_clients as closed_clients
from openai_clients import openai_client
from servers import Standalone, soon
from texts import counts

WORDS = ["word0", *(f" word{number}" for number in range(1, 30))]


@dataclass
class Upstream:
    """Answers as the question says. waiting: so many requests for `together` have come; left: clients of `hang` that went away"""

    together: threading.Barrier = field(default_factory=lambda: threading.Barrier(12))
    hanging: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    released: threading.Event = field(default_factory=threading.Event)
    left: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __call__(self, exchange: Exchange) -> None:
        asked = json.dumps(exchange.body["messages"])
        if "together" in asked:
            self.together.wait(30)
            fine(*WORDS)(exchange)
        elif "hang" in asked:
            self.hanging.release()
            if exchange.connection.recv(1) == b"":
                self.left.release()
            exchange.close_connection = True
        elif "patient" in asked:
            self.released.wait(30)
            fine("at last")(exchange)
        elif "limited" in asked:
            status(429, "slow down", wait=7)(exchange)
        elif "locked" in asked:
            status(401, "Incorrect API key")(exchange)
        elif "away" in asked:
            status(500, "out of memory")(exchange)
        else:
            fine("at ", "once")(exchange)


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("waiting")
    with chat_server(upstream) as models:
        generator = llm.OpenAICompatible("m", models.base_url, first_part=60.0, retries=Retries(times=0))
        terms = llm.Terms(count=1, least=0.0, options=llm.Options(timeout=60.0))
        bundle = application_bundle(folder / "bundles", application(generator=generator, terms=terms))
        running = Standalone(folder / "server", bundle.path, order={"trust": True}, durability="process")
        yield running
        running.kill()


def body(what: str, **more: Any) -> dict[str, Any]:
    return {"model": "small", "messages": [{"role": "user", "content": f"{QUESTION} {what}"}], **more}


def test_answers_of_many_clients_are_made_side_by_side_whole_and_in_parts(server: Standalone) -> None:
    client = openai_client(f"{server.where['url']}/v1", timeout=60)

    def ask(number: int) -> list[str | None]:  # the server of models answers none of them before all have come
        if number % 2:
            stream = client.chat.completions.create(**body("together", stream=True))
            return [chunk.choices[0].delta.content for chunk in stream if chunk.choices[0].delta.content]
        return [client.chat.completions.create(**body("together")).choices[0].message.content]

    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(ask, range(12)))
    assert answers[::2] == [["".join(WORDS)]] * 6
    assert answers[1::2] == [WORDS] * 6


@pytest.mark.parametrize("stream", [True, False], ids=["in parts", "whole"])
def test_a_client_that_leaves_before_the_first_part_ends_the_request_to_the_server_of_models(
    server: Standalone, upstream: Upstream, stream: bool
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.where["port"], timeout=30)
    connection.request("POST", "/v1/chat/completions", as_json(body("hang", stream=stream)))
    assert upstream.hanging.acquire(timeout=30)
    gone = counts(server)["counts"]["gone"]
    connection.close()
    assert upstream.left.acquire(timeout=30)
    soon(lambda: counts(server)["counts"]["gone"] == gone + 1)
    soon(lambda: counts(server)["open_streams"] == 0)


def test_a_client_that_only_closed_one_half_is_asked_whether_it_is_there_and_gets_its_answer(
    server: Standalone, upstream: Upstream
) -> None:
    asked = as_json(body("patient"))
    with socket.create_connection(("127.0.0.1", server.where["port"]), timeout=30) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (len(asked), asked))
        connection.shutdown(socket.SHUT_WR)
        found = connection.recv(1 << 16)
        assert found.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        upstream.released.set()
        while more := connection.recv(1 << 16):
            found += more
    answer = found.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"at last" in answer


def test_a_deadline_ends_the_request_to_the_server_of_models_and_the_others_go_on(server: Standalone, upstream: Upstream) -> None:
    with ThreadPoolExecutor(1) as pool:
        headers = {"x-noria-timeout-ms": "3000"}
        late = pool.submit(server.http, "POST", "/v1/chat/completions", as_json(body("hang")), headers)
        assert upstream.hanging.acquire(timeout=30)
        code, found = server.http("POST", "/v1/chat/completions", as_json(body("now")))
        assert (code, found["choices"][0]["message"]["content"]) == (200, "at once")
        assert not late.done()
        code, found = late.result()
        assert (code, found["error"]["code"]) == (504, "NR-525")
    assert upstream.left.acquire(timeout=30)


def test_a_limit_of_the_server_of_models_is_told_as_one(server: Standalone) -> None:
    client = openai_client(f"{server.where['url']}/v1", timeout=60)
    with pytest.raises(openai.RateLimitError) as limited:
        client.chat.completions.create(**body("limited"))
    assert limited.value.response.headers["retry-after"] == "7"
    assert (limited.value.code, "asked more often" in limited.value.message) == ("NR-835", True)


@pytest.mark.parametrize(("what", "code", "error"), [("locked", 502, "NR-831"), ("away", 503, "NR-836")])
def test_who_asks_is_told_of_no_machine_and_no_key(server: Standalone, what: str, code: int, error: str) -> None:
    found, told = server.http("POST", "/v1/chat/completions", as_json(body(what)))
    assert (found, told["error"]["code"]) == (code, error)
    assert "no answer could be written" in told["error"]["message"]
    for private in ("127.0.0.1", "KEY", ".py"):
        assert private not in json.dumps(told)


def test_a_search_that_cannot_be_is_the_fault_of_who_asks(server: Standalone) -> None:
    found, told = server.http("POST", "/v1/chat/completions", as_json(body("now", noria={"conditions": {"year": {"greater": 2020}}})))
    assert (found, told["error"]["code"]) == (422, "NR-803")


def test_a_server_that_stops_tells_each_client_that_waits_and_leaves_no_request(server: Standalone, upstream: Upstream) -> None:
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(server.http, "POST", "/v1/chat/completions", as_json(body("hang"))) for _ in range(3)]
        for _ in asked:
            assert upstream.hanging.acquire(timeout=30)
        soon(lambda: 'noria_open_streams{endpoint="small",worker="0"} 3.0' in server.admin("/metrics")[1])
        assert 'noria_queued_streams{endpoint="small",worker="0"} 0.0' in server.admin("/metrics")[1]
        [balance] = server.stop()  # the last test of this module
        assert balance["holds"]
        for each in asked:
            code, found = each.result()
            assert (code, found["error"]["code"]) == (503, "NR-564")
        for _ in asked:
            assert upstream.left.acquire(timeout=30)
