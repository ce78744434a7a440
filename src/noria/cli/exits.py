"""How a command ends: every way out of it is an exit code and plain words, and none is a traceback.

`docs/commands.md` lists the codes; `ended` is the only place that gives them.
"""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from noria.core.errors import DiskFull, NoriaError, OurBug, OutsideWorld, UserMistake, is_disk_full
from noria.core.interrupts import Heard, Terminated, listening

DONE, USAGE, INTERRUPTED, PIPE_CLOSED, TERMINATED = 0, 2, 130, 141, 143  # beyond 128: the signal that a shell would name
OUTSIDE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
TRACEBACKS = "errors"  # the folder of tracebacks, in the folder where Noria keeps everything
MAX_TRACEBACKS = 20

Command = Callable[[list[str]], object]


class Unforeseen(OurBug):
    """A command raised what nobody had foreseen."""

    code = "NR-004"

    def __init__(self, error: BaseException, kept: Path | None) -> None:
        self.error, self.kept = error, kept
        whole = f"the traceback is in {kept}" if kept is not None else "NORIA_DEBUG=1 shows the traceback"
        words = f"{type(error).__name__}: {error}".strip().splitlines()
        super().__init__(what=f"unexpected error: {words[0]}", where=_last_line(error), fix=f"{whole}; please report it")


class SystemRefuses(OutsideWorld):
    """The operating system does not give what a command needs: space, memory, rights."""

    code = "NR-005"

    def __init__(self, error: OSError | MemoryError) -> None:
        file = getattr(error, "filename", None)
        why = getattr(error, "strerror", None) or str(error) or "out of memory"
        super().__init__(
            what=f"the operating system refused a resource: {why}",
            where=f"{file or 'no file'}; {_last_line(error)}",
            fix="free disk space or memory, or fix the permissions, and run the same command again",
        )


def ended(command: Command, arguments: list[str]) -> int:
    """Run a command to its end, whatever that is; returns the exit code."""
    _open_streams()
    with listening() as heard:
        try:
            try:
                command(arguments)
                sys.stdout.flush()  # here, where a closed pipe can still be told from a mistake
                return DONE
            except BaseException as error:  # noqa: BLE001 - this is the last place where an error can become words
                return _told(error, heard, arguments)
        except BrokenPipeError:
            return _pipe_closed()
        except KeyboardInterrupt:
            return INTERRUPTED
        finally:
            if heard.number is not None:  # what is left to wait for ends without a word at the next one
                signal.signal(signal.SIGINT, signal.SIG_DFL)


def _told(error: BaseException, heard: Heard, arguments: Sequence[str]) -> int:
    """Say how a command ended, and give its exit code. Raises BrokenPipeError where nobody listens."""
    if heard.number is not None or isinstance(error, KeyboardInterrupt):
        return _stopped(terminated=heard.number == signal.SIGTERM or isinstance(error, Terminated))
    if _nobody_reads(error):
        raise BrokenPipeError from error
    if isinstance(error, SystemExit):
        return _asked_to_exit(error)
    from typer import Exit

    if isinstance(error, Exit):
        sys.stdout.flush()
        return error.exit_code
    told = _as_ours(error, arguments)
    _show(error, told, arguments)
    return told.exit_code


def _asked_to_exit(error: SystemExit) -> int:
    """What Python does with `sys.exit`: a number is the exit code, anything else is a message and 1."""
    if error.code is None or isinstance(error.code, int):
        return error.code or DONE
    sys.stderr.write(f"{error.code}\n")
    return 1


def _stopped(*, terminated: bool) -> int:
    sys.stderr.write("stopped; run the same command again to continue\n")
    return TERMINATED if terminated else INTERRUPTED


def _nobody_reads(error: BaseException) -> bool:
    """Whether an error means that the reader of our output has gone; Rich makes a SystemExit of it. Other pipes may break as well."""
    if isinstance(error, SystemExit):
        return isinstance(error.__context__, BrokenPipeError)
    return isinstance(error, BrokenPipeError) and any(_reader_gone(stream) for stream in (sys.stdout, sys.stderr))


def _reader_gone(stream: TextIO) -> bool:
    poll = select.poll()
    with suppress(OSError, ValueError):
        poll.register(stream.fileno(), 0)
        return any(events & select.POLLERR for _, events in poll.poll(0))
    return False


