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

    def __init__(self, reason: str, *, alive: bool = True) -> None:
        self.alive = alive
        super().__init__(
            what="the model returned no result",
            where=reason.strip().splitlines()[0] if reason.strip() else "no reason was given",
            fix="send the row again; if it fails again, the model can't answer it",
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
    deadline_seconds: what one call of a model in a process of its own may take; start_seconds: what its start may
    memory_gb: the address space of such a process
    locked: whether it must find the versions that its bundle was made with
    """

    threads: int = 1
    trust: bool = False
    deadline_seconds: float = 60.0
    start_seconds: float = 60.0
    memory_gb: float | None = None
    locked: bool = True


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
