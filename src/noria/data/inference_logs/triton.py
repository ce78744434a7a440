"""Triton's trace file, written with the trace level TENSORS: a JSON array of events, which belong together by their `id`.

Triton's times are of a clock that starts with its machine: `at` counts from 1970-01-01, so that the order and the distances are right and
the dates are not. Cut such rows into windows by count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from noria.data.inference_logs.payload import NoRows, rows_of
from noria.data.inference_logs.rows import AT, ID, MODEL, PREDICTION, LogRows, parsed

INPUTS, OUTPUTS = "TENSOR_QUEUE_INPUT", "TENSOR_BACKEND_OUTPUT"
WHOLE = ("INT", "UINT")
MAX_DIGITS = 12  # of a size
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_trace(record: Any) -> bool:
    """Whether a JSON value is a trace with tensors."""
    return (
        isinstance(record, list)
        and bool(record)
        and all(isinstance(each, Mapping) and "id" in each for each in record[:50])
        and any("activity" in each and "tensor" in each for each in record[:50])
    )


def triton(lines: Iterable[bytes | str]) -> LogRows:
    """The rows of a trace file."""
    found = LogRows()
    whole = b"".join(line if isinstance(line, bytes) else line.encode("utf-8", "replace") for line in lines)
    record = parsed(whole)
    if not isinstance(record, list):
        if whole.strip():
            found.refuse(1, "no JSON array of trace events")
        return found
    traces = dict[str, list[Mapping[str, Any]]]()
    for number, event in enumerate(record, 1):
        if isinstance(event, Mapping) and isinstance(event.get("id"), int | str):
            traces.setdefault(str(event["id"]), []).append(event)
        else:
            found.refuse(number, "no trace event")
    for place, (id, events) in enumerate(traces.items(), 1):
        _add(found, place, id, events)
    return found


def _add(found: LogRows, place: int, id: str, events: list[Mapping[str, Any]]) -> None:
    """The rows of one request."""
    about: dict[str, Any] = {ID: id}
    tensors: dict[str, list[dict[str, Any]]] = {INPUTS: [], OUTPUTS: []}
    for event in events:
        if isinstance(event.get("model_name"), str):
            about[MODEL] = event["model_name"]
        stamps = event.get("timestamps")
        first = stamps[0] if isinstance(stamps, list) and stamps and isinstance(stamps[0], Mapping) else {}
        if AT not in about and isinstance(first.get("ns"), int):
            try:
                about[AT] = EPOCH + timedelta(microseconds=first["ns"] // 1000)
            except OverflowError:
                continue
        if event.get("activity") in tensors and isinstance(event.get("tensor"), Mapping):
            tensors[event["activity"]].append(_tensor(event["tensor"]))
    if not tensors[OUTPUTS] or AT not in about:
        found.refuse(place, "a trace without an answer or without a time")
        return
    try:
        inputs = rows_of({"inputs": tensors[INPUTS]}, "input") if tensors[INPUTS] else []
        found.add(place, about, inputs, rows_of({"outputs": tensors[OUTPUTS]}, PREDICTION))
    except NoRows as error:
        found.refuse(place, str(error))


def _tensor(told: Mapping[str, Any]) -> dict[str, Any]:
    """A tensor of a trace, whose values and sizes are texts with commas, as one of the Open Inference Protocol."""
    kind, data = str(told.get("dtype", "")).upper(), told.get("data")
    values: list[Any] = data if isinstance(data, list) else str(data or "").split(",")
    if not kind.startswith("BYTES"):
        values = [_number(value, whole=kind.startswith(WHOLE)) for value in values]
    sizes = told.get("shape")
    shape = sizes if isinstance(sizes, list) else [_size(size.strip()) for size in str(sizes).split(",")]
    return {"name": str(told.get("name", "tensor")), "shape": shape, "data": values}


def _size(text: str) -> int:
    """A size, -1 where it is none."""
    return int(text) if text.isdecimal() and len(text) < MAX_DIGITS else -1


def _number(value: Any, *, whole: bool) -> float | int | None:
    try:
        number = float(value)
        return int(number) if whole else number
    except (TypeError, ValueError, OverflowError):
        return None
