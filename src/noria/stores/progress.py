"""How far each named walk through time has come, such as an endpoint's windows, and what it said last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from noria.core.clock import from_epoch, since_epoch
from noria.core.ids import canonical_json
from noria.stores.catalog import Catalog, Connection
from noria.stores.schema import progress


@dataclass(frozen=True)
class ProgressRow:
    """A walk's name, how far it has come, and whatever it keeps beside that."""

    name: str
    at: datetime
    detail: Mapping[str, Any]


def progress_of(catalog: Catalog, name: str) -> ProgressRow | None:
    """How far a walk has come; None where it has not begun."""
    rows = catalog.rows(sa.select(progress).where(progress.c.name == name))
    return _progress(rows[0]) if rows else None


def progress_under(catalog: Catalog, prefix: str) -> list[ProgressRow]:
    """The walks whose names begin so."""
    return [_progress(row) for row in catalog.rows(sa.select(progress).where(progress.c.name.startswith(prefix, autoescape=True)))]


def set_progress(c: Connection, name: str, at: datetime, detail: Mapping[str, Any] | None = None) -> None:
    """Move a named walk forward, in the same transaction as what it did."""
    c.execute(sa.delete(progress).where(progress.c.name == name))
    c.execute(sa.insert(progress).values(name=name, at=since_epoch(at), detail=canonical_json(dict(detail or {}))))


def _progress(row: Any) -> ProgressRow:
    return ProgressRow(row.name, from_epoch(row.at), json.loads(row.detail))
