"""The outbox: what people are to be told, once for every channel, until it was taken."""

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
from noria.stores.schema import alerts


@dataclass(frozen=True)
class AlertRow:
    """One alert for one channel. sequence: its place in the order in which they were written; content: as `Alert` has it

    next_at: before which it is not sent; sent_at: None while it waits; error: why the last attempt failed, empty where none has
    """

    sequence: int
    key: str
    incident: str
    channel: str
    content: Mapping[str, Any]
    created_at: datetime
    attempts: int
    next_at: datetime
    sent_at: datetime | None
    error: str


def due_alerts(catalog: Catalog, now: datetime, at_most: int) -> list[AlertRow]:
    """What is to be sent now, in order."""
    due = sa.and_(_waits(), alerts.c.next_at <= since_epoch(now))
    return _read(catalog, sa.select(alerts).where(due).order_by(alerts.c.sequence).limit(at_most))


def failing_alerts(catalog: Catalog) -> list[AlertRow]:
    """What was tried and not taken, in order."""
    failing = sa.and_(_waits(), alerts.c.attempts > 0, alerts.c.error != "")
    return _read(catalog, sa.select(alerts).where(failing).order_by(alerts.c.sequence))


def alerts_of_incident(catalog: Catalog, incident: str) -> list[AlertRow]:
    return _read(catalog, sa.select(alerts).where(alerts.c.incident == incident))


def first_held(catalog: Catalog, now: datetime) -> dict[tuple[str, str], int]:
    """Of each channel and incident, the place of the first alert that is neither sent nor due: it failed, or is being sent elsewhere."""
    rows = catalog.rows(
        sa.select(alerts.c.channel, alerts.c.incident, sa.func.min(alerts.c.sequence).label("first"))
        .where(_waits(), alerts.c.next_at > since_epoch(now))
        .group_by(alerts.c.channel, alerts.c.incident)
    )
    return {(row.channel, row.incident): row.first for row in rows}


def count_waiting(catalog: Catalog) -> int:
    """How many alerts are not sent yet."""
    return _count(catalog, _waits())


def count_sent(catalog: Catalog, channel: str, since: datetime) -> int:
    """How many alerts a channel has taken after a moment."""
    return _count(catalog, sa.and_(alerts.c.channel == channel, alerts.c.sent_at > since_epoch(since)))


def was_alerted(c: Connection, incident: str) -> bool:
    """Whether anybody is told, or will be, of an incident."""
    return c.scalar(sa.select(alerts.c.key).where(alerts.c.incident == incident).limit(1)) is not None


def add_alert(c: Connection, key: str, incident: str, channel: str, content: Mapping[str, Any], now: datetime) -> None:
    """Have something sent, from now on; what is there under this key is not sent again."""
    if c.scalar(sa.select(alerts.c.key).where(alerts.c.key == key)) is None:
        at, text = since_epoch(now), canonical_json(content)
        values = {"key": key, "incident": incident, "channel": channel, "content": text, "created_at": at, "next_at": at}
        c.execute(sa.insert(alerts).values(**values, attempts=0, error=""))


def claim_alert(c: Connection, row: AlertRow, until: datetime) -> bool:
    """Whether it is this process that may try to send it; others leave it alone until then."""
    mine = sa.and_(alerts.c.sequence == row.sequence, _waits(), alerts.c.next_at == since_epoch(row.next_at))
    return c.execute(sa.update(alerts).where(mine).values(next_at=since_epoch(until), attempts=row.attempts + 1)).rowcount == 1


def mark_sent(c: Connection, row: AlertRow, at: datetime) -> None:
    c.execute(sa.update(alerts).where(alerts.c.sequence == row.sequence).values(sent_at=since_epoch(at), error=""))


def mark_failed(c: Connection, row: AlertRow, error: str, next_at: datetime) -> None:
    c.execute(sa.update(alerts).where(alerts.c.sequence == row.sequence).values(next_at=since_epoch(next_at), error=error))


def _waits() -> sa.ColumnElement[bool]:
    return alerts.c.sent_at.is_(None)


def _count(catalog: Catalog, those: sa.ColumnElement[bool]) -> int:
    ((count,),) = catalog.rows(sa.select(sa.func.count()).select_from(alerts).where(those))
    return int(count)


def _read(catalog: Catalog, query: sa.Select[Any]) -> list[AlertRow]:
    return [_alert(row) for row in catalog.rows(query)]


def _alert(row: Any) -> AlertRow:
    return AlertRow(
        sequence=row.sequence,
        key=row.key,
        incident=row.incident,
        channel=row.channel,
        content=json.loads(row.content),
        created_at=from_epoch(row.created_at),
        attempts=row.attempts,
        next_at=from_epoch(row.next_at),
        sent_at=None if row.sent_at is None else from_epoch(row.sent_at),
        error=row.error,
    )
