# ruff: noqa: E501 - a failure a line reads best as a table
"""Silent failures on the flights data: something goes wrong without an error, and the whole loop, under the virtual clock, must say so.

Three weeks are replayed once as they were; then each failure begins on one day, in a copy of its own, and a week more is replayed. What
has to be opened is a finding that began no earlier than that day, names what is wrong, and is not opened in the same week as it was.
Stages that stand still, alerts that never arrive and platforms that change are in `stages.py`.

`CLEAN_RUNS` weeks more have nothing wrong: they are at the beginning of March, before the timetable of spring, which goes on as in the four
weeks before; each of their days has the weather and the delays of a day of the same weekday that the champion was trained on, drawn by
chance, but for the two days of February's blizzard. What is opened in them is a false alarm. (The days between the training and the week
are no donors: their storm is drift, and is told as such before the week begins.)
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NoReturn

import duckdb
import numpy as np

from benchmarks.figure import Figure, Proof, most_a_year
from benchmarks.monitoring.stages import stages
from noria.core.clock import ReplayClock
from noria.core.conservation import RowsLost
from noria.core.errors import NoriaError
from noria.data.ingest import ingest
from noria.evidence.figures import findings
from noria.loop import replay as replaying
from noria.loop.context import EndpointContext, Policy
from noria.loop.controller import train_now
from noria.loop.project import Project, load_project
from noria.loop.replay import Span, replay
from noria.models.registry import CHALLENGER, CHAMPION
from noria.monitoring.monitors.drift import InputDrift
from noria.monitoring.monitors.performance import Performance
from noria.monitoring.monitors.reading import Reading
from noria.serving.log.predictions import Predictions, together
from noria.stores.workspace import Workspace

BEGIN, BROKEN, END = (datetime(2013, m, d, 5, tzinfo=UTC) for m, d in ((2, 26), (3, 19), (3, 27)))
CLEAN_FROM, CLEAN_TO = (datetime(2013, 3, d, 5, tzinfo=UTC) for d in (1, 9))
BLIZZARD = (date(2013, 2, 8), date(2013, 2, 9))
ZONE = "America/New_York"
WEEKS_BEFORE = 8  # from which a clean week's days are drawn, as far as the champion was trained on them
CLEAN_RUNS = int(os.environ.get("CLEAN_RUNS", "200"))
# The delays of a day's flights: each has those of the flight of its airport and carrier that left before it on the donor's day.
DELAYS = f"""
CREATE TABLE delays AS
WITH local AS (
    SELECT s.*, (scheduled_departure AT TIME ZONE '{ZONE}')::DATE AS day, (scheduled_departure AT TIME ZONE '{ZONE}')::TIME AS clock
    FROM (SELECT * FROM schedule UNION ALL BY NAME SELECT * FROM schedule_later) s
), donors AS (
    SELECT l.origin, l.carrier, l.day, l.clock, d.dep_delay, a.arr_delay, a.late, a.ended_at - l.scheduled_arrival AS after
    FROM local l LEFT JOIN departures d USING (flight_id) JOIN arrivals a USING (flight_id)
)
SELECT l.*, CASE WHEN o.clock IS NULL THEN 0 ELSE o.dep_delay END AS dep_delay, o.arr_delay, coalesce(o.late, 0) AS late,
    scheduled_arrival + coalesce(o.after, INTERVAL 0 MINUTE) AS ended_at
