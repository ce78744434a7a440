"""The point-in-time rule, against a plain-Python oracle that is slow and obvious."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import noria as nr
from events import TABLE, events, facts, moment, spine_of, spines, view
from noria.core.clock import duration
from noria.data.contract import UnknownColumn
from noria.features.feature_set import FeatureSet
from noria.features.point_in_time import PointInTime
from noria.features.view import BadView, ViewFailed


def join(rows: list[dict[str, Any]], spine: list[dict[str, Any]], view: nr.FeatureView) -> list[dict[str, Any]]:
    return PointInTime([facts(rows)]).join(spine_of(spine), [view]).to_pylist()


def oracle(rows: list[dict[str, Any]], asked: dict[str, Any], view: nr.FeatureView) -> dict[str, Any]:
    """The rule word by word: of each key, the version last known by then; of those, what happened in the window."""
    at = minute = asked["_at"]
    if view.freshness:
        step = int(duration(view.freshness).total_seconds() // 60)
        since_epoch = int(moment(minute).timestamp() // 60)
        at = minute - since_epoch % step
    current: dict[Any, dict[str, Any]] = {}
    ordered = sorted(enumerate(rows), key=lambda pair: (pair[1]["known"], pair[1]["at"], pair[0]))
    for place, row in ordered:
        if row["known"] <= at:
            current[row["id"], row["part"]] = {**row, "place": place}
    there = [r for r in current.values() if not r["gone"] and r["at"] <= at]
    there = [r for r in there if all(asked[e] is not None and r[e] == asked[e] for e in view.entities)]
    there.sort(key=lambda r: (r["at"], r["known"], r["id"], r["part"], r["place"]))

    def inside(window: int, column: str = "value") -> list[float]:
        there_now = [r[column] for r in there if r["at"] > at - window]
        return [v for v in there_now if v is not None and math.isfinite(v)]

    newest = next((r for r in reversed(there) if r["at"] > at - 45), None)
    sample, ranked = inside(120), sorted(inside(90))
    place = 0.75 * (len(ranked) - 1)
    low, high = math.floor(place), math.ceil(place)
    return {
        "n": sum(r["at"] > at - 60 for r in there),
        "values": sum(r["at"] > at - 60 and r["value"] is not None for r in there),
        "total": sum(inside(60)) if inside(60) else None,
        "mean": sum(inside(90)) / len(inside(90)) if inside(90) else None,
        "wholes": sum(inside(45, "whole")) if inside(45, "whole") else None,
        "whole_mean": sum(inside(60, "whole")) / len(inside(60, "whole")) if inside(60, "whole") else None,
        "low": min(inside(30), default=None),
        "high": max(inside(30), default=None),
        "std": statistics.stdev(sample) if len(sample) > 1 else None,
        "first": inside(60)[0] if inside(60) else None,
        "last": inside(60)[-1] if inside(60) else None,
        "kinds": len(set(inside(60, "whole"))),
        "third": ranked[low] + (ranked[high] - ranked[low]) * (place - low) if ranked else None,
        "value": newest["value"] if newest else None,
        "doubled": 2 * newest["whole"] if newest and newest["whole"] is not None else None,
    }


def agrees(got: Any, expected: Any) -> bool:
    if got is None or expected is None:
        return got is expected
    return bool(got == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True))


@settings(max_examples=30, deadline=None)
@given(events, spines, st.sampled_from([None, "15m", "7m"]), st.sampled_from(["city", ("city", "line")]))
def test_every_value_is_what_was_known_at_its_time(
    rows: list[dict[str, Any]], spine: list[dict[str, Any]], freshness: str | None, entity: str | tuple[str, ...]
) -> None:
    asked_for = view(freshness, entity)
    found = join(rows, spine, asked_for)
    assert len(found) == len(spine)
    for asked, got in zip(spine, found, strict=True):
        expected = oracle(rows, asked, asked_for)
        assert {n: (got[n], e) for n, e in expected.items() if not agrees(got[n], e)} == {}, asked


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.floats(-1e15, 1e15, allow_subnormal=False), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_sums_of_floats_are_exact_in_any_order_and_after_others_have_left(values: list[float], random: Any) -> None:
    """A running sum that adds 1e15 and takes it away again must not lose the 1e-9 that stays."""
    stay = [{"id": f"s{i}", "part": 1, "city": "ams", "value": v * 1e-9, "at": 100 + i, "known": 100 + i} for i, v in enumerate(values)]
    gone = [{"id": f"g{i}", "part": 1, "city": "ams", "value": v, "at": i, "known": i} for i, v in enumerate(values)]
    rows = stay + gone
    random.shuffle(rows)
    summed = nr.FeatureView("v", TABLE, entity="city", aggregate={"x": nr.total("value", window="60m")})
    [found] = join(rows, [{"city": "ams", "_at": 140}], summed)
    exact = float(sum(Fraction(v * 1e-9) for v in values))
    assert found["x"] == pytest.approx(exact, rel=1e-15, abs=1e-40)


def test_an_empty_table_and_an_empty_spine_give_empty_answers() -> None:
    assert join([], [], view("15m")) == []
    [found] = join([], [{"city": "ams", "line": 1, "_at": 10}], view(None))
    assert {name for name, value in found.items() if value is not None} == {"n", "values", "kinds"}


@settings(max_examples=15, deadline=None)
@given(events, spines, st.integers(0, 300), st.randoms(use_true_random=False))
def test_what_is_known_later_changes_nothing_before(rows: list[dict[str, Any]], spine: list[dict[str, Any]], cut: int, random: Any) -> None:
    garbage = [
        {**r, "value": 99.0, "city": random.choice(["ams", "ber"]), "at": random.randrange(300)} if r["known"] > cut else r for r in rows
    ]
    before = [s for s in spine if s["_at"] <= cut]
    assert repr(join(rows, before, view("15m"))) == repr(join(garbage, before, view("15m")))


def test_a_value_that_was_written_three_days_late_does_not_enter() -> None:
    rows = [{"id": "a", "part": 1, "city": "ams", "value": 1.0, "at": 0, "known": 3 * 1440}]
    long = nr.FeatureView("v", TABLE, entity="city", latest=["value"], ttl="30d")
    assert join(rows, [{"city": "ams", "_at": 60}], long) == [{"value": None}]
    assert join(rows, [{"city": "ams", "_at": 3 * 1440}], long) == [{"value": 1.0}]


def test_an_expression_that_the_engine_refuses_names_the_view() -> None:
    bad = nr.FeatureView("broken", TABLE, entity="city", aggregate={"x": nr.mean("no_such(value)", window="1h")})
    with pytest.raises(ViewFailed, match="broken"):
        join([], [{"city": "ams", "_at": 0}], bad)


def test_an_unknown_column_is_named_with_the_nearest_one() -> None:
    bad = nr.FeatureView("v", TABLE, entity="citty", aggregate={"x": nr.count(window="1h")})
    with pytest.raises(UnknownColumn, match="did you mean 'city'"):
        join([], [{"city": "ams", "_at": 0}], bad)


def test_views_that_cannot_be_computed_are_refused_when_declared() -> None:
    with pytest.raises(BadView, match="no features"):
        nr.FeatureView("v", TABLE, entity="city")
    with pytest.raises(BadView, match="ttl"):
        nr.FeatureView("v", TABLE, entity="city", latest=["value"])
    first = nr.FeatureView("first", TABLE, entity="city", latest=["value"], ttl="1h")
    with pytest.raises(BadView, match="views read tables only"):  # so no chain of views can lead back to where it began
        nr.FeatureView("second", first, entity="city", latest=["value"], ttl="1h")  # type: ignore[arg-type]
    circle = nr.FeatureView("circle", TABLE, entity="city", latest={"x": "y + 1", "y": "x + 1"}, ttl="1h")
    with pytest.raises(nr.NoriaError, match="circle"):
        join([], [{"city": "ams", "_at": 0}], circle)
    twice = nr.FeatureView("v", TABLE, entity="city", aggregate={"x": nr.count(window="1h")})
    with pytest.raises(nr.NoriaError, match="twice"):
        FeatureSet("f", TABLE, [twice, twice])
