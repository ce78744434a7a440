"""Results: what was computed, in one shape for all: plain data, a data frame, a page, and what a notebook shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.errors import MissingExtra
from noria.evidence.page import page

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 20  # rows in a notebook
SHORT = 40  # characters, up to which a text is not broken
STYLE = (  # notebooks have styles of their own for tables, and align texts to the right
    "<style>div.noria{font:13px system-ui,sans-serif;overflow-x:auto}div.noria table{border-collapse:collapse;margin:.4em 0}"
    "div.noria table td,div.noria table th{padding:2px 10px;border-bottom:1px solid #8884;text-align:left!important;vertical-align:top}"
    "div.noria table .number{text-align:right!important;font-variant-numeric:tabular-nums}div.noria table .short{white-space:nowrap}"
    "div.noria .dim{opacity:.65}</style>"
)


@dataclass(frozen=True, repr=False)
class InlinePage:
    """A whole page in a frame of its own, so that its styles and scripts touch nothing of the notebook around it."""

    html: str
    height: int

    def _repr_html_(self) -> str:
        frame = f"width:100%;height:{self.height}px;border:1px solid #8884;box-sizing:border-box"
        return f'<iframe sandbox="allow-scripts" style="{frame}" srcdoc="{escape(self.html)}"></iframe>'


@dataclass(frozen=True)
class Result:
    """What people read of something that was computed.

    headline: what it says, in one sentence; data: all of it, as JSON has it; rows: its table, one dict a row
    html: the whole page, where there is a report of its own; empty: the table is the page
    """

    headline: str
    data: Any
    rows: Sequence[Mapping[str, Any]] = ()
    html: str = field(default="", repr=False)

    def to_dict(self) -> Any:
        """All of it as plain data, as `--json` prints it."""
        return self.data

    def to_frame(self) -> pd.DataFrame:
        """The table as a pandas data frame. Raises `MissingExtra`."""
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtra(library="pandas", extra="pandas", needed_for="to_frame()") from error
        return pd.DataFrame([dict(row) for row in self.rows])

    def save_html(self, path: str | Path) -> Path:
        """Write one self-contained page; returns where."""
        found = Path(path)
        found.write_text(self._page(), encoding="utf-8")
        return found

    def inline(self, *, height: int = 600) -> InlinePage:
        """The same page within a notebook. height: of its frame, in pixels"""
        return InlinePage(self._page(), height)

    def _page(self) -> str:
        return self.html or page(self.headline, self.headline, "", [f"<section>{_table(self.rows)}</section>"])

    def _repr_html_(self) -> str:
        more = f'<p class="dim">{len(self.rows) - SHOWN:,} more rows: .to_frame()</p>' if len(self.rows) > SHOWN else ""
        return f'{STYLE}<div class="noria"><b>{escape(self.headline)}</b>{_table(self.rows[:SHOWN])}{more}</div>'

    def __repr__(self) -> str:
        return f"{self.headline}\n" + "\n".join(", ".join(f"{k}: {_text(v)}" for k, v in row.items()) for row in self.rows[:SHOWN])

    def __len__(self) -> int:
        return len(self.rows)

    def __bool__(self) -> bool:
        return True


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    names = list(dict.fromkeys(name for row in rows for name in row))
    kinds = {name: " class=number" if all(_is_number(row.get(name)) for row in rows) else "" for name in names}
    head = "".join(f"<th{kinds[name]}>{escape(name.replace('_', ' '))}</th>" for name in names)
    body = "".join("<tr>" + "".join(_cell(_text(row.get(name)), kinds[name]) for name in names) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str, kind: str) -> str:
    return f"<td{kind or ' class=short' * (len(text) <= SHORT)}>{escape(text)}</td>"


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
