"""Several providers behind one port: the next one answers where one can't."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

from noria.core.clock import Clock, Stopwatch, SystemClock
from noria.llm.generation.circuit import Circuit
from noria.llm.generation.failures import BadRequest, NoAnswer, NotAnswered, none_answered
from noria.llm.generation.port import Completion, Generator, Options, parts_of, waits
from noria.llm.generation.prompt import Message


class Fallbacks:
    """A `Generator` that asks the first of several, and each next one where those before did not answer.

    It falls back until the first part was handed out: what begins as one model's answer does not go on as another's. Each may take an
    even share of the time that is left, so that one that hangs leaves time for the next. One that failed `failures` times in a row is
    passed over for `pause` seconds, and then tried once; what is wrong with a request (too long, refused, not of its schema) does not
    count against who said so.
    The `Completion` says who answered, and who was passed over.
    """

    def __init__(self, generators: Sequence[Generator], *, failures: int = 3, pause: float = 30.0, clock: Clock | None = None) -> None:
        if not generators:
            raise BadRequest("Fallbacks", "there are no generators", "give at least one")
        self._generators, self._failures, self._pause = list(generators), failures, pause
        self._circuits = [Circuit(failures, timedelta(seconds=pause), clock or SystemClock()) for _ in generators]

    @property
    def generators(self) -> Sequence[Generator]:
        return self._generators

    @property
    def waits(self) -> bool:
        """Whether it waits for a network."""
        return any(map(waits, self._generators))

    @property
    def provider(self) -> str:
        return ", else ".join(_name(generator) for generator in self._generators)

    def generate(self, messages: Sequence[Message], options: Options = Options()) -> Completion:
        """The answer as a whole."""
        turns = _Turns(self, options)
        for generator, circuit, granted in turns:
            try:
                made = generator.generate(messages, granted)
            except NoAnswer as failure:
                turns.failed(circuit, failure)
            except BaseException:
                circuit.left()
                raise
            else:
                return turns.told(circuit, made)
        raise turns.error()

    def stream(self, messages: Sequence[Message], options: Options = Options()) -> Iterator[str | Completion]:
        """Its parts as they are made, and last the whole."""
        turns = _Turns(self, options)
        for generator, circuit, granted in turns:
            begun = False
            try:
                with closing(parts_of(generator, messages, granted)) as parts:
                    for part in parts:
                        if isinstance(part, Completion):
                            yield turns.told(circuit, part)
                            return
                        begun = True
                        yield part
            except NoAnswer as failure:
                turns.failed(circuit, failure)
                if begun:
                    raise
            except BaseException:  # whoever reads it stops, too
                circuit.left()
                raise
        raise turns.error()

    def definition(self) -> dict[str, Any]:
        """The order is part of it."""
        of = [generator.definition() for generator in self._generators]
        return {"generator": "fallbacks", "of": of, "calls": {"failures": self._failures, "pause": self._pause}}


class _Turns:
    """Whose turn it is, in one answer, and what came of the turns before."""

    def __init__(self, fallbacks: Fallbacks, options: Options) -> None:
        self._all = list(zip(fallbacks._generators, fallbacks._circuits, strict=True))
        self._options, self._watch = options, Stopwatch()
        self._failures, self._passed = list[NoAnswer](), list[str]()

    def __iter__(self) -> Iterator[tuple[Generator, Circuit, Options]]:
        for place, (generator, circuit) in enumerate(self._all):
            left = self._options.timeout - self._watch.seconds
            if left <= 0:
                self._passed.append(f"{_name(generator)}: no time was left")
            elif not circuit.allows():
                wait = circuit.wait()
                self._failures.append(NotAnswered(_name(generator), "it failed several times in a row and is left alone", wait=wait))
                self._passed.append(f"{_name(generator)}: left alone for {wait:.0f} s")
            else:
                yield generator, circuit, replace(self._options, timeout=left / (len(self._all) - place))

    def failed(self, circuit: Circuit, failure: NoAnswer) -> None:
        circuit.left() if failure.of_request else circuit.failed()
        self._failures.append(failure)
        self._passed.append(f"{failure.provider}: {failure.what}")

    def told(self, circuit: Circuit, made: Completion) -> Completion:
        circuit.succeeded()
        attempts = made.attempts + sum(failure.attempts for failure in self._failures)
        passed = (*self._passed, *made.passed_over)
        return replace(made, attempts=attempts, passed_over=passed, seconds=self._watch.seconds)

    def error(self) -> NoAnswer:
        return none_answered(self._failures)


def _name(generator: Generator) -> str:
    if provider := getattr(generator, "provider", ""):
        return str(provider)
    definition = generator.definition()
    return str(definition.get("model") or definition.get("generator", ""))
