"""The frame of every HTML report: one self-contained page, for light and dark screens, small and large."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
UPLOT = HERE / "vendored" / "uplot"
CHART = '<figure class="chart"'


def page(title: str, headline: str, told: str, sections: Iterable[str]) -> str:
    """A whole page. headline: what it says, in one sentence; told: of what and when; sections: HTML

    The scripts and the style of charts stand in it once, if it has any. What else a page could load or run is refused by its own policy.
    """
    body = "".join(sections)
    charted = CHART in body
    scripts = _scripts() if charted else ()
    allowed = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts) or "'none'"
    policy = f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    style = ((UPLOT / "uPlot.min.css").read_text() if charted else "") + (HERE / "report.css").read_text()
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>"
        f'<h1>{escape(headline)}</h1><p class="dim">{escape(told)}</p>{body}'
        f"{''.join(f'<script>{script}</script>' for script in scripts)}</body></html>"
    )


@cache
def _scripts() -> tuple[str, ...]:
    """uPlot under its licence, which every copy must carry, and what draws the charts by it."""
    licence = (UPLOT / "LICENSE").read_text().strip()
    return f"/*!\n{licence}\n*/\n{(UPLOT / 'uPlot.iife.min.js').read_text()}", (HERE / "charts.js").read_text()
