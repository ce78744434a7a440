"""How inputs have moved: evidence by window, a map of all columns over time, and before and after of those that weigh most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.evidence.charts import bars, heatmap
from noria.evidence.line_chart import Line, line_chart, times
from noria.evidence.tables import day
from noria.evidence.thinned import firsts, greatest, means, places, together
from noria.monitoring.drift_reading import DriftReading
from noria.monitoring.findings import began
from noria.profiles.profile import ColumnReference, Profile
from noria.profiles.sketch import BELOW, NULL, Sketch

MAX_COLUMNS = 6  # before and after
MAX_ROWS, MAX_CELLS = 20, 44  # of the map
MAX_MOMENTS = 240  # of the line
STRONG_SHIFT = 0.25

Floats = NDArray[np.float64]
Labels = Mapping[str, Sequence[str]]


def input_figures(
    reading: DriftReading,
    profile: Profile,
    values: Callable[[datetime], Floats | None],
    against: str,
    labels: Labels | None = None,
    *,
    newest: bool = False,
) -> dict[str, Any] | None:
    """The figures of a reading; None where no window has been judged.

    values: of a window `(rows, columns)`, None if they are gone; against: what windows are compared with, in words
    labels: what the codes of a column of categories stand for
    newest: before and after of the newest window, not of that in which a drift that lasts began
    """
    if not len(reading.pooled):
        return None
    start = began(reading.pooled, reading.threshold)
    shown = len(reading.pooled) - 1 if start is None or newest else start
    order = np.argsort(-(reading.weights * reading.evidence[shown]))
    faulty = [fault.column for fault in reading.faults_of(shown)]
    names = list(dict.fromkeys([*faulty, *(reading.columns[i] for i in order)]))[:MAX_COLUMNS]
    window = reading.starts[shown]
    rows = values(window)
    return {
        "starts": [s.isoformat() for s in reading.starts],
        "pooled": reading.pooled.tolist(),
        "threshold": reading.threshold,
        "shift": {name: _numbers(reading.shift[:, i]) for i, name in enumerate(reading.columns)},
        "against": against,
        "window": window.isoformat(),
        "columns": [] if rows is None else _before_and_after(profile, names, rows, labels or {}),
    }


def _numbers(values: Floats) -> list[float | None]:
    """For JSON, which has no NaN: a window in which a column is null has no mean."""
    return [None if np.isnan(v) else round(float(v), 4) for v in values]


def _before_and_after(profile: Profile, names: Sequence[str], rows: Floats, labels: Labels) -> list[dict[str, Any]]:
    """The distributions of columns in the reference and in a window, as shares of the same bins."""
    sketch = profile.sketch()
    sketch.add(rows)
    places = [profile.names.index(name) for name in names]
    return [_distribution(profile.columns[i], sketch, i, labels.get(profile.names[i], ())) for i in places]


def _distribution(column: ColumnReference, sketch: Sketch, place: int, known: Sequence[str]) -> dict[str, Any]:
    counts = sketch.counts[place]
    bins = len(column.summary.counts)
    inside = counts[:bins]
    before = column.summary.counts / max(column.summary.rows, 1)
    after = inside / max(sketch.rows, 1)
    if column.values is not None:
        labels = [known[int(value)] if 0 <= int(value) < len(known) else f"{value:g}" for value in column.values]
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


def render_inputs(
    inputs: Mapping[str, Any] | None, *, moments: int = MAX_MOMENTS, rows: int = MAX_ROWS, cells: int = MAX_CELLS, charts: int = MAX_COLUMNS
) -> str:
    """The section of a page, from `input_figures`; of many windows and columns so many moments, rows, cells and charts."""
    if inputs is None:
        return "<h2>Inputs</h2><p class='dim'>No window has been evaluated yet.</p>"
    return _evidence(inputs, moments) + _map(inputs, rows, cells) + _charts(inputs, charts)


def _evidence(inputs: Mapping[str, Any], moments: int) -> str:
    groups = places(len(inputs["starts"]), moments)
    evidence = [times(value, inputs["threshold"]) for value in greatest(inputs["pooled"], groups)]
    lines = [Line("evidence", "loop", evidence), Line("alarm", "bad", 0.0)]
    return (
        "<h2>Evidence of input drift</h2><p class='dim'>Over all columns together, against the threshold of an alarm, which the "
        f"false-alarm budget sets.{together(groups, 'greatest')}</p>"
        + line_chart(lines, firsts(inputs["starts"], groups), scale="times", height=200)
    )


def _map(inputs: Mapping[str, Any], rows: int, cells: int) -> str:
    groups, shift = places(len(inputs["starts"]), cells), inputs["shift"]
    strength = {name: max((abs(v) for v in path if v is not None), default=0.0) for name, path in shift.items()}
    named = [c["column"] for c in inputs["columns"]]
    moved = sorted(strength, key=lambda name: (name not in named, -strength[name]))[:rows]
    moved.sort(key=lambda name: -strength[name])
    left = f" The {len(moved)} of {len(shift)} columns that moved most." if len(moved) < len(shift) else ""
    return (
        f"<h2>Drift of each input</h2><p class='dim'>Compared with {escape(inputs['against'])}, weekly season removed: red where values "
        f"rank higher, blue where they rank lower (full color at ±{STRONG_SHIFT}).{left}{together(groups).replace('point', 'cell')}</p>"
        + heatmap(moved, firsts(inputs["starts"], groups), [means(shift[name], groups) for name in moved], most=STRONG_SHIFT)
    )


def _charts(inputs: Mapping[str, Any], most: int) -> str:
    if not most:
        return ""
    if not inputs["columns"]:
        return "<p class='dim'>The rows of that window are no longer stored; their distributions can't be shown.</p>"
    charts = [
        f"<figure><figcaption>{escape(c['column'])}</figcaption>{bars(c['labels'], c['before'], c['after'])}</figure>"
        for c in inputs["columns"][:most]
    ]
    return (
        f"<h2>Before and after</h2><p class='dim'>Gray: the reference. Green: the window of {day(inputs['window'])}. The largest "
        f"change comes first.</p><div class='pair'>{''.join(charts)}</div>"
    )
