"""Copying what one catalog knows of an endpoint into another, row by row as it is stored."""

from __future__ import annotations

import sqlalchemy as sa

from noria.stores.catalog import Catalog, Connection
from noria.stores.schema import balances, candidates, decisions, findings, releases, windows

COPIED = (candidates, decisions, releases, windows, findings)
COUNTED = "sequence"  # which each catalog counts for itself
TRAINING_SET = "training set"  # the stage whose sums are named by what was trained on, not by an endpoint


def copy_endpoint(c: Connection, source: Catalog, endpoint: str) -> None:
    """Replace what is known of an endpoint by what another catalog knows of it, but for how far its walks have come."""
    for table in COPIED:
        c.execute(sa.delete(table).where(table.c.endpoint == endpoint))
        rows = source.rows(sa.select(table).where(table.c.endpoint == endpoint).order_by(*table.primary_key.columns))
        if rows:
            c.execute(sa.insert(table), [{name: value for name, value in row._mapping.items() if name != COUNTED} for row in rows])
    mine = sa.or_(balances.c.subject == endpoint, balances.c.stage == TRAINING_SET)
    for row in source.rows(sa.select(balances).where(mine)):
        c.execute(sa.delete(balances).where(balances.c.stage == row.stage, balances.c.subject == row.subject))
        c.execute(sa.insert(balances).values(**row._mapping))
