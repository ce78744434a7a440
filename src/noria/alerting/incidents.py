"""The life of findings, kept in the catalog: opened once, joined to an incident, acknowledged, muted, over by themselves or by a person's
word; and the outbox of what people are told.

What is told is written in the transaction that it is about, once for every channel, and sent from there until it was taken.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from noria.alerting.channels import Alert, Channel, ChannelFailed, pause_after, stamp
from noria.core.clock import from_epoch, microseconds, since_epoch
from noria.core.errors import UserMistake, nearest
from noria.core.ids import canonical_json, finite
from noria.monitoring.findings import Finding, Observed
from noria.stores import catalog as db

logger = logging.getLogger("noria.alerts")

ITSELF = "itself"
HOUR = timedelta(hours=1)
CLAIM = timedelta(minutes=2)  # for which a notice that is being sent is left alone by other processes
MAX_TRIED = 200  # notices in one round


class UnknownFinding(UserMistake):
    """A command names a finding that there is not."""

    code = "NR-604"
    http_status = 404

    def __init__(self, key: str, known: Sequence[str]) -> None:
        super().__init__(
            what=f"there is no finding {key!r}{nearest(key, known)}",
            where=f"{len(known)} findings are open",
            fix="see `noria findings list`; a prefix of the key is enough",
        )


@dataclass(frozen=True)
class Recipients:
    """Who is told: the names of the channels. Empty in a replay, which calls nobody."""

    channels: tuple[str, ...] = ()


def sync_findings(catalog: db.Catalog, endpoint: str, champion: str, seen: Observed, now: datetime, recipients: Recipients) -> None:
    """Bring the catalog's findings to what is wrong now: open what is new, and close what is over."""
    current = {(finding.kind, finding.subject): finding for finding in seen.findings}
    open_now = {(row.kind, row.subject): row for row in catalog.rows(_open(endpoint))}
    anew = {what for what, row in open_now.items() if what in current and _began_anew(row, current[what])}
    fresh = {finding.key(endpoint, champion): finding for what, finding in current.items() if what not in open_now or what in anew}
    if fresh:  # what a person has closed stays closed, until it begins anew
        known = {row.key for row in catalog.rows(sa.select(db.findings.c.key).where(db.findings.c.key.in_(list(fresh))))}
        fresh = {key: finding for key, finding in fresh.items() if key not in known}
    over = [row for what, row in open_now.items() if (what not in current and row.kind in seen.judged) or what in anew]
    if not fresh and not over:
        return
    fresh = {key: finding.detailed() for key, finding in fresh.items()}
    with catalog.transaction() as c:
        for row in over:
            close(c, row, now, ITSELF, recipients)
        for key, finding in fresh.items():
            _begin(c, endpoint, key, finding, now, recipients)


def _began_anew(row: Any, finding: Finding) -> bool:
    """Whether what is open has been over in between, and is another one now."""
    return finding.episode and row.since is not None and since_epoch(finding.since) > row.since


def open_finding(catalog: db.Catalog, endpoint: str, finding: Finding, now: datetime, recipients: Recipients) -> None:
    """Open a finding from outside the controller: by who watches it."""
    key = finding.key(endpoint, "-")
    same = sa.or_(
        db.findings.c.key == key,
        sa.and_(db.findings.c.closed_at.is_(None), db.findings.c.kind == finding.kind, db.findings.c.subject == finding.subject),
    )
    with catalog.amending() as c:
        if c.scalar(sa.select(db.findings.c.key).where(db.findings.c.endpoint == endpoint, same)) is None:
            _begin(c, endpoint, key, finding, now, recipients)


def close_findings(
    catalog: db.Catalog,
    endpoint: str,
    kind: str,
    still: Sequence[str],
    now: datetime,
    recipients: Recipients,
    of: Sequence[str] | None = None,
) -> None:
    """Close the findings of a kind that was opened from outside, but for those subjects that are `still` wrong; of: the subjects that
    were looked at, all if None."""
    rows = [row for row in catalog.rows(_open(endpoint)) if row.kind == kind and row.subject not in still]
    over = [row for row in rows if of is None or row.subject in of]
    if over:
        with catalog.amending() as c:
            for row in over:
                close(c, row, now, ITSELF, recipients)


def _open(endpoint: str) -> sa.Select[Any]:
    return sa.select(db.findings).where(db.findings.c.endpoint == endpoint, db.findings.c.closed_at.is_(None))


