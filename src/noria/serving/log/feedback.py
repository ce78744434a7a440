"""Feedback on answers, beside the prediction log: a line of JSON for each, on disk before it is acknowledged.

    <log>/feedback/<day>-<writer>.jsonl   {"id", "key", "endpoint", "helpful", "rating", "asked_at", "given_at", "comment"?}

`nr.feedback(ENDPOINT)` reads these files as a table's source. Of several lines with one key, the latest counts. What an answer's key is, if
its request had none, is its id: so a label joins feedback as it joins any outcome.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from noria.core.clock import Clock, from_epoch
from noria.core.errors import OutsideWorld
from noria.core.files import AppendFile, Files
from noria.core.ids import PredictionIds
from noria.serving.log.as_table import SENT
from noria.serving.log.segments import find_in_segment

FOLDER = "feedback"
DAY = timedelta(days=1)
HELPFUL = 0.5  # from this rating on, an answer helped


class FeedbackNotStored(OutsideWorld):
    """Feedback could not be written."""

    code = "NR-864"

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            what="the feedback can't be stored", where=f"{folder}: {reason}", fix="free disk space or fix the disk; send it again"
        )


@dataclass(frozen=True)
class Logged:
    """An answer that was sent, as feedback names it."""

    id: str
    key: str
    asked_at: datetime


def find_answer(log: Path, writer: str, prediction_id: str, files: Files) -> Logged | None:
    """An answer that was sent and logged by a writer of a log; None where it is not there. Raises what reading the log raises."""
    asked_at = from_epoch(1000 * PredictionIds.milliseconds(prediction_id))
    first, last = f"{asked_at - DAY:%Y-%m-%d}", f"{asked_at + DAY:%Y-%m-%d}"
    for path in reversed(files.list(log / writer, "*.seg")):
        if not first <= path.name[:10] <= last:
            continue
        found = find_in_segment(path, prediction_id, files)
        if found is not None:
            place = found.ids.index(prediction_id)
            if found.variant[place] not in SENT:
                return None
            return Logged(prediction_id, found.keys[place] or prediction_id, from_epoch(int(found.received_us[place])))
    return None


class FeedbackLog:
    """Where one writer puts feedback on the answers of an endpoint. Used from threads."""

    def __init__(self, log: Path, endpoint: str, writer: str, files: Files, clock: Clock, *, durable: bool) -> None:
        self._folder, self._endpoint, self._writer = log / FOLDER, endpoint, writer
        self._files, self._clock, self._durable = files, clock, durable
        self._file: AppendFile | None = None
        self._day = ""
        self._lock = threading.Lock()

    def add(self, answer: Logged, rating: float, comment: str | None) -> None:
        """Store what is said of an answer. Raises `FeedbackNotStored`."""
        now = self._clock.now()
        row: dict[str, Any] = {
            "id": answer.id,
            "key": answer.key,
            "endpoint": self._endpoint,
            "helpful": int(rating >= HELPFUL),
            "rating": rating,
            "asked_at": answer.asked_at,
            "given_at": now,
        }
        if comment is not None:
            row["comment"] = comment
        try:
            with self._lock:
                file = self._opened(f"{now:%Y-%m-%d}")
                file.write(msgspec.json.encode(row) + b"\n")
                if self._durable:
                    file.sync()
        except OSError as error:
            self.close()
            raise FeedbackNotStored(self._folder, str(error)) from error

    def _opened(self, day: str) -> AppendFile:
        if self._file is None or day != self._day:
            self.close()
            self._files.make_folder(self._folder)
            path = self._folder / f"{day}-{self._writer}.jsonl"
            torn = self._files.exists(path) and not self._files.read(path).endswith(b"\n")
            self._file, self._day = self._files.append(path), day
            if torn and self._file.size():
                self._file.write(b"\n")  # after a line that a crash cut short, which was not acknowledged
        return self._file

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
