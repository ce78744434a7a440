"""A new project: from where the data is to files in a folder, none of which was there before."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from noria.core.files import Files, LocalFiles
from noria.core.settings import FILE_NAME
from noria.data.sources.files import CSV, JSON_LINES, PARQUET, MissingData, files
from noria.data.sources.places import REMOTE
from noria.data.sources.port import Piece
from noria.data.sources.sql import SqlSource, sql
from noria.start import pictures
from noria.start.choices import Proposal
from noria.start.mistakes import CannotWrite, FilesInTheWay, FlagDoesNotFit, NoData
from noria.start.module import Origin, module_name, module_of, settings_of
from noria.start.prepare import PREPARED, write_rows
from noria.start.propose import InitOptions, propose
from noria.start.sample import Sample, sample_files, sample_query

IGNORED = """# what Noria keeps: tables, bundles, logs, the catalog
.noria/
__pycache__/
"""
PASSWORD = re.compile(r"^[a-z0-9+]+://[^/@]*:[^/@]+@", re.IGNORECASE)
DATABASE = "DATABASE_URL"
SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Given:
    """Where the data is: files (paths, folders, globs, URLs), a query of a database, or pictures in folders of classes."""

    name: str
    patterns: tuple[str, ...] = ()
    query: SqlSource | None = None
    pictures: tuple[Path, ...] = ()

    def sample(self, folder: Path) -> Sample:
        if self.pictures:
            return Sample(pictures.sampled(list(self.pictures)), whole=True)
        if self.query is not None:
            return sample_query(self.query, folder)
        return sample_files(self.patterns[0], folder)

    def pieces(self, folder: Path, sample: Sample) -> Iterable[Piece]:
        """All rows, to be written anew, read as a sample of them was."""
        if self.pictures:
            return pictures.pieces_of(list(self.pictures))
        batch = (self.query or files(self.patterns[0], decimal=sample.decimal, encoding=sample.encoding)).read(folder, None)
        assert batch is not None
        return batch.pieces


@dataclass(frozen=True)
class Plan:
    """A project that is not written yet. texts: file → content; rows: the file of rows that are written anew, None where the data is read
    where it is"""

    folder: Path
    given: Given
    sample: Sample = field(repr=False)
    proposal: Proposal
    texts: Mapping[str, str] = field(repr=False)
    rows: str | None

    @property
    def model(self) -> str | None:
        """The file of a model that is copied into the project."""
        model = self.proposal.model
        return model.file if model is not None and model.copied else None

    @property
    def paths(self) -> list[Path]:
        return [self.folder / name for name in (*self.texts, *(name for name in (self.rows, self.model) if name))]

    def to_dict(self) -> dict[str, Any]:
        """As `noria init --json` prints it."""
        return {**self.proposal.to_dict(), "folder": str(self.folder), "files": [str(p.relative_to(self.folder)) for p in self.paths]}


def given_files(data: Sequence[str], folder: Path, name: str | None) -> Given:
    """What the command line names, or what the project's folder has. Raises `NoData` and `MissingData`."""
    names = list(data) or _beside(folder)
    if not names:
        raise NoData(f"no file or folder is named, and {folder.resolve()} has none of {', '.join((*PARQUET, *CSV, *JSON_LINES))}")
    if len(names) > 1:
        raise FlagDoesNotFit(
            what=f"{len(names)} sources are named, and a project starts from one",
            where=", ".join(names[:5]),
            fix="name the one that has the column to predict, or put files with the same columns into one folder and name that",
        )
    [path] = names
    called = name or _stem(path)
    found = pictures.pictures_in(Path(path))
    if found:
        return Given(called, pictures=tuple(found))
    if not REMOTE.match(path) and not Path(path).exists() and not re.search(r"[*?\[]", path):
        raise MissingData(path, str(Path().resolve()))
    return Given(called, (_referenced(path, folder),))


def given_query(url: str, query: str | None, table: str | None, name: str | None) -> Given:
    """A query, or a whole table, of a database. Raises `MissingData` for a file of SQLite that is not there."""
    if (query is None) == (table is None):
        raise FlagDoesNotFit(
            what="--sql needs a query or a table" if query is None else "--query and --table were both given",
            where=f"--sql {url.partition('://')[0]}://…",
            fix='add --table orders, or --query "SELECT …"',
        )
    if url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).is_file():  # connecting would make an empty one
        raise MissingData(url.removeprefix(SQLITE), str(Path().resolve()))
    called = name or (re.sub(r"\W+", "_", table) if table else "rows")
    return Given(called, query=sql(query or f"SELECT * FROM {table}", url=url))


def plan(given: Given, folder: Path, asked: InitOptions, now: datetime, *, copy: bool = False) -> Plan:
    """What would be written. Raises what the data or the flags are refused with, and `FilesInTheWay`."""
    sample = given.sample(folder)
    image = pictures.IMAGE if given.pictures else None
    if image is not None and asked.label is None:
        asked = replace(asked, label=pictures.CLASS, key=asked.key or (pictures.PATH,))
    proposal = propose(given.name, sample, asked, now, image)
    anew = copy or proposal.prepared or image is not None
    rows = f"data/{module_name(given.name)}/{PREPARED}" if anew else None
    texts = {
        FILE_NAME: settings_of(proposal),
        f"{module_name(given.name)}.py": module_of(proposal, _origin(given, sample, proposal, anew=anew)),
        ".gitignore": IGNORED,
    }
    if (folder / ".gitignore").exists():  # it is the user's, and needs no second one
        del texts[".gitignore"]
    found = Plan(folder, given, sample, proposal, texts, rows)
    there = [path for path in found.paths if path.exists()]
    if there:
        raise FilesInTheWay(there)
    return found


