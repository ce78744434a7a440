"""Answers that are data: of a JSON Schema, whoever writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from noria.llm.generation.port import Completion, Generator, Options
from noria.llm.generation.prompt import Message
from noria.llm.generation.schemas import asked_in_words, corrected


@dataclass(frozen=True)
class Structured:
    """Data that meets its schema; completion: what it was read from, with the usage of all tries. data is None where it was withheld"""

    data: Any
    completion: Completion


def structured(
    generator: Generator, messages: Sequence[Message], schema: Mapping[str, Any], options: Options = Options(), corrections: int = 2
) -> Structured:
    """What a model says as data of a JSON Schema, by any generator: the schema is told in words, and the answer is held against it here.

    An answer that does not meet it is given back with what is wrong, so many times. Raises `BadAnswer`, and what the generator raises.
    A generator that holds its server to schemas (`OpenAICompatible`) does better with `Options.schema`.
    """
    plain = replace(options, schema=None)
    told = asked_in_words(messages, schema)
    made = corrected(lambda again: generator.generate(again, plain), told, schema, corrections, str(getattr(generator, "provider", "")))
    return Structured(made.data, made)