FROM (SELECT * FROM local JOIN days USING (day) WHERE scheduled_departure >= '{CLEAN_FROM}') l
ASOF LEFT JOIN donors o ON l.origin = o.origin AND l.carrier = o.carrier AND l.donor = o.day AND l.clock >= o.clock
"""
CLEAN = {
    "schedule": "SELECT * FROM schedule_later",
    "departures": """
        SELECT * FROM departures_later SEMI JOIN (SELECT flight_id FROM schedule WHERE flight_id NOT IN (SELECT flight_id FROM delays))
        USING (flight_id) UNION ALL BY NAME
        SELECT flight_id, carrier, origin, dest, dep_delay, scheduled_departure + to_minutes(dep_delay::INT) AS actual_departure
        FROM delays WHERE dep_delay IS NOT NULL""",
    "arrivals": """
        SELECT * FROM arrivals_later SEMI JOIN (SELECT flight_id FROM schedule WHERE flight_id NOT IN (SELECT flight_id FROM delays))
        USING (flight_id) UNION ALL BY NAME
        SELECT flight_id, carrier, origin, dest, arr_delay, late, ended_at FROM delays""",
    "weather": f"""
        SELECT w.* REPLACE (observed_at + (to_days((d.day - d.donor)::INT)) AS observed_at,
            reported_at + (to_days((d.day - d.donor)::INT)) AS reported_at)
        FROM weather w JOIN days d ON (observed_at AT TIME ZONE '{ZONE}')::DATE = d.donor
        WHERE observed_at + to_days((d.day - d.donor)::INT) >= TIMESTAMPTZ '{CLEAN_FROM}'""",
}

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
KNOWN = {"schedule": "published_at", "departures": "actual_departure", "arrivals": "ended_at", "weather": "reported_at"}
RELATED = {"weather": "temp|dewp|humid|wind|precip|pressure|visib|sky|weather", "departures": "origin_|carrier_|dest_|departures|by_"}


@dataclass(frozen=True)
class Silent:
    """A failure. sql: of each table that is changed, what its rows from the day on become (`src`); answers: what becomes of the answers

    throws: the monitor that fails; shadowed: whether a challenger shadows from the day on
    kinds, words: what a finding must be, and what must stand in it
    """

    kind: str
    name: str
    kinds: tuple[str, ...]
    words: str
    sql: tuple[tuple[str, str], ...] = ()
    answers: str = ""
    throws: type[Reading] | None = None
    shadowed: bool = False


def _all(table: str, expression: str, where: str = "TRUE") -> tuple[tuple[str, str], ...]:
    column, value = expression.split("=", 1)
    return ((table, f"SELECT * REPLACE (CASE WHEN {where} THEN {value} ELSE {column} END AS {column}) FROM src"),)


NOTHING = Silent("", "", (), "")
W, D = RELATED["weather"], RELATED["departures"]
FAULTY = ("data_quality", "drift")
FAILURES = (
    Silent("a source stops", "weather", ("volume", "data_quality"), "weather", (("weather", "SELECT * FROM src WHERE FALSE"),)),
    Silent("a source stops", "departures", ("volume", "data_quality"), "departures", (("departures", "SELECT * FROM src WHERE FALSE"),)),
    Silent("a source stops", "outcomes", ("volume", "no_data"), "arrivals|outcomes", (("arrivals", "SELECT * FROM src WHERE FALSE"),)),
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
    Silent("the wrong model answers", "one that was never released", ("data_quality",), "never released", answers="stranger"),
    Silent("the wrong model answers", "a constant", FAULTY, "prediction", answers="constant"),
    Silent("the wrong model answers", "one that is inverted", (*FAULTY, "performance"), "prediction|calibration|log_loss", answers="inverted"),
    Silent("the wrong model answers", "half of what is right", (*FAULTY, "performance"), "prediction|calibration", answers="halved"),
    Silent("the wrong model answers", "answers of other rows", (*FAULTY, "performance"), "prediction|log_loss|ranking", answers="shuffled"),
    Silent("the log loses rows", "one in a hundred", ("lost",), "", answers="lose 1 %"),
    Silent("the log loses rows", "half", ("lost",), "", answers="lose 50 %"),
    Silent("the log loses rows", "all", ("lost",), "", answers="lose 100 %"),
    Silent("the log loses rows", "the last row", ("lost",), "", answers="lose last"),
    Silent("the log loses rows", "a row twice", ("lost",), "", answers="twice"),
    Silent("late labels", "counted as negatives", ("performance", "no_data"), "calibration|log_loss", _all("arrivals", "late=0")),
    Silent("late labels", "positives never come", ("performance", "no_data", "volume"), "calibration|log_loss|arrivals|outcomes", (("arrivals", "SELECT * FROM src WHERE late = 0"),)),
    Silent("late labels", "two thirds never come", ("no_data", "volume"), "outcomes|arrivals", (("arrivals", "SELECT * FROM src WHERE hash(flight_id) % 3 = 0"),)),
    Silent("late labels", "turned round", ("performance",), "calibration|log_loss", _all("arrivals", "late=1-late")),
    Silent("late labels", "three days late", ("no_data", "volume"), "outcomes|arrivals", (("arrivals", "SELECT * REPLACE (ended_at + INTERVAL 3 DAY AS ended_at) FROM src"),)),
    Silent("the scheduler or a monitor stands still", "every source brings nothing", ("volume",), "schedule|departures|arrivals|weather", tuple((t, "SELECT * FROM src WHERE FALSE") for t in KNOWN)),
    Silent("the scheduler or a monitor stands still", "the drift monitor fails", ("no_data",), "drift", throws=InputDrift),
    Silent("the scheduler or a monitor stands still", "the performance monitor fails", ("no_data",), "performance", throws=Performance),
    Silent("a broken experiment", "half of the shadow's rows lost", ("data_quality",), "challenger", answers="shadow half", shadowed=True),
    Silent("a broken experiment", "no shadow in the morning", ("data_quality",), "challenger", answers="shadow morning", shadowed=True),
    Silent("a broken experiment", "one in twenty lost", ("data_quality",), "challenger", answers="shadow lose 5 %", shadowed=True),
    Silent("a broken experiment", "asked twice", ("data_quality",), "challenger", answers="shadow twice", shadowed=True),
    Silent("a broken experiment", "other requests", ("data_quality",), "challenger", answers="shadow others", shadowed=True),
)  # fmt: skip


def silent() -> Proof:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        _prepare(base)
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            usual = pool.submit(_week, base, NOTHING).result()
            weeks = list(pool.map(_week, [base] * len(FAILURES), FAILURES))
            told = [(f.kind, f.name, *_judged(f, week, usual)) for f, week in zip(FAILURES, weeks, strict=True)]
            told += stages(base, BROKEN, END)
            steady = Path(folder) / "steady"
            _prepare(steady, CLEAN_FROM, steady=True)
            quiet = list(pool.map(_clean, [steady] * CLEAN_RUNS, range(CLEAN_RUNS)))
    for kind, name, ok, text in sorted(told, key=lambda t: t[0]):
        yield f"# {'named' if ok else 'NOT NAMED'}: {kind}: {name}: {text}"
    yield f"# the same week as it was: {_titles(usual)}"
    yield f"# {len({t[0] for t in told})} kinds"
    yield Figure("silent_failures_named", sum(t[2] for t in told) / len(told), f"of {len(told)}", ">=", 0.95)
    yield from _false_alarms(quiet)


def _false_alarms(weeks: Sequence[Week]) -> Proof:
    """Against the budget of the project's monitor, over the days that were judged."""
    opened = [f for week in weeks for f in week.findings]
    for (kind, subject), times in Counter((f["kind"], f["subject"]) for f in opened).most_common():
        yield f"# in clean weeks: {kind} {subject}, {times} times"
    years = len(weeks) * (CLEAN_TO - CLEAN_FROM) / timedelta(days=365)
    bound = most_a_year(len(opened), years)
    project = load_project(EXAMPLE)
    monitor = project.monitor(project.endpoint())
    assert monitor is not None
    yield f"# {len(weeks)} clean weeks, {years:.1f} years: {len(opened)} findings"
    yield Figure("false_alarms_of_budget_clean_runs", bound / monitor.false_alarms_per_year, "times the budget, upper 95 % bound", "<=", 1)


