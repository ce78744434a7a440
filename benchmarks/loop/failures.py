"""An hour of `noria loop --forever` at a round a second, beside `noria watch` and a server with traffic, while everything around it fails.

Two endpoints live in one project: what happens to the first one's trainer, features or files must not disturb the second. In each phase one
failure begins, lasts for half of it, and is fixed. `python -m benchmarks.loop.failures MINUTES [WORD …]` runs it for as long as one likes.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.figure import Figure, Proof
from noria.core.clock import SystemClock, from_epoch, since_epoch

TICK = timedelta(seconds=10)
PAST = timedelta(minutes=30)  # for which there are rows before the loop begins
CLOCK = SystemClock()
LATE = 3 * TICK  # after which a window that was not measured is late
ROWS_A_TICK = 60
MODULE = """
import os, pathlib, signal, time

import lightgbm
import pyarrow.compute as pc

import noria as nr

FOLDER = pathlib.Path(__file__).parent
orders = nr.Table("orders", nr.files("data/orders/*.parquet"), key="order_id", event_time="placed_at")
returns = nr.Table("returns", nr.files("data/returns/*.parquet"), key="order_id", event_time="settled_at")


@nr.request_transform("price")
def price(rows):
    return {"price": rows["price"]}


@nr.request_transform("weight")
def weight(rows):
    return {"weight": rows["weight"]}


@nr.request_transform("doubled")
def doubled(rows):
    return {"doubled": pc.multiply(rows["price"], 2.0)}


@nr.request_transform("squared")
def squared(rows):
    return {"squared": pc.multiply(rows["weight"], rows["weight"])}


def fit(train, seed):
    parameters = {"objective": "binary", "num_leaves": 7, "seed": seed, "verbose": -1, "num_threads": 1}
    return lightgbm.train(parameters, lightgbm.Dataset(train.features, train.labels), num_boost_round=5)


@nr.trainer
def moody(train, *, seed):
    mood = (FOLDER / "mood").read_text()
    if mood == "raises":
        raise ValueError("no good day")
    if mood == "hangs":
        time.sleep(100_000)
    if mood == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mood == "exits":
        os._exit(3)
    if mood == "eats memory":
        bytearray(64 * 2**30)
    return fit(train, seed)


@nr.trainer
def steady(train, *, seed):
    return fit(train, seed)


label = nr.Label(returns, "returned", matures="20s")
changing = nr.FeatureSet("moody", spine=orders, request=[globals()[name] for name in NAMES])
moody_model = nr.Model("moody", changing, label=label, trainer=moody, holdout="2m")
constant = nr.FeatureSet("steady", spine=orders, request=[price, weight, doubled])
steady_model = nr.Model("steady", constant, label=label, trainer=steady, holdout="2m")
for name, model in (("moody", moody_model), ("steady", steady_model)):
    endpoint = nr.Endpoint(name, model)
    nr.Monitor(endpoint, performance=[nr.Tolerance("log_loss", by=5.0)])
    if name == "moody":
        nr.Retrain(model, when=[nr.stale("15s")], cooldown="15s")
"""
SETTINGS = """
[project]
name = "hour"
module = "hour"

[loop]
tick = "10s"
retry = "2s"
training_limit = "1m"
training_memory_gb = 24

