"""Charts as inline SVG: no font and no address from outside; colours follow the page's light or dark scheme.

Marks on a time line, a heat map and bars are short, and hovering tells what they show. Lines over time are in `line_chart`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

WIDTH = 960
MAX_LABELS = 9  # of moments under a plot
DAY = 86_400.0
MAX_NAME = 24  # letters of a row's name


@dataclass(frozen=True)
class Mark:
    """A moment: in seconds since 1970, with a style, the text shown on hovering, and a caption."""

    at: float
    style: str
    title: str
    caption: str = ""


@dataclass(frozen=True)
class Frame:
    """Where a chart's plot lies inside its picture, in pixels, and the seconds since 1970 from which to which its x axis goes."""

    left: int
    top: int
    width: int
    height: int
    first: float = 0.0
    last: float = 1.0

    def x(self, at: float) -> float:
        return self.left + (at - self.first) / (self.last - self.first) * self.width

    def y(self, share: float) -> float:
        return self.top + (1 - share) * self.height

    @property
    def right(self) -> float:
        return self.left + self.width


def seconds(text: str) -> float:
    """A moment in ISO 8601 in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def timeline(marks: Sequence[Mark], lanes: Sequence[tuple[str, str]], starts: Sequence[str]) -> str:
    """Marks on one lane per (style, name), over moments of which some are written below."""
    step = 34
    moments = [seconds(start) for start in starts]
    first, last = span([*moments, *(mark.at for mark in marks)])
    frame = Frame(96, 8, WIDTH - 96 - 24, step * len(lanes), first, last)
    parts = [moment_labels(frame, starts)]
    for row, (style, name) in enumerate(lanes):
        y = frame.top + row * step + step / 2
        parts.append(f'<line class="grid" x1="{frame.left}" x2="{frame.right:.0f}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="end {style}" text-anchor="end" x="{frame.left - 14}" y="{y + 4}">{escape(name)}</text>')
        for mark in marks:
            if mark.style == style:
                parts.append(
                    f'<circle class="event {style}" cx="{frame.x(mark.at):.1f}" cy="{y}" r="7"><title>{escape(mark.title)}</title></circle>'
                )
    return _wide(svg(frame.height + 40, parts, ", ".join(name for _, name in lanes)))


def heatmap(rows: Sequence[str], starts: Sequence[str], values: Sequence[Sequence[float | None]], *, most: float) -> str:
    """A cell per row and place: blue below zero, red above, as strong as |value| / `most`; empty where there is None."""
    cell = 15
    frame = Frame(190, 6, WIDTH - 190 - 10, cell * len(rows), 0.0, float(max(1, len(starts))))
    labels, wide, parts = moment_words(starts), frame.width / max(1, len(starts)), list[str]()
    across = f"{wide - min(1.0, wide / 8):.1f}"
    for r, (name, row) in enumerate(zip(rows, values, strict=True)):
        y = frame.top + r * cell
        shown = name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
        parts.append(
            f'<text class="axis" text-anchor="end" x="{frame.left - 8}" y="{y + 11}">{escape(shown)}<title>{escape(name)}</title></text>'
        )
        for i, value in enumerate(row):
            if value is not None:
                style, strength = "warm" if value > 0 else "cool", min(1.0, abs(value) / most)
                title = f"<title>{escape(shown)}, {escape(labels[i])}: {value:+.2f}</title>"
                shape = f"M{frame.x(i):.1f} {y}h{across}v{cell - 1}h-{across}z"
                parts.append(f'<path class="{style}" d="{shape}" opacity="{strength:.2g}">{title}</path>')
    parts.append(_below(frame, labels, [frame.x(i + 0.5) for i in range(len(labels))]))
    return _wide(svg(frame.height + 36, parts, "how far each input has moved"))


def bars(labels: Sequence[str], before: Sequence[float], after: Sequence[float]) -> str:
    """Shares before and after, side by side for every label: grey and green bars."""
    frame = Frame(42, 6, WIDTH // 2 - 42 - 6, 130)
    most = max([*before, *after, 1e-9]) * 1.05
    wide = frame.width / max(1, len(labels))
    parts = [grid(frame, 0.0, most, round_step(0.0, most))]
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


def svg(height: float, parts: Sequence[str], told: str) -> str:
    """A picture over the whole width. told: what it shows, for those who can't see it"""
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(told)}">{"".join(parts)}</svg>'


def _wide(picture: str) -> str:
    """A picture that a narrow screen scrolls, since its words would be too small to read."""
    return f'<div class="scroll wide">{picture}</div>'


def grid(frame: Frame, low: float, high: float, step: float, words: Callable[[float], str] | None = None) -> str:
    """Horizontal lines at round values. words: how a value is written"""
    parts = []
    digits = max(0, -math.floor(math.log10(step)))
    digits += round(step * 10**digits) != round(step * 10**digits, 3)  # steps of 2.5
    for i in range(math.ceil(low / step), math.floor(high / step) + 1):
        y, told = frame.y((i * step - low) / (high - low)), words(i * step) if words else f"{i * step:.{digits}f}"
        parts.append(f'<line class="grid" x1="{frame.left}" x2="{frame.right:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="axis" text-anchor="end" x="{frame.left - 8}" y="{y + 4:.1f}">{told}</text>')
    return "".join(parts)


def round_step(low: float, high: float) -> float:
    """A round step that cuts a range into three to seven parts."""
    raw = (high - low) / 5
    power: float = 10 ** math.floor(math.log10(raw))
    return next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw)


def moment_words(starts: Sequence[str]) -> list[str]:
    """Moments as axes write them: with the year where there are several, and the time of the day where windows are shorter than one."""
    found = [datetime.fromisoformat(start) for start in starts]
    timed = any((each.hour, each.minute) != (found[0].hour, found[0].minute) for each in found)
    several = bool(found) and found[0].year != found[-1].year
    pattern = "%-d %b" + (" %Y" if several else "") + (" %H:%M" if timed else "")
    return [f"{each:{pattern}}" for each in found]


def moment_labels(frame: Frame, starts: Sequence[str]) -> str:
    """Some of the moments, below the plot where they lie."""
    return _below(frame, moment_words(starts), [frame.x(seconds(start)) for start in starts])


def _below(frame: Frame, labels: Sequence[str], places: Sequence[float]) -> str:
    """Some of the labels, below a plot; every second of them goes where a narrow screen has no room."""
    every, y = max(1, -(-len(labels) // MAX_LABELS)), frame.top + frame.height + 20
    return "".join(
        f'<text class="axis{" minor" if i // every % 2 else ""}" text-anchor="middle" x="{x:.1f}" y="{y}">{escape(label)}</text>'
        for i, (label, x) in enumerate(zip(labels, places, strict=True))
        if i % every == 0
    )


def span(moments: Sequence[float]) -> tuple[float, float]:
    """From the first moment to the last, never empty."""
    first, last = (min(moments), max(moments)) if moments else (0.0, 0.0)
    return (first, last) if last > first else (first - DAY, last + DAY)
