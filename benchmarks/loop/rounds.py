"""What a round of the loop costs beside tables and a log of very different sizes: it must be what is new, not what there is.

A project with three tables and a prediction log of so many rows each, a champion and a monitor that watches everything. Each round is
measured in a fresh process: `python -m benchmarks.loop.rounds ROWS …` prints it for sizes of one's own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.figure import Figure, Proof
from noria.core.clock import ReplayClock, since_epoch
from noria.core.ids import digest
from noria.evaluation.performance import measure
from noria.loop.context import EndpointContext, Policy
from noria.loop.controller import train_now
from noria.loop.live_loop import LiveLoop
from noria.loop.project import Project, load_project
from noria.models.registry import CHAMPION
from noria.release.releases import latest_release
from noria.serving.log.segments import PredictionLog, Predictions
from noria.stores.progress import set_progress
from noria.stores.windows import add_windows, windows_at
from noria.stores.workspace import Workspace

SIZES = (100_000, 1_000_000, 10_000_000)
DAY = timedelta(days=1)
START = datetime(2024, 1, 1, tzinfo=UTC)
TRAINED = START + 30 * DAY  # from the rows of a first file
LIVE_DAYS = 60  # over which the many rows and predictions spread
NOW = TRAINED + LIVE_DAYS * DAY + timedelta(hours=1)
FIRST_ROWS, NEW_ROWS = 3_000, 1_000
AT_ONCE = 1_000_000  # rows that are generated and written together
FRAME = 10_000  # predictions
IDLE_ROUNDS = 15
CHILD_SECONDS = 300
LITTLE_MEMORY = 700  # MB of data that a process may have; the tables' rows are a gigabyte in memory, and more while they are sorted
FIRST, NEWS = "first", "news"
MODULE = """
import lightgbm
import pyarrow.compute as pc

import noria as nr

orders = nr.Table("orders", nr.files("data/orders/*.parquet"), key="order_id", event_time="placed_at")
visits = nr.Table("visits", nr.files("data/visits/*.parquet"), key="visit_id", event_time="at", known_at="known_at")
returns = nr.Table("returns", nr.files("data/returns/*.parquet"), key="order_id", event_time="settled_at")
by_city = nr.FeatureView("by_city", visits, entity="city", freshness="10m", aggregate={
    "visits_6h": nr.count(window="6h"), "seconds_6h": nr.mean("seconds", window="6h")}, latest={"seconds": "seconds"}, ttl="2h")


@nr.request_transform("price")
def basket(rows):
    return {"price": rows["price"]}


features = nr.FeatureSet("orders", spine=orders, views=[by_city], request=[basket])


@nr.trainer
def boosted(train, *, seed):
    parameters = {"objective": "binary", "num_leaves": 7, "seed": seed, "verbose": -1, "num_threads": 1}
    return lightgbm.train(parameters, lightgbm.Dataset(train.features, train.labels), num_boost_round=10)


model = nr.Model("returns", features, label=nr.Label(returns, "returned", matures="30h"), trainer=boosted, holdout="7d")
endpoint = nr.Endpoint("returns", model, slo=nr.SLO(freshness={"visits": "1h"}))
nr.Monitor(endpoint, performance=[nr.Tolerance("log_loss", by=5.0)], skew=1.0)
"""
SETTINGS = """
[project]
name = "rounds"
module = "rounds"

