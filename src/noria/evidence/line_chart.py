"""Lines over time: drawn in the browser by uPlot, with the values at the cursor, zoom and a shared cursor; as SVG where no script runs.

Each figure carries its data as JSON, and `charts.js` draws it. The SVG stands in the page all the same: in mail, and in a viewer without
scripts, the lines are seen, too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any, Literal, TypeVar

from noria.evidence.charts import WIDTH, Frame, Mark, grid, moment_labels, round_step, seconds, span, svg

T = TypeVar("T")
Scale = Literal["plain", "times"]  # times: log10 of evidence divided by its threshold
LETTER = 6.5  # pixels of a caption, about
MIN_LOG10, MAX_LOG10 = -2.5, 3.5  # of the threshold, beyond which evidence says nothing more


@dataclass(frozen=True)
class Line:
    """One line: its name, its CSS class, and a value (or None for a gap) for each moment; one number where it is the same everywhere."""

    name: str
    style: str
    values: Sequence[float | None] | float

    def at(self, count: int) -> Sequence[float | None]:
        """Its value at each of so many moments; what is no number is a gap."""
        values = [self.values] * count if isinstance(self.values, float | int) else self.values
        return [value if value is not None and math.isfinite(value) else None for value in values]


@dataclass(frozen=True)
class Band:
    """A shaded band: its name, its CSS class, and its lower and upper end (or None for a gap) for each moment."""

    name: str
    style: str
    bounds: Sequence[tuple[float, float] | None]


def times(evidence: float, threshold: float) -> float:
    """Evidence against its threshold, on the scale of such charts: 0 is an alarm."""
    return min(max(math.log10(max(evidence, 1e-300) / threshold), MIN_LOG10), MAX_LOG10)


def line_chart(
    lines: Sequence[Line],
    starts: Sequence[str],
    *,
    height: int = 260,
    unit: str = "",
    marks: Sequence[Mark] = (),
    bands: Sequence[Band] = (),
    scale: Scale = "plain",
) -> str:
    """Lines over moments (ISO 8601, in order), marks as vertical rules, bands behind. unit: of the values"""
    moments = [seconds(start) for start in starts]
    ordered = sorted(marks, key=lambda mark: mark.at)
    told = {
        "x": _short(moments),
        "lines": [{"name": line.name, "style": line.style, "values": _rounded(line.values)} for line in lines],
        "bands": [_band_data(band) for band in bands if any(band.bounds)],
        "marks": [{"at": m.at, "style": m.style, "title": m.title, "caption": m.caption} for m in ordered],
        "unit": unit,
        "scale": scale,
        "height": height,
    }
    picture = _picture(lines, starts, moments, height, ordered, bands, of_power if scale == "times" else None)
    names = escape(", ".join(line.name for line in lines))
    return f'<figure class="chart" aria-label="{names}"><script type="application/json">{in_script(told)}</script>{picture}</figure>'


def of_power(value: float) -> str:
    """A value of such a chart at a line of its grid: whole powers of ten only."""
    if abs(value - round(value)) > 1e-9:
        return ""
    return f"{10**value:,.0f} ×" if value >= 0 else f"{100 * 10**value:g}%"


def in_script(told: Any) -> str:
    """Data as JSON in which no text can close the script that it stands in, or open a comment there."""
    found = json.dumps(told, separators=(",", ":"), allow_nan=False)
    return found.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _short(moments: Sequence[float]) -> Any:
    """Moments as charts.js reads them: evenly spaced ones by their first, their step and their count."""
    steps = {after - before for before, after in pairwise(moments)}
    if len(steps) == 1:
        return {"first": moments[0], "step": steps.pop(), "count": len(moments)}
    return list(moments)


def _rounded(values: Sequence[float | None] | float) -> Any:
    """Five digits are more than a chart shows."""
    return _digits(values) if isinstance(values, float | int) else [_digits(value) for value in values]


def _digits(value: float | None) -> float | int | None:
    if value is None or not math.isfinite(value):
        return None
    found = float(f"{value:.5g}") if abs(value) < 1e5 else float(round(value))
    return int(found) if found.is_integer() else found


def _band_data(band: Band) -> dict[str, Any]:
    low, high = ([_digits(each and each[side]) for each in band.bounds] for side in (0, 1))
    return {"name": band.name, "style": band.style, "low": low, "high": high}


# --- without scripts -----------------------------------------------------------------------------------------------------


def _picture(
    lines: Sequence[Line],
    starts: Sequence[str],
    moments: Sequence[float],
    height: int,
    marks: Sequence[Mark],
    bands: Sequence[Band],
    words: Callable[[float], str] | None,
) -> str:
    top = 30 if marks else 14  # marks are named above the plot
    frame = Frame(52, top, WIDTH - 52 - 120, height - top - 30, *span(moments))
    paths = [line.at(len(moments)) for line in lines]
    low, high = _range([value for path in paths for value in path if value is not None])
    parts = [grid(frame, low, high, round_step(low, high), words), moment_labels(frame, starts)]
    parts += [_shaded(frame, band, moments, low, high) for band in bands]
    parts += _rules(frame, [mark for mark in marks if frame.first <= mark.at <= frame.last])
    ends = []
    for line, path in zip(lines, paths, strict=True):
        points = [None if v is None else (frame.x(at), frame.y((v - low) / (high - low))) for at, v in zip(moments, path, strict=True)]
        if isinstance(line.values, float | int):
            points = points[:1] + points[-1:]
        parts.append(f'<path class="line {line.style}" d="{_path(points)}"/>')
        ends += [(point[1], line) for point in points[::-1] if point is not None][:1]
    parts += _end_labels(frame, ends)
    return svg(height, parts, ", ".join(line.name for line in lines))


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    """A line with its gaps; a point by itself is a dot."""
    parts = (part if len(part) > 1 else part * 2 for part in _stretches(points))
    return "".join("M" + " ".join(f"{x:.1f},{y:.1f}" for x, y in part) for part in parts)


def _stretches(points: Sequence[T | None]) -> Iterator[list[T]]:
    """What is there, from gap to gap."""
    part = list[T]()
    for point in [*points, None]:
        if point is not None:
            part.append(point)
        elif part:
            yield part
            part = []


def _rules(frame: Frame, marks: Sequence[Mark]) -> Iterator[str]:
    """Vertical rules, with their captions where these have room."""
    free = -math.inf
    for mark in marks:
        x, half = frame.x(mark.at), LETTER * len(mark.caption) / 2
        yield (
            f'<line class="mark {mark.style}" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.top}" y2="{frame.top + frame.height}">'
            f"<title>{escape(mark.title)}</title></line>"
        )
        if mark.caption and x - half > free:
            free = x + half
            yield f'<text class="caption" text-anchor="middle" x="{x:.1f}" y="{frame.top - 6}">{escape(mark.caption)}</text>'


def _shaded(frame: Frame, band: Band, moments: Sequence[float], low: float, high: float) -> str:
    """A shape for each stretch without a gap, cut off at the ends of the plot."""

    def y(value: float) -> float:
        return frame.y(min(max((value - low) / (high - low), 0.0), 1.0))

    places = [None if each is None else (frame.x(at), y(each[0]), y(each[1])) for at, each in zip(moments, band.bounds, strict=True)]
    shapes = []
    for part in _stretches(places):
        ends = [f"{x:.1f},{lower:.1f}" for x, lower, _ in part] + [f"{x:.1f},{upper:.1f}" for x, _, upper in reversed(part)]
        shapes.append(f'<polygon class="band {band.style}" points="{" ".join(ends)}"/>')
    return "".join(shapes)


def _end_labels(frame: Frame, ends: Sequence[tuple[float, Line]]) -> list[str]:
    """The lines' names at their right ends, moved apart where they would cover each other."""
    parts, last = [], -100.0
    for y, line in sorted(ends, key=lambda end: end[0]):
        last = max(y + 4, last + 15)
        parts.append(f'<text class="end {line.style}" x="{frame.right + 8:.0f}" y="{last:.1f}">{escape(line.name)}</text>')
    return parts


def _range(values: Sequence[float]) -> tuple[float, float]:
    """A range with some air around the values, never empty."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    air = (high - low) * 0.06 or 0.1
    return low - air, high + air
