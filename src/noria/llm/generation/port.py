"""The port of models that write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from noria.llm.generation.prompt import Message

# Why an answer ended: it was complete, as long as allowed, withheld by a filter, or made of something else than text
Finish = Literal["stop", "length", "filtered", "tools"]


@dataclass(frozen=True)
class Usage:
    """What an answer took. cached: tokens of the prompt that the provider knew already; cost: US dollars, None: no price is known"""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = None

    def __add__(self, other: Usage) -> Usage:
        cost = None if self.cost is None and other.cost is None else (self.cost or 0.0) + (other.cost or 0.0)
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            cost,
        )


@dataclass(frozen=True)
class Options:
    """How an answer is to be made. most_tokens: of the answer; timeout: seconds until it is complete

    seed: the same seed, the same answer, as far as the model keeps to that; stop: texts at which it ends; schema: JSON Schema that it meets
    """

    temperature: float = 0.0
    most_tokens: int = 512
    timeout: float = 30.0
    seed: int | None = 0
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Completion:
    """A complete answer. model: as who made it calls it; first_part: seconds until its first part; attempts: all that were made"""

    text: str
    finish: Finish = "stop"
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    seconds: float = 0.0
    first_part: float | None = None
    attempts: int = 1


class Generator(Protocol):
    """What writes an answer to messages. Raises an error of `noria.llm.generation.failures` where it can't."""

    def generate(self, messages: Sequence[Message], options: Options = ...) -> Completion:
        """The answer as a whole."""
        ...

    def stream(self, messages: Sequence[Message], options: Options = ...) -> Iterator[str | Completion]:
        """Its parts as they are made, and last the whole `Completion`. Closing the iterator ends it."""
        ...

    def definition(self) -> dict[str, Any]:
        """What the answers depend on, as plain data without secrets: a bundle has it."""
        ...
