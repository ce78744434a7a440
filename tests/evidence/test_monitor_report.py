"""The page of an endpoint's monitors: what is wrong first, what moved most next; small with much data, and whole with little."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from noria.evidence.monitor_report import headline, render_monitor_report
from noria.evidence.table_report import render_table_report
from pages import stands_alone

HOURS, COLUMNS = 8760, 200
START = datetime(2024, 1, 1, tzinfo=UTC)
STARTS = [(START + timedelta(hours=i)).isoformat() for i in range(HOURS)]


def drift(windows: int = HOURS, columns: int = COLUMNS) -> dict[str, Any]:
    shift = [round((i % 97) / 250 - 0.2, 4) for i in range(windows)]
    bins = [f"{i / 7:.4g} to {(i + 1) / 7:.4g}" for i in range(20)]
    charts = [{"column": f"column_{i}", "labels": bins, "before": [0.05] * 20, "after": [0.05123] * 20} for i in range(6)]
    return {
        "starts": STARTS[:windows],
        "pooled": [5.0 + i % 100 for i in range(windows)],
        "threshold": 1000.0,
        "shift": {f"column_{i}_with_a_long_name_of_its_own": shift for i in range(columns)},
        "against": "the training data",
        "window": STARTS[windows - 1],
        "columns": charts,
    }


def performance(metric: str, evidence: float, windows: int = HOURS) -> dict[str, Any]:
    return {
        "metric": metric,
        "title": metric,
        "unit": "",
        "baseline": 0.4,
        "tolerated": [0.42],
        "starts": STARTS[:windows],
        "values": [0.41234 + (i % 50) / 1000 for i in range(windows)],
        "evidence": [evidence] * windows,
        "threshold": 1000.0,
        "interval": None,
        "waiting": 0,
    }


def figures(**more: Any) -> dict[str, Any]:
    told = {
        "endpoint": "shop",
        "at": STARTS[-1],
        "champion": "a" * 64,
        "since": STARTS[0],
        "incidents": [],
        "monitors": [{"monitor": "drift", "health": "healthy", "evidence": {"windows": 3}}],
        "findings": [],
        "drift": None,
        "performance": [],
        "early": [],
        "slices": [],
        "volume": {"starts": [], "rows": []},
    }
    return {**told, **more}


def test_a_year_of_hours_and_two_hundred_columns_fit_in_one_page() -> None:
    found = {
        "key": "k",
        "kind": "drift",
        "subject": "s",
        "severity": "inform",
        "incident": "i",
        "since": STARTS[0],
        "opened_at": STARTS[0],
        "closed_at": STARTS[1],
        "summary": "a column has drifted, then another and another one; it looks like a population shift",
    }
    slices = [
        {"slice": f"city={i}", "metric": "loss", "baseline": 1.0, "recent": 1.0, "interval": None, "evidence": i, "threshold": 9.0}
        for i in range(300)
    ]
    page = render_monitor_report(
        "p",
        figures(
            drift=drift(),
            performance=[performance("loss", 10.0), performance("auc", 900.0), performance("calibration", 1.0)],
            findings=[found] * 500,
            slices=slices,
            volume={"starts": STARTS, "rows": [1234 + i % 100 for i in range(HOURS)]},
        ),
    )
    read = stands_alone(page)
    titles = ["auc", "Evidence of input drift", "loss", "calibration"]  # by how near each is to its threshold
    assert [read.text.index(title + "Per window" if title[0].islower() else title) for title in titles] == sorted(
        read.text.index(title + "Per window" if title[0].islower() else title) for title in titles
    )
    assert "Each point is the mean of 37 windows." in read.text
    assert len(read.data) == 5
    assert all(len(line["values"]) <= 240 for chart in read.data for line in chart["lines"] if isinstance(line["values"], list))


def test_a_table_of_a_year_of_hours_fits_in_one_page() -> None:
    page = render_table_report(
        {
            "table": "log.parquet",
            "rows": 10,
            "untimed": 0,
            "misdated": [],
            "waiting": 0,
            "every": "1h",
            "reference": {"since": STARTS[0], "windows": 60},
            "judged": {"since": STARTS[60], "windows": HOURS},
            "columns": [f"column_{i}" for i in range(COLUMNS)],
            "left_out": ["id"],
            "unjudged": {f"c{i}": "looks like an identifier" for i in range(COLUMNS)},
            "parts": [],
            "findings": [],
            "wrong_now": 0,
            "inputs": drift(),
        }
    )
    assert "200 columns were checked" in stands_alone(page).text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, ("shop is healthy", "No open findings. Looked at: drift.")),
        ({"monitors": []}, ("shop is unknown", "Nothing is watched.")),
        ({"monitors": [{"monitor": "drift", "health": "unknown", "why": "no window yet"}]}, ("shop is unknown", "drift: no window yet")),
        ({"champion": None, "monitors": []}, ("no champion yet", "Nothing is watched.")),
        ({"drift": drift(1, 1), "performance": [performance("loss", 1.0, 1)]}, ("shop is healthy", "loss")),
    ],
)
def test_with_little_data_the_page_says_how_things_are(more: dict[str, Any], words: tuple[str, ...]) -> None:
    text = stands_alone(render_monitor_report("p", figures(**more))).text
    assert [word for word in words if word not in text] == []
    assert headline(figures(**more)).startswith("shop")
