"""A task of a project's own is trained, gated, replayed, watched and reported: nothing on the way knows that a probability exists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from noria.cli.app import app
from noria.evaluation.metric import UnknownMetric
from noria.loop.project import load_project
from projects import MODULE, SETTINGS, edited, write_project

TASK = '''
class Number(nr.Task):
    """A label that is told as a number: a score is its expected value."""

    name, title = "number", "a number"
    metrics = (nr.Metric("miss", lambda outcomes, scores: abs(outcomes - scores), title="mean miss", unit="returns"),)


model = nr.Model('''
CHANGES = {
    "model = nr.Model(": TASK,
    'trainer=boosted, holdout="7d",': 'trainer=boosted, holdout="7d", task=Number(),',
    'nr.beats_champion("log_loss", by=-0.2), nr.no_slice_worse("log_loss", over=["city"], by=0.5)': (
        'nr.beats_champion(Number.metrics[0], by=-0.2), nr.no_slice_worse(Number.metrics[0], over=["city"], by=0.5)'
    ),
    'nr.Tolerance("log_loss", by=0.05)': "nr.Tolerance(Number.metrics[0], by=0.05)",
}


def noria(folder: Path, *words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--project", str(folder)])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout) if "--json" in words else done.stdout


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = edited(SETTINGS, {"2024-02-10T00:00:00Z": "2024-02-24T00:00:00Z", "2024-03-28T00:00:00Z": "2024-03-14T00:00:00Z"})
    folder = write_project(tmp_path_factory.mktemp("own") / "shop", edited(MODULE, CHANGES), settings)
    for command in ("check", "ingest", "replay"):
        noria(folder, command)
    return folder


def test_it_is_replayed_and_retrained_by_its_own_metric(replayed: Path) -> None:
    told = json.loads((replayed / "report.json").read_text())
    assert told["metric"] == {"name": "miss", "title": "mean miss", "best": "lowest", "unit": "returns"}
    assert told["discrimination"] is None
    assert 0 < told["policies"]["loop"]["miss"] < told["policies"]["static"]["miss"]
    reasons = [d["reason"] for d in told["decisions"] if d["action"] == "train"]
    assert reasons[0] == "there is no champion yet"
    assert reasons[1].startswith("regression: miss moved by +0.")
    assert reasons[1].endswith(" returns")
    page = (replayed / "report.html").read_text()
    assert "Mean miss of each week" in page
    assert "mean returned" in page
    assert "log-loss" not in page
    assert "AUC" not in page


def test_its_monitors_say_what_they_saw_in_its_words(replayed: Path) -> None:
    told = noria(replayed, "monitor", "report", "--json")
    names = {m["monitor"] for m in told["monitors"]}
    assert "performance: miss" in names
    assert not any(name.startswith("expected") for name in names)  # it can't be estimated, and so is not watched
    assert [p["title"] for p in told["performance"]] == ["mean miss (returns)"]
    assert told["early"] == []
    found = next(f for f in noria(replayed, "findings", "list", "--all", "--json")["findings"] if f["kind"] == "performance")
    assert found["subject"] == "miss"
    assert " returns from its baseline" in found["summary"]


def test_its_training_and_its_card_state_its_figures(replayed: Path) -> None:
    out = noria(replayed, "train")
    assert "with a mean outcome of 0." in out
    assert "miss: candidate 0." in out
    assert "log_loss" not in out
    cards = [path.read_text() for path in replayed.glob("**/MODEL_CARD.md")]
    assert any("- candidate: miss 0." in card for card in cards)
    assert all("Not measured." in card and "probabilities" not in card for card in cards)


def test_a_tolerance_of_a_metric_that_is_not_the_tasks_is_refused_when_the_project_is_read(tmp_path: Path) -> None:
    changes = {old: new for old, new in CHANGES.items() if "Tolerance" not in old}
    folder = write_project(tmp_path / "shop", edited(MODULE, changes))
    with pytest.raises(UnknownMetric, match=r"'log_loss' is not a metric of a number .*use one of miss"):
        load_project(folder)
