"""Models that wait for a network, through the port: side by side, each with a deadline, cancelled, lost; with a real service behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from noria.core.signature import Field, Signature
from noria.data.rows import Rows
from noria.models.runtimes import open_runtime
from noria.models.runtimes.port import AnswerStream, ModelFailed, RuntimeOptions
from noria.models.runtimes.python import PythonRuntime
from noria.models.runtimes.python_streams import AHEAD
from python_bundles import python_bundle

SIGNATURE = Signature(
    (Field("port", "int64"), Field("what", "string")), (Field("text", "string", nullable=False), Field("parts", "int64", nullable=False))
)
SAMPLE = [[0, "none"]], [["", 0]]
# The parts are the lines that a service sends: once with an event loop, once with threads.
ASYNC = """
import asyncio


class Model:
    async def stream(self, row):
        count = 0
        if row["port"]:
            reader, writer = await asyncio.open_connection("127.0.0.1", row["port"])
            try:
                writer.write(row["what"].encode() + b"\\n")
                while line := await reader.readline():
                    count += 1
                    yield line.decode()
            finally:
                writer.close()
        if row["what"] == "fails":
            raise ValueError("no more lines")
        yield {"parts": count}


def load(folder):
    return Model()
"""
THREADS = """
import socket
from noria.llm.generation.failures import OverBudget


class Model:
    waits = True

    def predict(self, columns):
        return {"text": ["at once"] * len(columns["port"]), "parts": [0] * len(columns["port"])}

    def stream(self, row):
        if row["what"] == "refused":
            raise OverBudget("tenant 'acme'", "512 tokens", "3 tokens", "2026-12-01", 60)
        count = 0
        if row["port"]:
            with socket.create_connection(("127.0.0.1", row["port"])) as service, service.makefile("rb") as lines:
                service.sendall(row["what"].encode() + b"\\n")
                for line in lines:
                    count += 1
                    yield line.decode()
        yield {"parts": count}


def load(folder):
    return Model()
"""


class Reader:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.done: asyncio.Future[Rows | ModelFailed] = asyncio.get_running_loop().create_future()
        self.stream: AnswerStream

    def part(self, text: str) -> None:
        self.parts.append(text)

    def ended(self, found: Rows | ModelFailed) -> None:
        self.done.set_result(found)

    async def whole(self) -> tuple[Any, ...]:
        found = await self.done
        assert isinstance(found, Rows), found
        [values] = found.values()
        return values

    async def failure(self) -> ModelFailed:
        found = await self.done
        assert isinstance(found, ModelFailed), found
        return found


class Service:
    """Sends each client some lines once as many as `together` are connected. One that asks for `hang` gets one line, and then none.

    closed: what was asked by clients that went away while they were served
    """

    def __init__(self, together: int = 1, lines: int = 50) -> None:
        self.port, self.connected, self.most, self.closed = 0, 0, 0, list[str]()
        self._lines, self._together, self._all = lines, together, asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        what = (await reader.readline()).decode().strip()
        self.connected += 1
        self.most = max(self.most, self.connected)
        if self.connected >= self._together:
            self._all.set()
        await self._all.wait()
        try:
            if what == "hang":
                writer.write(b"0\n")
                await reader.read()
                self.closed.append(what)
            else:
                for number in range(self._lines):
                    writer.write(f"{number}\n".encode())
                await writer.drain()
        except ConnectionError:
            self.closed.append(what)
        finally:
            self.connected -= 1
            writer.close()


@asynccontextmanager
async def service(**how: int) -> AsyncIterator[Service]:
    found = Service(**how)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()


def opened(tmp_path: Path, source: str, **options: Any) -> PythonRuntime:
    bundle = python_bundle(tmp_path / "bundles", source, signature=SIGNATURE, sample=SAMPLE)
    model = open_runtime(bundle, RuntimeOptions(trust=True, **options))
    assert isinstance(model, PythonRuntime)
    assert (model.streams, model.waits, model.predicts) == (True, True, False)
    model.answer(Rows.of_values(SIGNATURE.inputs, [(0, "none")]))  # what is loaded late is not to be part of an answer's deadline
    return model


def asked(model: PythonRuntime, port: int, what: str = "lines") -> Reader:
    reader = Reader()
    reader.stream = model.stream(Rows.of_values(SIGNATURE.inputs, [(port, what)]), reader)
    return reader


async def until(what: Callable[[], bool]) -> None:
    """Wait until something is so; the test's own time-out ends it."""
    while not what():
        await asyncio.sleep(0.01)