[loop]
tick = "1d"
"""


def rounds(sizes: Sequence[int] = SIZES) -> Proof:
    """The figures at each size, their ratios, and a first round in less memory than the tables need."""
    idle, memory = [], []
    for rows in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            build(folder, rows)
            if rows == max(sizes):
                yield Figure("first_round_in_little_memory", float(_in_little_memory(folder)), "", "=", 1)
            found = measured(folder)
            for name, cost in found.items():
                yield f"# {rows:>11,} rows, {name}: {cost.seconds:.3f} s, {cost.megabytes:,.0f} MB"
            idle.append(found["idle round"].seconds)
            memory.append(found["idle round"].megabytes)
    yield Figure("idle_round_seconds", max(idle), "s", "<=", 1)
    yield Figure("idle_round_memory", max(memory), "MB", "<=", 300)
    yield Figure("idle_round_seconds_ratio", max(idle) / min(idle), "", "<", 1.2)
    yield Figure("idle_round_memory_ratio", max(memory) / min(memory), "", "<", 1.2)


# --- a project ----------------------------------------------------------------------------------------------------------


def build(folder: Path, rows: int) -> None:
    """A project with a champion, and so many rows in each table and in the log since it was released."""
    (folder / "noria.toml").write_text(SETTINGS)
    (folder / "rounds.py").write_text(MODULE)
    rng = np.random.default_rng(3)
    deliver(folder, "first", rng, -FIRST_ROWS, FIRST_ROWS, START, TRAINED)
    project = load_project(folder)
    workspace = Workspace.of(folder, project.settings)
    _train(project, workspace)
    for first in range(0, rows, AT_ONCE):
        count = min(AT_ONCE, rows - first)
        span = [TRAINED + share * LIVE_DAYS * DAY for share in (first / rows, (first + count) / rows)]
        tables = generated(rng, first, count, span[0], span[1])
        for name, table in tables.items():
            _append(workspace, name, table)
        _log(workspace, tables["orders"])
    _live(project, workspace)


def deliver(folder: Path, name: str, rng: np.random.Generator, first: int, count: int, start: datetime, end: datetime) -> None:
    """A file of new rows for each table."""
    for table, rows in generated(rng, first, count, start, end).items():
        (folder / "data" / table).mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, folder / "data" / table / f"{name}.parquet")


def generated(rng: np.random.Generator, first: int, count: int, start: datetime, end: datetime) -> dict[str, pa.Table]:
    """Rows numbered from `first` of all three tables, in the order of time."""
    number = np.arange(first, first + count)
    at = since_epoch(start) + np.sort(rng.integers(0, (end - start) // timedelta(microseconds=1), count))
    price = rng.gamma(2.0, 20.0, count)
    city = pa.array(["ams", "ber", "cph", "dub"]).take(pa.array(rng.integers(0, 4, count)))
    returned = rng.random(count) < 1 / (1 + np.exp((40 - price) / 15))
    return {
        "orders": pa.table({"order_id": number, "city": city, "price": price, "placed_at": _times(at)}),
        "visits": pa.table(
            {
                "visit_id": number,
                "city": city,
                "seconds": rng.gamma(2.0, 30.0, count),
                "at": _times(at),
                "known_at": _times(at + 60_000_000),
            }
        ),
        "returns": pa.table({"order_id": number, "returned": returned.astype(np.int64), "settled_at": _times(at + 86_400_000_000)}),
    }


def _times(us: np.ndarray[Any, np.dtype[np.int64]]) -> pa.Array:
    return pa.array(us).cast(pa.timestamp("us", tz="UTC"))


def _train(project: Project, workspace: Workspace) -> None:
    clock = ReplayClock(TRAINED)
    with closing(LiveLoop(project, workspace, clock, DAY, waits=True)) as loop:
        assert not loop.run().troubles
    endpoint = project.endpoint()
    context = EndpointContext.open(project, workspace, endpoint, Policy.declared(project, endpoint), live=True)
    with closing(context.stores.catalog):
        if latest_release(context.stores.catalog, endpoint.name) is None:
            context.stores.catalog.take_lease()
            train_now(context, clock)


def _append(workspace: Workspace, name: str, rows: pa.Table) -> None:
    """Rows as ingestion would store them: at the end of what is there, with the facts that name them."""
    before = workspace.tables.details(name)
    chain = digest([before["digest"], name, rows.num_rows])
    stored = {**before["balance"]["rows_out"]}
    stored["stored"] += rows.num_rows
    balance = {**before["balance"], "rows_in": before["balance"]["rows_in"] + rows.num_rows, "rows_out": stored}
    workspace.tables.append(name, rows, {**before, "digest": chain, "balance": balance})


def _log(workspace: Workspace, orders: pa.Table) -> None:
    """The champion's answers to these orders."""
    with closing(workspace.catalog()) as catalog:
        release = latest_release(catalog, "returns")
    assert release is not None
    at = orders.column("placed_at").cast(pa.int64()).to_numpy()
    price, keys = orders.column("price").to_numpy(), orders.column("order_id").cast(pa.string()).to_pylist()
    inputs = load_project(workspace.folder).endpoint().model.features.features
    with closing(PredictionLog(workspace.log("returns"), "bench", workspace.files)) as log:
        for i in _frames(at):
            rows = len(at[i])
            features = np.column_stack([price[i]] * 4).astype(np.float32)
            scores = 1 / (1 + np.exp((40 - price[i]) / 15))
            names = keys[i]
            latency = np.full(rows, 800, np.int32)
            log.append(
                Predictions.of_block(
                    [f"p{k}" for k in names],
                    names,
                    [CHAMPION] * rows,
                    [release.champion] * rows,
                    at[i],
                    latency,
                    features,
                    scores,
                    inputs,
                )
            )


def _frames(at: np.ndarray[Any, np.dtype[np.int64]]) -> Iterator[slice]:
    """Places of rows that go into one frame: of one day."""
    day = at // 86_400_000_000
    starts = np.flatnonzero(np.diff(day, prepend=day[0] - 1))
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(at)], strict=True):
        for first in range(start, end, FRAME):
            yield slice(first, min(first + FRAME, end))


