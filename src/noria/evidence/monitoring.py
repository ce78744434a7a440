"""What a monitoring report shows: the health of every monitor, findings, evidence over time, and before and after of what moved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from noria.core.clock import from_epoch
from noria.core.health import Health, Healthy, Unhealthy, Unknown, word
from noria.data.profile import ColumnReference, Profile
from noria.data.sketch import BELOW, NULL, Sketch
from noria.evidence.early import early_estimates
from noria.evidence.figures import findings
from noria.loop.monitors import Monitors, healths, read_monitors
from noria.loop.releases import Release, current_release
from noria.loop.windows import accepted_windows, answered_by_window, answered_rows, windows_of
from noria.loop.world import World
from noria.monitoring.drift import DriftReading
from noria.monitoring.findings import began
from noria.monitoring.performance import PerformanceReading
from noria.monitoring.windows import Window
from noria.stores import catalog as db

MOST_COLUMNS = 6
MOST_BARS = 24


def monitor_figures(world: World) -> dict[str, Any]:
    """The figures of one endpoint's monitors, as of its newest window."""
    release = current_release(world)
    now = newest(world, release)
    monitors = Monitors() if release is None or now is None else read_monitors(world, release, now)
    windows = [] if release is None else windows_of(world, release.champion, release.champion_since, statistics=False)
    return {
        "endpoint": world.endpoint.name,
        "at": None if now is None else now.isoformat(),
        "champion": None if release is None else release.champion,
        "since": None if release is None else release.champion_since.isoformat(),
        "monitors": [{"monitor": name, **health_dict(health)} for name, health in healths(monitors)],
        "findings": findings(world.catalog),
        "drift": None if monitors.drift is None else _drift(world, monitors.drift, release),
        "performance": [] if release is None else _performance(world, monitors, release, windows),
        "early": [] if release is None or now is None else early_estimates(world, release.champion, windows, now),
        "slices": [_slice(reading) for reading in monitors.slices or () if len(reading.values)],
        "volume": _volume(world),
    }


def newest(world: World, release: Release | None) -> datetime | None:
    """The moment up to which an endpoint was observed: its last window's end (history stands still in a replay)."""
    latest = world.catalog.rows(sa.select(sa.func.max(db.windows.c.start)).where(db.windows.c.endpoint == world.endpoint.name))[0][0]
    if latest is not None:
        return from_epoch(latest) + world.grid.tick
    return None if release is None else release.champion_since


def health_dict(health: Health) -> dict[str, Any]:
    """A health as plain data."""
    match health:
        case Healthy(evidence=evidence):
            return {"health": word(health), "evidence": dict(evidence)}
        case Unhealthy(cause=cause):
            return {"health": word(health), "cause": cause}
        case Unknown(why=why):
            return {"health": word(health), "why": why}


def _drift(world: World, reading: DriftReading, release: Release | None) -> dict[str, Any] | None:
    if release is None or not len(reading.pooled):
        return None
    start = began(reading.pooled, reading.level)
    shown = len(reading.pooled) - 1 if start is None else start
    profile = world.profile(release.champion)
    order = np.argsort(-(reading.weights * reading.evidence[shown]))
    faulty = [fault.column for fault in reading.faults_of(shown)]
    names = list(dict.fromkeys([*faulty, *(reading.columns[i] for i in order)]))[:MOST_COLUMNS]
    window = reading.starts[shown]
    return {
        "starts": [s.isoformat() for s in reading.starts],
        "pooled": reading.pooled.tolist(),
        "level": reading.level,
        "shift": {name: _numbers(reading.shift[:, i]) for i, name in enumerate(reading.columns)},
        "window": window.isoformat(),
        "columns": _before_and_after(world, release, profile, names, window),
    }


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    """For JSON, which has no NaN: a window in which a column is null has no mean."""
    return [None if np.isnan(v) else round(float(v), 4) for v in values]


def _before_and_after(world: World, release: Release, profile: Profile, names: Sequence[str], window: datetime) -> list[dict[str, Any]]:
    """The distributions of columns in the reference and in a window, as shares of the same bins."""
    rows = answered_rows(world, release.champion, window)
    if rows is None:
        return []
    sketch = profile.sketch()
    sketch.add(np.column_stack([rows.features, rows.prediction]))
    return [_distribution(profile.columns[i], sketch, i) for i in (profile.names.index(name) for name in names)]


def _distribution(column: ColumnReference, sketch: Sketch, place: int) -> dict[str, Any]:
    counts = sketch.counts[place]
    bins = len(column.summary.counts)
    inside = counts[:bins]
    before = column.summary.counts / max(column.summary.rows, 1)
    after = inside / max(sketch.rows, 1)
    if column.values is not None:
        labels = [f"{value:g}" for value in column.values]
    else:
        edges = [column.summary.least or 0.0, *column.summary.edges.tolist(), column.summary.greatest or 0.0]
        labels = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    rest = [("elsewhere", 0.0, counts[BELOW:NULL].sum()), ("null", column.summary.nulls / max(column.summary.rows, 1), counts[NULL])]
    extra = [(name, was, int(now) / max(sketch.rows, 1)) for name, was, now in rest if now or was]
    return {
        "column": column.name,
        "labels": [*labels, *(name for name, _, _ in extra)],
        "before": [*before.round(5).tolist(), *(round(was, 5) for _, was, _ in extra)],
        "after": [*after.round(5).tolist(), *(round(now, 5) for _, _, now in extra)],
    }


def _performance(world: World, monitors: Monitors, release: Release, windows: Sequence[Window]) -> list[dict[str, Any]]:
    accepted = accepted_windows(world, release.champion)
    found = []
    for reading in monitors.performance:
        metric = reading.tolerance.metric
        found.append(
            {
                "metric": metric,
                "accepted": reading.accepted,
                "accepted_windows": [p.value(metric) for p in accepted if p.rows],
                "tolerance": reading.tolerance.by,
                "starts": [start.isoformat() for start in reading.starts],
                "values": reading.values.round(5).tolist(),
                "evidence": reading.evidence.tolist(),
                "level": reading.level,
                "waiting": sum(w.performance is None for w in windows),
            }
        )
    return found


def _slice(reading: PerformanceReading) -> dict[str, Any]:
    return {
        "slice": reading.slice,
        "metric": reading.tolerance.metric,
        "accepted": reading.accepted,
        "recent": reading.recent,
        "windows": len(reading.values),
        "evidence": float(reading.evidence[-1]),
        "level": reading.level,
    }


def _volume(world: World) -> dict[str, Any]:
    windows = answered_by_window(world)
    return {"starts": [start.isoformat() for start, _ in windows], "rows": [rows for _, rows in windows]}
