"""SageMaker's data capture: a JSON line for each request, with the bodies of the request and of the answer.

Bodies are CSV or JSON, as text or in base64 (`captureData.endpointInput.encoding`); the time is `eventMetadata.inferenceTime`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from noria.data.inference_logs.payload import INPUT, NoRows, decoded, rows_of
from noria.data.inference_logs.rows import AT, ID, PREDICTION, LogRows, instant, parsed


def is_sagemaker(record: Any) -> bool:
    """Whether a JSON value is a record of data capture."""
    return (
        isinstance(record, Mapping) and isinstance(record.get("captureData"), Mapping) and isinstance(record.get("eventMetadata"), Mapping)
    )


def sagemaker(lines: Iterable[bytes | str]) -> LogRows:
    """The rows of a captured file."""
    found = LogRows()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        record = parsed(line)
        if not is_sagemaker(record):
            found.refuse(number, "no record of data capture")
            continue
        captured, about = record["captureData"], record["eventMetadata"]
        at = instant(about.get("inferenceTime"))
        if at is None:
            found.refuse(number, "no eventMetadata.inferenceTime")
            continue
        try:
            outputs = _rows(captured.get("endpointOutput"), PREDICTION)
            inputs = _rows(captured["endpointInput"], INPUT) if captured.get("endpointInput") else []
        except NoRows as error:
            found.refuse(number, str(error))
            continue
        named = about.get("inferenceId") or about.get("eventId")
        found.add(number, {AT: at, **({} if named is None else {ID: str(named)})}, inputs, outputs)
    return found


def _rows(body: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(body, Mapping):
        raise NoRows("an answer was not captured" if name == PREDICTION else "its request can't be read")
    return rows_of(decoded(body.get("data"), body.get("encoding"), body.get("observedContentType")), name)
