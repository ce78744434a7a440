"""The monitors of an endpoint, read at one moment: each says what it sees, and one that fails is itself a finding."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import sqlalchemy as sa

from noria.core.clock import duration, from_epoch, in_words, microseconds, since_epoch
from noria.core.conservation import Balance
from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.core.ids import short
from noria.evaluation.metrics import ROW_LOSSES
from noria.loop.columns import served_skew
from noria.loop.history import history_of
from noria.loop.releases import Release, released_champions
from noria.loop.shadow import Paired, shadow_windows
from noria.loop.windows import answered_by_window, baseline_windows, windows_of
from noria.loop.world import World
from noria.models.registry import CHAMPION
from noria.monitoring.business import BusinessMetricReading, read_business_metric
from noria.monitoring.drift_reading import DriftReading
from noria.monitoring.expected import Expected, ExpectedReading, read_expected
from noria.monitoring.monitor import Monitor
from noria.monitoring.performance import PerformanceReading, read_performance, read_slices
from noria.monitoring.skew import SkewReading
from noria.monitoring.traffic import IN_TIME, Missed, Objective, ObjectiveReading, Repeated, Traffic, read_objective, read_repeated
from noria.monitoring.volume import VolumeReading
from noria.monitoring.windows import Window
from noria.serving.log.segments import read_log
from noria.serving.process.plane import SUMS_FILE
from noria.stores import catalog as db

logger = logging.getLogger("noria.monitoring")

PREDICTIONS = "predictions"
DARK = 2  # matured windows without outcomes, from which on they count as stopped
MIN_KNOWN = 0.5  # of the outcomes that are due
MAX_TRAFFIC = 60  # windows
Reading = TypeVar("Reading")


@dataclass(frozen=True)
class Blind:
    """Something that can't be seen: what, since when, and why."""

    subject: str
    since: datetime
    why: str


@dataclass(frozen=True)
class Monitors:
    """What every monitor of an endpoint says.

    strangers: bundles that answered in the newest window and were never released; lost: sums of the server's log that do not add up
    slices: the performance of each slice; None where none are declared
    shadow: the windows of the challenger that shadows now; blind: what none of them could see
    """

    performance: tuple[PerformanceReading, ...] = ()
    slices: tuple[PerformanceReading, ...] | None = None
    drift: DriftReading | None = None
    skew: SkewReading | None = None
    volume: VolumeReading | None = None
    table_volumes: tuple[VolumeReading, ...] = ()
    expected: tuple[ExpectedReading, ...] = ()
    repeated: tuple[Repeated, ...] = ()
    objectives: tuple[ObjectiveReading, ...] = ()
    metrics: tuple[BusinessMetricReading, ...] = ()
    unreleased_bundles: tuple[str, ...] = ()
    shadow: tuple[Paired, ...] = ()
    lost: tuple[Balance, ...] = ()
    blind: tuple[Blind, ...] = ()


def read_monitors(world: World, release: Release, now: datetime) -> Monitors:
    """Read all monitors of an endpoint with this release; none where nothing is declared."""
    monitor = world.monitor
    if monitor is None:
        return Monitors()
    champion, since = release.champion, release.champion_since
    broken: list[Blind] = []

    def guarded(name: str, read: Callable[[], Reading]) -> Reading | None:
        try:
            return read()
        except Exception as error:
            logger.error("the monitor %s of %s failed: %r", name, world.endpoint.name, error, exc_info=logger.isEnabledFor(logging.DEBUG))
            broken.append(Blind(name, now, f"it failed: {type(error).__name__}: {error}"))
            return None

    windows = guarded("windows", lambda: windows_of(world, champion, since, statistics=False)) or []
    performance = guarded("performance", lambda: _performance(world, monitor, champion, windows))
    slices = guarded("performance by slice", lambda: _slices(world, monitor, champion, windows))
    drift = guarded("drift", lambda: _drift(world, monitor, champion, since))
    skew = guarded("skew", lambda: _skew(world, monitor, now))
    volume = guarded(PREDICTIONS, lambda: _volume(world, monitor))
    table_volumes = guarded("feeds", lambda: _table_volumes(world, monitor, now))
    expected = guarded("expected performance", lambda: _expected(world, monitor, champion, windows))
    traffic = guarded("traffic", lambda: _traffic(world)) or []
    repeated = guarded("repeated predictions", lambda: read_repeated(traffic))
    objectives = guarded("objectives", lambda: _objectives(world, traffic))
    metrics = guarded("business metrics", lambda: _metrics(world, monitor))
    unreleased_bundles = guarded("released bundles", lambda: _unreleased_bundles(world))
    shadow = guarded("shadow", lambda: _shadow(world, release))
    lost = guarded("the server's sums", lambda: [b for b in served_balances(world.log_folder) if not b.holds])
    blind = guarded("blindness", lambda: _blind(world, now)) or []
    return Monitors(
        tuple(performance or ()),
        None if slices is None else tuple(slices),
        drift,
        skew,
        volume,
        tuple(table_volumes or ()),
        tuple(expected or ()),
        tuple(repeated or ()),
        tuple(objectives or ()),
        tuple(metrics or ()),
        tuple(unreleased_bundles or ()),
        tuple(shadow or ()),
        tuple(lost or ()),
        (*blind, *broken),
    )


