"""What every HTML report must be: one file that loads nothing, runs only its own scripts, and is small."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import noria

MOST = 300_000  # bytes
CHARTS = (Path(noria.__file__).parent / "evidence" / "charts.js").read_text()


class Page(HTMLParser):
    """A page as a browser takes it apart. data: of its charts; scripts: what it runs; text: what is read"""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.data, self.scripts, self.text, self.policy, self._inside = list[Any](), list[str](), "", "", ""
        self.feed(html)
        assert self._inside == ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        assert tag not in ("link", "iframe", "object", "embed", "img", "base", "form"), tag
        assert not [name for name in told if name in ("src", "href", "action", "srcset", "data") or name.startswith("on")], told
        if tag == "meta" and told.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(told["content"])
        if tag in ("script", "style"):
            self._inside = "data" if told.get("type") == "application/json" else tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "data":
            self.data.append(json.loads(data))
        elif self._inside == "script":
            self.scripts.append(data)
        elif self._inside == "style":
            assert not re.search(r"url\(|@import", data)
        else:
            self.text += data


def stands_alone(html: str, most: int = MOST) -> Page:
    """The page, once it is seen to load nothing, to run nothing but the charts, each script once and by its hash, and to be small."""
    page = Page(html)
    hashes = {f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in page.scripts}
    allowed = re.search(r"default-src 'none'; script-src ([^;]*);", page.policy)
    assert allowed is not None
    assert set(allowed[1].split()) == (hashes or {"'none'"})
    assert [script == CHARTS for script in page.scripts] == ([False, True] if page.data else [])
    assert not page.scripts or "Permission is hereby granted" in page.scripts[0]
    assert "://" not in page.text
    assert len(html.encode()) < most
    return page
