"""Tables of the HTML reports; a narrow screen scrolls them by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

Cell = str | tuple[str, str]  # HTML, and the class of the cell


def table(headings: Sequence[str], rows: Iterable[Sequence[Cell]], *, stacked: bool = False) -> str:
    """A table under its headings. stacked: on a narrow screen its cells stand below each other, each under its heading: for sentences"""
    every = list(rows)
    styles = ["n" if isinstance(cell, tuple) and cell[1] == "n" else "" for cell in every[0]] if every else [""] * len(headings)
    head = "".join(f"<th{' class=n' * bool(style)}>{heading}</th>" for heading, style in zip(headings, styles, strict=True))
    named = headings if stacked else [""] * len(headings)
    body = "".join(f"<tr>{''.join(_cell(cell, name) for cell, name in zip(row, named, strict=True))}</tr>" for row in every)
    return f"<div class='scroll'><table{' class=stacked' if stacked else ''}><tr class='head'>{head}</tr>{body}</table></div>"


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
        stacked=True,
    )


def day(text: str) -> str:
    """The day of a moment in ISO 8601, as people read it."""
    return f"{datetime.fromisoformat(text):%-d %b %Y}"


def minute(text: str) -> str:
    """The same with the time of the day."""
    return f"{datetime.fromisoformat(text):%-d %b %Y %H:%M} UTC"


def _cell(cell: Cell, heading: str = "") -> str:
    html, style = (cell, "") if isinstance(cell, str) else cell
    styled, named = f" class='{style}'" if style else "", f" data-of='{heading}'" if heading else ""
    return f"<td{styled}{named}>{html}</td>"