[alerts]
channels = ["webhook"]
per_hour = 10000
"""
NAMES = ("price", "weight")
SERVER = ("predictions", "serve/")  # what a server that can't write its log, and so answers nobody, is found by
DISK_MB, PORT = 400, 18_431
FAILING = ("action", "no_data", "stalled")  # the kinds of findings that are not about the data
NORIA = [sys.executable, "-m", "noria"]
QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclass(frozen=True)
class Failure:
    """Something that fails around the loop. told: of each finding that it must be, the kind, what it is about, and words of its cause;
    follows: what else may be found, since it follows; blinds: whether no window can be measured while it lasts"""

    name: str
    begin: Callable[[Place], None]
    fix: Callable[[Place], None]
    told: tuple[tuple[str, str, str], ...] = ()
    follows: tuple[str, ...] = ()
    blinds: bool = False


class Place:
    """The project, its data, and what is done to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._rng, self.number = folder, np.random.default_rng(5), 0
        self._held: list[Any] = []
        for name in ("orders", "returns"):
            (folder / "data" / name).mkdir(parents=True)
        (folder / "noria.toml").write_text(SETTINGS)
        self.features(NAMES)
        self.mood("good")
        now = CLOCK.now()
        self.rows(now - PAST, now, 3_000)

    def mood(self, mood: str) -> None:
        (self.folder / "mood").write_text(mood)

    def features(self, names: tuple[str, ...]) -> None:
        partial = self.folder / ".hour.py"
        partial.write_text(f"NAMES = {names!r}\n{MODULE}")
        partial.replace(self.folder / "hour.py")

    def rows(self, start: datetime, end: datetime, count: int) -> None:
        """Orders placed in a stretch of time, and whether they were returned, which is known at once."""
        ids = [f"o{self.number + i:07d}" for i in range(count)]
        self.number += count
        at = pa.array([start + (end - start) * (i / count) for i in range(count)], pa.timestamp("us", tz="UTC"))
        price, weight = self._rng.gamma(2.0, 20.0, count), self._rng.normal(size=count)
        returned = self._rng.random(count) < 1 / (1 + np.exp(-(price - 40) / 15))
        tables = {
            "orders": {"order_id": ids, "placed_at": at, "price": price, "weight": weight},
            "returns": {"order_id": ids, "settled_at": at, "returned": returned.astype(np.int64)},
        }
        for name, columns in tables.items():
            path = self.folder / "data" / name / f"{self.number:07d}.parquet"
            pq.write_table(pa.table(columns), path.with_suffix(".partial"))
            path.with_suffix(".partial").replace(path)

    @property
    def catalog(self) -> Path:
        return self.folder / ".noria" / "catalog.db"

    def lock_catalog(self) -> None:
        browser = sqlite3.connect(self.catalog, isolation_level=None, check_same_thread=False)
        browser.execute("BEGIN IMMEDIATE")
        self._held.append(browser)

    def let_go(self) -> None:
        while self._held:
            held = self._held.pop()
            if isinstance(held, sqlite3.Connection):
                held.close()
            else:
                assert held.poll() is None, "a loop that stands by lives"
                held.kill()
                held.wait()

    def fill_disk(self) -> None:
        """To the last byte: a disk of its own makes that possible."""
        with (self.folder / ".noria" / "filler").open("wb") as filler, suppress(OSError):
            while True:
                filler.write(bytes(65_536))
                filler.flush()

    def free_disk(self) -> None:
        (self.folder / ".noria" / "filler").unlink()

    def second_loop(self) -> None:
        self._held.append(subprocess.Popen([*NORIA, "loop", "--forever", "--every", "1s"], cwd=self.folder, **QUIET))

    def query(self, text: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(f"file:{self.catalog}?mode=ro", uri=True, timeout=60)) as con:
            return con.execute(text, values).fetchall()


