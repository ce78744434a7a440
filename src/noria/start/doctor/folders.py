"""The project's folder and its workspace: whether they can be written, hold locks, have room, and are whole."""

from __future__ import annotations

import fcntl
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from noria.core.clock import Clock
from noria.core.errors import NoriaError
from noria.core.files import LocalFiles
from noria.core.heartbeat import require_this_host
from noria.core.settings import FILE_NAME
from noria.loop.project import load_project
from noria.start.doctor.check import Check, failed, passed, unknown
from noria.stores.soundness import damage
from noria.stores.workspace import Workspace

MIN_DISK_GB = 1.0
MIN_INODES = 10_000
NO_PROJECT = "there is no project here"
START = "run `noria init DATA`, or the command in a project's folder: --project FOLDER"


def project(folder: Path) -> Iterator[Check]:
    """Whether the project can be loaded."""
    if not (folder / FILE_NAME).is_file():
        yield unknown("project", f"{folder.resolve()} has no {FILE_NAME}", START)
        return
    try:
        found = load_project(folder)
    except NoriaError as error:
        yield failed("project", f"{error.code}: {error.what} ({error.where})", error.fix)
        return
    yield passed("project", f"{len(found.tables)} tables, {len(found.models)} models, {len(found.endpoints)} endpoints are declared")


def permissions(folder: Path, root: Path) -> Iterator[Check]:
    for about, place in (("project folder", folder), ("workspace", root)):
        there = _nearest(place)
        try:
            with tempfile.NamedTemporaryFile(prefix=".noria-", dir=there):
                pass
        except OSError as error:
            fix = "give yourself the right to write there, or use another folder: --project FOLDER"
            yield failed(about, f"{there} can't be written to: {error.strerror}", fix)
            continue
        yield passed(about, f"{there} can be written to" + ("" if there == place.resolve() else f" ({place.name} is not there yet)"))


def locks(root: Path) -> Iterator[Check]:
    """Whether a lock keeps others out, and memory can be shared, on the workspace's file system: some network ones do neither."""
    there = _nearest(root)
    with tempfile.NamedTemporaryFile(prefix=".noria-", dir=there) as file, Path(file.name).open("r+b") as other:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield failed("file locks", f"{there} gives one lock to two processes", "keep the project on a local disk, not a network share")
            return
        except OSError:
            pass
        os.ftruncate(file.fileno(), mmap.PAGESIZE)
        with mmap.mmap(file.fileno(), mmap.PAGESIZE) as shared:
            shared[:5] = b"noria"
            shared.flush()
        same = Path(file.name).read_bytes()[:5] == b"noria"
    if same:
        yield passed("file locks", "locks keep other processes out, and memory can be shared")
    else:
        yield failed("file locks", f"memory can't be shared in {there}", "keep the project on a local disk, not a network share")


def disk(root: Path) -> Iterator[Check]:
    there = _nearest(root)
    free = shutil.disk_usage(there).free / 1e9
    files = os.statvfs(there).f_favail
    if free < MIN_DISK_GB:
        yield failed("disk", f"{free:.1f} GB are free", "free some, or run `noria compact`: what can't be stored is refused")
    elif 0 < files < MIN_INODES:
        yield failed("disk", f"only {files:,} more files can be made (inodes)", "remove small files, or run `noria compact`")
    else:
        yield passed("disk", f"{free:,.0f} GB are free")


def stores(workspace: Workspace) -> Iterator[Check]:
    """Whether what is stored can be read: every table's newest version, and the catalog."""
    tables = workspace.tables
    try:
        names = tables.names()
        rows = sum(tables.count(name) for name in names)
        for name in names:
            tables.details(name)
    except NoriaError as error:
        yield failed("tables", f"{error.code}: {error.what} ({error.where})", error.fix)
    else:
        yield (
            passed("tables", f"{len(names)} with {rows:,} rows") if names else unknown("tables", "nothing was ingested yet", "noria ingest")
        )
    catalog = workspace.root / "catalog.db"
    if not catalog.is_file():
        yield unknown("catalog", "nothing was trained yet", "noria train")
        return
    wrong = damage(catalog)
    if wrong is not None:
        yield failed("catalog", f"it is damaged: {wrong}", "restore the workspace from a backup")
        return
    with closing(workspace.catalog()):
        yield passed("catalog", f"{catalog.stat().st_size / 1e6:.1f} MB, whole")


def others(root: Path, now: Clock) -> Iterator[Check]:
    """Whether another machine, or another loop of this one, works on the folder."""
    try:
        require_this_host(root, now.now(), LocalFiles())
    except NoriaError as error:
        yield failed("other machines", f"{error.what} ({error.where})", error.fix)
    else:
        yield passed("other machines", "none is at work on this folder")
    lock, holder = root / "loop.lock", ""
    if lock.is_file():
        with lock.open("r") as file, suppress(OSError, ValueError):
            holder = file.read().strip()
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                holder = ""  # nobody holds it
            except OSError:
                pass
    yield passed("loop", f"running, as process {holder}" if holder else "not running")


def _nearest(place: Path) -> Path:
    """A folder, or the nearest one above it that is there."""
    place = place.resolve()
    return next(folder for folder in (place, *place.parents) if folder.is_dir())
