"""History: what a replay has found out and an endpoint took over, from which its own loop goes on.

Between the end of the replay and the moment it was taken over lies a gap, of which nothing is known: no window of it is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from noria.stores.catalog import Catalog, Connection
from noria.stores.progress import progress_of, set_progress


@dataclass(frozen=True)
class History:
    """What was taken over from a replay. until: where the replay ended; taken_at: since when the endpoint may be live

    newest: of each of its tables, when the newest row became known, in microseconds since 1970-01-01 UTC
    """

    until: datetime
    taken_at: datetime
    newest: dict[str, int]

    def in_gap(self, moment: datetime) -> bool:
        return self.until <= moment < self.taken_at


def history_of(catalog: Catalog, endpoint: str) -> History | None:
    """What an endpoint took over from a replay; None where it has only a past of its own."""
    row = progress_of(catalog, _name(endpoint))
    return None if row is None else History(row.at, datetime.fromisoformat(row.detail["taken_at"]), row.detail["newest"])


def keep_history(c: Connection, endpoint: str, history: History) -> None:
    """Keep what an endpoint took over, in the place of what it took over before."""
    set_progress(c, _name(endpoint), history.until, {"taken_at": history.taken_at.isoformat(), "newest": history.newest})


def _name(endpoint: str) -> str:
    return f"history/{endpoint}"
