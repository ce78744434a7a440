"""Every way a command ends is an exit code and plain words: the codes of `docs/commands.md`, through real processes."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from noria.cli.exits import MAX_TRACEBACKS, ended
from noria.core.errors import OutsideWorld

TESTS = Path(__file__).parents[1]
NORIA = [sys.executable, "-m", "noria"]
FAILING = (
    "import noria.evidence.status as s\ndef broken(*_): return {}['no such key']\ns.status = broken\nfrom noria.cli.main import run\nrun()"
)


def ran(folder: Path, *words: str, command: list[str] = NORIA, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *words], cwd=folder, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **environ}
    )


def ends(code: int, done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stderr


def test_a_table_with_a_fault_that_lasts_ends_with_1(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    times = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=d, minutes=24 * i) for d in range(70) for i in range(60)]
    x = rng.normal(size=len(times)) + np.where(np.arange(len(times)) >= 65 * 60, 5.0, 0.0)
    pq.write_table(pa.table({"at": pa.array(times, pa.timestamp("us", tz="UTC")), "x": x}), tmp_path / "a.parquet")
    done = ran(tmp_path, "monitor", "table", "a.parquet", "--time", "at")
    ends(1, done)
    assert "ongoing" in done.stdout


def test_the_entry_of_the_console_ends_as_the_module_does(shop: Path) -> None:
    console = [str(Path(sys.executable).parent / "noria")]
    assert "no such option: --jsn" in ends(2, ran(shop, "status", "--jsn", command=console))
    done = ran(shop, "watch", "--once", "--json", command=console)  # nothing has ever run here: unknown, and so not well
    ends(1, done)
    assert json.loads(done.stdout)["stages"] == []


def test_what_is_not_there_outside_ends_with_3(shop: Path) -> None:
    done = ran(shop, "top", "--json", NORIA_JSON="1")
    ends(3, done)
    assert json.loads(done.stdout)["error"]["code"] == "NR-541"


def test_what_nobody_foresaw_ends_with_70_and_keeps_its_traceback(shop: Path) -> None:
    words = ends(70, ran(shop, "status", command=[sys.executable, "-c", FAILING]))
    assert words.startswith("error NR-004: unexpected error: KeyError: 'no such key'")
    [kept] = (shop / ".noria" / "errors").glob("*.txt")
    assert str(kept) in words
    assert "noria status\n" in kept.read_text()
    assert "Traceback (most recent call last)" in kept.read_text()


def test_a_reader_that_leaves_is_no_mistake(shop: Path) -> None:
    piped = ["bash", "-c", 'set -o pipefail; "$0" -m noria status 2>&1 | true; exit $?', sys.executable]
    done = ran(shop, command=piped)
    assert (done.returncode, done.stdout, done.stderr) == (141, "", "")


LOOP, WATCH = ["loop", "--forever", "--every", "1h"], ["watch", "--every", "1h"]


@pytest.mark.parametrize(
    ("words", "number", "code"), [(LOOP, signal.SIGTERM, 143), (LOOP, signal.SIGINT, 130), (WATCH, signal.SIGINT, 130)]
)
def test_what_runs_for_ever_ends_when_it_is_told_to(tmp_path: Path, words: list[str], number: int, code: int) -> None:
    (tmp_path / "noria.toml").write_text('[project]\nname = "p"\nmodule = "p"\n')
    (tmp_path / "p.py").write_text("import noria as nr\n")
    running = subprocess.Popen(
        [*NORIA, *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which shells ignore for what runs in the background
    )
    assert running.stdout is not None
    assert running.stdout.readline()  # it is at work
    running.send_signal(number)
    _, err = running.communicate(timeout=60)
    assert running.returncode == code, err
    assert "Traceback" not in err
    assert err.endswith("stopped; run the same command again to continue\n")


def test_every_command_stops_at_once_where_it_is(shop: Path) -> None:
    done = subprocess.run([sys.executable, str(TESTS / "interrupting.py"), str(shop), "25"], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    found = json.loads(done.stdout)
    assert len(found) > 25
    for command, stopped in found.items():
        assert stopped == {"code": 130, "stderr": "stopped; run the same command again to continue\n", "reached": True}, command


def test_no_command_is_taken_aback_by_a_project_without_an_endpoint(tmp_path: Path) -> None:
    (tmp_path / "noria.toml").write_text('[project]\nname = "p"\nmodule = "p"\n')
    declared = 'nr.Table("orders", nr.files("data/orders.parquet"), key="id", event_time="placed_at")'
    (tmp_path / "p.py").write_text(f"import noria as nr\n{declared}\n")
    (tmp_path / "data").mkdir()
    at = pa.array([datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2)], pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"id": [1, 2], "placed_at": at}), tmp_path / "data" / "orders.parquet")
    done = subprocess.run([sys.executable, str(TESTS / "interrupting.py"), str(tmp_path), "0"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert {name: told["code"] for name, told in found.items() if told["code"] not in (0, 2, 3)} == {}
    asked = {name for name, told in found.items() if "NR-114" in told["stderr"]}
    assert asked >= {"serve", "load", "top", "client", "train", "replay", "skew", "monitor report", "monitor backtest", "monitor export"}
    assert {name: found[name]["code"] for name in ("check", "ingest", "loop", "status", "watch")} == dict.fromkeys(
        ("check", "ingest", "loop", "status", "watch"), 0
    )


def test_the_docs_list_the_codes_that_are_tested_here() -> None:
    page = (TESTS.parent / "docs" / "commands.md").read_text()
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert codes == {0, 1, 2, 3, 70, 130, 141, 143}


# --- in this process: what a process of its own would take long to show ---


def raising(error: BaseException) -> Callable[[list[str]], None]:
    def command(_: list[str]) -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (typer.Exit(7), 7, ""),
        (SystemExit(5), 5, ""),
        (SystemExit(None), 0, ""),
        (SystemExit("no more"), 1, "no more\n"),
        (KeyboardInterrupt(), 130, "stopped"),
        (OutsideWorld(what="w", where="x", fix="m"), 3, "error NR-002: w"),
        (
            OSError(errno.ENOSPC, "No space left on device", "f.parquet"),
            3,
            "error NR-005: the operating system refused a resource: No space left",
        ),
        (MemoryError(), 3, "NR-005"),
        (FileNotFoundError(errno.ENOENT, "none", "f"), 70, "error NR-004: unexpected error: FileNotFoundError"),
        (RecursionError("deep\nand deeper"), 70, "RecursionError: deep\n"),
        (BrokenPipeError(), 70, "BrokenPipeError"),  # another pipe than ours: our reader is still there
    ],
)
def test_every_error_has_a_code_and_words(
    error: BaseException, code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ended(raising(error), []) == code
    err = capfd.readouterr().err
    assert words in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())  # no project, no file


def test_a_library_that_swallows_ctrl_c_is_seen_through(capfd: pytest.CaptureFixture[str]) -> None:
    def command(_: list[str]) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            time.sleep(60)
        except KeyboardInterrupt:
            raise RuntimeError("Query interrupted") from None  # as DuckDB does

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which what runs in the background ignores
    try:
        assert ended(command, []) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "stopped" in capfd.readouterr().err


def test_a_traceback_is_shown_to_who_asks_for_it(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NORIA_DEBUG", "1")
    assert ended(raising(KeyError("k")), []) == 70
    assert "Traceback (most recent call last)" in capfd.readouterr().err


def test_secrets_are_not_repeated(shop: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("NORIA_DEBUG", raising=False)
    assert ended(raising(ValueError("v")), ["load", "--key", "hush", "--key=hush", "--project", str(shop)]) == 70
    [kept] = (shop / ".noria" / "errors").glob("*.txt")
    assert "hush" not in kept.read_text() + capfd.readouterr().err
    for place in range(MAX_TRACEBACKS + 3):
        (kept.parent / f"2000-{place:02}.txt").touch()
    ended(raising(ValueError("v")), [f"--project={shop}"])
    assert len(list(kept.parent.glob("*.txt"))) == MAX_TRACEBACKS
