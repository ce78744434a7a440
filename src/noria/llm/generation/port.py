"""The port of models that write."""

from __future__ import annotations

import math
from collections.abc import Generator as GeneratorType
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from noria.llm.generation.failures import BadRequest
from noria.llm.generation.prompt import Message

# Why an answer ended: it was complete, as long as allowed, withheld by a filter, or made of something else than text
Finish = Literal["stop", "length", "filtered", "tools"]


@dataclass(frozen=True)
class Usage:
    """What an answer took. cached: tokens of the prompt that the provider knew already; cost: US dollars, None: no price is known

    estimated: the provider did not say, and the tokens were counted here
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = None
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        cost = None if self.cost is None and other.cost is None else (self.cost or 0.0) + (other.cost or 0.0)
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            cost,
            self.estimated or other.estimated,
        )


@dataclass(frozen=True)
class Options:
    """How an answer is to be made. most_tokens: of the answer; timeout: seconds until it is complete

    seed: the same seed, the same answer, as far as the model keeps to that; stop: texts at which it ends; schema: JSON Schema that it
    meets; tenant: on whose budget it is (no provider is told). Raises `BadRequest`.
    """

    temperature: float = 0.0
    most_tokens: int = 512
    timeout: float = 30.0
    seed: int | None = 0
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    tenant: str = ""

    def __post_init__(self) -> None:
        for name, value, good in (
            ("temperature", self.temperature, 0 <= self.temperature < math.inf),
            ("most_tokens", self.most_tokens, self.most_tokens >= 1),
            ("timeout", self.timeout, 0 < self.timeout < math.inf),
        ):
            if not good:
                raise BadRequest(
                    "Options", f"{name}={value}", "give a temperature of 0 or more, most_tokens of 1 or more, and seconds above 0"
                )
        if not isinstance(self.stop, tuple | list) or not all(self.stop):
            raise BadRequest("Options", f"stop={self.stop!r}", "give a tuple of texts that are not empty, such as ('\\n',)")


@dataclass(frozen=True)
class Completion:
    """A complete answer. model: as who made it calls it; first_part: seconds until its first part; attempts: all that were made

    (0: it was kept from before); data: what the text says as JSON, where a schema was asked; provider: who answered; id: the provider's
    own name of the answer; passed_over: who did not answer before, and why
    """

    text: str
    finish: Finish = "stop"
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    seconds: float = 0.0
    first_part: float | None = None
    attempts: int = 1
    data: Any = None
    provider: str = ""
    id: str = ""
    passed_over: tuple[str, ...] = ()


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


def waits(part: Any) -> bool:
    """Whether a part of an application (a generator, an embedder) waits for a network, so that what asks it waits beside others."""
    return getattr(part, "waits", False) is True


def parts_of(generator: Generator, messages: Sequence[Message], options: Options) -> GeneratorType[str | Completion, None, None]:
    """The stream of a generator as one that can be closed: what ends the reading ends the writing, at once."""
    parts = generator.stream(messages, options)
    try:
        yield from parts
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            close()
