"""The windows of an endpoint: the prediction log and the outcomes become rows of the catalog, and are read from there."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from noria.core.clock import duration, from_epoch, microseconds, since_epoch
from noria.core.errors import OutsideWorld, UserMistake
from noria.core.ids import canonical_json, finite
from noria.loop.columns import served_skew
from noria.loop.known_rows import ages
from noria.loop.offline_shadow import offline_challengers, recorded_challengers, with_answers
from noria.loop.releases import current_release, released_champions
from noria.loop.shadow import pairing
from noria.loop.world import World
from noria.models.registry import CHALLENGER, CHAMPION
from noria.monitoring.monitor import Monitor
from noria.monitoring.traffic import Traffic
from noria.monitoring.windows import Performance, Window, measure
from noria.serving.log.predictions import FALLBACK, Predictions
from noria.serving.log.segments import read_log
from noria.serving.observe.failures import FailuresUnread, failed_between
from noria.stores import catalog as db

logger = logging.getLogger("noria.monitoring")

LATER = ("performance", "expected", "traffic", "metrics", "paired", "skew")  # columns of a window that not every row has from the beginning
SLOW = 1000  # microseconds in a millisecond
MAX_TRAFFIC = 60  # windows


class ClockWentBack(OutsideWorld):
    """It is earlier than what was already observed."""

    code = "NR-403"

    def __init__(self, now: datetime, measured: datetime) -> None:
        super().__init__(
            what="the system clock has gone backwards",
            where=f"it says {now:%Y-%m-%d %H:%M} UTC, and windows up to {measured:%Y-%m-%d %H:%M} UTC were already observed",
            fix="correct this machine's clock; nothing was observed or decided",
        )


def measure_windows(world: World, now: datetime) -> None:
    """Record every window that has closed, and the performance of every window whose outcomes are now due."""
    release = current_release(world)
    if release is None or not world.watched:
        return
    tick, name = world.grid.tick, world.endpoint.name
    measured = world.catalog.progress(f"windows/{name}") or world.grid.floor(release.champion_since)
    if world.grid.floor(now) < measured:
        raise ClockWentBack(now, measured)
    closed = [measured + i * tick for i in range((world.grid.floor(now) - measured) // tick)]
    fresh = [row for start in closed for row in _closed_window(world, start, newest=start == closed[-1])]
    with world.catalog.transaction() as c:
        if fresh:
            c.execute(sa.insert(db.windows), fresh)
        db.set_progress(c, f"windows/{name}", measured + len(closed) * tick)
    due = world.catalog.rows(  # of those just recorded as well: after a rest, a loop finds windows that are due already
        sa.select(db.windows.c.start)
        .where(db.windows.c.endpoint == name, db.windows.c.performance.is_(None), db.windows.c.rows > 0)
        .where(db.windows.c.start <= since_epoch(now - world.endpoint.model.label.maturity - tick))
        .distinct()
        .order_by(db.windows.c.start)
    )
    matured = [row for found in due for row in _matured_window(world, from_epoch(found.start), now)]
    if not matured:
        return
    with world.catalog.transaction() as c:
        for start, bundle, told in matured:
            same = sa.and_(db.windows.c.endpoint == name, db.windows.c.start == start, db.windows.c.bundle == bundle)
            c.execute(sa.update(db.windows).where(same).values(**told))


def _watched(logged: Predictions) -> Predictions:
    """The predictions that a bundle is judged by: not those in which it stood in for another."""
    return logged.where(np.array([v != FALLBACK for v in logged.variant], dtype=bool))


def _closed_window(world: World, start: datetime, *, newest: bool) -> list[dict[str, Any]]:
    """One row per bundle that answered or shadowed in the window; one with no rows if nothing was logged at all. newest: whether it is the
    one that closed last, whose skew is watched"""
    logged, offline = _logged(world, start)
    common = {"endpoint": world.endpoint.name, "start": since_epoch(start), **dict.fromkeys(LATER)}
    found = [] if logged is None else [{**common, **told} for told in _answered(world, logged, offline)]
    champions = [row for row in found if row["role"] == CHAMPION]
    if not champions:
        release = current_release(world)
        assert release is not None
        champions = [{**common, "bundle": release.champion, "role": CHAMPION, "rows": 0, "statistics": None}]
        found += champions
    if world.monitor is not None:
        champions[0]["traffic"] = canonical_json(_traffic(world, start, logged))
        if newest and logged is not None and world.monitor.skew is not None:
            champions[0]["skew"] = canonical_json(_skew(world, logged.by(CHAMPION)))
    return found


def _logged(world: World, start: datetime) -> tuple[Predictions | None, set[str]]:
    """What a window's log has, with the answers of challengers that no server could ask; and which those are."""
    logged = read_log(world.log_folder, start, start + world.grid.tick, world.workspace.files)
    if logged is None:
        return None, set()
    offline = offline_challengers(world, logged, start)
    return with_answers(world, logged, offline), offline


