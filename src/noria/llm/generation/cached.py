"""Answers that are kept: the same question at temperature 0 is asked once. For evaluation runs, which ask the same again and again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec

from noria.core.ids import digest
from noria.llm.generation.failures import BadRequest
from noria.llm.generation.port import Completion, Generator, Options, parts_of, waits
from noria.llm.generation.prompt import Message
from noria.stores.kept_answers import KeptAnswers

FILE = "answers.sqlite"


class Cached:
    """A `Generator` whose answers at temperature 0 are kept in a folder, by its definition, the messages and the options.

    How a server is asked (time-outs, retries, prices) makes no other answer. A kept answer has `attempts` 0, and the usage and the seconds
    that it took when it was made. Only whole answers are kept. hits, made: so many were there, and were not; a folder that can't be read is
    no reason not to answer: failed counts it.
    """

    def __init__(self, generator: Generator, folder: str | Path) -> None:
        self._generator = generator
        self.hits = self.made = self.failed = 0
        try:
            self._kept = KeptAnswers(Path(folder) / FILE)
        except (sqlite3.Error, OSError) as error:
            raise BadRequest("Cached", f"{folder} can't keep answers: {error}", "give a folder that can be written") from error
        self._of = digest(_answers(generator.definition()))

    @property
    def waits(self) -> bool:
        """Whether it waits for a network."""
        return waits(self._generator)

    @property
    def provider(self) -> str:
        return str(getattr(self._generator, "provider", ""))

    def generate(self, messages: Sequence[Message], options: Options = Options()) -> Completion:
        """The answer as a whole."""
        key = self._key(messages, options)
        if (kept := self._get(key)) is not None:
            return kept
        return self._put(key, self._generator.generate(messages, options))

    def stream(self, messages: Sequence[Message], options: Options = Options()) -> Iterator[str | Completion]:
        """Its parts, and last the whole; a kept answer is one part."""
        key = self._key(messages, options)
        if (kept := self._get(key)) is not None:
            if kept.text:
                yield kept.text
            yield kept
            return
        with closing(parts_of(self._generator, messages, options)) as parts:
            for part in parts:
                yield self._put(key, part) if isinstance(part, Completion) else part

    def definition(self) -> dict[str, Any]:
        """Of what it keeps."""
        return self._generator.definition()

    def _key(self, messages: Sequence[Message], options: Options) -> str | None:
        if options.temperature != 0:
            return None
        asked = {name: value for name, value in asdict(options).items() if name != "timeout"}
        return digest([self._of, [[message.role, message.content] for message in messages], asked])

    def _get(self, key: str | None) -> Completion | None:
        if key is None:
            return None
        try:
            kept = self._kept.get(key)
            if kept is None:
                return None
            found = msgspec.json.decode(kept, type=Completion)
        except (sqlite3.Error, OSError, msgspec.DecodeError):
            self.failed += 1
            return None
        self.hits += 1
        return replace(found, attempts=0)

    def _put(self, key: str | None, made: Completion) -> Completion:
        self.made += 1
        if key is not None:
            try:
                self._kept.put(key, msgspec.json.encode(made))
            except (sqlite3.Error, OSError, UnicodeEncodeError):
                self.failed += 1
        return made


def _answers(definition: Any) -> Any:
    """A definition without what makes no other answer."""
    if isinstance(definition, Mapping):
        return {name: _answers(value) for name, value in definition.items() if name != "calls"}
    return [_answers(each) for each in definition] if isinstance(definition, list | tuple) else definition
