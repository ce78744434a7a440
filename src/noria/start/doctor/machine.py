"""The machine: Python, the installed libraries, the clock, limits, memory."""

from __future__ import annotations

import platform
import re
import struct
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path

from noria.core.clock import Clock, in_words
from noria.start.doctor.check import Check, failed, passed, unknown

MIN_PYTHON = (3, 11)
MIN_OPEN_FILES = 1_024
MIN_MEMORY_GB = 1.0
FIRST_YEAR, LAST_YEAR = 2024, 2200  # of a clock that may be right
MAX_DRIFT = timedelta(seconds=5)  # between this machine's clock and its disk's


def python() -> Iterator[Check]:
    version, bits = platform.python_version(), struct.calcsize("P") * 8
    seen = f"{platform.python_implementation()} {version}, {bits} bit, {platform.system()} {platform.machine()}"
    needed = ".".join(map(str, MIN_PYTHON))
    if sys.version_info < MIN_PYTHON or bits != 64:
        yield failed("Python", seen, f"use 64-bit Python {needed} or newer: create the virtual environment with it")
    else:
        yield passed("Python", seen)
    inside = sys.prefix != sys.base_prefix
    yield passed("environment", "a virtual environment" if inside else "no virtual environment: packages are shared with other programs")


def libraries() -> Iterator[Check]:
    """Noria's own requirements, as its metadata states them."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield unknown("libraries", "the library `packaging` is not installed, so versions can't be compared", "pip install packaging")
        return
    try:
        requirements = [Requirement(text) for text in metadata.requires("noria") or []]
    except metadata.PackageNotFoundError:
        yield unknown("libraries", "Noria is run from its source, and is not installed", "pip install --editable .")
        return
    needed = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    wrong = []
    for requirement in needed:
        found = installed(requirement.name)
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} {found or 'is missing'}, needed {requirement.specifier}")
    if wrong:
        yield failed("libraries", "; ".join(wrong), "pip install --upgrade noria")
    else:
        yield passed("libraries", f"noria {installed('noria')}, and all {len(needed)} libraries that it needs")


def installed(distribution: str) -> str | None:
    """The version of an installed distribution; None if there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def engine() -> Iterator[Check]:
    from noria.core.sql import connect

    with connect() as con:
        [(moment,)] = con.sql("SELECT (TIMESTAMP '2024-07-01 12:00' AT TIME ZONE 'Europe/Berlin')::VARCHAR").fetchall()
    if str(moment).startswith("2024-07-01 10:00"):
        yield passed("engine", f"DuckDB {installed('duckdb')} with time zones")
    else:
        yield failed("engine", f"DuckDB reads 12:00 in Berlin as {moment}", "pip install --force-reinstall duckdb tzdata")


def clock(now: Clock) -> Iterator[Check]:
    """Whether this machine's clock can be right: its year, and the time that its disk gives to a new file."""
    moment = now.now()
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        yield failed("clock", f"it says {moment:%Y-%m-%d %H:%M} UTC", "set the clock: every row and decision is dated by it")
        return
    with tempfile.NamedTemporaryFile(prefix="noria-") as file:
        Path(file.name).write_bytes(b"now")
        there = datetime.fromtimestamp(Path(file.name).stat().st_mtime, tz=moment.tzinfo)
    if abs(there - now.now()) > MAX_DRIFT:
        yield failed("clock", f"it differs from the disk's by {in_words(abs(there - moment))}", "synchronize both by NTP")
        return
    yield passed("clock", f"{moment:%Y-%m-%d %H:%M} UTC; whether it is synchronized is not known here")


def limits() -> Iterator[Check]:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < MIN_OPEN_FILES:
        more = f"ulimit -n {min(4 * MIN_OPEN_FILES, hard)}"
        yield failed("open files", f"{soft:,} at a time; each connection of a client takes one", f"run `{more}` before `noria serve`")
    else:
        yield passed("open files", f"{soft:,} at a time")


def memory() -> Iterator[Check]:
    free = _available_gb()
    if free is None:
        yield unknown("memory", "this system does not say how much is available")
    elif free < MIN_MEMORY_GB:
        yield failed(
            "memory", f"{free:.1f} GB available", f"free some: Noria needs about {MIN_MEMORY_GB:g} GB to train, more for large data"
        )
    else:
        yield passed("memory", f"{free:.1f} GB available")


def _available_gb() -> float | None:
    """What the machine has, or the container may still take."""
    about = Path("/proc/meminfo")
    found = re.search(r"MemAvailable:\s+(\d+) kB", about.read_text()) if about.is_file() else None
    if found is None:
        return None
    free = int(found[1]) / 1e6
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and limit.read_text().strip().isdigit():
        free = min(free, (int(limit.read_text()) - int(used.read_text())) / 1e9)
    return free
