"""The live loop and its watcher, as processes: what stands still is told by another process within two periods."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from noria.core.files import LocalFiles
from noria.core.heartbeat import FOLDER, beat, beats
from noria.loop.live_loop import LOOP, WAITING, watch
from noria.loop.project import load_project
from noria.serving.process.supervisor import BEAT
from noria.stores.workspace import Workspace
from projects import edit, write_project
from typed_commands import typed

NOW = datetime(2024, 5, 1, tzinfo=UTC)
PERIOD = 2.0


def noria(shop: Path, *arguments: str) -> Any:
    return json.loads(typed(shop, *arguments, "--json").stdout)


@contextmanager
def running(shop: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "noria", *arguments], cwd=shop, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def at_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop, ingested; and beside it, trained as well."""
    folder = tmp_path_factory.mktemp("at-hand")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("NORIA_ALERTS_CHANNELS", "log")
        noria(write_project(folder / "ingested"), "ingest")
        shutil.copytree(folder / "ingested", folder / "trained")
        noria(folder / "trained", "train")
    return folder


@pytest.fixture
def ingested(at_hand: Path, tmp_path: Path) -> Path:
    return shutil.copytree(at_hand / "ingested", tmp_path / "shop")


@pytest.fixture
def trained(at_hand: Path, tmp_path: Path) -> Path:
    return shutil.copytree(at_hand / "trained", tmp_path / "shop")


def open_findings(shop: Path, kind: str) -> list[str]:
    return [f["subject"] for f in noria(shop, "findings", "list")["findings"] if f["kind"] == kind]


def until(true: Callable[[], bool], seconds: float) -> float:
    start = time.perf_counter()
    while not true():
        assert time.perf_counter() - start < seconds, "it did not come about"
        time.sleep(0.1)
    return time.perf_counter() - start


def look(shop: Path, now: datetime) -> dict[str, str]:
    project = load_project(shop)
    return watch(project, Workspace.of(shop, project.settings), now, timedelta(seconds=30)).stalled


def test_a_stage_that_is_frozen_is_told_by_another_process_and_over_when_it_goes_on(ingested: Path) -> None:
    with ExitStack() as stack:
        loop = stack.enter_context(running(ingested, "loop", "--forever", "--every", f"{PERIOD}s"))
        until(lambda: any(b.stage == LOOP for b in beats(ingested / ".noria", LocalFiles())), 300)
        stack.enter_context(running(ingested, "watch", "--every", "500ms"))
        until(lambda: any(b.stage == "watch" for b in beats(ingested / ".noria", LocalFiles())), 300)
        assert LOOP not in open_findings(ingested, "stalled")
        loop.send_signal(signal.SIGSTOP)
        signs = ingested / ".noria" / FOLDER
        dead_at = lambda: LOOP in json.loads((signs / "watch.json").read_text())["saw"]["stalled"]  # noqa: E731
        assert until(dead_at, 20) <= 2 * PERIOD + 1.5
        assert LOOP in open_findings(ingested, "stalled")
        loop.send_signal(signal.SIGCONT)
        until(lambda: not dead_at(), 300)
        assert LOOP not in open_findings(ingested, "stalled")


def stages(shop: Path) -> set[str]:
    return {b.stage.split("/")[0] for b in beats(shop / ".noria", LocalFiles())}


def told_dead(shop: Path, stage: str) -> bool:
    path = shop / ".noria" / FOLDER / "watch.json"
    return path.exists() and any(name.startswith(stage) for name in json.loads(path.read_text())["saw"]["stalled"])


def test_a_server_that_is_frozen_is_told_by_the_watcher(trained: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(running(trained, "serve", "--port", "0"))
        until(lambda: "serve" in stages(trained), 300)
        stack.enter_context(running(trained, "watch", "--every", "500ms"))
        until(lambda: "watch" in stages(trained), 300)
        assert not told_dead(trained, "serve")
        server.send_signal(signal.SIGSTOP)
        assert until(lambda: told_dead(trained, "serve"), 60) <= 2 * BEAT.total_seconds() + 1.5
        server.send_signal(signal.SIGCONT)
        until(lambda: not told_dead(trained, "serve"), 300)


def test_a_loop_whose_source_never_answers_is_told_by_the_watcher(ingested: Path) -> None:
    edit(ingested / "noria.toml", {"[loop]": '[loop]\nlongest = "3s"'})
    (ingested / "data" / "visits.parquet").unlink()
    os.mkfifo(ingested / "data" / "visits.parquet")  # opening it waits for a writer, for ever
    with ExitStack() as stack:
        stack.enter_context(running(ingested, "loop", "--forever", "--every", f"{PERIOD}s"))
        until(lambda: LOOP in stages(ingested), 300)
        stack.enter_context(running(ingested, "watch", "--every", "500ms"))
        until(lambda: told_dead(ingested, LOOP), 300)
    [why] = [f["summary"] for f in noria(ingested, "findings", "list")["findings"] if f["kind"] == "stalled"]
    assert "ingest/visits" in why


def test_a_watcher_that_stands_still_is_told_by_the_loop(trained: Path) -> None:
    project = load_project(trained)
    workspace = Workspace.of(trained, project.settings)
    beat(workspace.root, "watch", NOW, timedelta(seconds=30), {}, workspace.files)
    noria(trained, "loop")
    assert open_findings(trained, "stalled") == ["watch"]


def test_what_is_stuck_not_ready_unreadable_or_never_ran_is_dead(trained: Path) -> None:
    root, files, minute = trained / ".noria", LocalFiles(), timedelta(minutes=1)
    assert "never" in look(trained, NOW)[LOOP]
    assert open_findings(trained, "stalled") == [LOOP]
    beat(root, LOOP, NOW, minute, {"doing": WAITING, "since": (NOW - timedelta(days=3)).isoformat()}, files)
    assert look(trained, NOW + minute) == {}
    beat(root, LOOP, NOW, minute, {"doing": "reconcile/returns", "since": (NOW - timedelta(hours=7)).isoformat()}, files)
    assert "reconcile/returns" in look(trained, NOW)[LOOP]
    beat(root, "serve/8080", NOW, minute, {"workers": 2, "ready": 0}, files)
    assert "none of its 2 workers" in look(trained, NOW)["serve/8080"]
    (root / FOLDER / "serve.8080.json").write_text("{torn")
    assert "serve.8080" in look(trained, NOW)
    assert set(look(trained, NOW + timedelta(days=1))) == {LOOP, "serve.8080"}


def test_one_source_that_fails_is_a_finding_and_holds_up_nothing_else(ingested: Path) -> None:
    (ingested / "data" / "visits.parquet").write_bytes(b"no parquet")
    done = noria(ingested, "loop")
    assert "error" in done
    assert "ingest/visits" in open_findings(ingested, "no_data")
    assert noria(ingested, "status")["endpoints"][0]["champion"]  # the turn was taken all the same


def test_what_a_training_by_hand_finds_is_told_as_well(trained: Path) -> None:
    with sqlite3.connect(trained / ".noria" / "catalog.db") as con:
        found = {row[0] for row in con.execute("SELECT incident FROM findings")}
        told = {row[0] for row in con.execute("SELECT incident FROM alerts")}
    assert found  # the shop's sources stopped long ago
    assert found <= told


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORIA_ALERTS_CHANNELS", "log")
