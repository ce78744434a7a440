"""Tables of the HTML reports; a narrow screen scrolls them by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

Cell = str | tuple[str, str]  # HTML, and the class of the cell


def table(headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A table under its headings."""
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<div class='scroll'><table><tr>{head}</tr>{body}</table></div>"


def findings_table(findings: Iterable[Mapping[str, Any]], day: Callable[[str], str], still_open: str) -> str:
    """Findings in this order. day: how a moment's day is written; still_open: what stands where one is not over"""
    return table(
        ("since", "found", "resolved", "kind", "summary"),
        (
            (
                (day(f["since"] or f["opened_at"]), "day"),
                (day(f["opened_at"]), "day"),
                (day(f["closed_at"]) if f["closed_at"] else still_open, "day"),
                (escape(f["kind"]), f"tag {f['severity']}"),
                escape(f["summary"]),
            )
            for f in findings
        ),
    )


def day(text: str) -> str:
    """The day of a moment in ISO 8601, as people read it."""
    return f"{datetime.fromisoformat(text):%-d %b %Y}"


def minute(text: str) -> str:
    """The same with the time of the day."""
    return f"{datetime.fromisoformat(text):%-d %b %Y %H:%M} UTC"


def short_day(text: str) -> str:
    """The same without its year, for axes."""
    return f"{datetime.fromisoformat(text):%-d %b}"


def _cell(cell: Cell) -> str:
    html, style = (cell, "") if isinstance(cell, str) else cell
    return f"<td class='{style}'>{html}</td>" if style else f"<td>{html}</td>"
