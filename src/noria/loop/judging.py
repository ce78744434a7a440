"""Judges beside the rounds of the loop: no round waits for one, and one that hangs holds up nothing but itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from noria.core.clock import Clock, duration, zone_named
from noria.core.errors import NoriaError, as_noria
from noria.core.grid import Grid
from noria.loop.project import Project
from noria.monitoring.answers.sampling import Sampling
from noria.release.endpoint import Endpoint
from noria.stores.verdicts import Verdicts
from noria.stores.workspace import Workspace

logger = logging.getLogger("noria.loop")

ENDED_WITHIN = 2.0  # seconds, in which a judge that answers ends its last judgement; one that does not dies with the process


class Judging:
    """The thread in which judges are asked, one answer after another; the next round's goes on where this one's stopped."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._ended = clock, threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: NoriaError | None = None
        self._judged = 0

    def begin(self, project: Project, workspace: Workspace, endpoints: Sequence[Endpoint]) -> None:
        """Have the judges of some endpoints asked, unless they still are. Raises what the last time ended with."""
        failure, self._failure = self._failure, None
        watched = [endpoint for endpoint in endpoints if (monitor := project.monitor(endpoint)) is not None and monitor.judged]
        if watched and (self._thread is None or not self._thread.is_alive()):
            work = [(sampling_of(project, workspace, each, self._clock, self._ended.is_set), each) for each in watched]

            def judging() -> None:
                self._work(work, project)

            self._thread = threading.Thread(target=judging, name="judges", daemon=True)
            self._thread.start()
        if failure is not None:
            raise failure

    def wait(self, limit: timedelta) -> int:
        """Wait for them, but no longer than this; returns how many answers were judged since the last time. Raises what it ended with."""
        if self._thread is not None:
            self._thread.join(limit.total_seconds())
        judged, self._judged = self._judged, 0
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return judged

    def end(self) -> None:
        """Ask nothing more."""
        self._ended.set()
        with suppress(NoriaError):
            self.wait(timedelta(seconds=ENDED_WITHIN))

    def _work(self, work: Sequence[tuple[Callable[[], Sampling], Endpoint]], project: Project) -> None:
        for opened, endpoint in work:
            monitor = project.monitor(endpoint)
            for judge in () if monitor is None else monitor.judged:
                try:
                    self._judged += opened().run(judge)
                except Exception as error:
                    logger.error("judging %s failed: %r", endpoint.name, error, exc_info=logger.isEnabledFor(logging.DEBUG))
                    self._failure = as_noria(error)


def sampling_of(
    project: Project, workspace: Workspace, endpoint: Endpoint, clock: Clock, stopped: Callable[[], bool] = lambda: False
) -> Callable[[], Sampling]:
    """Opens the sampling of an endpoint's answers, in the thread that uses it."""
    loop = project.settings.loop
    grid = Grid(duration(loop.tick), duration(loop.offset), zone_named(loop.time_zone))

    def opened() -> Sampling:
        verdicts = Verdicts(workspace.verdicts(endpoint.name))
        return Sampling(workspace.log(endpoint.name), workspace.files, grid, verdicts, clock, stopped)

    return opened
