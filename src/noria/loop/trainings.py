"""Trainings in processes of their own: one that raises, hangs, is killed or eats the memory stops neither the loop nor its monitors.

In:  an endpoint, a moment, the champion to be judged against
Out: the candidate that `make_candidate` gives there, or the error by which it ended
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from noria.core.clock import Stopwatch, in_words
from noria.core.errors import DiskFull, NoriaError, OutsideWorld, UserMistake
from noria.core.files import LocalFiles, hold, locked
from noria.loop.context import EndpointContext
from noria.stores.workspace import Workspace
from noria.training.candidate import Candidate

FOLDER = "training"
TOLD = 400  # characters of what a training printed last
NO_ROOM = 74  # the exit code of a training that could not write its result (EX_IOERR of sysexits.h)
LOOKS = 0.1  # seconds between two looks at trainings that are waited for
A_LOOK = 1.0  # seconds, longer than `at_work` holds the lock to look at it


class TrainingFailed(OutsideWorld):
    """A training raised; its code and words are those of what it raised."""

    code = "NR-408"

    def __init__(self, told: Mapping[str, str]) -> None:
        super().__init__(what=told["what"], where=told["where"], fix=told["fix"])
        self.code = told["code"]


class TrainingDied(OutsideWorld):
    """A training's process ended without a candidate and without an error."""

    code = "NR-411"

    def __init__(self, status: int, output: Path) -> None:
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"exited with code {status}"
        hint = "; the machine may have run out of memory" if -status == signal.SIGKILL else ""
        last = output.read_text(errors="replace").strip()[-TOLD:] if output.is_file() else ""
        super().__init__(
            what=f"the training {how}{hint}",
            where=f"{output}{': ' if last else ''}{last}",
            fix="check the trainer; `training_memory_gb` in [loop] limits its memory",
        )


class TrainingTooLong(OutsideWorld):
    """A training took longer than it may."""

    code = "NR-412"

    def __init__(self, limit: timedelta) -> None:
        super().__init__(
            what=f"the training took longer than {in_words(limit)} and was stopped",
            where="training_limit in [loop] of noria.toml",
            fix="check whether the trainer hangs; if it needs more time, raise the limit",
        )


class TrainingAtWork(UserMistake):
    """A model is being trained for this endpoint already."""

    code = "NR-414"
    http_status = 409

    def __init__(self, endpoint: str, holder: str) -> None:
        super().__init__(
            what=f"a training for {endpoint!r} is already running",
            where=f"process {holder or 'unknown'}",
            fix="wait for it to end, or stop it",
        )


@dataclass(frozen=True)
class Trained:
    """A candidate, and up to when it knows the world."""

    candidate: Candidate
    as_of: datetime


@dataclass(frozen=True)
class _Running:
    process: subprocess.Popen[bytes]
    since: Stopwatch
    as_of: datetime
    result: Path
    output: Path

    def goes_on(self, limit: timedelta) -> bool:
        return self.process.poll() is None and self.since.seconds <= limit.total_seconds()


class Trainings:
    """The trainings that this process has begun."""

    def __init__(self) -> None:
        self._running: dict[str, _Running] = {}

    def has(self, key: str) -> bool:
        """Whether the training of this action was begun here, and its result has not been asked for since it ended."""
        return key in self._running

    def start(self, context: EndpointContext, key: str, as_of: datetime, champion: str | None) -> None:
        """Begin to train for an action."""
        folder = _folder(context.stores.workspace)
        result, output = (folder / f"{context.endpoint.name}.{kind}" for kind in ("json", "log"))
        context.stores.workspace.files.remove(result)
        command = [sys.executable, "-P", "-m", "noria.loop.training_process", str(context.stores.workspace.folder), context.endpoint.name]
        with output.open("wb") as out:
            process = subprocess.Popen(
                [*command, as_of.isoformat(), champion or "", str(result), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running[key] = _Running(process, Stopwatch(), as_of, result, output)

    def result(self, key: str, limit: timedelta) -> Trained | None:
        """What a training gave; None while it is at work. Raises `TrainingFailed`, `TrainingDied` or `TrainingTooLong`."""
        running = self._running[key]
        if running.goes_on(limit):
            return None
        del self._running[key]
        if running.process.returncode is None:
            _end(running.process)
            raise TrainingTooLong(limit)
        return _read(running)

    def wait(self, limit: timedelta) -> None:
        """Until one of them has ended, or has taken longer than the limit."""
        while all(running.goes_on(limit) for running in self._running.values()):
            time.sleep(LOOKS)

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def end(self) -> None:
        """End them all: what they have not finished counts for nothing."""
        for running in self._running.values():
            _end(running.process)
        self._running.clear()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a training with all that it has begun."""
    with suppress(ProcessLookupError):  # it may just have ended by itself
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read(running: _Running) -> Trained:
    if running.process.returncode == NO_ROOM:
        raise DiskFull(f"the training could not write {running.result}")
    if not running.result.is_file():
        raise TrainingDied(running.process.returncode, running.output)
    told: dict[str, Any] = json.loads(running.result.read_bytes())
    if "error" in told:
        raise TrainingFailed(told["error"])
    return Trained(Candidate.of(told["candidate"]), running.as_of)


def tell_result(result: Path, told: Candidate | NoriaError) -> None:
    """What a training's process leaves for the loop; where not even that can be written, its exit code says so."""
    found = {"error": told.to_dict()} if isinstance(told, NoriaError) else {"candidate": told.to_dict()}
    try:
        LocalFiles().write(result, json.dumps(found).encode())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        os._exit(NO_ROOM)


@contextmanager
def training(context: EndpointContext) -> Iterator[None]:
    """Hold the place of the one who trains for this endpoint: a lock that dies with the process. Raises `TrainingAtWork`."""
    lock, holder = hold(_lock(context), A_LOOK)
    if lock is None:
        raise TrainingAtWork(context.endpoint.name, holder)
    with lock:
        yield


def at_work(context: EndpointContext) -> bool:
    """Whether some process trains for this endpoint."""
    with _lock(context).open("a+") as lock:
        return not locked(lock, 0)


def _lock(context: EndpointContext) -> Path:
    return _folder(context.stores.workspace) / f"{context.endpoint.name}.lock"


def _folder(workspace: Workspace) -> Path:
    folder = workspace.own / FOLDER
    workspace.files.make_folder(folder)
    return folder