def _answered(world: World, logged: Predictions, offline: set[str]) -> Iterator[dict[str, Any]]:
    """What is kept of each bundle that answered or shadowed. Of an offline shadow, pairs wait for the outcomes."""
    watched, released = _watched(logged), released_champions(world)
    for role, bundle in sorted(set(zip(watched.variant, watched.bundle, strict=True))):
        rows = watched.of(bundle)
        known = role == CHAMPION and world.monitor is not None and bundle in released
        told: dict[str, str | None] = {**_told(world, bundle, rows)} if known else {"statistics": None}
        if role == CHALLENGER and bundle not in offline:
            told["paired"] = canonical_json(pairing(world.endpoint.task, watched.by(CHAMPION), rows, None))
        yield {"bundle": bundle, "role": role, "rows": len(rows), **told}


def _traffic(world: World, start: datetime, logged: Predictions | None) -> dict[str, Any]:
    """What the traffic of a window was like, whichever bundle answered: as `Traffic` has it."""
    try:
        failed: int | None = failed_between(world.log_folder, start, start + world.grid.tick)
    except FailuresUnread as error:
        logger.error("%s", error)
        failed = None
    freshness = world.endpoint.slo.freshness
    if logged is None:
        return {"rows": 0, "keys": 0, "repeated": 0, "slow": 0, "fallbacks": 0, "failed": failed, "stale": dict.fromkeys(freshness, 0)}
    rows, fallbacks = logged.by(CHAMPION), logged.by(FALLBACK)
    keys = [key for key in rows.keys if key is not None]
    return {
        "rows": len(rows),
        "keys": len(keys),
        "repeated": len(keys) - len(set(keys)),
        "slow": int((rows.latency_us > SLOW * world.endpoint.slo.p99_ms).sum()),
        "fallbacks": len(fallbacks),
        "failed": failed,
        "stale": {
            name: int((ages(world, name, rows.received_us) > microseconds(duration(span))).sum()) for name, span in freshness.items()
        },
    }


def _skew(world: World, rows: Predictions) -> dict[str, Any]:
    """The skew of what a window was served, or why it can't be measured."""
    try:
        return dict(finite(served_skew(world, rows).to_dict()))
    except Exception as error:
        logger.error("the skew of %s can't be measured: %r", world.endpoint.name, error, exc_info=logger.isEnabledFor(logging.DEBUG))
        return {"failed": f"{type(error).__name__}: {error}"}


def _told(world: World, bundle: str, rows: Predictions) -> dict[str, str]:
    """What is kept of a champion's window: its statistics, the losses to be expected of its scores, and business metrics."""
    assert world.monitor is not None
    return {
        "statistics": _statistics(world, bundle, rows),
        "expected": canonical_json(_expected(world, world.monitor, bundle, rows)),
        "metrics": _metrics(world, bundle, rows, None),
    }


def _expected(world: World, monitor: Monitor, bundle: str, rows: Predictions) -> dict[str, dict[str, float]]:
    """What each watched mean over rows is expected to be, before outcomes come; nothing where the task can't say."""
    task, fitted = world.endpoint.task, world.candidate_detail(bundle).get("calibration", ())
    if task.estimator is None:
        return {}
    return {metric.name: vars(task.estimator.expected(metric, rows.prediction, fitted)) for metric in monitor.losses(task)}


def _statistics(world: World, bundle: str, rows: Predictions) -> str:
    statistics = world.profile(bundle).statistics(profiled(world, bundle, rows))
    return canonical_json([[None if np.isnan(v) else float(v) for v in column] for column in statistics])


def _matured_window(world: World, start: datetime, now: datetime) -> list[tuple[int, str, dict[str, str]]]:
    logged, _ = _logged(world, start)
    if logged is None:
        return []
    watched = _watched(logged)
    task = world.endpoint.task
    nothing = canonical_json(measure(task, np.empty(0), np.empty(0)).to_dict())
    found = [
        (since_epoch(start), b, {"performance": nothing}) for b in sorted(recorded_challengers(world, start).difference(watched.bundle))
    ]
    champions, released = watched.by(CHAMPION), released_champions(world)
    shadows = set(watched.by(CHALLENGER).bundle)
    for bundle in sorted(set(watched.bundle)):
        rows = watched.of(bundle)
        labels = world.outcomes.known_at(rows.keys, now)
        cut_by = _cut_by(world, bundle, rows) if bundle in released else {}
        told = {"performance": canonical_json(measure(task, labels, rows.prediction, cut_by).to_dict())}
        if bundle in shadows:
            known = world.outcomes.known_at(champions.keys, now)
            told["paired"] = canonical_json(pairing(task, champions, rows.by(CHALLENGER), known))
        if world.monitor is not None and any(metric.needs_outcomes for metric in world.monitor.metrics):
            told["metrics"] = _metrics(world, bundle, rows, labels)
        found.append((since_epoch(start), bundle, told))
    return found


def _cut_by(world: World, bundle: str, rows: Predictions) -> dict[str, NDArray[np.float64]]:
    """The features whose values make slices, as they were served."""
    signature = world.bundle(bundle).signature
    inputs = rows.inputs(signature) if world.slices else None
    return {} if inputs is None else {name: inputs.numbers(name) for name in world.slices if name in signature.names}


