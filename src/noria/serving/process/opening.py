"""Opening: from the folders of bundles to a route that can answer, beside the traffic and in time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from noria.core.errors import UserMistake
from noria.core.files import Files
from noria.core.ids import short
from noria.models.bundle import MODEL_FILE
from noria.serving.batching.batcher import Route
from noria.serving.batching.loaded_model import LoadedModel
from noria.serving.log.records import warm_up

OPEN_SECONDS = 5.0

Result = TypeVar("Result")


class TooSlowToOpen(UserMistake):
    """A bundle could not be opened in time."""

    code = "NR-528"

    def __init__(self, path: Path, seconds: float) -> None:
        self.path = path
        super().__init__(
            what=f"bundle {short(path.name)} took longer than {seconds:g} s to load",
            where=str(path),
            fix="it is not served; check whether its model terminates on the bundle's sample",
        )


@dataclass(frozen=True)
class Target:
    """Which bundles an endpoint should serve, as folders; and where its log lies.

    previous, default: who answers, and what is answered, where the champion can't; cached_rows: answers to remember
    """

    endpoint: str
    champion: Path
    shadow: Path | None
    log: Path
    previous: Path | None = None
    default: float | None = None
    cached_rows: int = 0


async def open_route(target: Target, now: Route | None, files: Files) -> Route:
    """The route to a target, without a lookup, opened in a thread; what `now` has open stays as it is.

    Raises `TooSlowToOpen` when that does not end, since a model may hang, and what is wrong with a bundle.
    """
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            return await in_thread(lambda: _opened(target, now, files))
    except TimeoutError as error:
        raise TooSlowToOpen(target.champion, OPEN_SECONDS) from error


def _opened(target: Target, now: Route | None, files: Files) -> Route:
    there = {d.bundle.path: d for d in (now.champion, now.shadow, now.previous) if d is not None} if now else {}

    def opened(path: Path | None, cached_rows: int = 0) -> LoadedModel | None:
        return None if path is None else there.get(path) or LoadedModel.open(path, files, cached_rows=cached_rows)

    champion = opened(target.champion, target.cached_rows)
    assert champion is not None
    previous, shadow = (None if d is None else d.beside(champion) for d in (opened(target.previous), opened(target.shadow)))
    warm_up(champion.bundle.signature)
    return Route(champion, shadow, None, previous, target.default)


def megabytes_of(target: Target) -> float:
    """The size of a target's models, as files."""
    paths = [path for path in (target.champion, target.shadow, target.previous) if path is not None]
    return sum((path / MODEL_FILE).stat().st_size for path in paths) / 1e6


async def in_thread(work: Callable[[], Result]) -> Result:
    """Do work in a thread of its own that nothing waits for at the end: work that hangs must not hold the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast(Result, result))

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - handed to who waits, not swallowed
            call(settle, None, error)
        else:
            call(settle, result, None)

    def call(*arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(*arguments)

    threading.Thread(target=run, name="open", daemon=True).start()
    return await done