def _prepare(folder: Path, day: datetime = BROKEN, *, steady: bool = False) -> None:
    """The project with the facts that were known before the day, replayed up to it; steady: its timetable goes on as in the weeks before."""
    shutil.copytree(EXAMPLE, folder)
    module = (folder / "flights.py").read_text()
    for table in KNOWN:
        assert module.count(f"data/{table}.parquet") == 1, table
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
            if steady and table == "schedule":
                con.execute(f"DELETE FROM t WHERE scheduled_departure >= '{day}'")
                con.execute("INSERT INTO t " + " UNION ALL ".join(_timetable_again(weeks, day) for weeks in (4, 8)))
            con.execute(f"COPY (SELECT * FROM t WHERE {known} >= '{day}' AND {known} < '{day + timedelta(days=38)}') TO '{later}'")
            con.execute(f"COPY (SELECT * FROM t WHERE {known} < '{day}') TO '{whole}'")
    project = load_project(folder)
    _go_on(project, folder, day)


def _timetable_again(weeks: int, day: datetime) -> str:
    """The four weeks before the day once more, so many weeks later by the clocks of New York."""
    departs = _local_shift("scheduled_departure", weeks)
    return (
        f"SELECT * REPLACE (strftime({departs} AT TIME ZONE '{ZONE}', '%Y-%m-%d') || substr(flight_id, 11) AS flight_id,"
        f" {departs} AS scheduled_departure, {_local_shift('scheduled_arrival', weeks)} AS scheduled_arrival,"
        f" {departs} - INTERVAL 28 DAY AS published_at) FROM t"
        f" WHERE scheduled_departure >= TIMESTAMPTZ '{day}' - INTERVAL 28 DAY AND scheduled_departure < '{day}'"
    )


