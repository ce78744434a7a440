"""Promises with figures: what must hold when processes are killed, power goes, bundles break, and requests flood or mislead."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, Proof
from benchmarks.reliability import serving

ROOT = Path(__file__).parents[2]
ZERO = ("lost", "different", "repeated", "invented", "wrong")


def prove() -> Proof:
    os.environ["PYTHONPATH"] = str(ROOT)  # the workers of a campaign are modules of this repository
    sys.path.insert(0, str(ROOT))
    killed = _run(lambda folder: serving.kills(folder, 500))
    yield from _zero("killed_at_random", killed, ZERO, kills=500, acknowledged=10_000)
    crashed = _run(lambda folder: serving.kills(folder, 500, worker="tests.crashing_worker 1"))
    yield from _zero("killed_at_writes", crashed, ZERO, kills=500, acknowledged=10_000)
    yield from _zero("power_cut", _run(lambda folder: serving.power_cuts(folder, 10_000)), ("lost", "not_reopened"), states=10_000)
    sabotaged = _run(lambda folder: serving.power_cuts(folder, 500, ignore_sync=True))
    yield Figure("power_cut_without_sync_loses", sabotaged["lost"], "(the sabotage must show)", ">", 0)
    yield from _zero("swap", _run(lambda folder: serving.swaps(folder, 200)), ("failed", "differing_from_log"), swaps=200, versions_seen=2)
    stopped = _run(lambda folder: serving.shutdowns(folder, 100))
    yield from _zero("shutdown", stopped, ("failed", "differing_from_log", "unclean"), shutdowns=100)
    yield from _zero(
        "batcher", _run(lambda folder: serving.many_rows(folder, 10_000_000)), ("swapped", "ids_twice", "failed"), rows=10_000_000
    )
    hostile = _run(lambda folder: serving.hostile(folder, 100_000))
    yield from _zero("hostile", hostile, ("server_errors", "crashes"), requests=100_000, status_2xx=1_000, still_answers=1)
    yield Figure("hostile_memory_growth", hostile["memory_growth_mb"], "MB", "<=", 30)
    leaked = _run(lambda folder: serving.leaks(folder, 1_000_000, 500))
    yield Figure("leak_growth", leaked["growth_mb"], "MB after a million requests and 500 reloads", "<=", 5)
    yield f"# open after the reloads and not before: {', '.join(leaked['open']) or 'nothing'}; {leaked['threads']:+d} threads"
    yield Figure("leaked_files_and_threads", leaked["files"] + leaked["threads"], "", "<=", 0)
    flooded = _run(lambda folder: serving.overload(folder, 60))
    yield Figure("overload_goodput", flooded["goodput_of_capacity"], "of capacity, at five times that", ">=", 0.9)
    yield Figure("overload_refusals_p99", flooded["refusals_p99_ms"], "ms", "<=", 50)
    yield Figure("overload_memory_growth", flooded["memory_growth_mb"], "MB", "<=", 50)
    yield Figure("overload_refused_afterwards", flooded["refused_after"], "", "=", 0)


def _run(campaign: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return campaign(Path(folder))


def _zero(name: str, found: dict[str, Any], zero: tuple[str, ...], **at_least: int) -> Proof:
    for what, least in at_least.items():
        yield Figure(f"{name}_{what}", found.get(what, 0), "", ">=", least)
    for what in zero:
        yield Figure(f"{name}_{what}", found.get(what, 0), "", "=", 0)
