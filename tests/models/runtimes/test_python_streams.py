"""Python models that answer in parts, through the port: order, turns, credit, ends of every kind; no server around them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from noria.core.signature import SCORE, Field, Signature
from noria.data.rows import Rows
from noria.models.runtimes import open_runtime
from noria.models.runtimes.child import NotStarted
from noria.models.runtimes.port import AnswerStream, ModelFailed, RuntimeOptions, StreamingRuntime
from noria.models.runtimes.python import PythonRuntime
from noria.models.runtimes.python_streams import AHEAD
from python_bundles import python_bundle

TEXTS = Signature((Field("prompt", "string"), Field("times", "int64")), (Field("text", "string", nullable=False),))

MODEL = """
import os, time
from pathlib import Path
import numpy as np

TAKEN = []


class Model:
    def stream(self, row):
        prompt = row["prompt"]
        try:
            for number in range(row["times"]):
                if prompt == "slow":
                    time.sleep(0.05)
                if prompt == "leak":
                    while True:
                        TAKEN.append(np.zeros(2**25))
                yield f"{prompt}{number} "
        finally:
            if prompt.startswith("/"):
                Path(prompt).write_text("closed")


def load(folder):
    return Model()
"""
BOTH = (
    MODEL
    + """
class Both(Model):
    def predict(self, columns):
        return ["at once"] * len(columns["times"])


def load(folder):
    return Both()
