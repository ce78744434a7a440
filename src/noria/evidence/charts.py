"""Charts as inline SVG: no script, no font, no address from outside; colours follow the page's light or dark scheme.

Own code, because every charting library for the web brings a script larger than a whole report here, and the three forms
that a report needs (lines, marks on a time line, a heat map) are short.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 960


@dataclass(frozen=True)
class Line:
    """One line: its name, its CSS class, and a value (or None for a gap) per place on the x axis."""

    name: str
    style: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Mark:
    """A moment on the x axis: a fraction of its length, a style, the text shown on hovering, and a caption."""

    at: float
    style: str
    title: str
    caption: str = ""


@dataclass(frozen=True)
class Frame:
    """Where a chart's plot lies inside its picture, in pixels."""

    left: int
    top: int
    width: int
    height: int

    def x(self, share: float) -> float:
        return self.left + share * self.width

    def y(self, share: float) -> float:
        return self.top + (1 - share) * self.height


def line_chart(lines: Sequence[Line], labels: Sequence[str], *, height: int = 260, marks: Sequence[Mark] = ()) -> str:
    """Lines over evenly spaced places; the first and every fourth label is written, marks are vertical rules."""
    top = 30 if marks else 14  # marks are named above the plot
    frame = Frame(52, top, WIDTH - 52 - 120, height - top - 30)
    low, high = _range([v for line in lines for v in line.values if v is not None])
    parts = [_grid(frame, low, high, _step(low, high)), _labels(frame, labels)]
    parts += [
        f'<line class="mark {m.style}" x1="{frame.x(m.at):.1f}" x2="{frame.x(m.at):.1f}" y1="{frame.top}" '
        f'y2="{frame.top + frame.height}"><title>{escape(m.title)}</title></line>'
        f'<text class="caption" text-anchor="middle" x="{frame.x(m.at):.1f}" y="{frame.top - 6}">{escape(m.caption)}</text>'
        for m in marks
    ]
    ends = []
    for line in lines:
        points = [
            (frame.x(_place(i, len(line.values))), frame.y((v - low) / (high - low))) for i, v in enumerate(line.values) if v is not None
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line {line.style}" points="{path}"/>')
        for (x, y), label, value in zip(points, labels, [v for v in line.values if v is not None], strict=False):
            parts.append(
                f'<circle class="dot {line.style}" cx="{x:.1f}" cy="{y:.1f}" r="3.5">'
                f"<title>{escape(line.name)}, {escape(label)}: {value:.4f}</title></circle>"
            )
        if points:
            ends.append((points[-1][1], line))
    parts += _end_labels(frame, ends)
    return _svg(height, parts)


def timeline(marks: Sequence[Mark], lanes: Sequence[tuple[str, str]], labels: Sequence[str]) -> str:
    """Marks on one lane per (style, name), over evenly spaced labels."""
    step = 34
    frame = Frame(52, 8, WIDTH - 52 - 120, step * len(lanes))
    parts = [_labels(frame, labels)]
    for row, (style, name) in enumerate(lanes):
        y = frame.top + row * step + step / 2
        parts.append(f'<line class="grid" x1="{frame.left}" x2="{frame.x(1):.0f}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="end {style}" x="{frame.x(1) + 8:.0f}" y="{y + 4}">{escape(name)}</text>')
        for mark in marks:
            if mark.style == style:
                parts.append(
                    f'<circle class="event {style}" cx="{frame.x(mark.at):.1f}" cy="{y}" r="7"><title>{escape(mark.title)}</title></circle>'
                )
    return _svg(frame.height + 40, parts)


def heatmap(rows: Sequence[str], labels: Sequence[str], values: Sequence[Sequence[float | None]], *, most: float) -> str:
    """A cell per row and place: blue below zero, red above, as strong as |value| / `most`; empty where there is None."""
    cell = 15
    frame = Frame(190, 6, WIDTH - 190 - 10, cell * len(rows))
    wide = frame.width / max(1, len(labels))
    parts = []
    for r, (name, row) in enumerate(zip(rows, values, strict=True)):
        y = frame.top + r * cell
        parts.append(f'<text class="axis" text-anchor="end" x="{frame.left - 8}" y="{y + 11}">{escape(name)}</text>')
        for i, value in enumerate(row):
            if value is None:
                continue
            strength = min(1.0, abs(value) / most)
            parts.append(
                f'<rect class="{"warm" if value > 0 else "cool"}" x="{frame.left + i * wide:.1f}" y="{y}" width="{wide - 1:.1f}" '
                f'height="{cell - 1}" fill-opacity="{strength:.2f}"><title>{escape(name)}, {escape(labels[i])}: {value:+.2f}</title></rect>'
            )
    parts.append(_labels(frame, labels, centred=True))
    return _svg(frame.height + 36, parts)


def bars(labels: Sequence[str], before: Sequence[float], after: Sequence[float]) -> str:
    """Shares before and after, side by side for every label: grey and green bars."""
    frame = Frame(36, 6, WIDTH // 2 - 36 - 6, 130)
    most = max([*before, *after, 1e-9]) * 1.05
    wide = frame.width / max(1, len(labels))
    parts = [_grid(frame, 0.0, most, _step(0.0, most))]
    for i, label in enumerate(labels):
        title = f"<title>{escape(label)}: {before[i]:.1%} before, {after[i]:.1%} after</title>"
        for value, style, shift in ((before[i], "static", 0.1), (after[i], "loop", 0.5)):
            top = frame.y(value / most)
            parts.append(
                f'<rect class="bar {style}" x="{frame.left + (i + shift) * wide:.1f}" y="{top:.1f}" width="{0.4 * wide:.1f}" '
                f'height="{max(frame.y(0) - top, 0):.1f}">{title}</rect>'
            )
        if i % max(1, -(-len(labels) // 4)) == 0:
            x = frame.left + (i + 0.5) * wide
            parts.append(
                f'<text class="axis" text-anchor="middle" x="{x:.1f}" y="{frame.y(0) + 16:.1f}">{escape(label.split(" ")[0])}</text>'
            )
    return f'<svg viewBox="0 0 {WIDTH // 2} {frame.height + 30}" role="img">{"".join(parts)}</svg>'


def _svg(height: float, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img">{"".join(parts)}</svg>'


def _grid(frame: Frame, low: float, high: float, step: float) -> str:
    """Horizontal lines at round values."""
    parts = []
    digits = max(0, -math.floor(math.log10(step)))
    for i in range(math.ceil(low / step), math.floor(high / step) + 1):
        y = frame.y((i * step - low) / (high - low))
        parts.append(f'<line class="grid" x1="{frame.left}" x2="{frame.x(1):.0f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="axis" text-anchor="end" x="{frame.left - 8}" y="{y + 4:.1f}">{i * step:.{digits}f}</text>')
    return "".join(parts)


def _step(low: float, high: float) -> float:
    """A round step that cuts a range into three to seven parts."""
    raw = (high - low) / 5
    power: float = 10 ** math.floor(math.log10(raw))
    return next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw)


def _labels(frame: Frame, labels: Sequence[str], *, centred: bool = False) -> str:
    y = frame.top + frame.height + 20
    return "".join(
        f'<text class="axis" text-anchor="middle" x="{frame.x((i + 0.5) / len(labels) if centred else _place(i, len(labels))):.1f}" '
        f'y="{y}">{escape(label)}</text>'
        for i, label in enumerate(labels)
        if i % max(1, len(labels) // 11) == 0
    )


def _end_labels(frame: Frame, ends: Sequence[tuple[float, Line]]) -> list[str]:
    """The lines' names at their right ends, moved apart where they would cover each other."""
    parts, last = [], -100.0
    for y, line in sorted(ends, key=lambda end: end[0]):
        last = max(y + 4, last + 15)
        parts.append(f'<text class="end {line.style}" x="{frame.x(1) + 8:.0f}" y="{last:.1f}">{escape(line.name)}</text>')
    return parts


def _range(values: Sequence[float]) -> tuple[float, float]:
    """A range with some air around the values, never empty."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    air = (high - low) * 0.06 or 0.1
    return low - air, high + air


def _place(i: int, count: int) -> float:
    return i / (count - 1) if count > 1 else 0.5
