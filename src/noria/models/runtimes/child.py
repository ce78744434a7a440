"""The process of one model, seen from the one that started it: from its start to its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from noria.core.errors import UserMistake
from noria.core.ids import short
from noria.core.signature import Signature
from noria.data.rows import Rows
from noria.models.runtimes.messages import Answered, Ask, Begin, Failed, Load, Order, Ready, Reply
from noria.models.runtimes.port import ModelFailed, RuntimeOptions
from noria.models.runtimes.printed import Printed
from noria.models.runtimes.python_spec import PythonSpec
from noria.models.runtimes.refused import ModelRefused
from noria.models.runtimes.shared import Reader, Writer, new_region

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
LAST_WORDS_SECONDS = 0.5
CHUNK = 1 << 16


class NotStarted(UserMistake):
    """A Python model's process did not come as far as to answer."""

    code = "NR-334"

    def __init__(self, bundle: str, reason: str) -> None:
        self.bundle = bundle
        super().__init__(
            what=f"the model of bundle {short(bundle)} could not be loaded by Python",
            where=reason,
            fix="correct its loader, or train again; what it printed is in the log",
        )


class Ended(Exception):
    """The process is gone, or will never answer."""


class Child:
    """A process in a session of its own, with a socket for messages and two regions of shared memory for rows.

    Neither what it prints nor how it ends touches this process. When nobody holds it any more it is ended, with all that it started.
    """

    def __init__(self, folder: Path, spec: PythonSpec, signature: Signature, options: RuntimeOptions) -> None:
        """Start it and have it load the model of a bundle's folder. Raises `NotStarted`."""
        self._signature, self._decoder, self._rest = signature, msgspec.json.Decoder(Reply), b""
        self._channel, its = socket.socketpair()
        regions = new_region(), new_region()
        self._questions, self._answers = Writer(regions[0]), Reader(regions[1])
        numbers = (its.fileno(), *regions)
        # nothing beside Noria and what is installed is found by accident, and no bytecode is written into bundles
        command = [sys.executable, "-P", "-B", "-u", "-m", "noria.models.runtimes.python_process", *map(str, numbers)]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                pass_fds=numbers,
                start_new_session=True,
                env=environment(os.environ, options.threads),
            )
        finally:
            its.close()
        assert self._process.stdout is not None
        self._printed = Printed(os.dup(self._process.stdout.fileno()), short(folder.name))
        self._process.stdout.close()
        self._finalizer = weakref.finalize(self, _free, self._process, self._channel, regions)
        bounds = options.memory_gb, os.getpid(), options.stream_parts, options.stream_bytes
        self._start(folder.name, Load(str(folder), spec.loader, spec.runs_its_own_code, signature, *bounds), options)

    def _start(self, bundle: str, load: Load, options: RuntimeOptions) -> None:
        try:
            self.say(load)
            reply = self.heard(options.start_seconds)
        except TimeoutError:
            self.end()
            raise NotStarted(bundle, f"it was not ready within {options.start_seconds:g} s") from None
        except Ended:
            reason = self.end()
            raise NotStarted(bundle, f"{reason}: {self.last_words}" if self.last_words else reason) from None
        if not isinstance(reply, Ready):
            self.end()
            raise NotStarted(bundle, reply.reason if isinstance(reply, Failed) else repr(reply))
        self.predicts, self.streams, self.waits = reply.predicts, reply.streams, reply.waits

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        """Of the socket: readable when a reply has come, or the process is gone."""
        return self._channel.fileno()

    def say(self, order: Order) -> None:
        """Raises `Ended`."""
        try:
            self._channel.sendall(msgspec.json.encode(order) + b"\n")
        except OSError as error:
            raise Ended from error

    def ask(self, rows: Rows) -> None:
        """Have rows answered: what comes next is the reply. Raises `Ended`."""
        self.say(Ask(self._questions.put(rows)))

    def begin(self, stream: int, row: Rows, credit: int) -> None:
        """Have a row answered in parts. Its place in memory is free again once it is `Taken`. Raises `Ended`."""
        self.say(Begin(stream, self._questions.put(row), credit))

    def heard(self, seconds: float | None) -> Reply | None:
        """The next reply; None where it has not all come, and `seconds` is None. Raises `TimeoutError` or `Ended`."""
        self._channel.settimeout(seconds if seconds is not None else 0.0)
        while b"\n" not in self._rest:
            try:
                data = self._channel.recv(CHUNK)
            except BlockingIOError:
                return None
            except ConnectionError as error:
                raise Ended from error
            if not data:
                raise Ended
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            found: Reply = self._decoder.decode(line)
        except msgspec.DecodeError as error:
            raise Ended from error
        return found

    @property
    def has_more(self) -> bool:
        """Whether a reply has come that was not heard yet."""
        return b"\n" in self._rest

    def rows(self, reply: Reply) -> Rows:
        """The answers of a reply. Raises `ModelFailed` for one that has none."""
        if isinstance(reply, Failed):
            raise ModelFailed(reply.reason) if reply.refusal is None else ModelRefused(reply.refusal)
        assert isinstance(reply, Answered)
        try:
            return self._answers.copied(self._signature.outputs, reply.size)
        except (ValueError, OSError) as error:
            raise ModelFailed(f"its answers can't be read: {error}") from error

    def kill(self) -> None:
        """End it at once, with all that it started; `end` says how it ended."""
        _kill(self._process)

    def end(self) -> str:
        """End it if it has not ended, and say how it did, as a sentence that begins with "its process"."""
        with suppress(subprocess.TimeoutExpired):  # it may be about to end by itself: then that is told, and not our signal
            self._process.wait(LAST_WORDS_SECONDS if self._gone() else 0)
        ended_by_itself = self._process.poll() is not None
        self._finalizer()
        self._printed.wait(LAST_WORDS_SECONDS)
        return f"its process {how_it_ended(self._process.returncode)}" if ended_by_itself else "its process was stopped"

    def _gone(self) -> bool:
        """Whether the other end of the socket is closed."""
        with suppress(OSError):
            self._channel.settimeout(0.0)
            return not self._channel.recv(1, socket.MSG_PEEK)
        return False

    @property
    def last_words(self) -> str:
        """The last line that it printed."""
        return self._printed.last


def environment(given: Mapping[str, str], threads: int) -> dict[str, str]:
    """The environment of a model's process: so many threads, so that workers don't crowd each other out, unless it says otherwise; and an
    allocator of Arrow that reserves no addresses ahead, which count against a bound of memory."""
    return {**dict.fromkeys(ONE_THREAD, str(threads)), "ARROW_DEFAULT_MEMORY_POOL": "system", **given}


def how_it_ended(status: int) -> str:
    if status >= 0:
        return f"exited with code {status}"
    hint = "; the machine may have run out of memory" if -status == signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-status).name}{hint}"


def _kill(process: subprocess.Popen[Any]) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it may just have ended by itself
        os.killpg(process.pid, signal.SIGKILL)


def _free(process: subprocess.Popen[Any], channel: socket.socket, regions: tuple[int, int]) -> None:
    _kill(process)
    process.wait()
    channel.close()
    for region in regions:
        os.close(region)
