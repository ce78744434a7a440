"""An outcome that a person knows: one row for a label's table, from a key and values as texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from noria.core.clock import Clock
from noria.core.errors import UserMistake
from noria.data.ingest import Ingested, NotIngested, push_piece
from noria.data.sources.arrow import piece_of
from noria.data.table import Table
from noria.features.label import Label
from noria.stores.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

_UNESCAPED = re.compile(r"(?<!\\)(?:\\\\)*\|")
LISTED = ","  # between the values of a list


class BadOutcome(UserMistake):
    """A key or a value is none of the label's table."""

    code = "NR-268"

    def __init__(self, table: str, reason: str, fix: str) -> None:
        super().__init__(what=f"this can't be an outcome in {table!r}", where=reason, fix=fix)


def add_outcome(label: Label, key: str, values: Sequence[str], at: datetime | None, workspace: Workspace, clock: Clock) -> Ingested:
    """Add an outcome to the label's table, known from now on. An outcome of the same key is corrected by it, as by a row of the source.

    key: as predictions are logged, `a|b` for several columns; values: one for each column of the label in its order, or `column=value`
    at: when it happened, by default now. Raises `BadOutcome`, `NotIngested`
    """
    table = label.table
    schema = workspace.tables.schema(table.name)
    if schema is None:
        raise NotIngested(table.name)
    texts = dict(zip(table.keys, _parts(table, key), strict=True)) | _named(label, values)
    row = {name: _value(table, schema.field(name), text) for name, text in texts.items()}
    moment = clock.now()
    for name in table.times:
        row.setdefault(name, _moment(schema.field(name), moment if at is None or name != table.event_time else at))
    import pyarrow as pa

    done = push_piece(table, workspace.tables, piece_of("an outcome added by hand", pa.table(row), sparse=True), clock)
    if done.reasons:
        raise BadOutcome(table.name, "; ".join(done.reasons), "give what the table's contract asks for; the row is in quarantine")
    return done


def _parts(table: Table, key: str) -> list[str]:
    """The parts of a key as it is written."""
    cuts = [match.end() - 1 for match in _UNESCAPED.finditer(key)]
    found = [key[start + 1 : end] for start, end in zip([-1, *cuts], [*cuts, len(key)], strict=True)]
    if len(found) != len(table.keys):
        wanted = "|".join(table.keys)
        raise BadOutcome(table.name, f"the key {key!r} has {len(found)} parts, and the table's is {wanted}", f"give it as {wanted}")
    return [re.sub(r"\\([\\|])", r"\1", part) for part in found]


def _named(label: Label, values: Sequence[str]) -> dict[str, str]:
    """The label's columns with their texts."""
    columns = list(label.columns)
    pairs = [value.split("=", 1) for value in values]
    if all(len(pair) == 2 and pair[0] in columns for pair in pairs):
        return dict(pairs)
    if len(values) != len(columns):
        raise BadOutcome(
            label.table.name, f"{len(values)} values are given, and the label has {', '.join(columns)}", "give each as column=value"
        )
    return dict(zip(columns, values, strict=True))


def _value(table: Table, field: pa.Field, text: str) -> pa.Array:
    """A text as a value of a column's type. Raises `BadOutcome`."""
    import pyarrow as pa

    try:
        if pa.types.is_list(field.type):
            return pa.array([text.split(LISTED) if text else []], pa.list_(pa.string())).cast(field.type)
        return pa.array([text], pa.string()).cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BadOutcome(
            table.name, f"{text!r} is no {field.type}, as the column {field.name!r} is", "give a value of that type"
        ) from error


def _moment(field: pa.Field, moment: datetime) -> Any:
    import pyarrow as pa

    value = moment if getattr(field.type, "tz", None) else moment.replace(tzinfo=None)
    return pa.array([value]).cast(field.type)
