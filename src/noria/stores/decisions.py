"""What the controller has decided, why, and how carrying it out has fared. A decision is written down before anything comes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from noria.core.clock import from_epoch, since_epoch
from noria.core.ids import canonical_json, finite
from noria.stores.catalog import Catalog, Connection
from noria.stores.schema import decisions

Verb = Literal["train", "shadow", "test", "promote", "refuse"]

BY_HAND = "requested manually"  # the reason of what a person asked for


@dataclass(frozen=True)
class DecisionRow:
    """One decision. key: an action is decided on once, however often it is proposed

    attempts: begun ones; next_at: before which no other begins, or when it was given up (`failed`); error: of the last attempt, empty while
    one runs
    """

    key: str
    endpoint: str
    at: datetime
    action: Verb
    subject: str
    reason: str
    evidence: Mapping[str, Any]
    done: bool
    outcome: str
    attempts: int
    next_at: datetime | None
    error: Mapping[str, Any]
    failed: bool


def decisions_of(catalog: Catalog, endpoint: str) -> list[DecisionRow]:
    """An endpoint's decisions, oldest first."""
    return _read(catalog, sa.select(decisions).where(decisions.c.endpoint == endpoint).order_by(decisions.c.sequence))


def decision_of(catalog: Catalog, key: str) -> DecisionRow:
    """The decision of this key, which has been recorded."""
    (found,) = _read(catalog, sa.select(decisions).where(decisions.c.key == key))
    return found


def unfinished_decisions(catalog: Catalog, endpoint: str) -> list[DecisionRow]:
    """Neither carried out nor given up, oldest first."""
    mine = sa.and_(decisions.c.endpoint == endpoint, _still_open())
    return _read(catalog, sa.select(decisions).where(mine).order_by(decisions.c.sequence))


def newest_decision(catalog: Catalog, endpoint: str) -> DecisionRow | None:
    """But for what a person asked for in vain."""
    return _newest(catalog, _not_in_vain(endpoint))


def newest_of_the_loop(catalog: Catalog, endpoint: str) -> DecisionRow | None:
    """But for what a person asked for and is not done."""
    return _newest(catalog, sa.and_(decisions.c.endpoint == endpoint, sa.or_(decisions.c.reason != BY_HAND, decisions.c.done)))


def training_decided_at(catalog: Catalog, endpoint: str) -> datetime | None:
    """When a training was last decided on, but for what a person asked for in vain; None before the first."""
    trainings = sa.and_(_not_in_vain(endpoint), decisions.c.action == "train")
    (latest,) = catalog.rows(sa.select(sa.func.max(decisions.c.at)).where(trainings))[0]
    return None if latest is None else from_epoch(latest)


def was_decided(catalog: Catalog, endpoint: str, since: datetime | None = None) -> bool:
    """Whether anything was decided since then that was not given up: that has changed nothing."""
    mine = sa.and_(decisions.c.endpoint == endpoint, decisions.c.failed.is_(False))
    later = sa.true() if since is None else decisions.c.at >= since_epoch(since)
    return bool(catalog.rows(sa.select(decisions.c.sequence).where(mine, later).limit(1)))


def was_decided_about(catalog: Catalog, endpoint: str, subject: str, since: datetime) -> bool:
    """Whether anything was decided about a bundle since then."""
    about = sa.and_(decisions.c.endpoint == endpoint, decisions.c.subject == subject, decisions.c.at >= since_epoch(since))
    return bool(catalog.rows(sa.select(decisions.c.sequence).where(about).limit(1)))


def record_decision(
    c: Connection, *, key: str, endpoint: str, at: datetime, action: Verb, subject: str, reason: str, evidence: Mapping[str, Any]
) -> None:
    """Write a decision down; one that was written down before stays as it is."""
    if c.scalar(sa.select(decisions.c.sequence).where(decisions.c.key == key)) is None:
        what = {"key": key, "endpoint": endpoint, "at": since_epoch(at), "action": action, "subject": subject, "reason": reason}
        c.execute(sa.insert(decisions).values(**what, evidence=canonical_json(finite(evidence)), done=False, outcome=""))


def finish_decision(c: Connection, key: str, outcome: str) -> None:
    """It was carried out."""
    _update(c, key, done=True, outcome=outcome)


def finish_waiting_trainings(c: Connection, endpoint: str, outcome: str, *, but: str) -> None:
    """The trainings that wait for another attempt count as done, but for one, by its key."""
    waiting = sa.and_(decisions.c.endpoint == endpoint, decisions.c.action == "train", decisions.c.key != but, _still_open())
    c.execute(sa.update(decisions).where(waiting).values(done=True, outcome=outcome))


def attempts_of(c: Connection, key: str) -> int:
    """How many attempts have begun."""
    return int(c.execute(sa.select(decisions.c.attempts).where(decisions.c.key == key)).one().attempts)


def begin_attempt(c: Connection, key: str, attempts: int, next_at: datetime) -> None:
    """The attempt of this number begins; the one after it not before `next_at`."""
    _update(c, key, attempts=attempts, next_at=since_epoch(next_at), error="")


def record_failure(c: Connection, key: str, error: Mapping[str, Any]) -> None:
    """An attempt failed."""
    _update(c, key, error=canonical_json(error))


def give_up(c: Connection, key: str, outcome: str, at: datetime) -> None:
    """No other attempt is made."""
    _update(c, key, failed=True, next_at=since_epoch(at), outcome=outcome)


def _still_open() -> sa.ColumnElement[bool]:
    return sa.and_(decisions.c.done.is_(False), decisions.c.failed.is_(False))


def _not_in_vain(endpoint: str) -> sa.ColumnElement[bool]:
    in_vain = sa.and_(decisions.c.failed, decisions.c.reason == BY_HAND)
    return sa.and_(decisions.c.endpoint == endpoint, sa.not_(in_vain))


def _newest(catalog: Catalog, those: sa.ColumnElement[bool]) -> DecisionRow | None:
    found = _read(catalog, sa.select(decisions).where(those).order_by(decisions.c.sequence.desc()).limit(1))
    return found[0] if found else None


def _update(c: Connection, key: str, **values: Any) -> None:
    c.execute(sa.update(decisions).where(decisions.c.key == key).values(**values))


def _read(catalog: Catalog, query: sa.Select[Any]) -> list[DecisionRow]:
    return [_decision(row) for row in catalog.rows(query)]


def _decision(row: Any) -> DecisionRow:
    return DecisionRow(
        key=row.key,
        endpoint=row.endpoint,
        at=from_epoch(row.at),
        action=row.action,
        subject=row.subject,
        reason=row.reason,
        evidence=json.loads(row.evidence),
        done=row.done,
        outcome=row.outcome,
        attempts=row.attempts,
        next_at=None if row.next_at is None else from_epoch(row.next_at),
        error=json.loads(row.error or "{}"),
        failed=row.failed,
    )
