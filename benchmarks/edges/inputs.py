"""One awkward input with its right answer, and how what came of it is judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import noria as nr


class Verdict(StrEnum):
    """What came of an input. The first three are good, and only where the input says that they are."""

    RIGHT = "right"
    REFUSED = "refused by name"
    QUARANTINED = "quarantined with its text"
    WRONG = "WRONG"
    TRACEBACK = "TRACEBACK"
    LOST = "LOST"

    @property
    def good(self) -> bool:
        return self in (Verdict.RIGHT, Verdict.REFUSED, Verdict.QUARANTINED)


@dataclass(frozen=True)
class Held:
    """A value whose row is in quarantine, with the text that is kept of it."""

    text: str | None


@dataclass(frozen=True)
class Refused:
    """A refusal with one of these codes."""

    codes: tuple[str, ...]


@dataclass(frozen=True)
class AnyOf:
    """Several right answers."""

    answers: tuple[Any, ...]


def refused(*codes: str) -> Refused:
    return Refused(codes)


def any_of(*answers: Any) -> AnyOf:
    return AnyOf(answers)


class LostRows(AssertionError):
    """A row that came in is neither stored nor in quarantine nor told of."""


@dataclass(frozen=True)
class Input:
    """`run` gives what came of the input; `right` is what should: a value, `refused(…)`, or `any_of(…)` them.

    slow: whether it needs a server or many seconds, or is one of so many that a part of them has to do at each change
    """

    kind: str
    name: str
    run: Callable[[], Any] = field(repr=False)
    right: Any
    slow: bool = False

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


@dataclass(frozen=True)
class Judged:
    """An input's verdict, with what was seen in words."""

    input: Input
    verdict: Verdict
    saw: str

    def __str__(self) -> str:
        return f"{self.verdict} {self.input}: {self.saw}, right is {self.input.right}"


def judge(tried: Input) -> Judged:
    """Run an input and judge what comes of it."""
    try:
        saw = tried.run()
    except LostRows as error:
        return Judged(tried, Verdict.LOST, str(error))
    except nr.NoriaError as error:
        return Judged(tried, _of_refusal(error, tried.right), f"{error.code} {error.what} ({error.where})")
    except Exception as error:  # whatever it is, a user would see it as a traceback  # noqa: BLE001
        return Judged(tried, Verdict.TRACEBACK, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
    if not any(same(saw, right) for right in _answers(tried.right)):
        return Judged(tried, Verdict.WRONG, repr(saw))
    return Judged(tried, Verdict.QUARANTINED if _is_held(saw) else Verdict.RIGHT, repr(saw))


def _of_refusal(error: nr.NoriaError, right: Any) -> Verdict:
    in_words = bool(error.what and error.where and error.fix) and "Traceback" not in str(error) and len(error.what) < 1_000
    wanted = any(error.code in r.codes for r in _answers(right) if isinstance(r, Refused))
    return Verdict.REFUSED if wanted and in_words and error.exit_code != 70 else Verdict.WRONG


def _answers(right: Any) -> Iterable[Any]:
    return right.answers if isinstance(right, AnyOf) else (right,)


def _is_held(saw: Any) -> bool:
    return isinstance(saw, Held) or (isinstance(saw, list) and any(map(_is_held, saw)))


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same one: of one type, NaN and the sign of zero included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (one == other and math.copysign(1, one) == math.copysign(1, other))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    return bool(one == other)