def _pipe_closed() -> int:
    """Whoever read the output has seen enough. What is still to be written goes nowhere, so that ending says nothing either."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
            continue
        os.dup2(nowhere, stream.fileno())
    return PIPE_CLOSED


def _as_ours(error: BaseException, arguments: Sequence[str]) -> NoriaError:
    """Any error as one of ours, with its words and its exit code."""
    if isinstance(error, NoriaError):
        return error
    if hasattr(error, "format_message"):  # Click's own: a mistyped command, option or value
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "noria"
        return _mistyped(error, path, _typed(arguments))
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in OUTSIDE):
        return SystemRefuses(error)
    if is_disk_full(str(error)):  # what a library makes of it
        return DiskFull(f"{type(error).__name__}: {error}")
    return Unforeseen(error, _kept(error, arguments))


def _mistyped(error: Any, path: str, typed: str) -> UserMistake:
    """What Click says, and what to type instead."""
    known = list(getattr(getattr(getattr(error, "ctx", None), "command", None), "commands", ()))
    if type(error).__name__ == "NoArgsIsHelpError" and known:
        fix = f"write `{path} {known[0]}`, or another of {', '.join(known)}"
        return UserMistake(what=f"a command is missing after `{path}`", where=typed, fix=fix)
    what = error.format_message().rstrip(".")
    what = what[:1].lower() + what[1:]
    if meant := re.search(r"[Nn]o such command '.+'\. Did you mean '(\S+?)'\?$", what):
        return UserMistake(what=what.partition(". Did")[0], where=typed, fix=f"did you mean `{path} {meant[1]}`? See `{path} --help`")
    return UserMistake(what=what, where=typed, fix=f"see `{path} --help`")


def _show(error: BaseException, told: NoriaError, arguments: Sequence[str]) -> None:
    from noria.cli.render import show_error

    if os.environ.get("NORIA_DEBUG"):
        traceback.print_exception(error)
    show_error(told, as_json="--json" in arguments or os.environ.get("NORIA_JSON", "").lower() in ("1", "true", "yes", "on", "t", "y"))
    sys.stdout.flush()


def _typed(arguments: Sequence[str]) -> str:
    """What was typed, but for secrets."""
    import shlex

    shown = [word if before != "--key" else "…" for before, word in zip(["", *arguments], arguments, strict=False)]
    return shlex.join(["noria", *("--key=…" if word.startswith("--key=") else word for word in shown)])


def _last_line(error: BaseException) -> str:
    """The last line of ours, or else of anybody's, on the way to an error."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}noria{os.sep}" in frame.filename]
    for frame in [*frames[-1:], *ours[-1:]][-1:]:
        return f"{frame.filename}, line {frame.lineno}, in {frame.name}"
    return "location unknown"


def _kept(error: BaseException, arguments: Sequence[str]) -> Path | None:
    """Write a traceback into the project's folder; returns where, None where there is no project or it can't be written."""
    from noria.core.clock import SystemClock
    from noria.core.files import LocalFiles

    files, root = LocalFiles(), _root(arguments)
    if root is None:
        return None
    folder = root / TRACEBACKS
    path = folder / f"{SystemClock().now():%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    lines = [f"{_typed(arguments)}\n\n", *traceback.format_exception(error)]
    with suppress(OSError):
        files.make_folder(folder)
        files.write(path, "".join(lines).encode(errors="backslashreplace"))
        for old in files.list(folder, "*.txt")[:-MAX_TRACEBACKS]:
            files.remove(old)
        return path
    return None


def _root(arguments: Sequence[str]) -> Path | None:
    """Where Noria keeps everything of the project that a command was about; None where it was about none."""
    from noria.core.settings import load_settings

    folder = Path(_project(arguments) or os.environ.get("NORIA_PROJECT") or "").resolve()
    try:
        return folder / load_settings(folder).stores.folder
    except (NoriaError, OSError):
        return None


def _project(arguments: Sequence[str]) -> str | None:
    for place, word in enumerate(arguments):
        if word in ("--project", "-p") and place + 1 < len(arguments):
            return arguments[place + 1]
        if word.startswith("--project="):
            return word.partition("=")[2]
    return None


def _open_streams() -> None:
    """Have somewhere to write to, whatever the terminal can show: a closed stream takes everything, an odd letter becomes its number."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - as long as the process lives
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
