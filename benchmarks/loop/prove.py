"""The loop on the flights year: does it help, at what cost, without leaks, the same each time, whatever kills it.

The loop, the calendar and the static champion run side by side on the same traffic, in one run of `noria demo`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.figure import Figure, Proof
from benchmarks.loop.failures import failures
from benchmarks.loop.rollouts import rollouts
from benchmarks.loop.rounds import rounds
from noria.loop.project import load_project
from noria.serving.log.predictions import Predictions
from noria.serving.log.segments import read_log
from noria.stores.workspace import Workspace

START = datetime(2013, 2, 26, 5, tzinfo=UTC)
CUT = START + timedelta(weeks=8)
KILLS = 6
FAILING_MINUTES = 60
KNOWN_AT = {"schedule": "published_at", "departures": "actual_departure", "arrivals": "ended_at", "weather": "reported_at"}
KEPT = {"flight_id", "origin", "published_at", "actual_departure", "ended_at", "reported_at", "observed_at"}


def prove() -> Proof:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        yield from start_up()
        yield from rollouts()
        figures, seconds, gigabytes = demo(folder / "first")
        yield from quality(figures)
        yield Figure("demo_seconds", seconds, "s", "<", 180)
        yield Figure("demo_memory", gigabytes, "GB", "<", 4)
        yield from conservation(folder / "first")
        yield from served(figures)
        yield from repeated(folder, figures)
        yield from killed(folder, figures)
        yield from poisoned(folder)
    yield from rounds()
    yield from failures(FAILING_MINUTES)


def start_up() -> Proof:
    """Import and `--help`, the median of seven fresh processes each."""
    yield Figure("import_noria", _seconds([sys.executable, "-c", "import noria"], less=[sys.executable, "-c", ""]), "s", "<", 0.15)
    yield Figure("noria_help", _seconds([sys.executable, "-m", "noria", "--help"]), "s", "<", 0.4)


def _seconds(command: list[str], less: list[str] | None = None) -> float:
    def once(what: list[str]) -> float:
        start = time.perf_counter()
        subprocess.run(what, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start

    once(command)
    return median(once(command) - (once(less) if less else 0.0) for _ in range(7))


def demo(folder: Path, *more: str) -> tuple[dict[str, Any], float, float]:
    """Run the demo; its figures, wall seconds and peak memory in GB (its own, the server's apart)."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "noria", "demo", str(folder), "--json", *more], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, out[-2000:]
    return json.loads(out), time.perf_counter() - start, usage.ru_maxrss / 1e6


def quality(figures: dict[str, Any]) -> Proof:
    policies = figures["policies"]
    static, calendar, loop = (policies[name] for name in ("static", "calendar", "loop"))
    yield f"# {'week':>4} {'from':<10} {'rows':>6} {'late':>6} {'static':>8} {'calendar':>8} {'loop':>8}"
    for w in figures["weeks"]:
        losses = " ".join(f"{w['log_loss'][name]:8.4f}" for name in ("static", "calendar", "loop"))
        yield f"# {w['week']:>4} {w['start'][:10]} {w['rows']:>6} {w['base_rate']:6.3f} {losses}"
    for name, p in policies.items():
        cost = f"{p['retrainings']} retrainings, {p['seconds']:.1f} s of training"
        yield f"# {name}: log-loss {p['log_loss']:.4f}, AUC {p['auc']:.4f}, {cost}"
    share = (static["log_loss"] - loop["log_loss"]) / (static["log_loss"] - calendar["log_loss"])
    yield Figure("improvement_share", 100 * share, "% of the calendar's", ">=", 85)
    yield Figure("loop_retrainings", loop["retrainings"], "", "<=", 7)
    yield Figure("calendar_retrainings", calendar["retrainings"], "", ">=", 10)
    yield Figure("static_log_loss", static["log_loss"], "nats", "<=", 0.490)


def conservation(folder: Path) -> Proof:
    done = subprocess.run([sys.executable, "-m", "noria", "status", "--json", "--project", str(folder)], capture_output=True, check=True)
    sums = json.loads(done.stdout)["conservation"]
    yield Figure("sums_shown", len(sums), "", ">=", 10)
    yield Figure("sums_broken", sum(not s["holds"] for s in sums), "", "=", 0)


def served(figures: dict[str, Any]) -> Proof:
    serving = figures["serving"]
    yield Figure("served_requests", serving["requests"], "", ">=", 1000)
    yield Figure("served_mismatches", serving["mismatches"], "", "=", 0)
    yield Figure("served_not_logged", serving["requests"] - serving["logged"], "", "=", 0)


def repeated(folder: Path, figures: dict[str, Any]) -> Proof:
    """A second demo from nothing: the same decisions, the same digits, the same predictions to the last byte."""
    again, _, _ = demo(folder / "again")
    yield Figure("repeat_differing_figures", float(_plain(again) != _plain(figures)), "", "=", 0)
    yield Figure("repeat_differing_predictions", _differing(folder / "again", folder / "first", START + timedelta(weeks=44)), "", "=", 0)


def killed(folder: Path, figures: dict[str, Any]) -> Proof:
    """SIGKILL at random moments of the replay, run on each time; the end is as if nothing had happened."""
    rng, kills = random.Random(5), 0
    command = [sys.executable, "-m", "noria", "demo", str(folder / "killed"), "--json"]
    for _ in range(KILLS):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(rng.uniform(8, 22))
        kills += process.poll() is None
        process.kill()
        process.wait()
    end, _, _ = demo(folder / "killed")
    yield Figure("kills", kills, "", ">=", KILLS)
    yield Figure("killed_differing_figures", float(_plain(end) != _plain(figures)), "", "=", 0)
    yield Figure("killed_differing_predictions", _differing(folder / "killed", folder / "first", START + timedelta(weeks=44)), "", "=", 0)


def poisoned(folder: Path) -> Proof:
    """Every fact not known at the cut replaced by garbage (a fifth of them lost): what was predicted before is the same."""
    target = folder / "poisoned"
    shutil.copytree(folder / "first" / "data", target / "data")
    for name, known in KNOWN_AT.items():
        _poison(target / "data" / f"{name}.parquet", known)
    demo(target, "--weeks", "10")
    yield Figure("poison_differing_predictions", _differing(target, folder / "first", CUT, bundles=False), "", "=", 0)
    later = _differing(target, folder / "first", START + timedelta(weeks=10), bundles=False)
    yield Figure("poison_seen_after_the_cut", later, "predictions", ">", 1000)


def _poison(path: Path, known: str) -> None:
    rng = np.random.default_rng(1)
    table = pq.read_table(path)
    future = pc.greater(table.column(known), pa.scalar(CUT, table.schema.field(known).type))
    kept, garbage = table.filter(pc.invert(future)), table.filter(future)
    for i, column in enumerate(garbage.column_names):
        if column not in KEPT:
            shuffled = garbage.column(column).take(pa.array(rng.permutation(garbage.num_rows)))
            if pa.types.is_floating(shuffled.type) or column in ("dep_delay", "arr_delay"):
                shuffled = pc.add(pc.multiply(shuffled, 7), 300).cast(shuffled.type)
            garbage = garbage.set_column(i, garbage.schema.field(column), shuffled)
    garbage = garbage.filter(pa.array(rng.random(garbage.num_rows) < 0.8))
    pq.write_table(pa.concat_tables([kept, garbage]), path)


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures without wall time, places and rates."""
    plain: dict[str, Any] = json.loads(json.dumps(figures))
    for policy in plain["policies"].values():
        del policy["seconds"]
    return {name: plain[name] for name in ("policies", "weeks", "decisions", "findings")}


def _differing(one: Path, other: Path, end: datetime, *, bundles: bool = True) -> float:
    """How many predictions of the three policies differ between two demos up to a time (bundle ids count if asked)."""
    differ = 0
    for policy in (None, "calendar", "static"):
        a, b = (_predictions(folder, policy, end) for folder in (one, other))
        if len(a) != len(b):
            return float("inf")
        unequal = (a.prediction != b.prediction) | (_asked(a) != _asked(b))
        unequal |= np.array(a.ids) != np.array(b.ids)
        unequal |= np.array(a.keys) != np.array(b.keys)
        if bundles:
            unequal |= np.array(a.bundle) != np.array(b.bundle)
        differ += int(unequal.sum())
    return differ


def _asked(rows: Predictions) -> np.ndarray:
    """What each row was asked, to the bit `(rows,)`."""
    found = np.empty(len(rows), object)
    for bundle, values in rows.values.items():
        found[np.array(rows.bundle) == bundle] = values.inputs.keys()
    return found


def _predictions(folder: Path, policy: str | None, end: datetime) -> Predictions:
    project = load_project(folder)
    workspace = Workspace.of(folder, project.settings)
    own = workspace if policy is None else workspace.beside(policy)
    found = read_log(own.log(project.endpoint().name), START, end, workspace.files)
    assert found is not None
    return found
