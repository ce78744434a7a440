"""The flights example with its second model: declared beside the first, on the same tables and features."""

from __future__ import annotations

from pathlib import Path

import pytest

from noria.evidence.declared import declared
from noria.loop.project import load_project

FLIGHTS = Path(__file__).parents[2] / "examples" / "flights"


def test_minutes_stand_beside_the_yes_or_no(monkeypatch: pytest.MonkeyPatch) -> None:
    one = declared(load_project(FLIGHTS))
    monkeypatch.setenv("NORIA_PROJECT_MODULE", "minutes")
    both = declared(load_project(FLIGHTS))
    assert [model["name"] for model in one["models"]] == ["delay"]
    assert {model["name"]: (model["title"], model["feature_set"]) for model in both["models"]} == {
        "delay": ("binary classification", "flight_delay"),
        "minutes": ("regression", "flight_delay"),
    }
    assert [endpoint["name"] for endpoint in both["endpoints"] if endpoint["monitored"] and endpoint["retrained"]] == ["delay", "minutes"]
    assert both["views"] == one["views"]
