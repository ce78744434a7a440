"""Windows as they are recorded: whoever answered, released or not, their outcomes are measured when they are due."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from noria.core.clock import BadTimeZone, duration, microseconds, since_epoch
from noria.core.errors import UserMistake
from noria.core.files import LocalFiles
from noria.data.ingest import ingest
from noria.loop import replay as replaying
from noria.loop.context import EndpointContext, Policy
from noria.loop.findings import observed
from noria.loop.project import load_project
from noria.loop.replay import open_contexts, replay, replay_span
from noria.models.registry import CHAMPION
from noria.monitoring import monitors
from noria.monitoring.findings import Observed
from noria.monitoring.measuring import measure_windows
from noria.monitoring.monitors import reading
from noria.monitoring.monitors.reading import read_monitors
from noria.release.releases import current_release
from noria.serving.log.predictions import FALLBACK, Predictions
from noria.serving.log.segments import LogFailed, PredictionLog
from noria.serving.observe.failures import FAILURES_FILE, Failures
from noria.stores.workspace import Workspace
from projects import edit

TWICE = 4  # the place of the feature
Change = Callable[[Predictions], None]


def measured(shop: Path, monkeypatch: pytest.MonkeyPatch, change: Change) -> list[dict[str, Any]]:
    """The performance of a few days of the shop, whose answers are changed, cut by a feature."""
    declare_slices(shop, "twice")
    replayed(shop, monkeypatch, change)
    return [told["performance"] for told in windows(shop) if told["performance"] is not None]


def windows(shop: Path) -> list[dict[str, Any]]:
    """The windows of the catalog, the oldest first."""
    with sqlite3.connect(shop / ".noria" / "replays" / "loop" / "catalog.db") as con:
        rows = con.execute("SELECT start, role, rows, performance, traffic FROM windows ORDER BY start").fetchall()
    told = [(p and json.loads(p), t and json.loads(t)) for *_, p, t in rows]
    return [
        dict(zip(("start", "role", "rows", "performance", "traffic"), (*row[:3], *more), strict=True))
        for row, more in zip(rows, told, strict=True)
    ]


def replayed(
    shop: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Change,
    before: Callable[[EndpointContext], None] = lambda _: None,
    day_after: Change | None = None,
) -> Observed:
    """What is found after six days of the shop, whose answers are changed. before: what is done first, to its stores; day_after: another
    day is logged, with the answers of the last one, changed"""
    context = opened(shop)
    start, usual, logged = replay_span(context.project, context).start, replaying.answer, []

    def changed(*given: Any) -> Predictions:
        logged.append(usual(*given))
        change(logged[-1])
        return logged[-1]

    monkeypatch.setattr(replaying, "answer", changed)
    with closing(context.stores.catalog):
        before(context)
        end, tick = start + 6 * context.grid.tick, context.grid.tick
        replay([context], replaying.Span(start, end), lambda _: None)
        if day_after is not None:
            end += tick
            last = replace(logged[-1], received_us=logged[-1].received_us + microseconds(tick))
            day_after(last)
            log = PredictionLog(context.stores.log_folder, "day-after", LocalFiles())
            log.append(last)
            log.close()
            measure_windows(context, end)
        release = current_release(context)
        assert release is not None
        return observed(context, read_monitors(context, release, end))


def opened(shop: Path) -> EndpointContext:
    """The shop's context, its tables ingested."""
    project = load_project(shop)
    workspace = Workspace.of(shop, project.settings)
    for table in project.tables:
        ingest(table, workspace.tables, shop)
    [context] = open_contexts(project, workspace, project.endpoint(), [Policy.declared(project, project.endpoint())])
    return context


def declare_slices(shop: Path, name: str) -> None:
    edit(shop / "shop.py", {"false_alarms_per_year=6,": f'false_alarms_per_year=6, slices=["{name}"],'})


def declare_slo(shop: Path, given: str) -> None:
    edit(shop / "shop.py", {'nr.Endpoint("returns", model,': f'nr.Endpoint("returns", model, slo=nr.SLO({given}),'})