def _live(project: Project, workspace: Workspace) -> None:
    """The windows since the champion was released: the newest is measured, and those before are like it."""
    last = TRAINED + (LIVE_DAYS - 1) * DAY
    endpoint = project.endpoint()
    with closing(workspace.catalog()) as catalog:
        catalog.take_lease()
        with catalog.transaction() as c:
            set_progress(c, "windows/returns", last)
    first_round(workspace.folder)
    scores = np.linspace(0.05, 0.95, 1_000)
    performance = measure(endpoint.task, (scores > 0.5).astype(np.float64), scores).to_dict()
    with closing(workspace.catalog()) as catalog:
        catalog.take_lease()
        [row] = windows_at(catalog, endpoint.name, last, CHAMPION)
        with catalog.transaction() as c:
            add_windows(c, [replace(row, start=TRAINED + i * DAY, performance=performance) for i in range(LIVE_DAYS - 1)])


# --- measuring ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """What a round took, and the most memory that its process had until then."""

    seconds: float
    megabytes: float


def measured(folder: Path) -> dict[str, Cost]:
    """The rounds of a fresh process: the first; the quickest idle one, as the machine may do other things; one with a few new rows and a
    window of a few predictions; and one at which a window's outcomes are due, of as many rows as a day has."""
    first, *idle, news, due = _child(folder, NEWS)
    seconds = min(cost.seconds for cost in idle)
    return {"first round": first, "idle round": Cost(seconds, idle[-1].megabytes), "round with news": news, "round with outcomes due": due}


def _child(folder: Path, *arguments: str) -> list[Cost]:
    command = [sys.executable, "-m", "benchmarks.loop.rounds", "run", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=CHILD_SECONDS)
    assert done.returncode == 0, done.stderr[-2000:]
    return [Cost(*each) for each in json.loads(done.stdout.splitlines()[-1])]


def _in_little_memory(folder: Path) -> bool:
    """Whether the very first round comes through in a process that can't have the tables' rows in memory."""
    with closing(Workspace.of(folder, load_project(folder).settings).catalog()) as catalog, catalog.amending() as c:
        c.exec_driver_sql("DELETE FROM known_rows")
    return len(_child(folder, FIRST, str(LITTLE_MEMORY))) == 1


def first_round(folder: Path) -> list[tuple[float, float]]:
    """A round in this process, at the end of the predictions."""
    return run_rounds(folder, ReplayClock(NOW), [lambda: None])


def rounds_with_news(folder: Path) -> list[tuple[float, float]]:
    """Rounds in this process, the last two of which have something to do."""
    clock = ReplayClock(NOW)

    def news() -> None:
        workspace = Workspace.of(folder, load_project(folder).settings)
        rng, before = np.random.default_rng(4), workspace.tables.count("orders")
        deliver(folder, "new", rng, before, NEW_ROWS, NOW - timedelta(minutes=50), NOW)
        _log(workspace, pq.read_table(folder / "data" / "orders" / "new.parquet"))
        clock.advance_to(NOW + DAY)

    idle = [lambda: None] * (1 + IDLE_ROUNDS)
    return run_rounds(folder, clock, [*idle, news, lambda: clock.advance_to(NOW + 2 * DAY)])


def run_rounds(folder: Path, clock: ReplayClock, before: Sequence[Callable[[], None]]) -> list[tuple[float, float]]:
    """Rounds in this process, with what happens before each: the seconds of each, and the peak of memory (MB) so far."""
    project = load_project(folder)
    found = []
    with closing(LiveLoop(project, Workspace.of(folder, project.settings), clock, DAY, waits=False)) as loop:
        for happens in before:
            happens()
            start = time.perf_counter()
            done = loop.run()
            found.append((time.perf_counter() - start, _peak_megabytes()))
            assert not done.troubles, done.troubles
    return found


def _peak_megabytes() -> float:
    """The most memory that this process has had; `getrusage` would tell that of the process which began it, where that was more."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024 / 1e6


def main(arguments: Sequence[str]) -> None:
    if arguments[0] != "run":
        for line in rounds([int(rows) for rows in arguments]):
            print(line, flush=True)
        return
    if len(arguments) > 3:
        resource.setrlimit(resource.RLIMIT_DATA, (int(arguments[3]) * 1_000_000,) * 2)
    print(json.dumps({FIRST: first_round, NEWS: rounds_with_news}[arguments[2]](Path(arguments[1]))))


if __name__ == "__main__":
    main(sys.argv[1:])