def healths(monitors: Monitors) -> list[tuple[str, Health]]:
    """What each monitor says of itself; what can't be seen is unknown."""
    found: list[tuple[str, Health]] = [(f"performance: {r.tolerance.metric}", r.health) for r in monitors.performance]
    if monitors.slices is not None:
        found.append(("performance by slice", _health_of_slices(monitors.slices)))
    for name, reading in (("drift", monitors.drift), ("skew", monitors.skew), ("predictions", monitors.volume)):
        if reading is not None:
            found.append((name, reading.health))
    found += [(f"expected {r.tolerance.metric}", r.health) for r in monitors.expected]
    found += [(f"metric: {r.metric.name}", r.health) for r in monitors.metrics]
    found += [(f"objective: {r.objective.name}", r.health) for r in monitors.objectives]
    found += [(f"table: {r.name}", r.health) for r in monitors.table_volumes]
    found += [(f"log: {b.stage}", Unhealthy("answered rows are missing from the log")) for b in monitors.lost]
    if monitors.shadow:
        last = monitors.shadow[-1]
        judged = {"rows": last.asked, "paired": last.paired}
        found.append(("shadow", Unhealthy(f"only {last.share:.0%} of its requests match the champion") if last.broken else Healthy(judged)))
    found += [("released bundles", Unhealthy(f"bundle {short(b)} is serving but was never released")) for b in monitors.unreleased_bundles]
    return found + [(b.subject, Unknown(b.why)) for b in monitors.blind]


def _health_of_slices(slices: Sequence[PerformanceReading]) -> Health:
    worse = [r.name for r in slices if r.alarming]
    if worse:
        return Unhealthy(f"worse than the baseline: {', '.join(worse)}")
    judged = [r for r in slices if isinstance(r.health, Healthy)]
    if not judged:
        return Unknown("no slice has enough rows with outcomes, both in the baseline and since")
    return Healthy({"slices": len(judged), "not judged": len(slices) - len(judged)})


def _performance(world: World, monitor: Monitor, champion: str, windows: list[Window]) -> list[PerformanceReading]:
    baseline = baseline_windows(world, champion)
    since = [w for w in windows if w.performance]
    threshold = world.threshold(monitor.performance_budget)
    return [read_performance(tolerance, baseline, since, threshold) for tolerance in monitor.performance]


def _slices(world: World, monitor: Monitor, champion: str, windows: list[Window]) -> list[PerformanceReading] | None:
    if not monitor.slices:
        return None
    baseline = baseline_windows(world, champion)
    return [
        reading
        for tolerance in monitor.performance
        for reading in read_slices(tolerance, baseline, windows, lambda slices: world.threshold(monitor.slice_budget(slices)))
    ]


def _drift(world: World, monitor: Monitor, champion: str, champion_since: datetime) -> DriftReading:
    detector = world.running_detector(champion, champion_since, monitor)
    judged = detector.judged_to
    since = champion_since if judged is None else judged + world.grid.tick
    detector.add(w for w in windows_of(world, champion, since) if w.role == CHAMPION)
    return detector.reading()


def drift_until(world: World, monitor: Monitor, champion: str, champion_since: datetime, end: datetime) -> DriftReading:
    """What the drift monitor said of a champion when the window that ends then had closed."""
    detector = world.champion_detector(champion, monitor)
    detector.add(w for w in windows_of(world, champion, champion_since, end) if w.role == CHAMPION)
    return detector.reading()


