"""CloudEvents of KServe, MLServer and Seldon: an event for a request, another for its answer, with the same id.

Structured events have `type`, `id`, `time` and `data` (or `data_base64`). Events that were written down with their HTTP headers have
`headers` with `ce-type`, `ce-id` and `ce-time`, and a `body`. Types end in `inference.request` and `inference.response`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from noria.data.inference_logs.payload import INPUT, NoRows, decoded, rows_of
from noria.data.inference_logs.rows import AT, ID, MODEL, PREDICTION, LogRows, instant, parsed

REQUEST, RESPONSE = "inference.request", "inference.response"
NAMES = ("inferenceservicename", "modelid", "model")


@dataclass(frozen=True)
class _Event:
    id: str
    kind: str
    at: Any
    model: Any
    body: Any


def is_cloud_event(record: Any) -> bool:
    """Whether a JSON value is an event of a request or of its answer."""
    return _event(record) is not None


def cloud_events(lines: Iterable[bytes | str]) -> LogRows:
    """The rows of a file of events, a JSON line each, in any order; a row has the time of its request. A request without an answer, or an
    answer without a request, is malformed where it has no rows by itself."""
    found, requests, answered = LogRows(), dict[str, tuple[int, _Event]](), dict[str, tuple[int, _Event]]()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        event = _event(parsed(line))
        if event is None:
            found.refuse(number, "no event of a request or an answer")
        else:
            (requests if event.kind == REQUEST else answered)[event.id] = number, event
    for id, (number, answer) in answered.items():
        request = requests.pop(id, None)
        about = _about(request[1] if request else None, answer)
        if about is None:
            found.refuse(number, "no time")
            continue
        try:
            found.add(number, about, rows_of(request[1].body, INPUT) if request else [], rows_of(answer.body, PREDICTION))
        except NoRows as error:
            found.refuse(number, str(error))
    for number, _ in requests.values():
        found.refuse(number, "a request without an answer")
    return found


def _event(record: Any) -> _Event | None:
    if not isinstance(record, Mapping):
        return None
    headers = record.get("headers")
    if isinstance(headers, Mapping):
        told = {str(name).lower().removeprefix("ce-"): value for name, value in headers.items()}
        body, kind = record.get("body", record.get("data")), told.get("content-type")
    else:
        told = {str(name).lower(): value for name, value in record.items()}
        body, kind = record.get("data"), record.get("datacontenttype")
    type_ = str(told.get("type", ""))
    which = next((each for each in (REQUEST, RESPONSE) if type_.endswith(each)), None)
    if which is None or not isinstance(told.get("id"), str | int):
        return None
    try:
        if body is None and isinstance(record.get("data_base64"), str):
            body = decoded(record["data_base64"], "BASE64", kind or "application/json")
        elif isinstance(body, str):
            body = decoded(body, None, kind)
    except NoRows:
        body = None
    model = next((told[name] for name in NAMES if isinstance(told.get(name), str)), None)
    return _Event(str(told["id"]), which, told.get("time"), model or (body.get("model_name") if isinstance(body, Mapping) else None), body)


def _about(request: _Event | None, answer: _Event) -> dict[str, Any] | None:
    """The time, the id and the model of a pair; None without a time."""
    at = (instant(request.at) if request else None) or instant(answer.at)
    if at is None:
        return None
    model = answer.model or (request.model if request else None)
    return {AT: at, ID: answer.id, **({MODEL: str(model)} if model else {})}
