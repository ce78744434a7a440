"""The running sums of stages: how many rows came in, and how many went where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from noria.core.ids import canonical_json
from noria.stores.catalog import Catalog, Connection
from noria.stores.schema import balances


@dataclass(frozen=True)
class BalanceRow:
    """The sum of one stage for one subject."""

    stage: str
    subject: str
    rows_in: int
    rows_out: Mapping[str, int]


def balances_of(catalog: Catalog) -> list[BalanceRow]:
    """Every sum, by stage and subject."""
    return [_balance(row) for row in catalog.rows(sa.select(balances).order_by(balances.c.stage, balances.c.subject))]


def add_balance(c: Connection, stage: str, subject: str, rows_in: int, rows_out: Mapping[str, int]) -> None:
    """Add to the running sum of a stage, in the same transaction as the rows it counts."""
    same = sa.and_(balances.c.stage == stage, balances.c.subject == subject)
    found = c.execute(sa.select(balances).where(same)).first()
    before = BalanceRow(stage, subject, 0, {}) if found is None else _balance(found)
    total = {name: before.rows_out.get(name, 0) + rows_out.get(name, 0) for name in {**before.rows_out, **rows_out}}
    c.execute(sa.delete(balances).where(same))
    values = {"stage": stage, "subject": subject, "rows_in": before.rows_in + rows_in, "rows_out": canonical_json(total)}
    c.execute(sa.insert(balances).values(**values))


def _balance(row: Any) -> BalanceRow:
    return BalanceRow(row.stage, row.subject, row.rows_in, json.loads(row.rows_out))
