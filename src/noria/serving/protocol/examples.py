"""Example requests and answers of an endpoint, made of the sample that is sealed in its bundle. Pure functions; no sockets here.

An example has values that the model knows: the middle of each input's numbers and times, the most frequent of its other values. So it is
answered, and yet is no row of the sample (unless that has one row only). What is redacted in the log is made up from its type.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from noria.core.signature import FLOATS, INTEGERS, Field
from noria.data.rows import Fields, Rows
from noria.models.bundle import Bundle
from noria.serving.protocol.answers import NotATensor, plain_answer, v2_answer, values_of
from noria.serving.protocol.request import PredictRequest

Json = dict[str, Any]

RANKED = 3  # rows of an example that are ranked against each other
MADE_UP = {"bool": True, "string": "text", "bytes": base64.b64encode(b"bytes").decode(), "timestamp": "2026-01-01T12:00:00Z"}
IDS = "019a5c3e7a10-1-{:08x}"  # as prediction ids look


@dataclass(frozen=True)
class Described:
    """An endpoint, as its document tells of it.

    sample, answers: what is sealed in its bundle, as a plain request and as rows; streams: whether its model may answer in parts
    entity: one that its features can be looked up for, None where they can't; hidden: inputs whose values are shown to nobody
    """

    bundle: Bundle
    sample: bytes
    answers: Rows
    streams: bool = False
    entity: Json | None = None
    hidden: Collection[str] = ()

    @cached_property
    def rows(self) -> list[Json]:
        """Rows of an example: one, or several where they are ranked against each other."""
        sample = msgspec.json.decode(self.sample)["rows"]
        return _rows(self.bundle.signature.inputs, sample, self._count, self.hidden)

    @property
    def _count(self) -> int:
        return min(RANKED, len(self.answers)) if self.bundle.ranks else 1

    @cached_property
    def predictions(self) -> list[Any]:
        """As many answers of the sample as the example has rows, as JSON has them."""
        return list(msgspec.to_builtins(self.answers.part(0, self._count).listed()))

    @property
    def ids(self) -> list[str]:
        return [IDS.format(place) for place in range(self._count)]


# --- answers ---------------------------------------------------------------------------------------------------------------


def answered(told: Described) -> Json:
    """The plain answer."""
    return dict(json.loads(plain_answer(told.bundle, told.predictions, told.ids)))


def answered_in_tensors(told: Described) -> Json:
    """The Open Inference Protocol's answer; empty where the sample's can't be told as tensors."""
    try:
        found, _ = v2_answer(told.bundle, told.predictions, told.ids, PredictRequest([()] * len(told.ids)))
    except NotATensor:
        return {}
    return dict(json.loads(found))


def answered_text(told: Described) -> Json:
    """The generate extension's answer."""
    (output,) = told.bundle.signature.outputs
    text = values_of(told.bundle.signature, output.name, told.predictions, told.ids)[0]
    names = {"model_name": told.bundle.manifest.name, "model_version": told.bundle.id, "prediction_id": told.ids[0]}
    return {"text_output": text, **names}


# --- rows ------------------------------------------------------------------------------------------------------------------


def _rows(fields: Fields, sample: Sequence[Mapping[str, Any]], count: int, hidden: Collection[str]) -> list[Json]:
    """So many rows of plain JSON, of values of the sample's."""
    columns = {}
    for field in fields:
        known = [] if field.name in hidden else [row[field.name] for row in sample if row[field.name] is not None]
        values = _typical(field, known, count) if known else [None if _may_be_unknown(field, hidden) else made_up(field)] * count
        columns[field.name] = values
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _may_be_unknown(field: Field, hidden: Collection[str]) -> bool:
    return field.nullable and field.name not in hidden


def _typical(field: Field, known: list[Any], count: int) -> list[Any]:
    """Known values of a column: quantiles of what has an order, the most frequent of the rest."""
    if field.shape:
        return [_shortened(field, known[(len(known) - 1) // 2])] * count
    if field.type in (*FLOATS, *INTEGERS, "timestamp"):
        ordered = sorted(known)
        return [_shortened(field, ordered[(place + 1) * (len(ordered) - 1) // (count + 1)]) for place in range(count)]
    frequent = [value for value, _ in Counter(known).most_common(count)]
    return [frequent[place % len(frequent)] for place in range(count)]


def _shortened(field: Field, value: Any) -> Any:
    """A number with the digits that tell it from its neighbours: a float32 has 0.1, where its double is 0.10000000149. Those of a tensor
    have four, since there are many."""
    if isinstance(value, list):
        return [_shortened(field, each) for each in value]
    if value is None or field.type not in FLOATS:
        return value
    return float(f"{value:.4g}") if field.shape else float(str(np.float32(value))) if field.type == "float32" else value


def made_up(field: Field) -> Any:
    """A value of a field's type, as plain JSON has it."""
    found: Any = MADE_UP.get(field.type, 0.5 if field.type in FLOATS else 1)
    for size in reversed(field.shape):
        found = [found] * (1 if size is None else size)
    return found
