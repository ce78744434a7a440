"""What is wrong or was: findings from when they opened to when they closed, and what people want to hear nothing of (mutes)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from noria.core.clock import from_epoch, since_epoch
from noria.core.ids import canonical_json, finite
from noria.stores.catalog import Catalog, Connection
from noria.stores.schema import findings, mutes


@dataclass(frozen=True)
class FindingRow:
    """One finding. since: when what is wrong began, None in rows of early versions; closed_at: None while it is open

    incident: which it belongs to; fix: what to do about it; both empty in rows of early versions
    """

    key: str
    endpoint: str
    kind: str
    subject: str
    opened_at: datetime
    evidence: Mapping[str, Any]
    since: datetime | None
    severity: str
    incident: str
    summary: str
    closed_at: datetime | None = None
    closed_by: str | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    fix: str = ""


@dataclass(frozen=True)
class MuteRow:
    """Nobody is told of such findings until then. kind, subject: any where empty; by: who said so"""

    endpoint: str
    kind: str
    subject: str
    at: datetime
    until: datetime
    by: str
    reason: str


def findings_of(catalog: Catalog, endpoints: Collection[str] | None = None) -> list[FindingRow]:
    """The findings of these endpoints, or of all, oldest first."""
    those = sa.true() if endpoints is None else findings.c.endpoint.in_(endpoints)
    return _read(catalog, sa.select(findings).where(those).order_by(findings.c.opened_at, findings.c.key))


def findings_of_incident(catalog: Catalog, incident: str) -> list[FindingRow]:
    return _read(catalog, sa.select(findings).where(findings.c.incident == incident))


def open_findings(catalog: Catalog, endpoint: str | None = None) -> list[FindingRow]:
    """What is open at an endpoint, or anywhere."""
    those = sa.true() if endpoint is None else findings.c.endpoint == endpoint
    return _read(catalog, sa.select(findings).where(those, _open()))


def findings_since(catalog: Catalog, endpoint: str, moment: datetime) -> list[FindingRow]:
    """What is open, and what opened or closed after a moment, oldest first."""
    lately = sa.or_(findings.c.opened_at > since_epoch(moment), findings.c.closed_at > since_epoch(moment), _open())
    return _read(catalog, sa.select(findings).where(findings.c.endpoint == endpoint, lately).order_by(findings.c.opened_at))


def known_findings(catalog: Catalog, keys: Collection[str]) -> set[str]:
    """Which of these keys were ever found."""
    return {row.key for row in catalog.rows(sa.select(findings.c.key).where(findings.c.key.in_(keys)))}


def open_of_kinds(c: Connection, endpoint: str, kinds: Collection[str]) -> list[FindingRow]:
    """What is open of these kinds."""
    return [_finding(row) for row in c.execute(sa.select(findings).where(_open_at(endpoint), findings.c.kind.in_(kinds))).all()]


def first_open(c: Connection, endpoint: str) -> FindingRow | None:
    """What has been open for longest."""
    row = c.execute(sa.select(findings).where(_open_at(endpoint)).order_by(findings.c.opened_at)).first()
    return None if row is None else _finding(row)


def is_known_or_open(c: Connection, endpoint: str, key: str, kind: str, subject: str) -> bool:
    """Whether a finding of this key was ever there, or one of this kind about this subject is open."""
    same = sa.or_(findings.c.key == key, sa.and_(_open(), findings.c.kind == kind, findings.c.subject == subject))
    return c.scalar(sa.select(findings.c.key).where(findings.c.endpoint == endpoint, same)) is not None


def is_incident_open(c: Connection, incident: str) -> bool:
    return c.scalar(sa.select(findings.c.key).where(findings.c.incident == incident, _open()).limit(1)) is not None


def add_finding(c: Connection, row: FindingRow) -> None:
    moments = {name: _us(getattr(row, name)) for name in ("opened_at", "closed_at", "since", "acknowledged_at")}
    c.execute(sa.insert(findings).values(**{**asdict(row), **moments, "evidence": canonical_json(finite(row.evidence))}))


def close_finding(c: Connection, key: str, at: datetime, by: str) -> None:
    c.execute(sa.update(findings).where(findings.c.key == key).values(closed_at=since_epoch(at), closed_by=by))


def acknowledge_incident(c: Connection, incident: str, at: datetime, by: str) -> None:
    """Somebody takes care of what is open of an incident."""
    mine = sa.and_(findings.c.incident == incident, _open())
    c.execute(sa.update(findings).where(mine).values(acknowledged_at=since_epoch(at), acknowledged_by=by))


def add_mute(c: Connection, row: MuteRow) -> None:
    c.execute(sa.insert(mutes).values(**{**asdict(row), "at": since_epoch(row.at), "until": since_epoch(row.until)}))


def is_muted(c: Connection, endpoint: str, kind: str, subject: str, now: datetime) -> bool:
    """Whether nobody wants to hear of such findings now."""
    rows = c.execute(sa.select(mutes).where(mutes.c.endpoint == endpoint, mutes.c.until > since_epoch(now)))
    return any(row.kind in ("", kind) and row.subject in ("", subject) for row in rows)


def _open() -> sa.ColumnElement[bool]:
    return findings.c.closed_at.is_(None)


def _open_at(endpoint: str) -> sa.ColumnElement[bool]:
    return sa.and_(findings.c.endpoint == endpoint, _open())


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else since_epoch(moment)


def _moment(us: int | None) -> datetime | None:
    return None if us is None else from_epoch(us)


def _read(catalog: Catalog, query: sa.Select[Any]) -> list[FindingRow]:
    return [_finding(row) for row in catalog.rows(query)]


def _finding(row: Any) -> FindingRow:
    return FindingRow(
        key=row.key,
        endpoint=row.endpoint,
        kind=row.kind,
        subject=row.subject,
        opened_at=from_epoch(row.opened_at),
        evidence=json.loads(row.evidence),
        since=_moment(row.since),
        severity=row.severity,
        incident=row.incident,
        summary=row.summary,
        closed_at=_moment(row.closed_at),
        closed_by=row.closed_by,
        acknowledged_at=_moment(row.acknowledged_at),
        acknowledged_by=row.acknowledged_by,
        fix=row.fix,
    )
