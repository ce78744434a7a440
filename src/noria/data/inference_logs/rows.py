"""The rows of an inference log, and their columns as an Arrow table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

AT, ID, MODEL, PREDICTION = "at", "id", "model", "prediction"
KEPT = 20  # malformed records that are kept with their reasons
Row = dict[str, Any]


@dataclass
class LogRows:
    """rows: by column name; malformed: how many records are no predictions; reasons: of the first of them, by the line's number"""

    rows: list[Row] = field(default_factory=list)
    malformed: int = 0
    reasons: dict[int, str] = field(default_factory=dict)

    def refuse(self, line: int, why: str) -> None:
        """Count a record that is no prediction."""
        self.malformed += 1
        if len(self.reasons) < KEPT:
            self.reasons[line] = why

    def add(self, line: int, about: Row, inputs: list[Row], outputs: list[Row]) -> None:
        """Add the rows of one request: each input beside its own answer. An input with a name that is taken has `input ` before it."""
        if inputs and len(inputs) != len(outputs):
            self.refuse(line, f"{len(inputs)} inputs and {len(outputs)} answers")
            return
        for place, answer in enumerate(outputs):
            row = {**about, **answer}
            if ID in about and len(outputs) > 1:
                row[ID] = f"{about[ID]}/{place}"  # each row is a prediction of its own
            for name, value in (inputs[place] if inputs else {}).items():
                row[f"input {name}" if name in row else name] = value
            self.rows.append(row)


def parsed(line: bytes | str) -> Any:
    """The JSON of a line; None where it is none. Numbers that JSON does not have (NaN) are taken as null."""
    try:
        return json.loads(line, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None


def instant(value: Any) -> datetime | None:
    """A time as ISO 8601, or as seconds or milliseconds since 1970-01-01; None where it is none. Without a zone it is UTC."""
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value.strip())
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return datetime.fromtimestamp(value / 1000 if abs(value) > 1e11 else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def as_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as a table: a column of numbers is float64; what has values of several kinds is text."""
    import pyarrow as pa

    found = list(rows)
    names = dict.fromkeys(name for row in found for name in row)
    return pa.table({name: _column([row.get(name) for row in found]) for name in names})


def _column(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if kinds == {datetime}:
        return pa.array(values, pa.timestamp("us", tz="UTC"))
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds and kinds <= {int, float}:
        return pa.array([None if value is None else _number(value) for value in values], pa.float64())
    if kinds == {list} and all(type(each) in (int, float) for value in values if value for each in value):
        return pa.array([None if value is None else [_number(each) for each in value] for value in values], pa.list_(pa.float64()))
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf if value > 0 else -math.inf


def _text(value: Any) -> str:
    try:
        text = value if isinstance(value, str) else value.isoformat() if isinstance(value, datetime) else json.dumps(value)
    except RecursionError:
        text = "(nested too deeply)"
    return text.encode("utf-8", "replace").decode()  # half of a surrogate pair can't be stored
