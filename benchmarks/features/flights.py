"""Online equals offline on the flights: a month of requests answered from the online store, brought forward tick by tick."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.figure import Figure, Proof
from noria.cli.demo import copy_example, prepare
from noria.core.clock import from_epoch, since_epoch
from noria.core.ids import PredictionIds
from noria.core.progress import silence
from noria.data.ingest import facts, ingest, push
from noria.features.compile import AT, KEY
from noria.features.facts import Facts
from noria.features.fields import feature_matrix
from noria.features.materialize import Materializer
from noria.features.online import OnlineFeatures, online_rows
from noria.features.point_in_time import PointInTime
from noria.features.training_set import build_training_set
from noria.features.versions import microseconds_of
from noria.loop.project import Project, load_project
from noria.serving.log.predictions import Predictions
from noria.serving.log.segments import PredictionLog
from noria.stores.workspace import Workspace

TICK = timedelta(minutes=15)
MONTH = (datetime(2013, 7, 1, tzinfo=UTC), datetime(2013, 8, 1, tzinfo=UTC))
DAY = (datetime(2013, 9, 10, 5, tzinfo=UTC), datetime(2013, 9, 11, 5, tzinfo=UTC))
DELAY = timedelta(hours=3)
DELAYED = {"by_origin", "by_carrier", "by_origin_and_carrier", "by_destination"}


def prove(folder: Path) -> Proof:
    project, workspace = opened(folder / "flights")
    for table in project.tables:
        ingest(table, workspace.tables, project.folder)
    yield from month(project, workspace)
    yield from backfill(project, workspace)
    yield from delayed(folder / "delayed")


def opened(folder: Path) -> tuple[Project, Workspace]:
    copy_example(folder)
    prepare(folder, silence)
    project = load_project(folder)
    return project, Workspace.of(folder, project.settings)


@dataclass(frozen=True)
class Step:
    """A moment to which the store is brought, and the requests until the next one."""

    at: datetime
    requests: pa.Table


def steps(requests: pa.Table, moments: list[int], end: int) -> Iterator[Step]:
    at = microseconds_of(requests.column(AT))
    for moment, following in zip(moments, [*moments[1:], end], strict=True):
        inside = requests.filter(pa.array((at >= moment) & (at < following)))
        if inside.num_rows:
            yield Step(from_epoch(moment), inside)


def facts_of(project: Project, workspace: Workspace) -> Facts:
    model = project.endpoint().model
    return Facts.read(workspace, model.features, model.label, model.task.coding)


def month(project: Project, workspace: Workspace) -> Proof:
    """Every request of a month, answered from the store, against the values that training reads."""
    features = project.endpoint().model.features
    offline = facts_of(project, workspace).offline
    requests = offline.rows(*MONTH)
    expected = feature_matrix(requests, features.features)
    start, end = (since_epoch(moment) for moment in MONTH)
    ticks = set(range(start, end, TICK // timedelta(microseconds=1)))
    reported = microseconds_of(facts(project.table("weather"), workspace.tables).rows.column("reported_at"))
    moments = sorted(ticks | {int(t) for t in reported if start <= t < end})  # `sky` has no freshness: it moves when it is pushed
    differing = rows = 0
    with closing(workspace.online()) as store:
        materializer, online = Materializer(store, workspace.tables), OnlineFeatures(store, features.views)
        place = 0
        for step in steps(requests, moments, end):
            for view in features.views:
                materializer.run(view, step.at)
            for at, asked in by_moment(step.requests):
                got = online_rows(features, online, asked, at).block
                want = expected[place : place + asked.num_rows]
                differing += int(((got != want) & ~(np.isnan(got) & np.isnan(want))).sum())
                place += asked.num_rows
            rows = place
    yield f"# {rows:,} requests of a month x {len(features.features)} features from the online store"
    yield Figure("month_requests_compared", rows, "", "=", requests.num_rows)
    yield Figure("month_values_differing", differing, "", "=", 0)


def by_moment(requests: pa.Table) -> Iterator[tuple[datetime, pa.Table]]:
    """Requests that were asked at one moment, together, in order."""
    at = microseconds_of(requests.column(AT))
    cuts = [0, *(np.flatnonzero(at[1:] != at[:-1]) + 1).tolist(), len(at)]
    for first, last in itertools.pairwise(cuts):
        yield from_epoch(int(at[first])), requests.slice(first, last - first)


def backfill(project: Project, workspace: Workspace) -> Proof:
    """Late batches: one that is known late changes no training set and no stored value; one that claims to have been known
    changes exactly those that it reaches, and they are fixed."""
    model = project.endpoint().model
    as_of = datetime(2013, 4, 1, tzinfo=UTC)

    def training_set() -> tuple[str, set[str]]:
        facts = facts_of(project, workspace)
        offline, outcomes = facts.offline, facts.outcomes
        made = build_training_set(offline, model.label, outcomes, model.task, start=offline.first(), as_of=as_of)
        return made.id, {p.name for p in workspace.features.glob("*.arrow")}

    before, weeks = training_set()
    weather = project.table("weather")
    known = facts(weather, workspace.tables).rows.slice(0, 500)
    late = known.set_column(known.column_names.index("temp"), "temp", pc.add(known.column("temp"), 30.0))
    shifted = pc.add(late.column("reported_at"), pa.scalar(timedelta(days=400)))
    push(weather, workspace.tables, late.set_column(late.column_names.index("reported_at"), "reported_at", shifted))
    unchanged, _ = training_set()
    yield Figure("backfill_changes_training_set", float(unchanged != before), "", "=", 0)
    view = project.view("sky")
    with closing(workspace.online()) as store:
        yield Figure("backfill_marks_online_values", float(Materializer(store, workspace.tables).stale(view) is not None), "", "=", 0)
    observed = pc.field("observed_at")
    recent = (observed > pa.scalar(MONTH[1] - timedelta(hours=3))) & (observed < pa.scalar(MONTH[1] - timedelta(minutes=30)))
    newest = facts(weather, workspace.tables).rows.filter((pc.field("origin") == "JFK") & recent)
    lied = newest.set_column(newest.column_names.index("temp"), "temp", pc.add(newest.column("temp"), 30.0))
    earlier = pc.add(lied.column("reported_at"), pa.scalar(timedelta(seconds=1)))
    push(weather, workspace.tables, lied.set_column(lied.column_names.index("reported_at"), "reported_at", earlier))
    with closing(workspace.online()) as store:
        materializer = Materializer(store, workspace.tables)
        marked = materializer.stale(view)
        yield Figure("late_batch_marks_entities", 0 if marked is None else marked.num_rows, "of 3 (JFK)", "=", 1)
        through = from_epoch(int((OnlineFeatures(store, [view]).state(view) or {})["through"]))
        done = materializer.run(view, through)
        yield Figure("late_batch_recomputed", done.recomputed, "", "=", 1)
        yield Figure("late_batch_recomputed_besides", done.changed, "", "=", 0)
    unchanged, later = training_set()
    yield Figure("later_batch_changes_training_set", float(unchanged != before), "", "=", 0)
    yield Figure("later_batch_recomputes_weeks", len(later - weeks), "", "=", 0)


def delayed(folder: Path) -> Proof:
    """A day on which departures are ingested three hours late: `noria skew` names the views that read them, and no other."""
    project, workspace = opened(folder)
    features = project.endpoint().model.features
    departures = project.table("departures")
    for table in project.tables:
        if table.name != departures.name:
            ingest(table, workspace.tables, project.folder)
    source = departures.source.read(project.folder, None)
    assert source is not None
    left = microseconds_of(source.rows.column("actual_departure"))
    start, end = (since_epoch(moment) for moment in DAY)
    hold = DELAY // timedelta(microseconds=1)
    push(departures, workspace.tables, source.rows.filter(pa.array((left > start - 3 * 86_400_000_000) & (left <= start - hold))))
    done = start - hold
    spine = _requests(project, workspace)
    log = PredictionLog(workspace.log(project.endpoint().name), "late", workspace.files)
    ids, served = PredictionIds("late"), 0
    with closing(workspace.online()) as store:
        online = OnlineFeatures(store, features.views)
        reported = microseconds_of(facts(project.table("weather"), workspace.tables).rows.column("reported_at"))
        moments = sorted({*range(start, end, TICK // timedelta(microseconds=1)), *(int(t) for t in reported if start <= t < end)})
        for step in steps(spine, moments, end):
            arrived = since_epoch(step.at) - hold
            push(departures, workspace.tables, source.rows.filter(pa.array((left > done) & (left <= arrived))))
            done = arrived
            materializer = Materializer(store, workspace.tables)
            for view in features.views:
                materializer.run(view, step.at)
            for at, asked in by_moment(step.requests):
                rows = len(asked)
                us = np.full(rows, since_epoch(at))
                values = online_rows(features, online, asked, at).block
                keys = asked.column(KEY).to_pylist()
                names = ids.take((us // 1000).tolist())
                log.append(
                    Predictions.of_block(
                        names, keys, ["champion"] * rows, ["none"] * rows, us, np.zeros(rows, np.int32), values, np.zeros(rows)
                    )
                )
                served += rows
    log.sync()
    log.close()
    push(departures, workspace.tables, source.rows.filter(pa.array((left > done) & (left <= end))))
    command = [sys.executable, "-m", "noria", "skew", "--json", "--project", str(folder)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    yield f"# departures three hours late, {served:,} predictions; share that differs: " + ", ".join(
        f"{view} {share:.1%}" for view, share in found["views"].items()
    )
    named = {view for view, share in found["views"].items() if share > 0}
    yield Figure("skew_predictions_compared", found["rows"], "", "=", served)
    yield Figure("skew_views_missed", len(DELAYED - named), "", "=", 0)
    yield Figure("skew_views_accused_wrongly", len(named - DELAYED), "", "=", 0)


def _requests(project: Project, workspace: Workspace) -> pa.Table:
    """The spine's rows of the day."""
    features = project.endpoint().model.features
    engine = PointInTime([facts(features.spine, workspace.tables)])
    return engine.spine(features.spine, features.lead_time, *DAY)
