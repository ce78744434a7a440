"""Failures: rows that got no answer, though they deserved one, by the minute, in a small file beside a worker's log.

What is never answered is in no log, so the loop could not see it. What is the client's own mistake, and requests whose client has gone, are
no failures.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from noria.core.clock import since_epoch
from noria.core.errors import NoriaError, OutsideWorld

FAILURES_FILE = "failures.json"
MINUTE_US = 60_000_000
MAX_MINUTES = 7 * 24 * 60
SERVERS_OWN = 500  # HTTP statuses from which on it is not the client's mistake

Count = Annotated[int, msgspec.Meta(ge=0)]


class FailuresUnread(OutsideWorld):
    """What a worker wrote down of its failures can't be read."""

    code = "NR-608"


class Failures:
    """The failed rows of one endpoint in this process, of the last week in which there were any."""

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}
        self._unwritten = False

    def add(self, rows: int, error: NoriaError, at_us: int) -> None:
        """Note that rows failed at a time (microseconds since 1970-01-01 UTC)."""
        if error.http_status >= SERVERS_OWN:
            minute = at_us - at_us % MINUTE_US
            self._rows[minute] = self._rows.get(minute, 0) + rows
            self._unwritten = True
            if len(self._rows) > MAX_MINUTES:
                del self._rows[min(self._rows)]

    def take(self) -> bytes | None:
        """What the file has to say, if that is not written yet. To be called where rows are added: another thread may only write it."""
        if not self._unwritten:
            return None
        self._unwritten = False
        return msgspec.json.encode({str(minute): rows for minute, rows in self._rows.items()})

    def give_back(self) -> None:
        """It could not be written: the next `take` has it again."""
        self._unwritten = True


def failed_between(log_folder: Path, start: datetime, end: datetime) -> int:
    """The rows that failed in all processes that log here, from `start` until before `end`. Raises `FailuresUnread`."""
    first, last, found = since_epoch(start), since_epoch(end), 0
    for path in sorted(log_folder.glob(f"*/{FAILURES_FILE}")):
        try:
            told = msgspec.json.decode(path.read_bytes(), type=dict[str, Count])
            found += sum(rows for minute, rows in told.items() if first <= int(minute) < last)
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            raise FailuresUnread(
                what="a server's failure counts can't be read",
                where=f"{path}: {error}",
                fix="delete the file: last week's counts are lost, and the server starts a new file at the next failure",
            ) from error
    return found
