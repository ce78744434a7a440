"""The pages of one window and of one incident: as it was seen when the window closed, and what came of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from noria.cli.app import app
from projects import SETTINGS, edited, write_project

QUIET = "2024-02-15T12:00:00Z"


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = edited(SETTINGS, {"2024-03-28T00:00:00Z": "2024-03-07T00:00:00Z"}) + '\n[alerts]\nchannels = ["log"]\n'
    folder = write_project(tmp_path_factory.mktemp("window") / "shop", settings=settings)
    for command in ("ingest", "replay"):
        assert CliRunner().invoke(app, [command, "--json", "--project", str(folder)]).exit_code == 0
    return folder


def noria(folder: Path, *words: str, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*words, "--json", "--project", str(folder)])
    assert done.exit_code == code, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def refused(folder: Path, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "noria", *words, "--json", "--project", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    error: dict[str, Any] = json.loads(done.stdout)["error"]
    return error


def findings(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = noria(folder, "findings", "list", "--all")["findings"]
    return found


def test_a_window_is_shown_as_it_was_seen_when_it_closed(replayed: Path, tmp_path: Path) -> None:
    page = tmp_path / "window.html"
    told = noria(replayed, "monitor", "report", "--window", QUIET, "--out", str(page))
    assert (told["start"], told["every"], told["released"]) == ("2024-02-15T00:00:00+00:00", "1d", True)
    assert told["rows"] == told["traffic"]["rows"] > 0
    assert told["inputs"]["starts"][-1] == told["inputs"]["window"] == told["start"]
    assert [p["metric"] for p in told["performance"]] == ["log_loss"]
    assert told["performance"][0]["rows"] == told["rows"]
    assert {f["key"] for f in told["findings"]} == {
        f["key"] for f in findings(replayed) if f["opened_at"] <= "2024-02-16T00:00:00" < (f["closed_at"] or "9")
    }
    assert "<svg" in page.read_text()
    newest = noria(replayed, "monitor", "report", "--window", "2024-03-06T23:59:00Z")
    assert newest["performance"][0]["value"] is None
    assert "its outcomes are not due yet" in Path(newest["report"]).read_text()


def test_an_incident_is_shown_with_what_happened_and_who_was_told(replayed: Path) -> None:
    worse = next(f for f in findings(replayed) if f["kind"] == "performance" and f["closed_at"] is None)
    for key in (worse["incident"], worse["key"], worse["key"][:-2]):
        told = noria(replayed, "monitor", "report", "--incident", key)
        assert told["incident"] == worse["incident"]
    assert worse["key"] in [f["key"] for f in told["findings"]]
    assert told["over_at"] is None
    assert told["window"]["start"] < told["opened_at"]
    assert [t["at"] for t in told["timeline"]] == sorted(t["at"] for t in told["timeline"])
    noria(replayed, "findings", "ack", worse["key"], "--by", "Ada")
    waiting = noria(replayed, "monitor", "report", "--incident", worse["key"])
    assert {"acknowledged": "by Ada", "not told": "log: acknowledged"}.items() <= {
        t["what"]: t["summary"] for t in waiting["timeline"]
    }.items()
    noria(replayed, "watch", "--once", code=1)  # which sends what waits; and no stage lives here
    noria(replayed, "findings", "resolve", worse["key"], "--by", "Ada")
    over = noria(replayed, "monitor", "report", "--incident", worse["key"])
    assert {"told": "log: acknowledged"}.items() <= {t["what"]: t["summary"] for t in over["timeline"]}.items()
    assert f"performance of {worse['subject']}, closed by Ada" in [t["summary"] for t in over["timeline"]]
    assert "closed by Ada" in Path(over["report"]).read_text()


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        (("--window", "2030-01-01T00:00:00Z"), "NR-609", "recorded from 2024-02-10 00:00 to 2024-03-06 00:00 UTC"),
        (("--window", "yesterday"), "NR-001", "ISO 8601"),
        (("--incident", "nothing"), "NR-612", "incidents are known"),
        (("--incident", ""), "NR-612", "incidents are known"),
        (("--incident", "x", "--window", QUIET), "NR-001", "--window, --incident"),
    ],
)
def test_what_is_not_there_is_said(replayed: Path, asked: tuple[str, ...], error: str, words: str) -> None:
    told = refused(replayed, "monitor", "report", *asked)
    assert told["code"] == error
    assert words in told["where"]


def test_before_anything_was_answered_there_is_no_window(shop: Path) -> None:
    noria(shop, "ingest")
    told = refused(shop, "monitor", "report", "--window", QUIET)
    assert (told["code"], told["where"]) == ("NR-609", "none was recorded yet")
