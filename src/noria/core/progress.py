"""Progress of long work, as values: who works says what happened, who watches decides how it looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One piece of news: a stage, what happened in it, and for a track within it the share done (0 to 1)."""

    stage: str
    message: str = ""
    track: str | None = None
    share: float | None = None


Tell = Callable[[Progress], None]


def silence(news: Progress) -> None:
    """Watch nothing: how long work runs when it is called as a library."""