def write(planned: Plan, store: Files | None = None) -> None:
    """Write a project. Where that fails, nothing of it is left. Raises `CannotWrite`."""
    store, written = store or LocalFiles(), list[Path]()
    made = _folders_to_make(planned)
    try:
        for folder in made:
            folder.mkdir(exist_ok=True)
        if planned.rows is not None:
            written.append(planned.folder / planned.rows)
            write_rows(
                planned.given.pieces(planned.folder, planned.sample),
                planned.proposal,
                planned.sample,
                planned.folder / planned.rows,
            )
        if planned.model is not None and planned.proposal.model is not None:
            written.append(planned.folder / planned.model)
            _copy(planned.proposal.model.source, planned.folder / planned.model)
        for name in sorted(planned.texts, key=lambda name: name == FILE_NAME):  # the one that makes it a project comes last
            written.append(planned.folder / name)
            store.write(planned.folder / name, planned.texts[name].encode())
    except BaseException as error:
        for path in written:
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else store.remove(path)
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
            raise CannotWrite(planned.folder, (error.strerror or str(error)).lower()) from error
        raise


def _copy(source: Path, target: Path) -> None:
    """Copy a model: a folder, or a file with the weights of its graph that lie beside it."""
    if source.is_dir():
        shutil.copytree(source, target)
        return
    shutil.copyfile(source, target)
    for beside in source.parent.glob(f"{source.name}*"):
        if beside != source and beside.is_file():
            shutil.copyfile(beside, target.with_name(beside.name))


def _folders_to_make(planned: Plan) -> list[Path]:
    """The folders that are not there yet, those above others first."""
    found: dict[Path, None] = {}
    for path in planned.paths:
        for folder in reversed(path.parents):
            if not folder.exists():
                found[folder] = None
    return list(found)


def _origin(given: Given, sample: Sample, proposal: Proposal, *, anew: bool) -> Origin:
    about = _about(given)
    if anew:
        made = [
            name for name, is_made in ((proposal.key.columns[0], proposal.key.made), (proposal.time.column, proposal.time.made)) if is_made
        ]
        columns = f", and {' and '.join(made)}" if made else ""
        note = f"Copied from {about} once. Put new rows into further files of this folder, with the same columns{columns}."
        return Origin("nr.files", (f'"data/{module_name(given.name)}"',), about, note=note)
    zones = {proposal.time.column: proposal.time.zone} if proposal.time.zone is not None else {}
    types = {name: "DOUBLE" for name, meant in sample.meant.items() if meant.kind == "number" and name in proposal.inputs.numbers}
    if given.query is not None:
        url = f"${{{DATABASE}}}" if PASSWORD.match(given.query.url) else given.query.url
        note = f"Set {DATABASE} in the environment: an address with a password belongs into no file." if url != given.query.url else ""
        return Origin("nr.sql", (_quoted(given.query.query), f"url={_quoted(url)}"), about, types, zones, note)
    comma = ('decimal=","',) if sample.decimal == "," else ()
    encoding = (f"encoding={_quoted(sample.encoding)}",) if sample.encoding is not None else ()
    return Origin("nr.files", (_quoted(given.patterns[0]), *comma, *encoding), about, types, zones)


def _about(given: Given) -> str:
    if given.pictures:
        return f"{len(given.pictures):,} pictures in {given.pictures[0].parents[1].name}"
    if given.query is not None:
        return f"the query {given.query.query!r}" if "*" not in given.query.query else given.query.query.split()[-1]
    return Path(given.patterns[0]).name or given.patterns[0]


def _beside(folder: Path) -> list[str]:
    """The one file of data in a folder, or its folder `data`."""
    if not folder.is_dir():
        return []
    found = [str(path) for path in sorted(folder.iterdir()) if path.suffix.lower() in (*CSV, *JSON_LINES, *PARQUET) and path.is_file()]
    return found or ([str(folder / "data")] if (folder / "data").is_dir() else [])


def _referenced(path: str, folder: Path) -> str:
    """How the module names the data: from the project's folder on if it lies there, else by its whole path."""
    if REMOTE.match(path):
        return path
    whole, home = Path(os.path.abspath(path)), folder.resolve()  # noqa: PTH100 - a glob has no path to resolve
    whole = whole.resolve() if whole.exists() else whole
    return str(whole.relative_to(home)) if whole.is_relative_to(home) and whole != home else str(whole)


def _stem(path: str) -> str:
    name = re.sub(r"[*?\[\]]+", "", path.rstrip("/")).rstrip("/")
    stem = Path(name if name not in ("", ".") else str(Path().resolve())).name
    for ending in (".gz", ".zst", *PARQUET, *CSV, *JSON_LINES):
        stem = stem.removesuffix(ending)
    return re.sub(r"\W+", "_", stem).strip("_") or "project"


def _quoted(text: str) -> str:
    from noria.start.writing import text as written

    return written(text)
