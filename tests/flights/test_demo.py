"""The demo on the real flights, for two weeks: replayed, served, explained, reported. `benchmarks/loop` kills it on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pages import stands_alone

pytestmark = pytest.mark.flights


def demo(folder: Path) -> list[str]:
    return [sys.executable, "-m", "noria", "demo", str(folder), "--weeks", "2", "--json"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("flights") / "demo"
    done = subprocess.run(demo(folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_the_figures_are_those_of_the_first_weeks(finished: tuple[Path, dict[str, Any]]) -> None:
    _, figures = finished
    assert [w["week"] for w in figures["weeks"]] == [9, 10]
    assert set(figures["policies"]) == {"loop", "calendar", "static"}
    for policy in figures["policies"].values():
        assert {"log_loss", "auc", "retrainings", "seconds"} <= set(policy)
        assert 0.45 < policy["log_loss"] < 0.55
        assert policy["auc"] > 0.65
    assert figures["policies"]["static"]["log_loss"] == figures["policies"]["calendar"]["log_loss"]
    assert figures["decisions"][0]["action"] == "train"
    assert figures["seconds"] < 180


def test_every_served_answer_equals_the_replays_and_is_logged(finished: tuple[Path, dict[str, Any]]) -> None:
    serving = finished[1]["serving"]
    assert serving["requests"] == 2000
    assert serving["mismatches"] == 0
    assert serving["logged"] == 2000
    assert serving["clean_stop"]


def test_status_and_explain_answer_in_the_work_folder(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, figures = finished

    def noria(*arguments: str) -> Any:
        done = subprocess.run([sys.executable, "-m", "noria", *arguments, "--json"], cwd=folder, capture_output=True, check=True)
        return json.loads(done.stdout)

    status = noria("status")
    assert all(s["holds"] for s in status["conservation"])
    assert {"requests delay", "ingest schedule", "table schedule"} <= {s["stage"] for s in status["conservation"]}
    found = noria("explain", figures["serving"]["prediction_id"])
    assert found["bundle"]["id"] == status["endpoints"][0]["champion"]
    assert found["run"]["mlflow"]
    assert len(found["features"]) == 45
    assert {t["table"] for t in found["tables"]} == {"schedule", "departures", "weather"}


def test_the_report_is_one_small_page(finished: tuple[Path, dict[str, Any]]) -> None:
    assert len(stands_alone((finished[0] / "report.html").read_text()).data) == 2