def _local_shift(column: str, weeks: int) -> str:
    return f"(({column} AT TIME ZONE '{ZONE}') + INTERVAL {weeks} WEEK) AT TIME ZONE '{ZONE}'"


def _go_on(project: Project, folder: Path, end: datetime, *, shadowed: bool = False) -> EndpointContext:
    workspace = Workspace.of(folder, project.settings)
    for table in project.tables:
        ingest(table, workspace.tables, folder)
    endpoint = project.endpoint()
    context = EndpointContext.open(project, workspace, endpoint, Policy.declared(project, endpoint))
    context.stores.catalog.take_lease()
    with closing(context.stores.catalog):
        if shadowed:
            train_now(context, ReplayClock(BROKEN))
        replay([context], Span(BEGIN, end), lambda _: None)
    return context


@dataclass(frozen=True)
class Week:
    """What was opened in a week, oldest first, or the error that ended it."""

    findings: list[dict[str, Any]]
    error: NoriaError | None = None


def _judged(failure: Silent, week: Week, usual: Week) -> tuple[bool, str]:
    """Whether a failure is named, and what was told."""
    if week.error is not None:
        lost = isinstance(week.error, RowsLost) and failure.kinds == ("lost",)
        return lost, f"{type(week.error).__name__}: {week.error.what}"
    known = {(f["kind"], f["subject"], f["opened_at"]) for f in usual.findings}
    mine = [
        f
        for f in week.findings
        if f["kind"] in failure.kinds and _names(f, failure.words) and (f["kind"], f["subject"], f["opened_at"]) not in known
    ]
    return (True, f"after {_days(mine[0])} days: {mine[0]['summary']}") if mine else (False, _titles(week))


def _titles(week: Week) -> str:
    return "; ".join(f"{f['opened_at'][5:10]} {f['kind']} {f['subject']}" for f in week.findings) or "nothing"


def _week(base: Path, failure: Silent) -> Week:
    """A week with a failure."""
    with tempfile.TemporaryDirectory() as place, duckdb.connect() as con:
        folder = _copied(base, place, con)
        for table in KNOWN:
            con.execute(f"CREATE TABLE src AS SELECT * FROM '{folder}/{table}-later.parquet'")
            sql = dict(failure.sql).get(table, "SELECT * FROM src")
            if table == "schedule" and table in dict(failure.sql):  # a timetable is known weeks ahead: it is sent anew that day
                con.execute(
                    f"INSERT INTO src SELECT * REPLACE (TIMESTAMPTZ '{BROKEN}' AS published_at) FROM '{folder}/data/schedule.parquet'"
                    f" WHERE scheduled_departure >= '{BROKEN}'"
                )
            _deliver(con, folder, table, sql)
        return _replayed(folder, failure)


