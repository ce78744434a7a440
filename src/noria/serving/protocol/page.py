"""The API's page: a shell in which Swagger UI shows `/openapi.json`, and the files that it loads, all of them in the package.

The shell holds nothing of the server. Where keys are needed, its reader is asked for one, with which the document is then fetched and
requests are tried; the key stays in that page's memory. Nothing is loaded from another host.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from noria.serving.protocol.request import NotHere

HERE = Path(__file__).parent
VIEWER = HERE / "swagger_ui"  # by `make viewer`, with its licence and version
SCRIPT, STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"
PAGE_HEADERS = (
    f"content-security-policy: {POLICY}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\ncache-control: no-cache\r\n"
)
FILE_HEADERS = "x-content-type-options: nosniff\r\ncache-control: public, max-age=31536000, immutable\r\nvary: accept-encoding\r\n"


@dataclass(frozen=True)
class PageFile:
    """A file that the page loads, packed with gzip."""

    content_type: str
    packed: bytes

    @property
    def plain(self) -> bytes:
        return gzip.decompress(self.packed)

    @property
    def tag(self) -> str:
        """What its content is known by, so that browsers keep it until it changes."""
        return hashlib.sha256(self.packed).hexdigest()[:12]


@cache
def page_files() -> Mapping[str, PageFile]:
    """The files that the page loads, by name."""
    own = {"page.css": STYLE, "page.js": SCRIPT}
    vendored = {"swagger-ui.css": STYLE, "swagger-ui-bundle.js": SCRIPT}
    packed = {name: PageFile(kind, (VIEWER / f"{name}.gz").read_bytes()) for name, kind in vendored.items()}
    return packed | {name: PageFile(kind, gzip.compress((HERE / name).read_bytes(), mtime=0)) for name, kind in own.items()}


def page_file(name: str) -> PageFile:
    """A file that the page loads. Raises `NotHere`."""
    found = page_files().get(name)
    if found is None:
        raise NotHere(what=f"the API's page has no file {name!r}", where="the path", fix="open /docs")
    return found


@cache
def page() -> bytes:
    """The page, whatever the server serves."""
    where = {name: f"/docs/{name}?v={file.tag}" for name, file in page_files().items()}
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<title>Noria</title><link rel="icon" href="data:,">'
        f'<link rel="stylesheet" href="{where["swagger-ui.css"]}"><link rel="stylesheet" href="{where["page.css"]}">'
        '<main id="api"><noscript>This page needs JavaScript; <a href="/openapi.json">openapi.json</a> says the same.</noscript></main>'
        f'<script src="{where["swagger-ui-bundle.js"]}"></script><script src="{where["page.js"]}"></script></html>\n'
    ).encode()


def file_headers(*, packed: bool) -> str:
    """The header lines of a file of the page."""
    return FILE_HEADERS + ("content-encoding: gzip\r\n" if packed else "")


def takes_gzip(accepted: str) -> bool:
    """Whether a client takes gzip, by its Accept-Encoding (RFC 9110, section 12.5.3).

    >>> [takes_gzip(text) for text in ("gzip, br", "br;q=1, *", "gzip;q=0, *", "identity", "")]
    [True, True, False, False, False]
    """
    weights = {}
    for part in accepted.lower().split(","):
        coding, _, weight = part.partition(";")
        weights[coding.strip()] = weight.replace(" ", "").removeprefix("q=")
    found = weights.get("gzip", weights.get("*", "0"))
    return not found or found.strip("0.") != ""
