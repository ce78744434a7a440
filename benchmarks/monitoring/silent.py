# ruff: noqa: E501 - a failure a line reads best as a table
"""Silent failures on the flights data: something goes wrong without an error, and the whole loop, under the virtual clock, must say so.

Three weeks are replayed once as they were; then each failure begins on one day, in a copy of its own, and a week more is replayed. What
has to be opened is a finding that began no earlier than that day and names what is wrong.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import duckdb
import numpy as np

from benchmarks.figure import Figure, Proof
from noria.core.conservation import RowsLost
from noria.core.errors import NoriaError
from noria.data.ingest import ingest
from noria.evidence.figures import findings
from noria.loop import replay as replaying
from noria.loop.project import Project, load_project
from noria.loop.replay import Span, replay
from noria.loop.workspace import Workspace
from noria.loop.world import Policy, World

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
BEGIN, BROKEN, END = (datetime(2013, m, d, 5, tzinfo=UTC) for m, d in ((2, 26), (3, 19), (3, 27)))
KNOWN = {"schedule": "published_at", "departures": "actual_departure", "arrivals": "ended_at", "weather": "reported_at"}
RELATED = {"weather": "temp|dewp|humid|wind|precip|pressure|visib|sky|weather", "departures": "origin_|carrier_|dest_|departures|by_"}


@dataclass(frozen=True)
class Silent:
    """A failure. sql: of each table that is changed, what its rows from the day on become (`src`); answers: what becomes of the answers

    kinds, words: what a finding must be, and what must stand in it
    """

    kind: str
    name: str
    kinds: tuple[str, ...]
    words: str
    sql: tuple[tuple[str, str], ...] = ()
    answers: str = ""


def _all(table: str, expression: str, where: str = "TRUE") -> tuple[tuple[str, str], ...]:
    column, value = expression.split("=", 1)
    return ((table, f"SELECT * REPLACE (CASE WHEN {where} THEN {value} ELSE {column} END AS {column}) FROM src"),)


W, D = RELATED["weather"], RELATED["departures"]
FAULTY = ("fault", "drift")
FAILURES = (
    Silent("a source stops", "weather", ("volume", "fault"), "weather", (("weather", "SELECT * FROM src WHERE FALSE"),)),
    Silent("a source stops", "departures", ("volume", "fault"), "departures", (("departures", "SELECT * FROM src WHERE FALSE"),)),
    Silent("a source stops", "outcomes", ("volume", "blind"), "arrivals|outcomes", (("arrivals", "SELECT * FROM src WHERE FALSE"),)),
    Silent("a source stops", "weather of one airport", ("volume", *FAULTY), W, (("weather", "SELECT * FROM src WHERE origin <> 'EWR'"),)),
    Silent("a source stops", "four fifths of departures", ("volume", *FAULTY), D, (("departures", "SELECT * FROM src WHERE hash(flight_id) % 5 = 0"),)),
    Silent("an error code is a legal value", "temperature -999 in a tenth", FAULTY, "temp", _all("weather", "temp=-999", "hash(observed_at) % 10 = 0")),
    Silent("an error code is a legal value", "visibility -1", FAULTY, "visib", _all("weather", "visib=-1")),
    Silent("an error code is a legal value", "delay -1", FAULTY, D, _all("departures", "dep_delay=-1")),
    Silent("an error code is a legal value", "humidity 0 in a third", FAULTY, "humid", _all("weather", "humid=0", "hash(observed_at) % 3 = 0")),
    Silent("an error code is a legal value", "wind 9999 in a tenth", FAULTY, "wind_speed", _all("weather", "wind_speed=9999", "hash(observed_at) % 10 = 0")),
    Silent("one partner's bad data", "one carrier's delays in seconds", FAULTY, D, _all("departures", "dep_delay=dep_delay*60", "carrier = 'UA'")),
    Silent("one partner's bad data", "one airport in Celsius", FAULTY, "temp|dewp", _all("weather", "temp=(temp-32)/1.8", "origin = 'JFK'")),
    Silent("one partner's bad data", "one carrier's departures missing", ("volume", *FAULTY), D, (("departures", "SELECT * FROM src WHERE carrier <> 'UA'"),)),
    Silent("one partner's bad data", "one airport's pressure in inches", FAULTY, "pressure", _all("weather", "pressure=pressure/33.86", "origin = 'LGA'")),
    Silent("one partner's bad data", "one carrier always on time", FAULTY, D, _all("departures", "dep_delay=0", "carrier = 'EV'")),
    Silent("columns reordered, retyped, recoded", "two columns swapped", FAULTY, W, (("weather", "SELECT * REPLACE (humid AS temp, temp AS humid) FROM src"),)),
    Silent("columns reordered, retyped, recoded", "carrier recoded", FAULTY, "carrier", _all("schedule", "carrier=lower(carrier)", "carrier = 'UA'")),
    Silent("columns reordered, retyped, recoded", "miles become kilometres", FAULTY, "distance", _all("schedule", "distance=distance*1.609")),
    Silent("columns reordered, retyped, recoded", "degrees become radians", FAULTY, "wind_dir", _all("weather", "wind_dir=radians(wind_dir)")),
    Silent("columns reordered, retyped, recoded", "pressure in kilopascal", FAULTY, "pressure", _all("weather", "pressure=pressure/10")),
    Silent("a join drops, doubles or misses rows", "airports under other names", FAULTY, W, _all("weather", "origin='LGA'", "origin <> 'LGA'")),
    Silent(
        "a join drops, doubles or misses rows",
        "every departure twice",
        ("volume", *FAULTY),
        D,
        (("departures", "SELECT * FROM src UNION ALL SELECT * REPLACE (flight_id || 'x' AS flight_id) FROM src"),),
    ),
    Silent("a join drops, doubles or misses rows", "destinations recoded", FAULTY, "dest_", _all("departures", "dest='X'||dest")),
    Silent(
        "a join drops, doubles or misses rows",
        "departures known a day late",
        ("volume", *FAULTY),
        D,
        (("departures", "SELECT * REPLACE (actual_departure + INTERVAL 1 DAY AS actual_departure) FROM src"),),
    ),
    Silent("a join drops, doubles or misses rows", "half of the carriers lost", FAULTY, D, _all("departures", "carrier='?'||carrier", "carrier < 'EV'")),
    Silent("the wrong model answers", "one that was never released", ("fault",), "never released", answers="stranger"),
    Silent("the wrong model answers", "a constant", FAULTY, "prediction", answers="constant"),
    Silent("the wrong model answers", "one that is inverted", (*FAULTY, "performance"), "prediction|calibration|log_loss", answers="inverted"),
    Silent("the wrong model answers", "half of what is right", (*FAULTY, "performance"), "prediction|calibration", answers="halved"),
    Silent("the wrong model answers", "answers of other rows", ("performance",), "log_loss|rank", answers="shuffled"),
    Silent("the log loses rows", "one in a hundred", ("lost",), "", answers="lose 1 %"),
    Silent("the log loses rows", "half", ("lost",), "", answers="lose 50 %"),
    Silent("the log loses rows", "all", ("lost",), "", answers="lose 100 %"),
    Silent("the log loses rows", "the last row", ("lost",), "", answers="lose last"),
    Silent("the log loses rows", "a row twice", ("lost",), "", answers="twice"),
    Silent("late labels", "counted as negatives", ("performance", "blind"), "calibration|log_loss", _all("arrivals", "late=0")),
    Silent("late labels", "positives never come", ("performance", "blind", "volume"), "calibration|log_loss|arrivals|outcomes", (("arrivals", "SELECT * FROM src WHERE late = 0"),)),
    Silent("late labels", "two thirds never come", ("blind", "volume"), "outcomes|arrivals", (("arrivals", "SELECT * FROM src WHERE hash(flight_id) % 3 = 0"),)),
    Silent("late labels", "turned round", ("performance",), "calibration|log_loss", _all("arrivals", "late=1-late")),
    Silent("late labels", "three days late", ("blind", "volume"), "outcomes|arrivals", (("arrivals", "SELECT * REPLACE (ended_at + INTERVAL 3 DAY AS ended_at) FROM src"),)),
)  # fmt: skip


def silent() -> Proof:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        _prepare(base)
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            told = list(pool.map(_try, [base] * len(FAILURES), range(len(FAILURES))))
        clean = _try(base, -1)
    named = 0
    for failure, (ok, text) in zip(FAILURES, told, strict=True):
        named += ok
        yield f"# {'named' if ok else 'NOT NAMED'}: {failure.kind}: {failure.name}: {text}"
    yield f"# the same week as it was: {clean[1]}"
    yield Figure("silent_failures_named", named / len(FAILURES), f"of {len(FAILURES)}", ">=", 0.95)


def _prepare(folder: Path) -> None:
    """The project with the facts that were known before the day, replayed up to it."""
    shutil.copytree(EXAMPLE, folder)
    module = (folder / "flights.py").read_text()
    for table in KNOWN:
        module = module.replace(f"data/{table}.parquet", f"data/{table}*.parquet")
    (folder / "flights.py").write_text(module)
    spec = importlib.util.spec_from_file_location("prepare_flights", EXAMPLE / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    prepare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepare)
    prepare.prepare(folder)
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        for table, known in KNOWN.items():
            whole, later = folder / "data" / f"{table}.parquet", folder / f"{table}-later.parquet"
            con.execute(f"CREATE OR REPLACE TABLE t AS SELECT * FROM '{whole}'")
            con.execute(f"COPY (SELECT * FROM t WHERE {known} >= '{BROKEN}' AND {known} < '{END + timedelta(days=30)}') TO '{later}'")
            con.execute(f"COPY (SELECT * FROM t WHERE {known} < '{BROKEN}') TO '{whole}'")
    project = load_project(folder)
    _go_on(project, folder, BROKEN)


def _go_on(project: Project, folder: Path, end: datetime) -> World:
    workspace = Workspace.of(folder, project.settings)
    for table in project.tables:
        ingest(table, workspace.tables, folder)
    endpoint = project.endpoint()
    world = World.open(project, workspace, endpoint, Policy.declared(project, endpoint))
    world.catalog.take_lease()
    with closing(world.catalog):
        replay([world], Span(BEGIN, end), lambda _: None)
    return world


def _try(base: Path, number: int) -> tuple[bool, str]:
    """Whether a failure is named (number −1: nothing is broken), and what was told."""
    failure = FAILURES[number] if number >= 0 else Silent("", "", (), "")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "flights"
        shutil.copytree(base, folder)
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'")
            for table in KNOWN:
                later = folder / f"{table}-later.parquet"
                con.execute(f"CREATE OR REPLACE TABLE src AS SELECT * FROM '{later}'")
                if table == "schedule" and dict(failure.sql).get(table):  # a timetable is known weeks ahead: it is sent anew that day
                    con.execute(
                        f"INSERT INTO src SELECT * REPLACE (TIMESTAMPTZ '{BROKEN}' AS published_at) FROM '{folder}/data/schedule.parquet' WHERE scheduled_departure >= '{BROKEN}'"
                    )
                sql = dict(failure.sql).get(table, "SELECT * FROM src")
                con.execute("CREATE OR REPLACE TABLE changed AS SELECT * FROM src LIMIT 0")
                con.execute(f"INSERT INTO changed {sql}")  # of the types that the source has
                con.execute(f"COPY changed TO '{folder / 'data' / f'{table}-later.parquet'}'")
        usual = replaying.answer
        replaying.answer = _broken(failure.answers, usual)
        try:
            world = _go_on(load_project(folder), folder, END)
        except RowsLost as error:
            return failure.kinds == ("lost",), f"RowsLost: {error.what}"
        except NoriaError as error:
            return False, f"{type(error).__name__}: {error}"
        finally:
            replaying.answer = usual
        catalog = world.workspace.catalog()
        found = [f for f in findings(catalog) if datetime.fromisoformat(f["opened_at"]) > BROKEN]
        catalog.close()
    mine = [f for f in found if f["kind"] in failure.kinds and _names(f, failure.words)]
    first = mine[0] if mine else None
    told = "; ".join(f"{f['opened_at'][5:10]} {f['kind']} {f['subject']}" for f in found) or "nothing"
    return first is not None, told if first is None else f"after {_days(first)} days: {first['words']}"


def _names(finding: dict[str, str], words: str) -> bool:
    text = f"{finding['subject']} {finding['words']}"
    return any(word in text for word in words.split("|"))


def _days(finding: dict[str, str]) -> int:
    return (datetime.fromisoformat(finding["opened_at"]) - BROKEN).days


def _broken(how: str, usual: Callable) -> Callable:  # type: ignore[type-arg]
    """Answers as a failure gives them."""

    def answer(world, release, requests):  # type: ignore[no-untyped-def]
        found = usual(world, release, requests)
        rng = np.random.default_rng(len(found))
        scores = found.prediction
        changed = {
            "constant": lambda: np.full(len(scores), float(scores.mean())),
            "inverted": lambda: 1 - scores,
            "halved": lambda: scores / 2,
            "shuffled": lambda: rng.permutation(scores),
        }
        if how in changed:
            found.prediction[:] = changed[how]()
        if how == "stranger":
            found.bundle[:] = ["f" * 64] * len(found)
        if how.startswith("lose"):
            share = {"lose 1 %": 0.01, "lose 50 %": 0.5, "lose 100 %": 1.0}.get(how)
            keep = rng.random(len(found)) >= share if share is not None else np.arange(len(found)) < len(found) - 1
            found = found.where(keep)
        if how == "twice" and len(found):
            found = found.where(np.ones(len(found), bool))
            for part in (found.ids, found.keys, found.variant, found.bundle):
                part.append(part[-1])
            for name in ("received_us", "latency_us", "features", "prediction"):
                values = getattr(found, name)
                object.__setattr__(found, name, np.concatenate([values, values[-1:]]))
        return found

    return answer