"""
)
SAMPLE = [["a", 2]], [["a0 a1 "]]


class Reader:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.ends = 0
        self.done: asyncio.Future[Rows | ModelFailed] = asyncio.get_running_loop().create_future()
        self.stream: AnswerStream

    def part(self, text: str) -> None:
        self.parts.append(text)

    def ended(self, found: Rows | ModelFailed) -> None:
        self.ends += 1
        self.done.set_result(found)


def opened(tmp_path: Path, source: str = MODEL, **options: Any) -> PythonRuntime:
    bundle = python_bundle(tmp_path / "bundles", source, signature=TEXTS, sample=SAMPLE)
    model = open_runtime(bundle, RuntimeOptions(trust=True, **options))
    assert isinstance(model, StreamingRuntime)
    assert isinstance(model, PythonRuntime)
    assert model.streams
    return model


def row(prompt: str, times: int = 3) -> Rows:
    return Rows.of_values(TEXTS.inputs, [(prompt, times)])


def asked(model: StreamingRuntime, prompt: str, times: int = 3) -> Reader:
    reader = Reader()
    reader.stream = model.stream(row(prompt, times), reader)
    return reader


def text_of(found: Rows | ModelFailed) -> str:
    assert isinstance(found, Rows), found
    [values] = found.dicts()
    return str(values["text"])


def run(model: PythonRuntime, work: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        try:
            await asyncio.wait_for(work(), 30)
        finally:
            model.close()

    asyncio.run(whole())


def called(model: PythonRuntime, rows: Rows) -> asyncio.Future[Rows | ModelFailed]:
    found: asyncio.Future[Rows | ModelFailed] = asyncio.get_running_loop().create_future()
    model.ask(rows, found.set_result)
    return found


def test_parts_come_in_order_and_joined_they_are_the_answer(tmp_path: Path) -> None:
    model = opened(tmp_path)
    assert [each["text"] for each in model.answer(Rows.of_values(TEXTS.inputs, [("a", 2), ("b", 1)])).dicts()] == ["a0 a1 ", "b0 "]

    async def work() -> None:
        reader = asked(model, "a", 200)
        found = text_of(await reader.done)
        assert reader.parts == [f"a{number} " for number in range(200)]
        assert found == "".join(reader.parts)
        assert text_of(await asked(model, "a", 0).done) == ""

    run(model, work)


def test_streams_take_turns_and_calls_of_predict_stand_between_parts(tmp_path: Path) -> None:
    model = opened(tmp_path, BOTH)

    async def work() -> None:
        one, other = asked(model, "slow", 10), asked(model, "b", 3)
        assert text_of(await called(model, row("x"))) == "at once"
        assert text_of(await other.done) == "b0 b1 b2 "
        assert 0 < len(one.parts) < 10
        assert text_of(await one.done) == "".join(f"slow{number} " for number in range(10))

    run(model, work)


def test_no_more_are_open_than_may_be_and_those_that_leave_the_queue_are_never_begun(tmp_path: Path) -> None:
    model, witness = opened(tmp_path, streams=1), tmp_path / "witness"

    async def work() -> None:
        first, left, last = asked(model, "slow", 3), asked(model, str(witness), 3), asked(model, "c", 1)
        left.stream.cancel()
        assert text_of(await last.done) == "c0 "
        assert first.done.done()
        assert not left.done.done()
        assert not witness.exists()

    run(model, work)


def test_a_reader_that_pauses_has_the_model_pause_and_go_on(tmp_path: Path) -> None:
    model = opened(tmp_path, deadline_seconds=0.5)

    async def work() -> None:
        reader = asked(model, "a", 500)
        reader.stream.pause()
        await asyncio.sleep(1.2)  # longer than the deadline, which a pause is no part of
        assert len(reader.parts) == AHEAD
        assert text_of(await asked(model, "b", 1).done) == "b0 "
        reader.stream.resume()
        assert len(text_of(await reader.done).split()) == 500

    run(model, work)


def test_what_is_cancelled_is_closed_and_tells_its_reader_nothing_more(tmp_path: Path) -> None:
    model, witness = opened(tmp_path, streams=1), tmp_path / "witness"

    async def work() -> None:
        reader = asked(model, str(witness), 1000)
        reader.stream.pause()
        while not reader.parts:
            await asyncio.sleep(0.01)
        reader.stream.cancel()
        seen = len(reader.parts)
        assert text_of(await asked(model, "b", 1).done) == "b0 "  # its place is free
        assert witness.read_text() == "closed"
        assert len(reader.parts) == seen
        assert not reader.ends

    run(model, work)


def test_memory_that_is_not_there_costs_the_process_and_all_its_streams(tmp_path: Path) -> None:
    model = opened(tmp_path, memory_gb=2)

    async def work() -> None:
        other, reader = asked(model, "slow", 100), asked(model, "leak")
        for found in (await reader.done, await other.done):
            assert isinstance(found, ModelFailed)
            assert "MemoryError" in found.where
            assert not found.alive
        refused = await asked(model, "a").done
        assert isinstance(refused, ModelFailed)
        assert refused.code == "NR-331"
        while not model.alive:
            await asyncio.sleep(0.05)
        assert text_of(await asked(model, "a").done) == "a0 a1 a2 "

    run(model, work)


def test_streams_that_are_under_way_fail_when_the_model_is_closed(tmp_path: Path) -> None:
    model = opened(tmp_path, streams=1)

    async def work() -> None:
        readers = [asked(model, "slow", 100) for _ in range(2)]
        await asyncio.sleep(0.2)
        model.close()
        found = [await reader.done for reader in readers]
        assert all(isinstance(each, ModelFailed) for each in found)
        assert [reader.ends for reader in readers] == [1, 1]

    run(model, work)


def test_a_bound_in_seconds_ends_a_stream(tmp_path: Path) -> None:
    model = opened(tmp_path, stream_seconds=0.3)

    async def work() -> None:
        found = await asked(model, "slow", 100).done
        assert isinstance(found, ModelFailed)
        assert (found.code, found.where) == ("NR-562", "it took longer than 0.3 s in all (serving.stream_seconds)")
        assert text_of(await asked(model, "a").done) == "a0 a1 a2 "

    run(model, work)


def test_a_runtime_that_streamed_and_that_nobody_holds_leaves_no_process(tmp_path: Path) -> None:
    model = opened(tmp_path)
    pid = model.pid
    del model
    gc.collect()
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("source", "signature", "words"),
    [
        ("class M:\n    def predict(self, columns):\n        yield 'a'\n", TEXTS, "its `predict` is a generator; call it `stream`"),
        ("class M:\n    async def stream(self, row):\n        return 'a'\n", TEXTS, "its method `stream` is a coroutine"),
        ("class M:\n    async def predict(self, columns):\n        return 'a'\n", TEXTS, "its `predict` is a coroutine"),
        ("class M:\n    waits = True\n    def predict(self, columns):\n        return 'a'\n", TEXTS, "has no method `stream`"),
        ("class M:\n    def stream(self, row):\n        yield 'a'\n", Signature(TEXTS.inputs, (SCORE,)), "its first output is not a text"),
    ],
)
def test_a_model_that_can_not_stream_says_why_when_it_is_loaded(tmp_path: Path, source: str, signature: Signature, words: str) -> None:
    bundle = python_bundle(tmp_path, source + "\ndef load(folder): return M()\n", signature=signature, sample=SAMPLE)
    with pytest.raises(NotStarted, match=words):
        open_runtime(bundle, RuntimeOptions(trust=True))


# --- several outputs ---

SEVERAL = Signature(
    TEXTS.inputs,
    (Field("text", "string", nullable=False), Field("words", "string", (None,)), Field("cost", "float64"), Field("n", "int64")),
)
OF_SEVERAL = """
ENDS = {
    "fine": lambda n: [{"words": ["a", "b"], "cost": 0.5, "n": n}],
    "unknown": lambda n: [{"words": None, "cost": None, "n": None}],
    "replaced": lambda n: [{"words": [], "cost": 0.5, "n": n, "text": "another", "more": 1}],
    "none": lambda n: [],
    "lacking": lambda n: [{"words": []}],
    "misfit": lambda n: [{"words": [], "cost": "much", "n": n}],
    "text": lambda n: [{"words": "abc", "cost": 0.5, "n": n}],
    "nan": lambda n: [{"words": [], "cost": float("nan"), "n": n}],
    "no text": lambda n: [{"words": [], "cost": 0.5, "n": n, "text": None}],
    "twice": lambda n: [{"words": [], "cost": 0.5, "n": n}] * 2,
    "after": lambda n: [{"words": [], "cost": 0.5, "n": n}, "more"],
    "large": lambda n: [{"words": ["x" * 1000] * 100, "cost": 0.5, "n": n}],
}