def _clean(base: Path, seed: int) -> Week:
    """A week in which nothing is wrong: its days have the weather, and its flights the delays, of days before of the same weekday."""
    rng = np.random.default_rng([17, seed])
    with tempfile.TemporaryDirectory() as place, duckdb.connect() as con:
        folder = _copied(base, place, con)
        for table in KNOWN:
            con.execute(f"CREATE TABLE {table} AS SELECT * FROM '{folder}/data/{table}.parquet'")
            con.execute(f"CREATE TABLE {table}_later AS SELECT * FROM '{folder}/{table}-later.parquet'")
        days = [(CLEAN_FROM + timedelta(days=i)).date() for i in range((CLEAN_TO - CLEAN_FROM).days + 2)]
        donors = [_donor(rng, day) for day in days]
        con.execute("CREATE TABLE days (day DATE, donor DATE)")
        con.executemany("INSERT INTO days VALUES (?, ?)", list(zip(days, donors, strict=True)))
        con.execute(DELAYS)
        for table in KNOWN:
            con.execute(f"CREATE OR REPLACE TABLE src AS {CLEAN[table]}")
            _deliver(con, folder, table, "SELECT * FROM src")
        week = _replayed(folder, NOTHING, CLEAN_FROM, CLEAN_TO)
        # What the turn at its beginning opens is about the days before.
        return replace(week, findings=[f for f in week.findings if datetime.fromisoformat(f["opened_at"]) > CLEAN_FROM])


def _donor(rng: np.random.Generator, day: date) -> date:
    known = [day - timedelta(weeks=weeks) for weeks in range(1, WEEKS_BEFORE + 1)]
    return rng.choice([d for d in known if d not in BLIZZARD and d < BEGIN.date()])


def _copied(base: Path, place: str, con: duckdb.DuckDBPyConnection) -> Path:
    folder = Path(place) / "flights"
    shutil.copytree(base, folder)
    con.execute("SET TimeZone = 'UTC'")
    return folder


def _deliver(con: duckdb.DuckDBPyConnection, folder: Path, table: str, sql: str) -> None:
    """The week's file of a table: of the types that the source has."""
    con.execute("CREATE OR REPLACE TABLE changed AS SELECT * FROM src LIMIT 0")
    con.execute(f"INSERT INTO changed {sql}")
    con.execute(f"COPY changed TO '{folder / 'data' / f'{table}-later.parquet'}'")
    con.execute("DROP TABLE src")


def _replayed(folder: Path, failure: Silent, since: datetime = BROKEN, until: datetime = END) -> Week:
    """The week after the day, and what was opened in it."""
    usual, failing = replaying.answer, failure.throws
    own = None if failing is None else failing.__dict__["read"]
    replaying.answer = _broken(failure.answers, usual)
    if failing is not None:
        failing.read = _failing  # type: ignore[method-assign,assignment]
    try:
        context = _go_on(load_project(folder), folder, until, shadowed=failure.shadowed)
    except NoriaError as error:
        return Week([], error)
    finally:
        replaying.answer = usual
        if failing is not None:
            failing.read = own  # type: ignore[method-assign,assignment]
    with closing(context.stores.workspace.catalog()) as catalog:
        return Week([f for f in findings(catalog) if datetime.fromisoformat(f["opened_at"]) >= since])


def _failing(*_: object) -> NoReturn:
    raise ZeroDivisionError("a defect")


def _names(finding: dict[str, str], words: str) -> bool:
    text = f"{finding['subject']} {finding['summary']}"
    return any(word in text for word in words.split("|"))


def _days(finding: dict[str, str]) -> int:
    return (datetime.fromisoformat(finding["opened_at"]) - BROKEN).days


def _broken(how: str, usual: Callable) -> Callable:  # type: ignore[type-arg]
    """Answers as a failure gives them."""

    def answer(context, release, requests):  # type: ignore[no-untyped-def]
        found = usual(context, release, requests)
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
        if how.startswith("shadow"):
            found = _broken_shadow(how, found, rng)
        if how == "twice" and len(found):
            found = together([found, found.where(np.arange(len(found)) == len(found) - 1)])
        return found

    return answer


def _broken_shadow(how: str, found: Predictions, rng: np.random.Generator) -> Predictions:
    """Answers of which the challenger's are not to what the champion was asked."""
    mine, theirs = found.by(CHAMPION), found.by(CHALLENGER)
    hours = theirs.received_us // 3_600_000_000 % 24
    kept = {
        "shadow half": [theirs.where(rng.random(len(theirs)) < 0.5)],
        "shadow morning": [theirs.where(hours >= 17)],
        "shadow lose 5 %": [theirs.where(rng.random(len(theirs)) >= 0.05)],
        "shadow twice": [theirs, theirs],
        "shadow others": [replace(theirs, keys=[*theirs.keys[1:], *theirs.keys[:1]])],
    }
    return together([mine, *kept[how]])
