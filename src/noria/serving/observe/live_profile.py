"""The champion's inputs and scores as they come, in the server's own process: a bounded number of rows a second, sketched against the
bundle's profile.

It shows within a minute what a window of the loop shows in its time: nulls, impossible values, means that have moved. It judges nothing:
what is an alarm, by which budget, the loop says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from noria.core.clock import Clock, SystemClock, since_epoch
from noria.data.rows import Rows, stacked
from noria.models.profiled import profiled_columns
from noria.profiles.inputs import InputProjections
from noria.profiles.profile import STATISTICS, Profile
from noria.profiles.sketch import Sketch

PERIOD = 60.0  # seconds, of which the figures are
MAX_BYTES = 2**25  # of rows that wait to be sketched
SHOWN = {"mean_rank": "shift", "null_share": "null_share", "outside": "outside_share"}


@dataclass
class _Minute:
    sketch: Sketch
    began: float


class LiveProfile:
    """What the last minute of one bundle's rows looked like. `saw` is called for each batch, on the event loop, and only keeps it;
    `digest` does the work and may run in a thread, one at a time.

    rows_a_second: how many rows are sketched at most (of large ones, as many as `MAX_BYTES` hold); the others pass unseen
    now: seconds of a monotonic clock
    projections: how inputs that are no numbers become the columns of the reference; their times are taken for those of the digest
    """

    def __init__(
        self,
        bundle: str,
        reference: Profile,
        rows_a_second: int,
        now: Callable[[], float],
        projections: InputProjections | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.bundle, self._projections, self._clock = bundle, projections, clock or SystemClock()
        self._reference, self._most, self._now = reference, rows_a_second, now
        self._waiting: list[tuple[Rows, Rows]] = []
        self._room, self._bytes = rows_a_second, MAX_BYTES
        self._minute = _Minute(reference.sketch(), now())
        self._first = True
        self._told: dict[str, Any] | None = None

    def saw(self, rows: Rows, answers: Rows) -> None:
        """Rows that the champion has answered, and its answers."""
        if self._room > 0 and self._bytes > 0:
            self._room -= len(rows)
            self._bytes -= rows.nbytes
            self._waiting.append((rows, answers))

    def digest(self) -> None:
        """Sketch what was seen since the last call, and begin a new minute when one is over."""
        waiting, self._waiting, self._room, self._bytes = self._waiting, [], self._most, MAX_BYTES
        if waiting:  # all at once: counted batch by batch, small ones cost twenty times as much
            rows, answers = (stacked(parts) for parts in zip(*waiting, strict=True))
            rows, answers = rows.part(0, self._most), answers.part(0, self._most)
            came = np.full(len(rows), since_epoch(self._clock.now())) if self._projections else np.empty(0, np.int64)
            self._minute.sketch.add(profiled_columns(self._projections, self._reference.names, rows, answers, came))
        now = self._now()
        over = now - self._minute.began >= PERIOD
        if over or self._first:
            self._told = self._figures(self._minute.sketch)
        if over:
            self._minute, self._first = _Minute(self._reference.sketch(), now), False

    def to_dict(self) -> dict[str, Any] | None:
        """The last whole minute's rows (in the first minute, those so far), and of each column its shift in ranks, its share of nulls and
        that of impossible values."""
        return self._told

    def _figures(self, sketch: Sketch) -> dict[str, Any]:
        found = self._reference.statistics_of(sketch)
        found[:, 0] -= self._reference.usual_ranks
        columns = {
            name: {told: float(np.nan_to_num(found[i, STATISTICS.index(statistic)])) for statistic, told in SHOWN.items()}
            for i, name in enumerate(self._reference.names)
        }
        return {"rows": sketch.rows, "columns": columns}
