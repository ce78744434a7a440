"""The pages of one window and of one incident: as it was seen when the window closed, and what came of it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from noria.cli.app import app
from noria.loop.project import load_project
from noria.stores.alerts import alerts_of_incident
from noria.stores.workspace import Workspace
from pages import stands_alone
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
    assert len(stands_alone(page.read_text()).data) == 1
    newest = noria(replayed, "monitor", "report", "--window", "2024-03-06T23:59:00Z")
    assert newest["performance"][0]["value"] is None
    assert "its outcomes are not due yet" in Path(newest["report"]).read_text()


def test_a_finding_has_the_same_words_and_figures_wherever_it_is_told(replayed: Path) -> None:
    """It was found three windows ago: its monitor would give another number by now."""
    worse = next(f for f in findings(replayed) if (f["kind"], f["subject"]) == ("performance", "log_loss") and f["closed_at"] is None)
    summary, same = worse["summary"], ("key", "summary", "cause", "strength", "fix", "since")
    assert summary.endswith(f"; likely cause: {worse['cause']}")
    status, report = noria(replayed, "status"), noria(replayed, "monitor", "report", "--out", str(replayed / "all.html"))
    incident = noria(replayed, "monitor", "report", "--incident", worse["incident"], "--out", str(replayed / "incident.html"))
    window = noria(replayed, "monitor", "report", "--window", "2024-03-06T12:00:00Z", "--out", str(replayed / "window.html"))
    for told in (status["endpoints"][0]["findings"], report["findings"], incident["findings"], window["findings"]):
        (own,) = (f for f in told if f["key"] == worse["key"])
        assert {name: own[name] for name in same} == {name: worse[name] for name in same}
    for told in (status["incidents"], report["incidents"]):
        assert {name: told[0][name] for name in same[1:]} == {name: worse[name] for name in same[1:]}
        assert told[0]["next"] == "noria findings ack log_loss"
    for told in (status["endpoints"][0]["monitors"], report["monitors"]):
        (own,) = (m for m in told if m["monitor"] == "performance: log_loss")
        assert own["cause"].split(" (and ")[0] == summary
    assert status["health"]["cause"].split(" (and ")[0] == summary
    for name in ("all", "incident", "window"):
        text = stands_alone((replayed / f"{name}.html").read_text()).text
        for words in (summary.split("; likely")[0], f"Likely cause: {worse['cause']}", worse["strength"], "noria findings ack log_loss"):
            assert words in text, name
    for words in (("status",), ("findings", "list"), ("monitor", "report"), ("monitor", "report", "--incident", worse["key"])):
        done = CliRunner().invoke(app, [*words, "--project", str(replayed)], env={"COLUMNS": "400"})
        assert summary in done.stdout, words
    noria(replayed, *shlex.split(status["incidents"][0]["next"])[1:], "--by", "Ada")
    with closing(Workspace.of(replayed, load_project(replayed).settings).catalog()) as catalog:
        (alert,) = alerts_of_incident(catalog, worse["incident"])
    assert alert.content["summary"] == f"acknowledged by Ada: {summary}"


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
