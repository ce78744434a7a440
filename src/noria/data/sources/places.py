"""Where files are: on this machine or behind any fsspec URL, named by a path, a folder, a glob or a URL."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from noria.core.environment import from_environment
from noria.core.errors import MissingExtra, UserMistake
from noria.data.sources.port import SourceAway

REMOTE = re.compile(r"^[a-z][a-z0-9+.-]*://")
COMPRESSED = (".gz", ".zst")
NO_DATA = re.compile(
    r"^(_SUCCESS|_metadata|_common_metadata|_committed_.*|_started_.*|[._].*\.crc|\..*)$"
)  # what Spark and others leave beside


def place_of(pattern: str, folder: Path, storage: Mapping[str, Any], endings: Collection[str]) -> Place:
    """Where the files of a pattern are. endings: of the files that are taken where it names a folder"""
    if REMOTE.match(pattern):
        return RemotePlace(pattern, storage, tuple(endings))
    return LocalPlace(pattern, folder, tuple(endings))


def ending(path: str) -> str:
    """The ending of a file's name, in small letters, without that of its compression."""
    suffixes = PurePosixPath(path.lower()).suffixes
    while suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _with_data(paths: list[str], root: str, pattern: str) -> list[str]:
    """The files that hold data: what Spark and other tools leave beside them, and what is hidden below the root, do not; unless the pattern
    names it."""
    named = set(PurePosixPath(pattern).parts)
    return [
        p
        for p in paths
        if not NO_DATA.match(PurePosixPath(p).name)
        and not any(_is_aside(folder) and folder not in named for folder in _folders_below(p, root))
    ]


def _folders_below(path: str, root: str) -> tuple[str, ...]:
    """The folders between a root and a file; all that it lies in, if it does not lie below it."""
    at = PurePosixPath(path)
    return (at.relative_to(root) if at.is_relative_to(root) else at).parts[:-1]


def _fixed_part(pattern: str) -> str:
    """The folders above the first part of a pattern that has a wildcard."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0]


def _is_aside(folder: str) -> bool:
    """Whether a folder is hidden, such as `.git`, or one of another tool's own."""
    return folder.startswith((".", "_temporary")) or folder in ("_delta_log", "_spark_metadata")


def _that_end(paths: Iterable[str], endings: Collection[str]) -> list[str]:
    """The files of a folder that can be read: others, such as a README, may stand beside them."""
    return [p for p in paths if ending(p) in endings]


@dataclass(frozen=True)
class LocalPlace:
    """Files of this machine."""

    pattern: str
    folder: Path
    endings: tuple[str, ...]

    @property
    def place(self) -> str:
        return str(self.folder.resolve())

    @cached_property
    def _base(self) -> Path:
        return Path(self.pattern) if Path(self.pattern).is_absolute() else self.folder / self.pattern

    @cached_property
    def _fixed(self) -> Path:
        """The folders above the first part of the pattern that has a wildcard."""
        parts = self._base.parts
        wild = next((i for i, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts) - 1)
        return Path(*parts[:wild])

    def list(self) -> dict[str, list[int]]:
        if self._base.is_dir():
            found = [Path(p) for p in _that_end(map(str, self._base.rglob("*")), self.endings)]
        elif self._base.is_file():  # a name may have brackets
            found = [self._base]
        else:
            found = list(self._fixed.glob(str(self._base.relative_to(self._fixed))))
        chosen = _with_data(sorted(str(p) for p in found if p.exists() and not p.is_dir()), str(self._root), self.pattern) or (
            [str(self._base)] if self._base.is_file() else []
        )
        return {p: [(s := Path(p).stat()).st_size, s.st_mtime_ns] for p in chosen}

    @property
    def _root(self) -> Path:
        return self._base if self._base.is_dir() else self._fixed

    def relative(self, path: str) -> str:
        return str(Path(path).relative_to(self._root)) if Path(path).is_relative_to(self._root) else Path(path).name

    def leads_out(self, path: str) -> bool:
        """Whether a file is a link to one that does not lie below the folder."""
        return not Path(path).resolve().is_relative_to(self._root.resolve())

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        yield Path(path)


@dataclass(frozen=True)
class RemotePlace:
    """Files behind an fsspec URL; each is fetched for as long as it is read."""

    pattern: str
    storage: Mapping[str, Any]
    endings: tuple[str, ...]

    @property
    def place(self) -> str:
        return self.pattern

    def list(self) -> dict[str, list[Any]]:
        fs = self._fs()
        try:
            fs.invalidate_cache()
            base = fs._strip_protocol(self.pattern)
            found = _that_end(fs.find(base), self.endings) if fs.isdir(base) else [p for p in fs.glob(self.pattern) if not fs.isdir(p)]
            details = {
                path: fs.info(path)
                for path in _with_data(sorted(found), base.rstrip("/") if fs.isdir(base) else _fixed_part(base), self.pattern)
            }
        except Exception as error:  # every file system has exceptions of its own; re-raised with its words
            raise SourceAway(self.pattern, f"{type(error).__name__}: {error}") from error
        return {path: [d["size"], str(d.get("ETag") or d.get("mtime") or d.get("LastModified"))] for path, d in details.items()}

    def relative(self, path: str) -> str:
        base = str(self._fs()._strip_protocol(self.pattern)).rstrip("/")
        return path.removeprefix(base if path.startswith(base + "/") else _fixed_part(base))

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch) / PurePosixPath(path).name
            try:
                self._fs().get(path, str(target))
            except Exception as error:
                raise SourceAway(path, f"{type(error).__name__}: {error}") from error
            yield target

    def _fs(self) -> Any:
        import fsspec

        protocol = self.pattern.split("://", 1)[0]
        try:
            return fsspec.filesystem(protocol, **{name: from_environment(value) for name, value in self.storage.items()})
        except ImportError as error:
            raise MissingExtra(
                library=f"fsspec's driver for {protocol}://", extra=protocol, needed_for=f"reading {self.pattern}"
            ) from error
        except ValueError as error:
            raise UserMistake(
                what=f"{protocol}:// is not a supported kind of address",
                where=f"source {self.pattern!r}",
                fix="use s3://, gs://, abfs:// or a path",
            ) from error


Place = LocalPlace | RemotePlace
