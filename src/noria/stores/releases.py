"""Who was made champion or challenger of an endpoint, when, and by which decision."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from noria.core.clock import from_epoch, since_epoch
from noria.stores.catalog import Catalog, Connection
from noria.stores.schema import releases


@dataclass(frozen=True)
class ReleaseRow:
    """The bundles that answer and shadow from a moment on. challenger: None where nobody shadows"""

    decision: str
    endpoint: str
    at: datetime
    champion: str
    challenger: str | None


def releases_of(catalog: Catalog, endpoint: str, until: datetime | None = None) -> list[ReleaseRow]:
    """An endpoint's releases up to a moment, newest first."""
    then = sa.true() if until is None else releases.c.at <= since_epoch(until)
    query = sa.select(releases).where(releases.c.endpoint == endpoint, then).order_by(releases.c.sequence.desc())
    return [_release(row) for row in catalog.rows(query)]


def champions_of(catalog: Catalog, endpoint: str) -> set[str]:
    """Every bundle that was ever made champion."""
    rows = catalog.rows(sa.select(releases.c.champion).where(releases.c.endpoint == endpoint).distinct())
    return {row.champion for row in rows}


def add_release(c: Connection, row: ReleaseRow) -> None:
    c.execute(sa.insert(releases).values(**{**asdict(row), "at": since_epoch(row.at)}))


def _release(row: Any) -> ReleaseRow:
    return ReleaseRow(row.decision, row.endpoint, from_epoch(row.at), row.champion, row.challenger)