def _metrics(world: World, bundle: str, rows: Predictions, labels: NDArray[np.float64] | None) -> str:
    """The business metrics of a window: those that need outcomes only once there are labels. What can't be drawn is null."""
    import pyarrow as pa

    assert world.monitor is not None
    found: dict[str, float | None] = {}
    wanted = [m for m in world.monitor.metrics if labels is not None or not m.needs_outcomes]
    if wanted:
        columns = {"key": pa.array(rows.keys, pa.string()), "received_at": pa.array(rows.received_us, pa.timestamp("us", tz="UTC"))}
        columns |= rows.inputs(world.bundle(bundle).signature).columns()
        predictions = pa.table({**columns, "prediction": pa.array(rows.prediction)})
        known = np.full(len(rows), np.nan) if labels is None else labels
        there = ~np.isnan(known)
        keys = [key for key, known_too in zip(rows.keys, there, strict=True) if known_too]
        outcomes = pa.table({"key": pa.array(keys, pa.string()), "outcome": pa.array(known[there])})
        for metric in wanted:
            try:
                found[metric.name] = metric.draw(predictions, outcomes)
            except UserMistake as error:
                logger.error("%s", error)
                found[metric.name] = None
    return canonical_json(found)


def answered_rows(world: World, bundle: str, start: datetime) -> Predictions | None:
    """The rows that a bundle answered as champion in a window, from the log; None where that has nothing of it."""
    logged = read_log(world.log_folder, start, start + world.grid.tick, world.workspace.files)
    rows = None if logged is None else logged.of(bundle).by(CHAMPION)
    return rows if rows is not None and len(rows) else None


def profiled(world: World, bundle: str, rows: Predictions) -> NDArray[np.float64]:
    """Logged rows of a bundle as its profile has them: the features, then the prediction, `(rows, columns)`."""
    return np.column_stack([rows.inputs(world.bundle(bundle).signature).block, rows.prediction])


def windows_of(world: World, bundle: str, since: datetime, until: datetime | None = None, *, statistics: bool = True) -> list[Window]:
    """The recorded windows of one bundle that begin in [since, until), in time order; their statistics cost most to read, and not all
    need them."""
    rows = world.catalog.rows(
        sa.select(db.windows)
        .where(db.windows.c.endpoint == world.endpoint.name, db.windows.c.bundle == bundle)
        .where(db.windows.c.start >= since_epoch(since), sa.true() if until is None else db.windows.c.start < since_epoch(until))
        .order_by(db.windows.c.start)
    )
    return [
        Window(
            from_epoch(r.start),
            r.bundle,
            r.role,
            r.rows,
            None if r.statistics is None or not statistics else np.array(json.loads(r.statistics), dtype=np.float64),
            None if r.performance is None else Performance.of(json.loads(r.performance)),
            None if r.expected is None else {name: (e["mean"], e["sd"]) for name, e in json.loads(r.expected).items()},
        )
        for r in rows
    ]


def baseline_windows(world: World, bundle: str) -> list[Performance]:
    """The performance that a bundle was accepted with: its holdout's, window by window."""
    return [Performance.of(w) for w in world.candidate_detail(bundle).get("baseline", [])]


def answered_by_window(world: World, after: datetime | None = None) -> list[tuple[datetime, int]]:
    """How many rows champions answered in each window (start, rows) that began after a moment, in the order of time."""
    rows = world.catalog.rows(
        sa.select(db.windows.c.start, sa.func.sum(db.windows.c.rows).label("rows"))
        .where(db.windows.c.endpoint == world.endpoint.name, db.windows.c.role == CHAMPION)
        .where(db.windows.c.start > (since_epoch(after) if after else -1))
        .group_by(db.windows.c.start)
        .order_by(db.windows.c.start)
    )
    return [(from_epoch(r.start), int(r.rows)) for r in rows]


def skew_of(world: World, start: datetime) -> dict[str, Any] | None:
    """The skew of a window as it was measured when that closed, or why it `failed`; None where it was not."""
    mine = sa.and_(db.windows.c.endpoint == world.endpoint.name, db.windows.c.start == since_epoch(start), db.windows.c.skew.is_not(None))
    rows = world.catalog.rows(sa.select(db.windows.c.skew).where(mine))
    return dict(json.loads(rows[0].skew)) if rows else None


def traffic_of(world: World) -> list[Traffic]:
    """What the traffic of the last windows was like, in the order of time."""
    rows = world.catalog.rows(
        sa.select(db.windows.c.start, db.windows.c.rows, db.windows.c.traffic)
        .where(db.windows.c.endpoint == world.endpoint.name, db.windows.c.role == CHAMPION, db.windows.c.traffic.is_not(None))
        .order_by(db.windows.c.start.desc())
        .limit(MAX_TRAFFIC)
    )
    return [Traffic(**{"start": from_epoch(r.start), "rows": r.rows, **json.loads(r.traffic)}) for r in reversed(rows)]
