"""Every error that Noria raises, in one hierarchy, built from facts.

A concrete error lives beside the code that raises it, derives from one of the three families below, carries a stable
`code` with an entry in `docs/errors.md`, and keeps its facts as attributes. This module alone turns errors into words.
"""

from __future__ import annotations

import copyreg
import difflib
import traceback
from collections.abc import Iterable
from typing import Any

FULL = ("no space left on device", "disk is full", "disk quota exceeded")


class NoriaError(Exception):
    """The base of all errors: `except nr.NoriaError as error` has `error.code`, and these.

    what: what happened, in one sentence; where: the place, such as a file and a line; fix: what to do about it
    """

    code = "NR-000"
    exit_code = 1
    http_status = 500
    retry_after: int | None = None  # seconds after which asking again makes sense, told to HTTP clients
    about: str | None = None  # what it is about, where that is the same whichever stage meets it: such errors are one finding
    http_headers: tuple[tuple[str, str], ...] = ()  # further headers of the HTTP answer, by name

    def __init__(self, *, what: str, where: str, fix: str) -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(f"{what} ({where}); {fix}")

    def __reduce__(self) -> tuple[Any, ...]:
        """With its facts, not by calling its class again: so that it comes out of another process as what it is."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]

    def to_dict(self) -> dict[str, str]:
        """The error as programs read it: in `--json` output, in HTTP bodies, in log records."""
        return {"code": self.code, "what": self.what, "where": self.where, "fix": self.fix}

    def lines(self) -> list[str]:
        """The error as a person reads it on a terminal."""
        return [f"error {self.code}: {self.what}", f"  where: {self.where}", f"  fix:   {self.fix}"]


class UserMistake(NoriaError):
    """Something in the project, the command or the request has to change."""

    code = "NR-001"
    exit_code = 2
    http_status = 400


class OutsideWorld(NoriaError):
    """Something around Noria (disk, network, another service) failed; the same call may succeed later."""

    code = "NR-002"
    exit_code = 3
    http_status = 503


class OurBug(NoriaError):
    """A promise that Noria makes to itself was broken."""

    code = "NR-003"
    exit_code = 70
    http_status = 500


class MissingExtra(UserMistake):
    """An optional library is needed and not installed."""

    code = "NR-101"

    def __init__(self, *, library: str, extra: str, needed_for: str) -> None:
        self.library, self.extra, self.needed_for = library, extra, needed_for
        super().__init__(
            what=f"{library} is not installed",
            where=f"it is needed for {needed_for}",
            fix=f'run `pip install "noria[{extra}]"`',
        )


class DiskFull(OutsideWorld):
    """A disk has no room left."""

    code = "NR-116"
    about = "disk"

    def __init__(self, reason: str) -> None:
        super().__init__(
            what="the disk is full",
            where=reason,
            fix="free some space on it; what was being written is written again, and nothing that was stored is lost",
        )


def is_disk_full(reason: str) -> bool:
    """Whether an operating system, a database or a library says by these words that there is no room left."""
    return any(words in reason.lower() for words in FULL)


def as_noria(error: Exception) -> NoriaError:
    """An error as one of ours: what nobody foresaw is a bug, and is told as one."""
    if isinstance(error, NoriaError):
        return error
    if is_disk_full(str(error)):
        return DiskFull(f"{type(error).__name__}: {error}")
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else "no traceback is available"
    return OurBug(what=f"{type(error).__name__}: {error}", where=where, fix="please report this")


def nearest(word: str, known: Iterable[str]) -> str:
    """A suffix such as ` (did you mean 'origin'?)`, or the empty string when nothing is near."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