def _begin(c: sa.Connection, endpoint: str, key: str, finding: Finding, now: datetime, recipients: Recipients) -> None:
    running = c.execute(_open(endpoint).order_by(db.findings.c.opened_at)).first()
    incident = running.incident if running is not None and running.incident else f"{endpoint}/{since_epoch(now)}"
    c.execute(
        sa.insert(db.findings).values(
            key=key,
            endpoint=endpoint,
            kind=finding.kind,
            subject=finding.subject,
            opened_at=since_epoch(now),
            closed_at=None,
            evidence=canonical_json(finite(finding.evidence)),
            since=since_epoch(finding.since),
            severity=finding.severity,
            incident=incident,
            summary=finding.summary,
        )
    )
    if not _muted(c, endpoint, finding.kind, finding.subject, now):
        head = finding.summary if running is None else f"also: {finding.summary}"
        alert = Alert(
            "opened", incident, endpoint, finding.severity, stamp(now), head, (), finding.fix, {"since": stamp(finding.since), "key": key}
        )
        _put(c, f"{key}/opened", alert, now, recipients)


def close(c: sa.Connection, row: Any, now: datetime, by: str, recipients: Recipients) -> None:
    """Close a finding; its incident is resolved with its last one."""
    closed = {"closed_at": since_epoch(now), "closed_by": by}
    c.execute(sa.update(db.findings).where(db.findings.c.key == row.key).values(**closed))
    still_open = sa.select(db.findings.c.key).where(db.findings.c.incident == row.incident, db.findings.c.closed_at.is_(None)).limit(1)
    told_of = sa.select(db.alerts.c.key).where(db.alerts.c.incident == row.incident).limit(1)
    if row.incident and c.scalar(still_open) is None and c.scalar(told_of) is not None:
        ended = "resolved" if by == ITSELF else f"closed by {by}"
        alert = Alert("resolved", row.incident, row.endpoint, row.severity, stamp(now), f"{ended}: {row.summary}")
        _put(c, f"{row.incident}/resolved/{since_epoch(now)}", alert, now, recipients)


def _muted(c: sa.Connection, endpoint: str, kind: str, subject: str, now: datetime) -> bool:
    rows = c.execute(sa.select(db.mutes).where(db.mutes.c.endpoint == endpoint, db.mutes.c.until > since_epoch(now)))
    return any(row.kind in ("", kind) and row.subject in ("", subject) for row in rows)


def _put(c: sa.Connection, key: str, alert: Alert, now: datetime, recipients: Recipients) -> None:
    for channel in recipients.channels:
        name = f"{key}/{channel}"
        if c.scalar(sa.select(db.alerts.c.key).where(db.alerts.c.key == name)) is None:
            at, text = since_epoch(now), canonical_json(alert.to_dict())
            values = {"key": name, "incident": alert.incident, "channel": channel, "content": text, "created_at": at, "next_at": at}
            c.execute(sa.insert(db.alerts).values(**values, attempts=0, error=""))


# --- what people say ---


def find(catalog: db.Catalog, beginning: str) -> Any:
    """The one open finding whose key begins so (or whose subject it is). Raises `UnknownFinding`."""
    rows = catalog.rows(sa.select(db.findings).where(db.findings.c.closed_at.is_(None)))
    exact = [row for row in rows if row.key == beginning]
    found = exact or [row for row in rows if row.key.startswith(beginning) or row.subject == beginning]
    if len(found) != 1:
        raise UnknownFinding(beginning, [row.key for row in rows])
    return found[0]


def acknowledge(catalog: db.Catalog, key: str, by: str, now: datetime, recipients: Recipients) -> Any:
    """Somebody has seen a finding and takes care of it: its incident calls nobody else."""
    row = find(catalog, key)
    with catalog.amending() as c:
        same = sa.and_(db.findings.c.incident == row.incident, db.findings.c.closed_at.is_(None))
        c.execute(sa.update(db.findings).where(same).values(acknowledged_at=since_epoch(now), acknowledged_by=by))
        alert = Alert("acknowledged", row.incident, row.endpoint, row.severity, stamp(now), f"acknowledged by {by}: {row.summary}")
        _put(c, f"{row.incident}/acknowledged", alert, now, recipients)
    return row


def mute(catalog: db.Catalog, key: str, by: str, span: timedelta, reason: str, now: datetime) -> Any:
    """Nobody is told of findings of this kind about this subject for a while; they are still kept and shown."""
    row = find(catalog, key)
    values = {"endpoint": row.endpoint, "kind": row.kind, "subject": row.subject, "at": since_epoch(now), "by": by, "reason": reason}
    with catalog.amending() as c:
        c.execute(sa.insert(db.mutes).values(**values, until=since_epoch(now + span)))
    return row


def resolve(catalog: db.Catalog, key: str, by: str, now: datetime, recipients: Recipients) -> Any:
    """A person says that it is over. Seen again, it has the same key and stays closed; when it begins anew, it is a new one."""
    row = find(catalog, key)
    with catalog.amending() as c:
        close(c, row, now, by, recipients)
    return row


# --- sending ---


@dataclass(frozen=True)
class Sent:
    """What a round of sending did. waiting: notices that are not sent yet, of all times; failing: why, by channel"""

    sent: int
    waiting: int
    failing: dict[str, str]