def test_a_bundle_that_is_not_here_answers_and_its_windows_are_measured_all_the_same(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stranger(found: Predictions) -> None:
        found.bundle[:] = ["f" * 64] * len(found)

    told = measured(shop, monkeypatch, stranger)
    assert len(told) >= 3
    assert all(p["rows"] > 0 and "slices" not in p for p in told)


def test_performance_is_measured_in_the_slices_of_a_feature(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def two_values(found: Predictions) -> None:
        found.numbers[:, TWICE] = np.arange(len(found)) % 2

    told = measured(shop, monkeypatch, two_values)
    for p in told:
        assert set(p["slices"]) == {"twice=0", "twice=1"}
        assert sum(each["rows"] for each in p["slices"].values()) == p["rows"]


def objectives(seen: Observed) -> set[str]:
    return {f.subject for f in seen.findings if f.kind == "objective"}


def test_failures_are_held_against_the_objective(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failures(context: EndpointContext) -> None:
        start, failures = replay_span(context.project, context).start, Failures()
        for minutes in (-1, 0, 1439, 5 * 1440, 6 * 1440):  # before, twice in the first window, in the last, and after it
            failures.add(6, LogFailed(Path("log"), "full"), since_epoch(start + timedelta(minutes=minutes)))
        failures.add(5, UserMistake(what="", where="", fix=""), since_epoch(start))
        (context.stores.log_folder / "w").mkdir(parents=True)
        told = failures.take()
        assert told is not None
        LocalFiles().write(context.stores.log_folder / "w" / FAILURES_FILE, told)

    seen = replayed(shop, monkeypatch, lambda _: None, failures)
    assert [told["traffic"]["failed"] for told in windows(shop) if told["role"] == CHAMPION] == [12, 0, 0, 0, 0, 6]
    assert objectives(seen) == {"errors"}


def test_the_answers_of_fallbacks_are_held_against_the_objective(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def a_tenth(found: Predictions) -> None:
        found.variant[:] = [FALLBACK if i % 10 == 0 else variant for i, variant in enumerate(found.variant)]

    assert objectives(replayed(shop, monkeypatch, lambda _: None, day_after=a_tenth)) == {"errors"}
    traffic = windows(shop)[-1]["traffic"]
    assert traffic["fallbacks"] == -(-(traffic["fallbacks"] + traffic["rows"]) // 10)


def test_a_day_that_only_the_fallback_answered_is_no_gap_in_the_windows(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def all_of_them(found: Predictions) -> None:
        found.variant[:] = [FALLBACK] * len(found)

    seen = replayed(shop, monkeypatch, lambda _: None, day_after=all_of_them)
    assert (windows(shop)[-1]["role"], windows(shop)[-1]["rows"]) == (CHAMPION, 0)
    assert objectives(seen) == {"errors"}
    assert "predictions" in {f.subject for f in seen.findings if f.kind == "no_data"}


@pytest.mark.parametrize(
    ("broken", "first", "words"),
    [
        (lambda values: np.nan * values, 10, "are nulls"),
        (lambda values: 1e6 * values, 10, "are unseen or out-of-range values"),
        (lambda values: 0 * values + 7, 11, "are frozen (repeated) values"),
    ],
)
def test_a_fault_names_the_first_prediction_that_has_it(
    shop: Path, monkeypatch: pytest.MonkeyPatch, broken: Callable[[Any], Any], first: int, words: str
) -> None:
    bad: list[str] = []

    def from_the_tenth_on(found: Predictions) -> None:
        found.numbers[10:, TWICE] = broken(found.numbers[10:, TWICE])
        bad.append(found.ids[first])

    seen = replayed(shop, monkeypatch, lambda _: None, day_after=from_the_tenth_on)
    [fault] = [f.detailed() for f in seen.findings if f.kind == "data_quality" and "twice" in f.summary]
    assert words in fault.summary
    assert fault.summary.endswith(f"UTC; first in prediction {bad[0]}")
    assert fault.evidence["first_row"]["id"] == bad[0]
    assert datetime.fromisoformat(fault.evidence["first_row"]["received_at"]) >= fault.since


@pytest.mark.parametrize("torn", ["{", '{"x": 1}', '{"1": -1}', "[]", '{"1": "1"}'])
def test_failures_that_can_not_be_read_are_unknown(shop: Path, monkeypatch: pytest.MonkeyPatch, torn: str) -> None:
    def tear(context: EndpointContext) -> None:
        (context.stores.log_folder / "w").mkdir(parents=True)
        (context.stores.log_folder / "w" / FAILURES_FILE).write_text(torn)

    replayed(shop, monkeypatch, lambda _: None, tear)
    assert {told["traffic"]["failed"] for told in windows(shop) if told["role"] == CHAMPION} == {None}


@pytest.mark.parametrize(("span", "missed"), [("1h", True), ("12h", False)])
def test_answers_from_old_facts_are_counted_and_told(shop: Path, monkeypatch: pytest.MonkeyPatch, span: str, missed: bool) -> None:
    declare_slo(shop, f'freshness={{"visits": "{span}"}}')
    logged: list[Predictions] = []
    seen = replayed(shop, monkeypatch, logged.append)
    visits = pq.read_table(shop / "data" / "visits.parquet")
    known, at = (np.array([since_epoch(t) for t in visits[name].to_pylist()]) for name in ("known_at", "at"))
    received = np.concatenate([part.received_us for part in logged])
    old = sum(us - at[known <= us].max() > microseconds(duration(span)) for us in received.tolist())
    counted = sum(told["traffic"]["stale"]["visits"] for told in windows(shop) if told["role"] == CHAMPION)
    assert (old > 0, counted) == (missed, old)
    assert ("freshness of visits" in objectives(seen)) == missed


def test_a_table_that_has_no_rows_yet_is_as_old_as_can_be(shop: Path) -> None:
    orders, path = pq.read_table(shop / "data" / "orders.parquet"), shop / "data" / "visits.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    declare_slo(shop, 'freshness={"visits": "1h"}')
    context = opened(shop)
    at = np.array([since_epoch(t) for t in orders["placed_at"].to_pylist()[:3]])
    with closing(context.stores.catalog):
        assert (context.known.ages("visits", at) == np.iinfo(np.int64).max).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ('freshness={"visit": "1h"}', "did you mean 'visits'"),
        ('freshness={"visits": "0s"}', "objective is out of range"),
        ("errors=0", "objective is out of range"),
        ('freshness={"visits": "soon"}', "soon"),
        ("p99_ms=-1", "objective is out of range"),
    ],
)
def test_objectives_that_can_not_be_kept_are_refused(shop: Path, given: str, words: str) -> None:
    declare_slo(shop, given)
    with pytest.raises(UserMistake, match=words):
        load_project(shop)


def test_seasons_follow_the_clock_that_the_project_names(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORIA_LOOP_TIME_ZONE", "America/New_York")
    monkeypatch.setenv("NORIA_LOOP_TICK", "1h")
    context = opened(shop)
    with closing(context.stores.catalog):
        noon = [datetime(2025, month, 1, 17 - summer, tzinfo=UTC) for month, summer in ((1, 0), (7, 1))]
        assert [context.grid.calendar.phase(context.grid.number(start)) % 24 for start in noon] == [12, 12]
    monkeypatch.setenv("NORIA_LOOP_TIME_ZONE", "America/Newyork")
    with pytest.raises(BadTimeZone, match="did you mean 'America/New_York'"):
        load_project(shop)


def test_slices_of_what_is_no_feature_are_refused_with_the_nearest_name(shop: Path) -> None:
    declare_slices(shop, "twize")
    with pytest.raises(UserMistake, match="did you mean 'twice'"):
        load_project(shop)


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ('rolling="20d"', ""),
        ('rolling="19d"', "too short"),
        ('rolling="12h"', "too short"),
        ('reference=("2024-01-01T00:00Z", "2024-01-21T00:00Z")', ""),
        ('reference=("2024-01-01T00:00Z", "2024-01-20T23:00Z")', "too short"),
        ('reference=("2024-01-21T00:00Z", "2024-01-01T00:00Z")', "ends before it begins"),
        ('reference=("2024-01-01T00:00Z", "spring")', "is not a time"),
        ('reference=("2024-01-01", "2024-02-01")', "has no time zone"),
        ('reference="2024-01-01T00:00Z"', "a start and an end"),
    ],
)
def test_what_inputs_are_compared_with_has_windows_enough(shop: Path, given: str, refused: str) -> None:
    edit(shop / "shop.py", {"false_alarms_per_year=6,": f"false_alarms_per_year=6, {given},"})
    if refused:
        with pytest.raises(UserMistake, match=refused):
            load_project(shop)
    else:
        load_project(shop)


@pytest.mark.parametrize(("by", "skewed"), [(1.0, False), (1.25, True)])
def test_values_that_differ_from_their_definition_are_a_finding(
    shop: Path, monkeypatch: pytest.MonkeyPatch, by: float, skewed: bool
) -> None:
    edit(shop / "shop.py", {"false_alarms_per_year=6,": "false_alarms_per_year=6, skew=0.01,"})

    def served_otherwise(found: Predictions) -> None:
        found.numbers[:, TWICE] *= by

    told = [f.summary for f in replayed(shop, monkeypatch, served_otherwise).findings if f.kind == "skew"]
    assert bool(told) == skewed
    assert all("twice (request)" in summary for summary in told)


TOO_CHEAP = """
from noria.core.health import Unhealthy
from noria.monitoring.monitors.reading import monitor
from noria.monitoring.findings import Finding


@monitor(rank=15)
class TooCheap:
    name = "prices"

    @classmethod
    def read(cls, at):
        found = cls()
        found.since = at.now
        return found

    def healths(self):
        return [("prices", Unhealthy("too low"))]

    def judged(self):
        return {"price"}

    def findings(self):
        return [Finding("price", "price", self.since, "page", "prices are too low", "raise them")]
"""


def test_a_monitor_is_added_in_one_file(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prices.py").write_text(TOO_CHEAP)
    monkeypatch.setattr(monitors, "__path__", [*monitors.__path__, str(tmp_path)])
    monkeypatch.setattr(reading, "_registered", dict(reading._registered))
    reading.registered.cache_clear()
    try:
        found = replayed(shop, monkeypatch, lambda _: None)
    finally:
        reading.registered.cache_clear()
        sys.modules.pop("noria.monitoring.monitors.prices", None)
    assert [f.summary for f in found.findings if f.kind == "price"] == ["prices are too low"]
