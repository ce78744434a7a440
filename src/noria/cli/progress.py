"""How progress looks: bars and a line per decision on a terminal, a line every ten seconds elsewhere, or nothing.

Work that says nothing for half a minute is said to be still at it, so that hours of fitting can be told from a process that hangs.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from noria.core.clock import Stopwatch
from noria.core.progress import Progress, Tell, silence

QUIET_SECONDS = 10.0
SILENT_SECONDS = 30.0


@contextmanager
def watching(*, quiet: bool) -> Iterator[Tell]:
    """What to hand to long work as its `tell`. Everything goes to stderr; results have stdout for themselves."""
    if quiet:
        yield silence
    elif sys.stderr.isatty():
        with _bars() as (tell, say), _still(tell, say) as told:
            yield told
    else:
        with _still(_Lines(), _line) as told:
            yield told


@contextmanager
def _still(tell: Tell, say: Callable[[str], None]) -> Iterator[Tell]:
    """Pass on what is told, and where nothing is for half a minute, `say` what is still being done, and for how long."""
    ended, last = threading.Event(), [Progress("begin")]
    since = [Stopwatch()]

    def told(news: Progress) -> None:
        last[0], since[0] = news, Stopwatch()
        tell(news)

    def watch() -> None:
        while not ended.wait(SILENT_SECONDS):
            if since[0].seconds >= SILENT_SECONDS:
                say(f"{last[0].stage}: still {last[0].message or 'working'}, for {since[0].seconds:,.0f} s")

    thread = threading.Thread(target=watch, name="still", daemon=True)
    thread.start()
    try:
        yield told
    finally:
        ended.set()
        thread.join()


def _line(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class _Lines:
    """One line per piece of news; of ticks, one every ten seconds."""

    def __init__(self) -> None:
        self._last = Stopwatch()

    def __call__(self, news: Progress) -> None:
        if news.share is not None:
            if self._last.seconds < QUIET_SECONDS:
                return
            self._last = Stopwatch()
        done = "" if news.share is None else f" {_share(news.share)}"
        track = f"{news.track} " if news.track else ""
        _line(f"{news.stage}: {track}{news.message}{done}")


def _share(share: float) -> str:
    """A share in as many digits as it takes to see it grow."""
    return f"{share:.0%}" if share >= 0.1 else f"{share:.2%}"


@contextmanager
def _bars() -> Iterator[tuple[Tell, Callable[[str], None]]]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns: list[Any] = [TextColumn("{task.description:<9}"), BarColumn(40), TextColumn("{task.percentage:>5.1f} %")]
    columns += [TextColumn("{task.fields[message]:<11}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()]
    with Bars(*columns, console=Console(stderr=True, highlight=False)) as bars:
        tracks: dict[str, Any] = {}

        def tell(news: Progress) -> None:
            if news.track is None or news.share is None:
                bars.console.print(f"[dim]{news.stage:<9}[/] {news.message}")
                return
            if news.track not in tracks:
                tracks[news.track] = bars.add_task(news.track, total=1.0, message="")
            bars.update(tracks[news.track], completed=news.share, message=news.message)

        yield tell, lambda text: bars.console.print(f"[dim]{text}[/]")
