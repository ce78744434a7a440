"""A model that generates texts as its prompts say, a server of it, and clients that read its answers as they come."""

from __future__ import annotations

import http.client
import json
import queue
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from noria.core.files import LocalFiles
from noria.core.signature import Field, Signature
from noria.models.bundle import Bundle
from noria.serving.log.segments import read_log
from python_bundles import python_bundle
from servers import Standalone, asked, make_bundle

FOREVER = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
TEXTS = Signature((Field("prompt", "string", nullable=False),), (Field("text", "string", nullable=False),))
SAMPLE = [["say golden rows"]], [["golden rows "]]

# Does what its prompt says, word by word.
TALKER = """
import os, time
from pathlib import Path


class Talker:
    def stream(self, row):
        what, *words = row["prompt"].split(" ")
        try:
            yield from getattr(self, what)(*words)
        except GeneratorExit:
            if what == "witnessed":
                Path(words[0]).write_text("closed")
            raise

    def say(self, *words):
        for word in words:
            yield word + " "

    def slowly(self, seconds, *words):
        for word in words:
            time.sleep(float(seconds))
            yield word + " "

    def witnessed(self, path):
        while True:
            time.sleep(0.02)
            yield "on "

    def fails(self, *words):
        yield from self.say(*words)
        raise ValueError("no more words")

    def exits(self, *words):
        yield from self.say(*words)
        os._exit(3)

    def hangs(self, *words):
        yield from self.say(*words)
        while True:
            pass

    def endless(self):
        while True:
            yield "and so on "

    def counted(self, *words):
        yield from self.say(*words)
        yield 5

    def broken(self, *words):
        yield from self.say(*words)
        yield "\\ud800"

    def lines(self):
        yield "one\\n\\ntwo: "
        yield ""
        yield "\\r\\nWörter"

    def big(self, path, parts):
        for _ in range(int(parts)):
            with open(path, "a") as made:
                made.write(".")
            yield "x" * 10_000


def load(folder):
    return Talker()
"""


def talker(root: Path, source: str = TALKER, run: str = "run") -> Bundle:
    return python_bundle(root, source, signature=TEXTS, sample=SAMPLE, run=run)


def text_server(folder: Path) -> Standalone:
    """An endpoint of texts, and beside it one of numbers, in one worker."""
    champion, fine = talker(folder / "bundles"), make_bundle(folder / "bundles", 10.0)
    order = {"trust": True, "deadline_seconds": 1.5, "others": {"fine": fine.path}}
    limits = {"stream_parts": 2000, "stream_bytes": 8_000_000, "request_seconds": 4, "trace_share": 0.0}
    return Standalone(folder / "server", champion.path, order=order, grpc_port=0, **limits)


class Events:
    """A request that is answered by events, read as they come."""

    def __init__(self, server: Standalone, body: Any, path: str = "/predict/small", headers: dict[str, str] | None = None) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.where["port"], timeout=20)
        self.begun = time.monotonic()
        self.connection.request("POST", path, json.dumps(body).encode(), headers or {})
        self.response = self.connection.getresponse()

    def __iter__(self) -> Iterator[tuple[str | None, Any, float]]:
        """Name, data, and seconds since the request."""
        fields: dict[str, str] = {}
        while line := self.response.readline():
            text = line.decode().rstrip("\n")
            if text:
                name, _, value = text.partition(": ")
                fields[name] = value
            else:
                yield fields.get("event"), json.loads(fields["data"]), time.monotonic() - self.begun
                fields = {}

    def close(self) -> None:
        self.connection.close()


def rows(prompt: str, **more: Any) -> dict[str, Any]:
    return {"rows": [{"prompt": prompt}], **more}


def streamed(server: Standalone, prompt: str, **more: Any) -> list[tuple[str | None, Any, float]]:
    events = Events(server, rows(prompt, stream=True, **more))
    try:
        assert events.response.status == 200, events.response.read()
        return list(events)
    finally:
        events.close()


def texts(found: list[tuple[str | None, Any, float]]) -> list[str]:
    return [data["text"] for name, data, _ in found if name == "part"]


def logged(server: Standalone) -> dict[str, tuple[str, str, str]]:
    """Prediction id → variant, prompt and text."""
    found = read_log(server.folder / "log", *FOREVER, LocalFiles())
    if found is None:
        return {}
    [values] = found.values.values()
    told = zip(values.inputs.dicts(), values.outputs.dicts(), strict=True)
    return {i: (v, asked["prompt"], said["text"]) for i, v, (asked, said) in zip(found.ids, found.variant, told, strict=True)}


def counts(server: Standalone) -> dict[str, Any]:
    _, status = server.http("GET", "/status")
    return next(each for each in status["endpoints"] if each["endpoint"] == "small")


def works(server: Standalone) -> bool:
    status, found = server.http("POST", "/predict/small", json.dumps(rows("say all is well")).encode())
    return status == 200 and found["predictions"] == ["all is well "]


@contextmanager
def undisturbed(server: Standalone, longest: float = 1.2) -> Iterator[None]:
    """The endpoint beside answers all the while, and soon."""
    with ThreadPoolExecutor(1) as pool:
        stop: queue.Queue[None] = queue.Queue()

        def ask() -> float:
            slowest = 0.0
            while stop.empty():
                start = time.monotonic()
                status, found = asked(server.where["port"], "POST", "/predict/fine", b'{"rows": [{"a": 1, "b": 2}]}')
                assert (status, found["predictions"]) == (200, [11.0])
                slowest = max(slowest, time.monotonic() - start)
                time.sleep(0.01)
            return slowest

        asking = pool.submit(ask)
        try:
            yield
        finally:
            stop.put(None)
        assert asking.result() < longest
