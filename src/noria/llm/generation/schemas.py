"""Answers as JSON: read from what a model writes, and held against a JSON Schema. Nothing is fetched: a `$ref` is within its schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from noria.core.errors import MissingExtra
from noria.core.ids import canonical_json
from noria.llm.generation.failures import BadAnswer, BadRequest
from noria.llm.generation.port import Completion
from noria.llm.generation.prompt import Message
from noria.llm.generation.wire import NOT_JSON

FENCED = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL | re.IGNORECASE)
SAID = 300  # characters of a reason that a model is told


class NotOfSchema(ValueError):
    """A text is not what a schema asks, and why."""


def read(text: str, schema: Mapping[str, Any]) -> Any:
    """What a text says as JSON of that schema; a Markdown fence around the whole is taken off. Raises `NotOfSchema`, `BadRequest`."""
    fenced = FENCED.match(text)
    try:
        value = msgspec.json.decode((fenced[1] if fenced else text).strip().encode("utf-8", "surrogatepass"))
    except NOT_JSON as error:
        raise NotOfSchema(f"it is not JSON: {error}") from None
    check(value, schema)
    return value


def check(value: Any, schema: Mapping[str, Any]) -> None:
    """Hold a value against a schema. Raises `NotOfSchema` with the place of what is wrong first, `BadRequest` where the schema is none."""
    import jsonschema
    import referencing

    try:
        wrong = jsonschema.exceptions.best_match(checker(schema).iter_errors(value))
    except referencing.exceptions.Unresolvable as error:
        raise BadRequest("Options", f"the schema has no {error.ref!r}", "put what a $ref names into the schema itself") from None
    if wrong is not None:
        place = "".join(f"[{step!r}]" for step in wrong.absolute_path)
        raise NotOfSchema(f"{place or 'the whole'}: {wrong.message}")


def checker(schema: Mapping[str, Any]) -> Any:
    """What holds values against a schema. Raises `BadRequest` where it is none: before a model is asked for an answer that can't be one."""
    try:
        import jsonschema
        import referencing
    except ImportError as error:
        raise MissingExtra(library="jsonschema", extra="llm", needed_for="answers with a schema") from error
    told = dict(schema)
    kind = jsonschema.validators.validator_for(told, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(told)
    except jsonschema.SchemaError as error:
        raise BadRequest("Options", f"the schema is none: {error.message}", "give a JSON Schema") from None
    return kind(told, registry=referencing.Registry())


def corrected(
    answer: Callable[[Sequence[Message]], Completion], messages: Sequence[Message], schema: Mapping[str, Any], corrections: int, who: str
) -> Completion:
    """An answer that meets a schema: one that does not is given back with what is wrong with it, so many times.

    Its usage and attempts are of all answers together. Raises `BadAnswer`.
    """
    checker(schema)
    told, done = list(messages), list[Completion]()
    while True:
        made = answer(told)
        done.append(made)
        if made.finish == "filtered":
            return _together(done)
        try:
            return replace(_together(done), data=read(made.text, schema))
        except NotOfSchema as error:
            reason = str(error)[:SAID]
        if made.finish == "length":
            raise BadAnswer(who, f"it ended at {made.usage.completion_tokens} tokens: {reason}", partial=made.text, of_request=True)
        if len(done) > corrections:
            raise BadAnswer(who, f"after {len(done)} tries it is not what the schema asks: {reason}", partial=made.text, of_request=True)
        told = [*messages, Message("assistant", made.text), Message("user", f"That is wrong: {reason}\nAnswer again, with JSON alone.")]


def asked_in_words(messages: Sequence[Message], schema: Mapping[str, Any]) -> list[Message]:
    """The messages with the schema in words, for models whose server does not hold them to one."""
    words = f"Answer with JSON alone, which meets this JSON Schema:\n{canonical_json(schema)}"
    if messages and messages[0].role == "system":
        return [Message("system", f"{messages[0].content}\n\n{words}"), *messages[1:]]
    return [Message("system", words), *messages]


def _together(done: Sequence[Completion]) -> Completion:
    usage = done[0].usage
    for made in done[1:]:
        usage += made.usage
    seconds, attempts = sum(made.seconds for made in done), sum(made.attempts for made in done)
    return replace(done[-1], usage=usage, seconds=seconds, attempts=attempts, first_part=done[0].first_part)
