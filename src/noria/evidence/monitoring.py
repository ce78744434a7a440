"""What a monitoring report shows: the health of every monitor, findings, evidence over time, and before and after of what moved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.evidence.figures import findings
from noria.evidence.inputs import input_figures
from noria.evidence.problems import incidents, told_monitors
from noria.evidence.tables import minute
from noria.loop.context import EndpointContext
from noria.loop.live_loop import PROJECT
from noria.monitoring.drift_reading import DriftReading
from noria.monitoring.monitors.drift import InputDrift
from noria.monitoring.monitors.performance import Performance, PerformanceBySlice
from noria.monitoring.monitors.reading import Monitors, read_monitors
from noria.monitoring.partial_outcomes import partial_outcomes
from noria.monitoring.performance import PerformanceReading
from noria.monitoring.recorded import answered_by_window, answered_rows, baseline_windows, profiled, windows_of
from noria.monitoring.windows import Window
from noria.release.releases import Release, current_release
from noria.stores.windows import window_span


def monitor_figures(context: EndpointContext) -> dict[str, Any]:
    """The figures of one endpoint's monitors, as of its newest window."""
    release = current_release(context)
    now = newest(context, release)
    monitors = Monitors() if release is None or now is None else read_monitors(context, release, now)
    drift, performance, slices = monitors.of(InputDrift), monitors.of(Performance), monitors.of(PerformanceBySlice)
    found = findings(context.stores.catalog, [context.endpoint.name, PROJECT])
    windows = [] if release is None else windows_of(context, release.champion, release.champion_since, statistics=False)
    return {
        "endpoint": context.endpoint.name,
        "at": None if now is None else now.isoformat(),
        "champion": None if release is None else release.champion,
        "since": None if release is None else release.champion_since.isoformat(),
        "incidents": incidents(found),
        "monitors": told_monitors(monitors, found),
        "findings": found,
        "drift": None if drift is None or release is None else inputs_of(context, drift.reading, release.champion),
        "performance": [] if performance is None or release is None else _performance(context, performance, release, windows),
        "early": [] if release is None or now is None else partial_outcomes(context, release.champion, windows, now),
        "slices": [_slice(reading) for reading in (slices.readings if slices else ()) if len(reading.values)],
        "volume": _volume(context),
    }


def newest(context: EndpointContext, release: Release | None) -> datetime | None:
    """The moment up to which an endpoint was observed: its last window's end (history stands still in a replay)."""
    span = window_span(context.stores.catalog, context.endpoint.name)
    if span is not None:
        return span[1] + context.grid.tick
    return None if release is None else release.champion_since


def inputs_of(context: EndpointContext, reading: DriftReading, champion: str, *, newest: bool = False) -> dict[str, Any] | None:
    """How a champion's inputs have moved, as `input_figures` tells it, with what is logged of them."""

    def values(window: datetime) -> NDArray[np.float64] | None:
        rows = answered_rows(context, champion, window)
        return None if rows is None else profiled(context, champion, rows)

    labels, against = context.stores.category_labels(champion), _compared_with(context, champion)
    return input_figures(reading, context.stores.profile(champion), values, against, labels, newest=newest)


def _compared_with(context: EndpointContext, champion: str) -> str:
    """What a champion's windows are compared with, in words."""
    if context.monitor is not None and context.monitor.rolling is not None:
        return f"the {context.monitor.rolling} before each window"
    period = context.stores.bundle(champion).manifest.lineage.reference
    told = "the training data of the champion"
    return told if period is None else f"{told} from {minute(period.start.isoformat())} to {minute(period.end.isoformat())}"


def _performance(context: EndpointContext, performance: Performance, release: Release, windows: Sequence[Window]) -> list[dict[str, Any]]:
    baseline = baseline_windows(context, release.champion)
    found = []
    for reading in performance.readings:
        metric = reading.metric
        found.append(
            {
                "metric": metric.name,
                "title": metric.heading,
                "unit": metric.unit,
                "baseline": reading.baseline,
                "baseline_windows": [p.value(metric) for p in baseline if p.rows],
                "tolerance": reading.tolerance.by,
                "tolerated": metric.tolerated(reading.baseline, reading.tolerance.by),
                "starts": [start.isoformat() for start in reading.starts],
                "values": reading.values.round(5).tolist(),
                "evidence": reading.evidence.tolist(),
                "threshold": reading.threshold,
                "interval": _interval(reading),
                "waiting": sum(w.performance is None for w in windows),
            }
        )
    return found


def _interval(reading: PerformanceReading) -> dict[str, float] | None:
    return None if reading.interval is None else reading.interval.to_dict()


def _slice(reading: PerformanceReading) -> dict[str, Any]:
    return {
        "slice": reading.slice,
        "metric": reading.metric.name,
        "baseline": reading.baseline,
        "recent": reading.recent,
        "interval": _interval(reading),
        "windows": len(reading.values),
        "evidence": float(reading.evidence[-1]),
        "threshold": reading.threshold,
    }


def _volume(context: EndpointContext) -> dict[str, Any]:
    windows = answered_by_window(context)
    return {"starts": [start.isoformat() for start, _ in windows], "rows": [rows for _, rows in windows]}
