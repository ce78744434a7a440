"""The drift monitor over history: its alarms against what is known to have been wrong, and the sensitivity that a budget allows."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from noria.core.errors import UserMistake
from noria.monitoring.feature_backtest import read_incidents
from projects import START, write_project
from typed_commands import done

BROKEN, FIXED = START + timedelta(days=60), START + timedelta(days=70)


def backtest(shop: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "noria", "monitor", "backtest", "--reference", "40", *words]
    return subprocess.run(command, cwd=shop, capture_output=True, text=True, timeout=300, check=False)


def told(shop: Path, *words: str) -> dict[str, Any]:
    done = backtest(shop, *words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def dear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop in which everything costs half as much again for ten days."""
    folder = write_project(tmp_path_factory.mktemp("dear") / "shop")
    path = folder / "data" / "orders.parquet"
    orders = pq.read_table(path)
    at = orders.column("placed_at").to_numpy().astype("datetime64[us]")
    wrong = (at >= np.datetime64(BROKEN.replace(tzinfo=None))) & (at < np.datetime64(FIXED.replace(tzinfo=None)))
    price = np.where(wrong, 1.5, 1.0) * orders.column("price").to_numpy()
    pq.write_table(orders.set_column(orders.column_names.index("price"), "price", pa.array(price)), path)
    done(folder, "ingest", "--json")
    return folder


@pytest.fixture
def incidents(tmp_path: Path) -> Path:
    path = tmp_path / "incidents.csv"
    path.write_text(
        f"name,start,end\nnew prices,{BROKEN.isoformat()},{FIXED.isoformat()}\nnobody noticed,2024-02-20T00:00:00Z,2024-02-21T00:00:00Z\n"
    )
    return path


def test_an_alarm_belongs_to_the_incident_that_it_tells_of_and_says_how_late_it_was(dear: Path, incidents: Path) -> None:
    found = told(dear, "--incidents", str(incidents))
    (alarm,) = [a for a in found["alarms"] if a["incident"] == "new prices"]
    assert alarm["column"] in ("price", "twice")
    assert 24 <= alarm["delay_hours"] <= 4 * 24  # a window is told when it has closed
    assert found["missed"] == ["nobody noticed"]
    assert found["outside_incidents_per_year"] * (found["windows"] - 40) / 365 == pytest.approx(len(found["alarms"]) - 1, abs=0.1)
    said = backtest(dear, "--incidents", str(incidents))
    assert said.returncode == 0
    assert "new prices" in said.stdout
    assert "nobody noticed" in said.stdout


def test_a_suggested_sensitivity_keeps_the_budget(dear: Path) -> None:
    suggestion = told(dear, "--suggest", "--budget", "20")["suggestion"]
    alarms = {int(sensitivity): a_year for sensitivity, a_year in suggestion["false_alarms_per_year"].items()}
    assert alarms[suggestion["sensitivity"]] <= 20 < alarms[50]  # evidence that hardly fades is always an alarm, and not one a year
    assert alarms[1] < alarms[suggestion["sensitivity"]]
    usual, sensitive = (len(told(dear, "--budget", "20", "--sensitivity", s)["alarms"]) for s in ("1", "10"))
    assert sensitive >= usual


def test_too_little_history_is_said_before_anything_is_judged(dear: Path) -> None:
    done = backtest(dear, "--reference", "80")
    assert done.returncode == 2
    assert done.stderr.startswith("error NR-605: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,start\nflood,2024-03-01\n", "line 2: the time 2024-03-01T00:00:00 has no time zone"),
        ("name,start\nflood,2024-03-01T00:00Z\nfire,soon\n", "line 3: 'soon' is not a time"),
        ("name,begin\nflood,2024-03-01T00:00Z\n", "line 2: it has no name or no start"),
        ("name,start\nflood\n", "line 2: it has no name or no start"),
        ("name,start\n\x00,\xff\n", "can't be read|is not a valid incident"),
    ],
)
def test_incidents_that_can_not_be_read_are_named_by_their_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "incidents.csv"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserMistake, match=words):
        read_incidents(path)
