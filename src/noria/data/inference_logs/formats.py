"""The formats of inference logs by name, and which of them a file is in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from noria.core.errors import UserMistake, nearest
from noria.data.inference_logs.cloud_events import cloud_events, is_cloud_event
from noria.data.inference_logs.rows import LogRows, parsed
from noria.data.inference_logs.sagemaker import is_sagemaker, sagemaker
from noria.data.inference_logs.triton import is_trace, triton

Reader = Callable[[Iterable[bytes | str]], LogRows]

FORMATS: dict[str, Reader] = {
    "sagemaker": sagemaker,
    "kserve": cloud_events,
    "mlserver": cloud_events,
    "seldon": cloud_events,
    "triton": triton,
}
LOOKED_AT = 5  # lines


class UnreadableLog(UserMistake):
    """A file is no inference log of the format that was named, or holds no prediction."""

    code = "NR-583"


def read_inference_log(lines: Iterable[bytes | str], format: str, where: str) -> LogRows:
    """The rows of a log. Raises `UnreadableLog` for a format that is not known, and for a log without any prediction."""
    if format not in FORMATS:
        raise UnreadableLog(
            what=f"{format!r} is no format of inference logs{nearest(format, FORMATS)}", where=where, fix=f"use one of {', '.join(FORMATS)}"
        )
    found = FORMATS[format](lines)
    if not found.rows and found.malformed:
        line, why = next(iter(found.reasons.items()))
        raise UnreadableLog(
            what=f"no record is a prediction in the format {format!r}",
            where=f"{where}; record {line}: {why}",
            fix="name the format that the log is in, or the files that hold predictions",
        )
    return found


def detected(lines: Iterable[bytes | str]) -> str | None:
    """The format of a file by its first lines; None where they are of none, or could be of several."""
    first = list(islice((line for line in lines if line.strip()), LOOKED_AT))
    records = [parsed(line) for line in first]
    if records and all(map(is_sagemaker, records)):
        return "sagemaker"
    if records and all(map(is_cloud_event, records)):
        return "kserve"
    return "triton" if len(records) == 1 and is_trace(records[0]) else None
