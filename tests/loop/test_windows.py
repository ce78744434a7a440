"""Windows as they are recorded: whoever answered, released or not, their outcomes are measured when they are due."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noria.core.errors import UserMistake
from noria.data.ingest import ingest
from noria.loop import replay as replaying
from noria.loop.project import load_project
from noria.loop.replay import open_worlds, replay, replay_span
from noria.loop.workspace import Workspace
from noria.loop.world import Policy
from noria.serving.log.segments import Predictions

TWICE = 4  # the place of the feature
Change = Callable[[Predictions], None]


def measured(shop: Path, monkeypatch: pytest.MonkeyPatch, change: Change) -> list[dict[str, Any]]:
    """The performance of a few days of the shop, whose answers are changed, cut by a feature."""
    declare_slices(shop, "twice")
    project = load_project(shop)
    workspace = Workspace.of(shop, project.settings)
    for table in project.tables:
        ingest(table, workspace.tables, shop)
    [world] = open_worlds(project, workspace, project.endpoint(), [Policy.declared(project, project.endpoint())])
    span = replay_span(project, world)
    usual = replaying.answer

    def changed(*given: Any) -> Predictions:
        found = usual(*given)
        change(found)
        return found

    monkeypatch.setattr(replaying, "answer", changed)
    with closing(world.catalog):
        replay([world], replaying.Span(span.start, span.start + 6 * world.grid.tick), lambda _: None)
    with sqlite3.connect(shop / ".noria" / "catalog.db") as con:
        return [json.loads(row[0]) for row in con.execute("SELECT performance FROM windows WHERE performance IS NOT NULL")]


def declare_slices(shop: Path, name: str) -> None:
    module = (shop / "shop.py").read_text()
    (shop / "shop.py").write_text(module.replace("false_alarms_per_year=6,", f'false_alarms_per_year=6, slices=["{name}"],'))


def test_a_bundle_that_is_not_here_answers_and_its_windows_are_measured_all_the_same(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stranger(found: Predictions) -> None:
        found.bundle[:] = ["f" * 64] * len(found)

    told = measured(shop, monkeypatch, stranger)
    assert len(told) >= 3
    assert all(p["rows"] > 0 and "slices" not in p for p in told)


def test_performance_is_measured_in_the_slices_of_a_feature(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def two_values(found: Predictions) -> None:
        found.features[:, TWICE] = np.arange(len(found)) % 2

    told = measured(shop, monkeypatch, two_values)
    for p in told:
        assert set(p["slices"]) == {"twice=0", "twice=1"}
        assert sum(each["rows"] for each in p["slices"].values()) == p["rows"]


def test_slices_of_what_is_no_feature_are_refused_with_the_nearest_name(shop: Path) -> None:
    declare_slices(shop, "twize")
    with pytest.raises(UserMistake, match="did you mean 'twice'"):
        load_project(shop)


def test_a_rolling_baseline_of_too_few_windows_is_refused(shop: Path) -> None:
    module = (shop / "shop.py").read_text()
    for stretch, refused in (("20d", False), ("19d", True), ("12h", True)):
        (shop / "shop.py").write_text(module.replace("false_alarms_per_year=6,", f'false_alarms_per_year=6, rolling="{stretch}",'))
        if refused:
            with pytest.raises(UserMistake, match="too short"):
                load_project(shop)
        else:
            load_project(shop)