def run(model: PythonRuntime, work: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        try:
            await asyncio.wait_for(work(), 60)
        finally:
            model.close()

    asyncio.run(whole())


LINES = [f"{number}\n" for number in range(50)]


@pytest.mark.parametrize("source", [ASYNC, THREADS], ids=["an event loop", "threads"])
def test_answers_are_made_side_by_side_and_each_has_its_parts_in_order(tmp_path: Path, source: str) -> None:
    model = opened(tmp_path, source)
    assert model.answer(Rows.of_values(SIGNATURE.inputs, [(0, "none"), (0, "none")])).values()[0][1] == 0

    async def work() -> None:
        async with service(together=12) as upstream:  # which sends nothing before all of them wait for it
            readers = [asked(model, upstream.port) for _ in range(12)]
            for reader in readers:
                assert await reader.whole() == ("".join(LINES), 50)
                assert reader.parts == LINES

    run(model, work)


def test_no_more_wait_than_may_and_those_beyond_the_queue_are_refused(tmp_path: Path) -> None:
    model = opened(tmp_path, ASYNC, waiting_streams=2)

    async def work() -> None:
        async with service(together=2) as upstream:
            readers = [asked(model, upstream.port) for _ in range(2 + 16 + 3)]
            assert model.queued_streams == 17  # the row of the first is on its way
            assert [(await reader.failure()).code for reader in readers[-3:]] == ["NR-561"] * 3
            for reader in readers[:-3]:
                assert (await reader.whole())[1] == 50
            assert upstream.most == 2

    run(model, work)


def test_one_that_hangs_is_late_alone_and_what_it_waited_for_is_closed(tmp_path: Path) -> None:
    model = opened(tmp_path, ASYNC, deadline_seconds=2.0)

    async def work() -> None:
        async with service() as upstream:
            late = asked(model, upstream.port, "hang")
            failed = asked(model, upstream.port, "fails")
            assert (await asked(model, upstream.port).whole())[1] == 50
            assert (await failed.failure()).where.startswith("ValueError: no more lines")
            failure = await late.failure()
            assert (failure.code, failure.http_status, late.parts) == ("NR-566", 504, ["0\n"])
            await until(lambda: upstream.closed == ["hang"])
            left = asked(model, upstream.port, "hang")
            await until(lambda: left.parts == ["0\n"])
            left.stream.cancel()
            await until(lambda: upstream.closed == ["hang", "hang"])
            assert model.restarts == 0

    run(model, work)


def test_a_reader_that_pauses_has_its_model_wait_and_is_not_late(tmp_path: Path) -> None:
    model = opened(tmp_path, THREADS, deadline_seconds=0.8)

    async def work() -> None:
        async with service(lines=2_000) as upstream:
            reader = asked(model, upstream.port)
            reader.stream.pause()
            await until(lambda: len(reader.parts) == AHEAD)
            loop = asyncio.get_running_loop()
            paused = loop.time()
            await until(lambda: loop.time() > paused + 1.8)  # longer than the deadline, which a pause is no part of
            assert len(reader.parts) == AHEAD
            reader.stream.resume()
            assert (await reader.whole())[1] == 2_000

    run(model, work)


def test_what_does_not_end_loses_its_place_and_only_when_all_are_lost_the_process(tmp_path: Path) -> None:
    model = opened(tmp_path, THREADS, waiting_streams=2, deadline_seconds=0.8)

    async def work() -> None:
        async with service() as upstream:
            first = asked(model, upstream.port, "hang")  # which blocks in a way that nothing ends
            assert (await first.failure()).code == "NR-566"
            assert (await asked(model, upstream.port).whole())[1] == 50
            assert model.restarts == 0
            second = asked(model, upstream.port, "hang")
            assert (await second.failure()).code == "NR-566"
            await until(lambda: model.restarts == 1)
            assert (await asked(model, upstream.port).whole())[1] == 50

    run(model, work)


def test_a_process_that_is_lost_fails_all_that_waited_and_errors_for_who_asks_are_told_as_they_are(tmp_path: Path) -> None:
    model = opened(tmp_path, THREADS)

    async def work() -> None:
        async with service() as upstream:
            refused = await asked(model, 0, "refused").failure()
            assert (refused.code, refused.http_status, refused.retry_after, refused.mistake) == ("NR-839", 429, 60, True)
            assert refused.what.startswith("the budget of tenant 'acme' for 2026-12-01 is spent")
            readers = [asked(model, upstream.port, "hang") for _ in range(3)]
            await until(lambda: all(reader.parts for reader in readers))
            assert model.pid is not None
            os.kill(model.pid, signal.SIGKILL)
            for reader in readers:
                failure = await reader.failure()
                assert (failure.alive, "SIGKILL" in failure.where) == (False, True)
            await until(lambda: model.restarts == 1)
            assert (await asked(model, upstream.port).whole())[1] == 50

    run(model, work)
