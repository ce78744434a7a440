"""Business metrics: numbers in SQL, each with a past of its own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.projects import MODULE, SETTINGS, edited, write_project

from noria.core.errors import UserMistake
from noria.core.health import Healthy, Unhealthy, Unknown
from noria.monitoring.business import BusinessMetric, BusinessMetricReading, read_business_metric
from typed_commands import done

START = datetime(2024, 1, 1, tzinfo=UTC)
PREDICTIONS = pa.table({"key": ["a", "b", "c"], "prediction": [0.1, 0.5, 0.9], "price": [1.0, 2.0, 3.0]})
OUTCOMES = pa.table({"key": ["a", "b"], "outcome": [0.0, 1.0]})


def read(values: list[float | None], by: float = 0.02, threshold: float = 365.0) -> BusinessMetricReading:
    return read_business_metric(BusinessMetric("m", "", by), [(START + i * timedelta(days=1), v) for i, v in enumerate(values)], threshold)


def test_sql_draws_one_number_and_says_when_it_does_not() -> None:
    assert BusinessMetric("m", "SELECT avg(price) FROM predictions", 0.1).draw(PREDICTIONS, OUTCOMES) == 2.0
    joined = BusinessMetric("m", "SELECT sum(price * outcome) FROM predictions JOIN outcomes USING (key)", 0.1)
    assert joined.draw(PREDICTIONS, OUTCOMES) == 2.0
    assert joined.needs_outcomes
    assert not BusinessMetric("m", "SELECT count(*) FROM predictions", 1).needs_outcomes
    assert BusinessMetric("m", "SELECT avg(price) FROM predictions WHERE price > 9", 0.1).draw(PREDICTIONS, OUTCOMES) is None
    for wrong in (
        "SELECT pric FROM predictions",
        "SELECT key, price FROM predictions",
        "SELECT 'x'",
        "DROP TABLE x",
        "",
        "COPY predictions TO 'x'",
    ):
        with pytest.raises(UserMistake, match="not return a number"):
            BusinessMetric("m", wrong, 0.1).draw(PREDICTIONS, OUTCOMES)
    with pytest.raises(UserMistake, match="has no tolerance above 0"):
        BusinessMetric("m", "SELECT 1", 0)


def test_a_number_that_moves_is_found_and_its_week_and_trifles_are_none() -> None:
    quiet = found = 0
    for seed in range(60):
        rng = np.random.default_rng([3, seed])
        week = np.array([0, 0.1, 0.1, 0, 0, -0.3, -0.3])
        path = [0.6 + week[i % 7] * 0.3 + 0.02 * float(rng.normal()) for i in range(365)]
        quiet += read(path).evidence.max() >= 365
        moved = [*path[:60], *(value + 0.15 for value in path[60:66])]
        found += read(moved).alarming
    assert quiet <= 20  # of sixty years, at one false alarm a year
    assert found >= 57
    assert not read([0.6 + 0.001 * i for i in range(30)], by=0.2).alarming


def test_a_number_that_has_moved_for_good_is_told_for_four_weeks_and_the_next_move_as_well() -> None:
    for seed in range(10):
        rng = np.random.default_rng([5, seed])
        path = [level + 0.02 * float(rng.normal()) for level in [0.6] * 60 + [0.8] * 90 + [0.6] * 6]
        assert read(path[: 60 + 28]).alarming
        assert not read(path[: 60 + 36]).alarming
        assert not read(path[: 60 + 90]).alarming
        assert read(path).alarming


def test_what_can_not_be_drawn_is_unknown() -> None:
    assert isinstance(read([]).health, Unknown)
    assert isinstance(read([0.5] * 5).health, Unknown)
    rng = np.random.default_rng(1)
    series: list[float | None] = [0.5 + 0.01 * float(rng.normal()) for _ in range(30)]
    assert isinstance(read(series).health, Healthy)
    assert isinstance(read([*series, None]).health, Unknown)
    assert isinstance(read([*series, *[0.9] * 6]).health, Unhealthy)


def test_a_project_declares_metrics_and_the_loop_reads_them(tmp_path: Path) -> None:
    declared = 'metrics=[nr.BusinessMetric("mean price", "SELECT avg(price) FROM predictions", by=20), ' + (
        'nr.BusinessMetric("returns", "SELECT avg(outcome) FROM outcomes", by=0.2), nr.BusinessMetric("odd", "SELECT nothing", by=1)], '
    )
    module = edited(MODULE, {"false_alarms_per_year=6, ": f"false_alarms_per_year=6, {declared}"})
    settings = edited(SETTINGS, {"2024-03-28T00:00:00Z": "2024-02-29T00:00:00Z"})
    shop = write_project(tmp_path / "shop", module, settings)
    for command in ("ingest", "replay"):
        done(shop, command, "--json")
    told = {m["monitor"]: m for m in json.loads(done(shop, "status", "--json"))["endpoints"][0]["monitors"]}
    assert 20 < told["metric: mean price"]["evidence"]["mean price"] < 60
    assert told["metric: returns"]["health"] == "healthy"
    assert told["metric: odd"]["health"] == "unknown"