def _skew(world: World, monitor: Monitor, now: datetime) -> SkewReading | None:
    """The skew of the window that closed last."""
    if monitor.skew is None:
        return None
    end = world.grid.floor(now)
    logged = read_log(world.log_folder, end - world.grid.tick, end, world.workspace.files)
    if logged is None:
        return SkewReading(monitor.skew, None)
    return SkewReading(monitor.skew, served_skew(world, logged.by(CHAMPION)))


def _volume(world: World, monitor: Monitor) -> VolumeReading:
    """The endpoint's own traffic, whoever answered it."""
    threshold = world.threshold(monitor.volume_budget(1 + len(world.known_times)))
    detector = world.volume_detector(PREDICTIONS, threshold)
    detector.add(answered_by_window(world, detector.judged_to))
    return detector.reading()


def _table_volumes(world: World, monitor: Monitor, now: datetime) -> list[VolumeReading]:
    """What each table the endpoint lives on was told in every tick: a source that stands still is seen here first."""
    threshold = world.threshold(monitor.volume_budget(1 + len(world.known_times)))
    tick, past = world.grid.tick, history_of(world)
    found = []
    for name, known in world.known_times.items():
        if not len(known):
            continue
        detector = world.volume_detector(name, threshold)
        first = detector.judged_to + tick if detector.judged_to else world.grid.ceiling(from_epoch(int(known[0])))
        end = now if past is None or now > past.until else min(now, from_epoch(int(known[-1])))  # where data ends, no feed has stopped
        count = max((world.grid.floor(end) - first) // tick, 0)
        borders = since_epoch(first) + microseconds(tick) * np.arange(count + 1)
        counts = [(first + i * tick, int(n)) for i, n in enumerate(np.diff(known.searchsorted(borders)))]
        detector.add(counts if past is None else [(start, rows) for start, rows in counts if not past.in_gap(start)])
        found.append(detector.reading())
    return found


def _expected(world: World, monitor: Monitor, champion: str, windows: list[Window]) -> list[ExpectedReading]:
    windows = [w for w in windows if w.expected is not None and w.rows]
    baseline = [p for p in baseline_windows(world, champion) if p.rows]
    found = []
    for tolerance in monitor.performance:
        metric = tolerance.metric
        if metric in ROW_LOSSES and baseline:
            told = [
                (w.start, Expected(*w.expected[metric]), w.performance.value(metric) if w.performance and w.performance.rows else None)
                for w in windows
                if w.expected is not None and metric in w.expected
            ]
            found.append(read_expected(tolerance, float(np.mean([p.value(metric) for p in baseline])), told))
    return found


def _metrics(world: World, monitor: Monitor) -> list[BusinessMetricReading]:
    """The series of each business metric, whichever bundle answered."""
    if not monitor.metrics:
        return []
    rows = world.catalog.rows(
        sa.select(db.windows.c.start, db.windows.c.metrics, db.windows.c.performance)
        .where(db.windows.c.endpoint == world.endpoint.name, db.windows.c.role == CHAMPION)
        .where(db.windows.c.metrics.is_not(None), db.windows.c.rows > 0)
        .order_by(db.windows.c.start)
    )
    threshold = world.threshold(monitor.metric_budget)
    drawn = [(from_epoch(r.start), json.loads(r.metrics), r.performance is not None) for r in rows]
    return [
        read_business_metric(
            metric,
            [(s, told.get(metric.name)) for s, told, due in drawn if due or not metric.needs_outcomes],
            threshold,
            world.grid.calendar,
        )
        for metric in monitor.metrics
    ]


def _traffic(world: World) -> list[Traffic]:
    """What the traffic of the last windows was like, in the order of time."""
    rows = world.catalog.rows(
        sa.select(db.windows.c.start, db.windows.c.rows, db.windows.c.traffic)
        .where(db.windows.c.endpoint == world.endpoint.name, db.windows.c.role == CHAMPION, db.windows.c.traffic.is_not(None))
        .order_by(db.windows.c.start.desc())
        .limit(MAX_TRAFFIC)
    )
    return [Traffic(**{"start": from_epoch(r.start), "rows": r.rows, **json.loads(r.traffic)}) for r in reversed(rows)]


def _objectives(world: World, traffic: Sequence[Traffic]) -> list[ObjectiveReading]:
    """What the endpoint promises, held against its traffic. What the log samples stands for as many rows as it was drawn from."""
    slo, logged = world.endpoint.slo, world.workspace.settings.serving.log_share
    late = Objective(
        "latency",
        1 - IN_TIME,
        f"answers take longer than {slo.p99_ms:g} ms",
        "check the stage latencies in /metrics; add workers, or use a smaller model",
    )
    lost = Objective(
        "errors",
        slo.errors,
        "rows have no answer, or only a fallback's",
        "check the errors by code in /metrics, and the server's log, for the part that fails",
    )
    found = [read_objective(late, [Missed(t.start, t.slow, t.rows) for t in traffic])]
    found.append(read_objective(lost, [_unanswered(t, logged) for t in traffic]))
    for table, span in slo.freshness.items():
        old = Objective(
            f"freshness of {table}",
            1 - IN_TIME,
            f"answers are served while the newest row of {table} is older than {in_words(duration(span))}",
            f"check what fills {table}; the next ingestion backfills what was missed",
        )
        found.append(read_objective(old, [Missed(t.start, t.stale[table], t.rows) for t in traffic if table in t.stale]))
    return found


def _unanswered(window: Traffic, logged: float) -> Missed:
    """The rows that had no answer, or a fallback's. logged: the share of rows that the log has; of none of them nothing is known"""
    if window.failed is None or not logged:
        return Missed(window.start, None, window.rows)
    fallbacks = round(window.fallbacks / logged)
    return Missed(window.start, fallbacks + window.failed, round(window.rows / logged) + fallbacks + window.failed)


def _unreleased_bundles(world: World) -> list[str]:
    """Bundles that answered as champion in the newest window, though the catalog never made them so."""
    mine = sa.and_(db.windows.c.endpoint == world.endpoint.name, db.windows.c.role == CHAMPION, db.windows.c.rows > 0)
    newest = sa.select(sa.func.max(db.windows.c.start)).where(mine).scalar_subquery()
    rows = world.catalog.rows(sa.select(db.windows.c.bundle).where(mine, db.windows.c.start == newest).distinct())
    return sorted({row.bundle for row in rows} - released_champions(world))


def _shadow(world: World, release: Release) -> list[Paired]:
    """The windows of the challenger that shadows now. The first is left out: a server begins with it when it hears of it."""
    if release.challenger is None:
        return []
    return shadow_windows(world, release.challenger, release.challenger_since + world.grid.tick)


def served_balances(log_folder: Path) -> list[Balance]:
    """The sums that an endpoint's servers state: rows answered = rows logged, of each writer."""
    found = []
    for path in sorted(log_folder.glob(f"*/{SUMS_FILE}")):
        try:
            told = msgspec.json.decode(path.read_bytes())
            found.append(Balance(f"served {told['writer']}", told["answered"], {"logged": told["logged"]}))
        except (msgspec.DecodeError, KeyError, TypeError):
            found.append(Balance(f"served {path.parent.name}, whose sums can't be read", 1, {"logged": 0}))
    return found


def _blind(world: World, now: datetime) -> list[Blind]:
    """What should be seen by now and is not: predictions in the newest window, outcomes that are due."""
    rows = world.catalog.rows(
        sa.select(db.windows.c.start, db.windows.c.rows, db.windows.c.performance)
        .where(db.windows.c.endpoint == world.endpoint.name, db.windows.c.role == CHAMPION)
        .order_by(db.windows.c.start.desc())
        .limit(60)
    )
    found = []
    if rows and rows[0].rows == 0:
        silent = next((i for i, r in enumerate(rows) if r.rows), len(rows))
        found.append(Blind(PREDICTIONS, from_epoch(rows[silent - 1].start), "no predictions were logged: the inputs can't be evaluated"))
    overdue = since_epoch(now - world.endpoint.model.label.maturity - 3 * world.grid.tick)
    lost = [r.start for r in rows if r.performance is None and r.rows and r.start < overdue]
    if lost:
        found.append(Blind("due windows", from_epoch(min(lost)), f"{len(lost)} windows are due and can't be evaluated: their log is gone"))
    matured = [(r.start, json.loads(r.performance)) for r in rows if r.performance is not None and r.rows]
    dark = next((i for i, (_, p) in enumerate(matured) if p["rows"] >= MIN_KNOWN * (p["rows"] + p["missing"])), len(matured))
    if dark >= DARK:
        share = matured[0][1]["rows"] / max(matured[0][1]["rows"] + matured[0][1]["missing"], 1)
        why = f"only {share:.0%} of the due outcomes have arrived: performance can't be evaluated"
        found.append(Blind("outcomes", from_epoch(matured[dark - 1][0]), why))
    return found