class Pager:
    """A webhook that takes alerts, until it is told not to."""

    def __init__(self) -> None:
        pager, self.down = self, False

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(503 if pager.down else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"


def failures_of(pager: Pager, *, disk: bool) -> list[Failure]:
    def mood(name: str, cause: str) -> Failure:
        return Failure(f"the trainer {name}", lambda p: p.mood(name), lambda p: p.mood("good"), (("action", "train", cause),))

    def features(name: str, *names: str) -> Failure:
        return Failure(f"features {name}", lambda p: p.features(names), lambda _: None)

    def silence(place: Place) -> None:
        pager.down = True
        place.mood("raises")  # so that there is something to be told

    def speak(place: Place) -> None:
        pager.down = False
        place.mood("good")

    found = [
        mood("raises", "no good day"),
        mood("hangs", "longer than 1m"),
        mood("is killed", "SIGKILL"),
        mood("exits", "code 3"),
        mood("eats memory", "MemoryError"),
        features("reordered", "weight", "price"),
        features("replaced", "squared", "price"),
        features("grown", "squared", "price", "doubled"),
        features("shrunk", "price"),
        Failure("a second loop", Place.second_loop, Place.let_go),
        Failure("a locked catalog", Place.lock_catalog, Place.let_go, (("no_data", "catalog", "locked"),), blinds=True),
        Failure("a channel that is down", silence, speak, (("action", "train", "no good day"), ("no_data", "alerts/webhook", "503"))),
    ]
    full = Failure(
        "a full disk", Place.fill_disk, Place.free_disk, (("no_data", "disk", "full"),), (*SERVER, "train", "watch"), blinds=True
    )
    return [*found, full] if disk else found


@contextmanager
def own_disk(folder: Path) -> Iterator[bool]:
    """A small disk at a folder, where this process may mount one."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "noria", str(folder)], check=False, **QUIET).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def failures(minutes: float, only: Sequence[str] = ()) -> Proof:
    """Every failure in turn, over so many minutes; only: those whose name has one of these words."""
    pager = Pager()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch, ExitStack() as stack:
        folder = Path(scratch) / "hour"
        folder.mkdir()
        disk = stack.enter_context(own_disk(folder / ".noria"))
        os.environ["NORIA_WEBHOOK_URL"] = pager.url
        place, stop = Place(folder), Event()
        subprocess.run([*NORIA, "ingest"], cwd=folder, check=True, **QUIET)
        loop = stack.enter_context(_running(folder, "loop", "--forever", "--every", "1s"))
        stack.enter_context(_running(folder, "watch", "--every", "5s"))
        _until(lambda: len(_lateness(place)) == 2, 300)
        stack.callback(stop.set)
        stack.enter_context(_running(folder, "serve", "--port", str(PORT)))
        for work in (_feed, _ask):
            Thread(target=work, args=(place, stop), daemon=True).start()
        _until(lambda: _is_calm(place), 300)
        planned = [f for f in failures_of(pager, disk=disk) if not only or any(word in f.name for word in only)]
        yield f"# {len(planned)} failures in {minutes:g} minutes, a round a second; {'with' if disk else 'without'} a full disk"
        yield from _judged(place, loop, planned, timedelta(minutes=minutes) / len(planned))


def _judged(place: Place, loop: subprocess.Popen[bytes], planned: list[Failure], span: timedelta) -> Proof:
    worst = {"moody": timedelta(), "steady": timedelta()}
    wrong = disturbed = 0
    for failure in planned:
        began = CLOCK.now()
        failure.begin(place)
        late = [] if failure.blinds else list(_lateness_over(place, loop, span / 2))
        _live_on(loop, span / 2 if failure.blinds else timedelta())
        failure.fix(place)
        _live_on(loop, span / 2)
        late.append(_lateness(place))
        told = _told(place, began)
        own = [found for found in told if not found[2].startswith(failure.follows or ("-",))]
        fits = len(own) == len(failure.told) and all(
            any(kind == k and about == subject and cause in text for k, _, subject, text in own) for kind, about, cause in failure.told
        )
        wrong += not fits
        disturbed += sum(endpoint == "steady" for _, endpoint, _, _ in own)
        worst = {name: max(worst[name], *(one[name] for one in late)) for name in worst}
        found = "; ".join(f"{kind} {endpoint}/{subject}: {text[:100]}" for kind, endpoint, subject, text in told) or "nothing found"
        mark, seconds = "" if fits else "  <- NOT AS IT SHOULD BE", max(late[-1].values()).total_seconds()
        yield f"# {failure.name}: {found} (late by {seconds:.0f} s){mark}"
    yield Figure("failures_told_wrongly", wrong, f"of {len(planned)}", "=", 0)
    yield Figure("other_endpoint_disturbed", disturbed, "findings", "=", 0)
    for name, lateness in worst.items():
        unit = f"s, of windows of {TICK.total_seconds():g} s"
        yield Figure(f"windows_late_{name}", lateness.total_seconds(), unit, "<=", LATE.total_seconds())


def _live_on(loop: subprocess.Popen[bytes], span: timedelta) -> None:
    with suppress(subprocess.TimeoutExpired):
        raise SystemExit(f"the loop ended with {loop.wait(span.total_seconds())}")


def _lateness_over(place: Place, loop: subprocess.Popen[bytes], span: timedelta) -> Iterator[dict[str, timedelta]]:
    """How late windows were measured, second by second, while the loop lives."""
    for _ in range(max(int(span.total_seconds()), 1)):
        _live_on(loop, timedelta(seconds=1))
        yield _lateness(place)


def _lateness(place: Place) -> dict[str, timedelta]:
    """How long ago the first window closed that is not measured yet."""
    now, found = CLOCK.now(), {}
    for name, at in place.query("SELECT name, at FROM progress WHERE name LIKE 'windows/%'"):
        measured = from_epoch(at)
        found[name.removeprefix("windows/")] = max(now - measured - TICK, timedelta())
    return found


def _is_calm(place: Place) -> bool:
    """Whether both endpoints have answered, and nothing fails: the windows before the server was there had no predictions."""
    answered = place.query("SELECT DISTINCT endpoint FROM windows WHERE rows > 0")
    failing = place.query(f"SELECT key FROM findings WHERE kind IN {FAILING} AND closed_at IS NULL")
    return len(answered) == 2 and not failing


def _told(place: Place, since: datetime) -> list[tuple[str, str, str, str]]:
    """Kind, endpoint, subject and words of what was found to fail since then: not what the monitors say of the data."""
    rows = place.query(
        f"SELECT kind, endpoint, subject, summary || evidence FROM findings WHERE kind IN {FAILING} AND opened_at >= ? ORDER BY opened_at",
        since_epoch(since),
    )
    return [tuple(row) for row in rows]


def _feed(place: Place, stop: Event) -> None:
    """Orders as time goes on, a file of them a tick."""
    before = CLOCK.now()
    while not stop.wait(TICK.total_seconds()):
        now = CLOCK.now()
        place.rows(before, now, ROWS_A_TICK)
        before = now


def _ask(place: Place, stop: Event) -> None:
    """A request a second to each endpoint, of the features that it then reads. Answers don't matter here: that there are some does."""
    while not stop.wait(1):
        for endpoint in ("moody", "steady"):
            with suppress(OSError, ValueError, KeyError):
                about = _http("GET", f"/v2/models/{endpoint}")
                row = {tensor["name"]: 1.0 + place.number % 50 for tensor in about["inputs"]}
                _http("POST", f"/predict/{endpoint}", {"rows": [row], "keys": [f"o{place.number - 1:07d}"]})


def _http(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    with closing(http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)) as connection:
        connection.request(method, path, None if body is None else json.dumps(body), {"content-type": "application/json"})
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer


@contextmanager
def _running(folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{words[0]}.log").open("wb") as log:
        process = subprocess.Popen([*NORIA, *words], cwd=folder, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        with suppress(sqlite3.OperationalError):
            if true():
                return
        assert time.monotonic() < end, "the loop has not begun"
        time.sleep(0.5)


if __name__ == "__main__":
    for figure in failures(float(sys.argv[1]), sys.argv[2:]):
        print(figure, flush=True)
