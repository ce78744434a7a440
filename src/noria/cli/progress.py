"""How progress looks: bars and a line per decision on a terminal, a line every ten seconds elsewhere, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from noria.core.clock import Stopwatch
from noria.core.progress import Progress, Tell, silence

QUIET_SECONDS = 10.0


@contextmanager
def watching(*, quiet: bool) -> Iterator[Tell]:
    """What to hand to long work as its `tell`. Everything goes to stderr; results have stdout for themselves."""
    if quiet:
        yield silence
    elif sys.stderr.isatty():
        with _bars() as tell:
            yield tell
    else:
        yield _Lines()


class _Lines:
    """One line per piece of news; of ticks, one every ten seconds."""

    def __init__(self) -> None:
        self._last = Stopwatch()

    def __call__(self, news: Progress) -> None:
        if news.share is not None:
            if self._last.seconds < QUIET_SECONDS:
                return
            self._last = Stopwatch()
        done = "" if news.share is None else f" {news.share:.0%}"
        track = f"{news.track} " if news.track else ""
        sys.stderr.write(f"{news.stage}: {track}{news.message}{done}\n")
        sys.stderr.flush()


@contextmanager
def _bars() -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns: list[Any] = [TextColumn("{task.description:<9}"), BarColumn(40), TextColumn("{task.percentage:>3.0f} %")]
    columns += [TextColumn("{task.fields[message]:<7}"), TimeElapsedColumn()]
    with Bars(*columns, console=Console(stderr=True, highlight=False)) as bars:
        tracks: dict[str, Any] = {}

        def tell(news: Progress) -> None:
            if news.track is None or news.share is None:
                bars.console.print(f"[dim]{news.stage:<9}[/] {news.message}")
                return
            if news.track not in tracks:
                tracks[news.track] = bars.add_task(news.track, total=1.0, message="")
            bars.update(tracks[news.track], completed=news.share, message=news.message)

        yield tell
