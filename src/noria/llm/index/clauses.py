"""Conditions in the few terms that query languages of vector stores share: a field has a value, compares with one, and all or some of it.

What differs between stores is settled here: booleans are compared by equality alone, numbers are finite, and texts are written in
hexadecimal digits, so that no tokenizer, case, blank or odd character of theirs matters, and their order is that of code points.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from noria.llm.chunking.chunk import Chunk
from noria.llm.documents.document import Value
from noria.llm.index.rows import field_and_values, fields_of, kind_of
from noria.llm.retrieval.conditions import Condition, Conditions

OPEN, ACCESS = "open", "access"  # the fields that say who may read a row
LONGEST_FIELD = 200  # characters; Weaviate's names end at 231

Comparison = Literal["==", "!=", ">=", "<="]


@dataclass(frozen=True)
class Has:
    """That a row has a value in a field."""

    field: str


@dataclass(frozen=True)
class Compare:
    """That a row's value is there and compares with another: texts as `token` writes them, numbers finite, booleans by `==` alone."""

    field: str
    how: Comparison
    value: Value


@dataclass(frozen=True)
class Every:
    """That all of these hold."""

    of: tuple[Clause, ...]


@dataclass(frozen=True)
class Some:
    """That one of these holds: of none, nothing does."""

    of: tuple[Clause, ...]


Clause = Has | Compare | Every | Some
NOTHING = Some(())
_HOW: dict[str, Comparison] = {"is": "==", "any_of": "==", "is_not": "!=", "at_least": ">=", "at_most": "<="}


def token(text: str) -> str:
    """A text as letters and digits, in the order of its code points."""
    return f"v{text.encode().hex()}"


def text_of(token: str) -> str:
    """The text of a token."""
    return bytes.fromhex(token[1:]).decode()


def named(field: str) -> str:
    """A field's name, short enough for every store."""
    kind, _, rest = field.partition("_")
    return field if len(field) <= LONGEST_FIELD else f"{kind}_h{hashlib.sha256(rest.encode()).hexdigest()}"


def fields(chunk: Chunk) -> dict[str, Value]:
    """What a row has in its fields, but for those that say who may read it."""
    return {named(field): token(value) if isinstance(value, str) else value for field, value in fields_of(chunk.metadata).items()}


def readers(chunk: Chunk) -> list[str]:
    """The labels of which a reader needs one; none where the chunk is open."""
    return [token(label) for label in chunk.access]


def clause_of(conditions: Conditions) -> Clause | None:
    """All that must hold, None where that is nothing; `NOTHING` where it can't."""
    every = tuple(map(_clause, conditions.of)) + (() if conditions.labels is None else (_readable(conditions.labels),))
    if not every:
        return None
    return NOTHING if NOTHING in every else every[0] if len(every) == 1 else Every(every)


def _readable(labels: Sequence[str]) -> Clause:
    return Some((Compare(OPEN, "==", True), *(Compare(ACCESS, "==", token(label)) for label in labels)))


def _clause(condition: Condition) -> Clause:
    field, values = field_and_values(condition)
    field, how = named(field), _HOW[condition.relation]
    some = tuple(each for value in values for each in _compared(condition, field, how, value))
    return some[0] if len(some) == 1 else Some(some)


def _compared(condition: Condition, field: str, how: Comparison, value: Value) -> tuple[Clause, ...]:
    """One value's clause; none where it can't be met."""
    match kind_of(value):
        case "text":
            return (Compare(field, how, token(str(value))),)
        case "flag":
            one = Condition(condition.name, "is" if condition.relation == "any_of" else condition.relation, value)
            return tuple(Compare(field, "==", each) for each in (False, True) if one.met_by(each))
        case "number":
            return _number(field, how, float(value))


def _number(field: str, how: Comparison, value: float) -> tuple[Clause, ...]:
    """Every row's number is finite."""
    if math.isfinite(value):
        return (Compare(field, how, value),)
    met = how == "!=" or how == ("<=" if value > 0 else ">=")
    return (Has(field),) if met else ()


def with_texts(clause: Clause, there: Mapping[str, Sequence[str]]) -> Clause:
    """The same without an order of texts, for stores that have none. there: the tokens that rows may have, by field"""
    match clause:
        case Every(of):
            every = tuple(with_texts(each, there) for each in of)
            return NOTHING if NOTHING in every else Every(every)
        case Some(of):
            some = tuple(each for each in (with_texts(each, there) for each in of) if each != NOTHING)
            return some[0] if len(some) == 1 else Some(some)
        case Compare(field, ">=" | "<=" as how, str(value)):
            met = [each for each in there.get(field, ()) if (each >= value if how == ">=" else each <= value)]
            return met_by_one(field, met)
        case _:
            return clause


def met_by_one(field: str, values: Sequence[str]) -> Clause:
    """That a field has one of these values."""
    some = tuple(Compare(field, "==", each) for each in values)
    return some[0] if len(some) == 1 else Some(some)


def ordered_fields(clause: Clause) -> set[str]:
    """The fields whose texts a clause compares by their order."""
    match clause:
        case Every(of) | Some(of):
            return {field for each in of for field in ordered_fields(each)}
        case Compare(field, ">=" | "<=", str()):
            return {field}
        case _:
            return set()
