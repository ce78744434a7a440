"""The frame of every HTML report: one self-contained page, for light and dark screens."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

STYLE = Path(__file__).with_name("report.css")


def page(title: str, headline: str, told: str, sections: Iterable[str]) -> str:
    """A whole page. headline: what it says, in one sentence; told: of what and when; sections: HTML"""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE.read_text()}</style></head><body>"
        f'<h1>{escape(headline)}</h1><p class="dim">{escape(told)}</p>{"".join(sections)}</body></html>'
    )