def send_due(catalog: db.Catalog, open_channel: Callable[[str], Channel], now: datetime, per_hour: int) -> Sent:
    """Send what is due. A channel that fails is tried again later; the others don't wait for it. What belongs to one incident reaches a
    channel in order: a pager that was told `resolved` before `opened` would ring for ever."""
    due = catalog.rows(
        sa.select(db.alerts)
        .where(db.alerts.c.sent_at.is_(None), db.alerts.c.next_at <= since_epoch(now))
        .order_by(db.alerts.c.sequence)
        .limit(MAX_TRIED)
    )
    room = {channel: per_hour - _sent_lately(catalog, channel, now) for channel in {row.channel for row in due}}
    failing: dict[str, str] = {}
    sent, held = 0, _held(catalog, now)
    for row in due:
        waits = held.get((row.channel, row.incident), row.sequence) < row.sequence
        if waits or row.channel in failing or room[row.channel] <= 0 or not _claim(catalog, row, now):
            continue
        try:
            open_channel(row.channel).send(Alert.from_dict(json.loads(row.content)))
        except (ChannelFailed, UserMistake) as error:
            failing[row.channel] = f"{error.what}: {error.where}"
            pause = getattr(error, "pause", None) or pause_after(row.attempts + 1)
            _after(catalog, row, {"next_at": since_epoch(now + pause), "error": f"{error.what}: {error.where}"})
            logger.warning("%s", error)
        else:
            _after(catalog, row, {"sent_at": since_epoch(now), "error": ""})
            sent += 1
            room[row.channel] -= 1
    waiting = catalog.rows(sa.select(sa.func.count()).select_from(db.alerts).where(db.alerts.c.sent_at.is_(None)))[0][0]
    return Sent(sent, int(waiting), failing)


def _held(catalog: db.Catalog, now: datetime) -> dict[tuple[str, str], int]:
    """Of each channel and incident, the first notice that is neither sent nor due: it failed, or another process is sending it."""
    rows = catalog.rows(
        sa.select(db.alerts.c.channel, db.alerts.c.incident, sa.func.min(db.alerts.c.sequence).label("first"))
        .where(db.alerts.c.sent_at.is_(None), db.alerts.c.next_at > since_epoch(now))
        .group_by(db.alerts.c.channel, db.alerts.c.incident)
    )
    return {(row.channel, row.incident): row.first for row in rows}


def _sent_lately(catalog: db.Catalog, channel: str, now: datetime) -> int:
    lately = sa.and_(db.alerts.c.channel == channel, db.alerts.c.sent_at > since_epoch(now - HOUR))
    return int(catalog.rows(sa.select(sa.func.count()).select_from(db.alerts).where(lately))[0][0])


def _claim(catalog: db.Catalog, row: Any, now: datetime) -> bool:
    """Whether this process is the one that sends it now."""
    mine = sa.and_(db.alerts.c.sequence == row.sequence, db.alerts.c.sent_at.is_(None), db.alerts.c.next_at == row.next_at)
    with catalog.amending() as c:
        done = c.execute(sa.update(db.alerts).where(mine).values(next_at=since_epoch(now) + microseconds(CLAIM), attempts=row.attempts + 1))
        return done.rowcount == 1


def _after(catalog: db.Catalog, row: Any, values: dict[str, Any]) -> None:
    with catalog.amending() as c:
        c.execute(sa.update(db.alerts).where(db.alerts.c.sequence == row.sequence).values(**values))


def undelivered(catalog: db.Catalog) -> dict[str, dict[str, Any]]:
    """The channels that have not taken what they were sent: how many notices wait, since when, and why."""
    rows = catalog.rows(sa.select(db.alerts).where(db.alerts.c.sent_at.is_(None), db.alerts.c.attempts > 0).order_by(db.alerts.c.sequence))
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.error:
            entry = found.setdefault(row.channel, {"waiting": 0, "since": from_epoch(row.created_at).isoformat(), "why": row.error})
            entry["waiting"] += 1
    return found


def digest(catalog: db.Catalog, endpoint: str, now: datetime, recipients: Recipients) -> None:
    """Once a day: what was found and what ended since the day before, and what is still open."""
    day = since_epoch(now - timedelta(days=1))
    rows = catalog.rows(
        sa.select(db.findings)
        .where(db.findings.c.endpoint == endpoint)
        .where(sa.or_(db.findings.c.opened_at > day, db.findings.c.closed_at > day, db.findings.c.closed_at.is_(None)))
        .order_by(db.findings.c.opened_at)
    )
    still = [row for row in rows if row.closed_at is None]
    lines = tuple(f"{'open' if row.closed_at is None else 'resolved'}: {row.summary}" for row in rows)
    summary = f"{len(rows)} findings in the last day, {len(still)} still open" if rows else "no findings in the last day"
    alert = Alert("digest", f"{endpoint}/digest", endpoint, "inform", stamp(now), summary, lines)
    with catalog.amending() as c:
        _put(c, f"{endpoint}/digest/{now:%Y-%m-%d}", alert, now, recipients)
