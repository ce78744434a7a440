"""Opening: from the folders of bundles to a route that can answer, beside the traffic and in time."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from noria.core.errors import UserMistake
from noria.core.files import Files
from noria.core.ids import short
from noria.core.signature import all_floats
from noria.data.rows import width
from noria.models.bundle import megabytes_of
from noria.models.runtimes.port import RuntimeOptions
from noria.models.runtimes.python_spec import PYTHON_FILE
from noria.serving.batching.allowance import ShadowTerms
from noria.serving.batching.loaded_model import LoadedModel
from noria.serving.batching.route import Route
from noria.serving.log.records import warm_up

logger = logging.getLogger("noria.serving")

OPEN_SECONDS = 5.0
SECONDS_PER_MEGABYTE = 0.05  # reading, verifying and optimizing a large graph takes its time

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
    options: how its models may run
    shadow_terms: what its shadow may be asked; None: everything
    candidate, share: the bundle that answers a share of the requests in an A/B test
    """

    endpoint: str
    champion: Path
    shadow: Path | None
    log: Path
    previous: Path | None = None
    default: tuple[float, ...] | None = None
    cached_rows: int = 0
    options: RuntimeOptions = field(default_factory=RuntimeOptions)
    shadow_terms: ShadowTerms | None = None
    candidate: Path | None = None
    share: float = 0.0

    @property
    def bundles(self) -> list[Path]:
        """The folders of all that are to be opened."""
        return [path for path in (self.champion, self.shadow, self.previous, self.candidate) if path is not None]

    @property
    def megabytes(self) -> float:
        """The size of its models, as files."""
        return sum(megabytes_of(path) for path in self.bundles)

    @property
    def open_seconds(self) -> float:
        """How long opening may take, by the models' size; those in processes of their own have what a start of theirs may take as well."""
        return (
            OPEN_SECONDS
            + SECONDS_PER_MEGABYTE * self.megabytes
            + sum(self.options.start_seconds for path in self.bundles if (path / PYTHON_FILE).exists())
        )


async def open_route(target: Target, now: Route | None, files: Files) -> Route:
    """The route to a target, without a lookup, opened in a thread; what `now` has open stays as it is.

    Raises `TooSlowToOpen` when that does not end, since a model may hang, and what is wrong with a bundle.
    """
    try:
        async with asyncio.timeout(target.open_seconds):
            return await in_thread(lambda: _opened(target, now, files))
    except TimeoutError as error:
        raise TooSlowToOpen(target.champion, target.open_seconds) from error


def _opened(target: Target, now: Route | None, files: Files) -> Route:
    there = {d.bundle.path: d for d in now.models} if now else {}
    new: list[LoadedModel] = []

    def opened(path: Path | None, cached_rows: int = 0) -> LoadedModel | None:
        if path is None or path in there:
            return None if path is None else there[path]
        new.append(LoadedModel.open(path, files, cached_rows=cached_rows, options=target.options))
        return new[-1]

    try:
        champion = opened(target.champion, target.cached_rows)
        assert champion is not None
        previous, shadow = (None if d is None else d.beside(champion) for d in (opened(target.previous), opened(target.shadow)))
        candidate = _as_arm(opened(target.candidate, target.cached_rows), champion)
        warm_up(champion.bundle.signature)
        default = _fitting(target.default, champion)
        route = Route(champion, shadow, None, previous, default, candidate=candidate, share=target.share)
    except BaseException:
        for model in new:
            model.close()
        raise
    for model in new:
        if all(model is not each for each in route.models):
            model.close()
    return route


def _as_arm(candidate: LoadedModel | None, champion: LoadedModel) -> LoadedModel | None:
    """A candidate that can answer in the champion's place: from the same inputs, in the same form."""
    if candidate is None or candidate.beside(champion) is None:
        return None
    same = candidate.bundle.signature.outputs == champion.bundle.signature.outputs
    if not same or (candidate.streaming is None) != (champion.streaming is None):
        logger.error("bundle %s answers nobody here: its answers have another form than the champion's", short(candidate.bundle.id))
        return None
    return candidate


def _fitting(default: tuple[float, ...] | None, champion: LoadedModel) -> tuple[float, ...] | None:
    """The default answer, unless the champion was sealed for other outputs than the endpoint declares by now."""
    outputs = champion.bundle.signature.outputs
    if default is None or (all_floats(outputs) and len(default) == sum(width(field) for field in outputs)):
        return default
    told = ", ".join(field.described for field in outputs)
    logger.warning("the fallback of %s is none of %s, which its champion answers with", champion.bundle.manifest.name, told)
    return None


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
