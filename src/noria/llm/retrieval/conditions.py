"""Conditions on chunks: what their metadata must be, and who asks. A store puts them into its own query, so that what may not be read is
never among the nearest.

    {"team": "search", "year": {"at_least": 2024}, "state": {"any_of": ["final", "draft"]}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from noria.core.errors import UserMistake, nearest
from noria.llm.documents.document import Value

Relation = Literal["is", "is_not", "any_of", "at_least", "at_most"]
RELATIONS = ("is", "is_not", "any_of", "at_least", "at_most")


class BadCondition(UserMistake):
    """A search is limited in a way that can't be."""

    code = "NR-803"
    http_status = 422

    def __init__(self, name: str, why: str) -> None:
        fix = f"write a value, or one of {', '.join(RELATIONS)}, such as {{{name!r}: {{'any_of': ['a', 'b']}}}}"
        super().__init__(what=why, where=f"the condition on {name!r}", fix=fix)


@dataclass(frozen=True)
class Condition:
    """That a value of the metadata is related to another; a chunk without one does not meet it, whatever the relation."""

    name: str
    relation: Relation
    value: Value | tuple[Value, ...]

    def met_by(self, found: Value | None) -> bool:
        """The rule that every store must keep."""
        if found is None or not _alike(found, self.value):
            return False
        match self.relation:
            case "is":
                return found == self.value
            case "is_not":
                return found != self.value
            case "any_of":
                return isinstance(self.value, tuple) and found in self.value
            case "at_least":
                return bool(found >= self.value)  # type: ignore[operator]
            case "at_most":
                return bool(found <= self.value)  # type: ignore[operator]


@dataclass(frozen=True)
class Conditions:
    """All that must hold of a chunk. labels: of the asker; a chunk that has some must share one; None: everything may be read"""

    of: tuple[Condition, ...] = ()
    labels: tuple[str, ...] | None = None

    @staticmethod
    def read(given: Mapping[str, Any] | None, labels: Sequence[str] | None = None) -> Conditions:
        """As people and requests write them. Raises `BadCondition`."""
        found = [condition for name, value in (given or {}).items() for condition in _read(name, value)]
        for text in (*(each.name for each in found), *(labels or ())):
            _value(text, text)
        return Conditions(tuple(found), None if labels is None else tuple(labels))

    def met_by(self, metadata: Mapping[str, Value], access: Sequence[str]) -> bool:
        """Whether a chunk may be found."""
        readable = self.labels is None or not access or bool(set(access) & set(self.labels))
        return readable and all(each.met_by(metadata.get(each.name)) for each in self.of)


def _read(name: str, value: Any) -> list[Condition]:
    if not isinstance(value, Mapping):
        return [Condition(name, "is", _value(name, value))]
    if not value:
        raise BadCondition(name, "a condition says nothing")
    return [_related(name, relation, each) for relation, each in value.items()]


def _related(name: str, relation: Any, value: Any) -> Condition:
    if relation not in RELATIONS:
        raise BadCondition(name, f"{relation!r} is no relation{nearest(str(relation), RELATIONS)}")
    if relation != "any_of":
        return Condition(name, relation, _value(name, value))
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise BadCondition(name, f"any_of needs a list of values, not {value!r}")
    values = tuple(_value(name, each) for each in value)
    if not values or not all(_kind(each) is _kind(values[0]) for each in values):
        raise BadCondition(name, "any_of needs values of one type, one at least")
    return Condition(name, relation, values)


def _value(name: str, value: Any) -> Value:
    if not isinstance(value, str | int | float | bool) or value != value:
        raise BadCondition(name, f"{value!r} is no text, number or boolean")
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BadCondition(name, f"{value!r} has half a character (a lone surrogate)")
    return value


def _alike(found: Value, value: Value | tuple[Value, ...]) -> bool:
    """Whether two values can be compared: a text with a text, a number with a number, a boolean with a boolean."""
    return _kind(found) is _kind(value[0] if isinstance(value, tuple) else value)


def _kind(value: Value) -> type:
    return bool if isinstance(value, bool) else str if isinstance(value, str) else float
