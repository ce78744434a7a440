"""What a loss of performance looks like: a changed relation, shifted labels, or inputs that have moved."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.special import expit

from noria.evaluation.binary import Binary
from noria.evaluation.performance import Performance, measure
from noria.monitoring.monitor import Tolerance
from noria.monitoring.performance import PerformanceReading, read_performance, read_slices
from noria.monitoring.windows import Window

START = datetime(2024, 1, 1, tzinfo=UTC)
BINARY = Binary()


def days(rng: np.random.Generator, count: int, *, offset: float = 0.0, slope: float = 1.0) -> list[Performance]:
    found = []
    for _ in range(count):
        x = rng.normal(size=600)
        y = (rng.random(600) < expit(offset + slope * 1.5 * x - 1 + 0.1 * rng.normal())).astype(float)
        found.append(measure(BINARY, y, expit(1.5 * x - 1)))
    return found


def read(baseline: list[Performance], since: list[Performance], metric: str = "log_loss") -> PerformanceReading:
    windows = [Window(START + i * timedelta(days=1), "b", "champion", p.rows, None, p) for i, p in enumerate(since)]
    return read_performance(BINARY, Tolerance(metric, by=0.03), baseline, windows, 150.0)


def test_causes_are_told_apart_through_outcomes() -> None:
    right = 0
    for seed in range(20):
        rng = np.random.default_rng([9, seed])
        baseline = days(rng, 14)
        concept = read(baseline, [*days(rng, 5), *days(rng, 7, slope=-0.2)])
        labels = read(baseline, [*days(rng, 5), *days(rng, 7, offset=1.0)], "calibration")
        assert concept.alarming
        assert labels.alarming
        right += concept.looks_like(inputs_moved=False).startswith("a changed relation")
        right += labels.looks_like(inputs_moved=False).startswith("label shift (outcomes are more frequent")
    assert right >= 38
    assert read(baseline, days(rng, 7)).looks_like(inputs_moved=True) == "input drift"


def test_one_class_no_rows_and_a_round_trip_are_no_crash() -> None:
    rng = np.random.default_rng(1)
    odd = [
        measure(BINARY, np.ones(5), np.full(5, 0.4)),
        measure(BINARY, np.full(3, np.nan), np.zeros(3)),
        measure(BINARY, np.array([1.0]), np.array([1.0])),
    ]
    reading = read(days(rng, 14), odd)
    assert reading.looks_like(inputs_moved=False) == "undetermined"
    again = [Performance.of(p.to_dict()) for p in odd]
    assert [p.to_dict() for p in again] == [p.to_dict() for p in odd]
    assert again[1].rows == 0


def by_airport(rng: np.random.Generator, count: int, *, turned_at: float | None = None) -> list[Performance]:
    """Days of three airports, at one of which the relation may have turned round."""
    found = []
    for _ in range(count):
        x, airport = rng.normal(size=600), rng.choice([0.0, 1.0, 2.0], size=600, p=[0.6, 0.3, 0.1])
        slope = np.where(airport == turned_at, -1.0, 1.0)
        y = (rng.random(600) < expit(slope * 1.5 * x - 1 + 0.1 * rng.normal())).astype(float)
        found.append(measure(BINARY, y, expit(1.5 * x - 1), {"airport": airport}))
    return found


def read_by_slice(baseline: list[Performance], since: list[Performance]) -> dict[str, PerformanceReading]:
    windows = [Window(START + i * timedelta(days=1), "b", "champion", p.rows, None, p) for i, p in enumerate(since)]
    return {r.name: r for r in read_slices(BINARY, Tolerance("log_loss", by=0.1), baseline, windows, lambda slices: 150.0 * slices)}


def test_a_slice_that_decays_by_itself_is_named_and_the_whole_is_within_its_tolerance() -> None:
    for seed in range(10):
        rng = np.random.default_rng([10, seed])
        baseline = by_airport(rng, 14)
        since = [*by_airport(rng, 5), *by_airport(rng, 10, turned_at=2.0)]
        found = read_by_slice(baseline, since)
        assert set(found) == {"log_loss of airport=0", "log_loss of airport=1", "log_loss of airport=2"}
        assert [name for name, r in found.items() if r.alarming] == ["log_loss of airport=2"]
        whole = read(baseline, since)
        assert whole.recent - whole.baseline < 0.15
        assert not any(r.alarming for r in read_by_slice(baseline, by_airport(rng, 60)).values())


def test_slices_survive_being_written_down_and_small_ones_are_not_judged() -> None:
    rng = np.random.default_rng(11)
    baseline = by_airport(rng, 14)
    again = [Performance.of(json.loads(json.dumps(p.to_dict()))) for p in baseline]
    assert [p.to_dict() for p in again] == [p.to_dict() for p in baseline]
    rare = [measure(BINARY, np.array([1.0, 0.0, 1.0]), np.full(3, 0.5), {"a": np.array([1.0, 1.0, np.nan])}) for _ in range(14)]
    assert read_by_slice(rare, baseline) == {}


def test_lost_ranking_keeps_the_budget_however_short_windows_are() -> None:
    """By Student's t of 59 degrees: a fall of 0.18 has a chance of 2 in 10,000 in a window, too many where there are 24 a day."""
    before = 0.8 + 0.08 * np.tile([-1.0, 1.0], 30)
    given = {"biases": {}, "discrimination": np.full(3, 0.62), "baseline_discrimination": before}
    daily, hourly = (
        PerformanceReading(BINARY, Tolerance("log_loss", by=0.1), 0.5, np.zeros(3), np.zeros(3), windows / 0.9, **given)
        for windows in (365, 8760)
    )
    assert daily.ranking_lost == pytest.approx((0.62, 0.8))
    assert hourly.ranking_lost is None