class Model:
    def stream(self, row):
        for number in range(row["times"]):
            yield f"{number} "
        yield from ENDS[row["prompt"]](row["times"])


def load(folder):
    return Model()
"""


def several(tmp_path: Path, options: RuntimeOptions) -> PythonRuntime:
    bundle = python_bundle(tmp_path, OF_SEVERAL, signature=SEVERAL, sample=([["fine", 2]], [["0 1 ", ["a", "b"], 0.5, 2]]))
    found = open_runtime(bundle, options)
    assert isinstance(found, PythonRuntime)
    return found


def test_the_other_outputs_come_with_the_end_in_parts_and_as_a_whole(tmp_path: Path) -> None:
    model = several(tmp_path, RuntimeOptions(trust=True, stream_bytes=50_000))
    asked = Rows.of_values(SEVERAL.inputs, [(what, 2) for what in ("fine", "unknown", "replaced")])
    expected = [("0 1 ", ["a", "b"], 0.5, 2), ("0 1 ", None, None, None), ("another", [], 0.5, 2)]
    wrong = {
        "none": "ended without its other outputs",
        "lacking": "lack cost, n: they are words",
        "misfit": "cost: float64 is the text 'much'",
        "text": "words: string[any] is the text 'abc'",
        "nan": "not finite",
        "no text": "text: string is None, and has to be known",
        "twice": "gave more after its other outputs",
        "after": "gave more after its other outputs",
        "large": "more than 50,000 bytes",
    }
    assert model.answer(asked).values() == expected
    with pytest.raises(ModelFailed) as failed:
        model.answer(Rows.of_values(SEVERAL.inputs, [("lacking", 1)]))
    assert wrong["lacking"] in failed.value.where
    model.close()

    async def streamed() -> None:
        model = several(tmp_path, RuntimeOptions(trust=True, stream_bytes=50_000))
        try:
            for place, row in enumerate(expected):
                reader = Reader()
                model.stream(asked.part(place, place + 1), reader)
                found = await reader.done
                assert isinstance(found, Rows), found
                assert (reader.parts, found.values()) == (["0 ", "1 "], [row])
            for what, words in wrong.items():
                reader = Reader()
                model.stream(Rows.of_values(SEVERAL.inputs, [(what, 1)]), reader)
                ended = await reader.done
                assert isinstance(ended, ModelFailed), (what, ended.values())
                assert words in ended.where, what
                assert reader.parts == ["0 "]
        finally:
            model.close()

    asyncio.run(streamed())
