"""The port of runtimes: what runs a bundle's model, and what goes wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from noria.core.errors import OutsideWorld, UserMistake
from noria.core.signature import Signature
from noria.data.rows import Rows


class ModelFailed(OutsideWorld):
    """A model gave no answer. alive: whether it can be asked again at once"""

    code = "NR-304"
    http_status = 500
    alive = True
    mistake = False  # of who asked: asking another model instead is no help

    def __init__(self, reason: str, *, alive: bool = True) -> None:
        self.alive = alive
        super().__init__(
            what="the model returned no result",
            where=reason.strip().splitlines()[0] if reason.strip() else "no reason was given",
            fix="send the row again; if it fails again, the model can't answer it",
        )


class ModelBusy(ModelFailed):
    """As many streams are open as a model may have, and enough wait for their turn."""

    code = "NR-561"
    http_status = 503
    retry_after = 1

    def __init__(self, streams: int, waiting: int) -> None:
        self.streams, self.waiting = streams, waiting
        super(ModelFailed, self).__init__(
            what="the model is generating as many texts as it may",
            where=f"{streams} streams are open and {waiting} are queued",
            fix="try again in a moment, or raise serving.model_streams (waiting_streams, where it waits), or run more workers",
        )


class AnswerTooLong(ModelFailed):
    """A streamed answer has more parts or bytes than it may have, or takes longer in all."""

    code = "NR-562"

    def __init__(self, reason: str) -> None:
        super(ModelFailed, self).__init__(
            what="the answer is longer than allowed",
            where=reason,
            fix="have the model stop earlier, or raise the serving.stream_… setting that it exceeded",
        )


class AnswerLate(ModelFailed):
    """A model that waits for a network made no part of an answer for longer than it may; its other answers go on."""

    code = "NR-566"
    http_status = 504

    def __init__(self, seconds: float) -> None:
        super(ModelFailed, self).__init__(
            what="the answer is late",
            where=f"the model made no part of it for {seconds:g} s",
            fix="see what keeps the service that it waits for, or give the endpoint a longer deadline",
        )


class UnloadableModel(UserMistake):
    """ONNX Runtime refused a model."""

    code = "NR-302"

    def __init__(self, reason: str) -> None:
        super().__init__(
            what="the model could not be loaded",
            where=reason.strip().splitlines()[0],
            fix="export the model again with the installed versions of onnx and onnxruntime",
        )


@dataclass(frozen=True)
class RuntimeOptions:
    """How a model may run.

    threads: of one call, where the runtime has threads of its own
    trust: whether code that a bundle carries may run here (`nr.Model(…, trust=True)`)
    deadline_seconds: what a step of a model in a process of its own may take, a call or the making of one part of a streamed answer
    start_seconds: what the start of its process may take
    memory_gb: the address space of such a process
    streams: answers in parts that such a process makes at once; waiting_streams: the same of a model that waits for a network while it does
    stream_…: what each of them may have in all
    locked: whether it must find the versions that its bundle was made with
    """

    threads: int = 1
    trust: bool = False
    deadline_seconds: float = 60.0
    start_seconds: float = 60.0
    memory_gb: float | None = None
    locked: bool = True
    streams: int = 8
    waiting_streams: int = 32
    stream_seconds: float = 300.0
    stream_parts: int = 16_384
    stream_bytes: int = 1 << 20


class Runtime(Protocol):
    """A model that can be asked."""

    @property
    def signature(self) -> Signature:
        """What it reads and answers."""

    def answer(self, rows: Rows) -> Rows:
        """The answers to rows of the signature's inputs, as rows of its outputs: as many, in their order. Raises `ModelFailed`."""

    def close(self) -> None:
        """Let go of what it holds. It is asked nothing afterwards."""


@runtime_checkable
class AsyncRuntime(Runtime, Protocol):
    """A runtime whose model is not in this process: who serves many must not wait for it. restarts: how often it was lost and is back"""

    restarts: int

    def ask(self, rows: Rows, then: Callable[[Rows | ModelFailed], None]) -> None:
        """Have rows answered; `then` is called once, later, on the event loop that this is called from. Calls go one after the other."""


class PartsReader(Protocol):
    """Who is given a streamed answer, on the event loop that asked for it."""

    def part(self, text: str) -> None:
        """The next part, in order."""

    def ended(self, found: Rows | ModelFailed) -> None:
        """The complete answer, a row of the signature's outputs, or why there is none. Called once, and nothing after it."""


class AnswerStream(Protocol):
    """A streamed answer under way, for who reads it."""

    def pause(self) -> None:
        """The reader is slow: have no more parts made than those that are on their way."""

    def resume(self) -> None:
        """Go on after `pause`."""

    def cancel(self) -> None:
        """Nobody reads any more: the model stops, and the reader is called no more."""


@runtime_checkable
class StreamingRuntime(AsyncRuntime, Protocol):
    """A runtime whose model may answer in parts: texts that, joined, are its first output. Its others, if it has any, come with the end.

    streams: whether this model does; predicts: whether it also answers batches at once, without which `answer` and `ask` join parts
    waits: whether it waits for a network, and its answers are made side by side; alive: whether there is a process to ask
    """

    streams: bool
    predicts: bool
    waits: bool

    @property
    def alive(self) -> bool: ...
    @property
    def queued_streams(self) -> int:
        """Answers in parts that wait for their turn."""

    def stream(self, row: Rows, reader: PartsReader) -> AnswerStream:
        """Have one row answered in parts, beside calls and other streams; what comes when is told to the reader, later."""
