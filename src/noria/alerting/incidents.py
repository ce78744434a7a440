"""The life of findings, kept in the catalog: opened once, joined to an incident, acknowledged, muted, over by themselves or by a person's
word; and the outbox of what people are told.

What is told is written in the transaction that it is about, once for every channel, and sent from there until it was taken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from noria.alerting.channels import Alert, Channel, ChannelFailed, pause_after, stamp
from noria.core.clock import since_epoch
from noria.core.errors import UserMistake, nearest
from noria.monitoring.findings import Finding, Observed
from noria.stores.alerts import (
    AlertRow,
    add_alert,
    claim_alert,
    count_sent,
    count_waiting,
    due_alerts,
    failing_alerts,
    first_held,
    mark_failed,
    mark_sent,
    was_alerted,
)
from noria.stores.catalog import Catalog, Connection
from noria.stores.findings import (
    FindingRow,
    MuteRow,
    acknowledge_incident,
    add_finding,
    add_mute,
    close_finding,
    findings_since,
    first_open,
    is_incident_open,
    is_known_or_open,
    is_muted,
    known_findings,
    open_findings,
)

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


def sync_findings(catalog: Catalog, endpoint: str, champion: str, seen: Observed, now: datetime, recipients: Recipients) -> None:
    """Bring the catalog's findings to what is wrong now: open what is new, and close what is over."""
    current = {(finding.kind, finding.subject): finding for finding in seen.findings}
    open_now = {(row.kind, row.subject): row for row in open_findings(catalog, endpoint)}
    anew = {what for what, row in open_now.items() if what in current and _began_anew(row, current[what])}
    fresh = {finding.key(endpoint, champion): finding for what, finding in current.items() if what not in open_now or what in anew}
    if fresh:  # what a person has closed stays closed, until it begins anew
        known = known_findings(catalog, fresh)
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


def _began_anew(row: FindingRow, finding: Finding) -> bool:
    """Whether what is open has been over in between, and is another one now."""
    return finding.episode and row.since is not None and finding.since > row.since


def open_finding(catalog: Catalog, endpoint: str, finding: Finding, now: datetime, recipients: Recipients) -> None:
    """Open a finding from outside the controller: by who watches it."""
    key = finding.key(endpoint, "-")
    with catalog.amending() as c:
        if not is_known_or_open(c, endpoint, key, finding.kind, finding.subject):
            _begin(c, endpoint, key, finding, now, recipients)


def close_findings(
    catalog: Catalog,
    endpoint: str,
    kind: str,
    still: Sequence[str],
    now: datetime,
    recipients: Recipients,
    of: Sequence[str] | None = None,
) -> None:
    """Close the findings of a kind that was opened from outside, but for those subjects that are `still` wrong; of: the subjects that
    were looked at, all if None."""
    rows = [row for row in open_findings(catalog, endpoint) if row.kind == kind and row.subject not in still]
    over = [row for row in rows if of is None or row.subject in of]
    if over:
        with catalog.amending() as c:
            for row in over:
                close(c, row, now, ITSELF, recipients)


def _begin(c: Connection, endpoint: str, key: str, finding: Finding, now: datetime, recipients: Recipients) -> None:
    running = first_open(c, endpoint)
    incident = running.incident if running is not None and running.incident else f"{endpoint}/{since_epoch(now)}"
    add_finding(
        c,
        FindingRow(
            key=key,
            endpoint=endpoint,
            kind=finding.kind,
            subject=finding.subject,
            opened_at=now,
            evidence=finding.evidence,
            since=finding.since,
            severity=finding.severity,
            incident=incident,
            summary=finding.summary,
            fix=finding.fix,
        ),
    )
    if not is_muted(c, endpoint, finding.kind, finding.subject, now):
        head = finding.summary if running is None else f"also: {finding.summary}"
        alert = Alert(
            "opened", incident, endpoint, finding.severity, stamp(now), head, (), finding.fix, {"since": stamp(finding.since), "key": key}
        )
        _put(c, f"{key}/opened", alert, now, recipients)


def close(c: Connection, row: FindingRow, now: datetime, by: str, recipients: Recipients) -> None:
    """Close a finding; its incident is resolved with its last one."""
    close_finding(c, row.key, now, by)
    if row.incident and not is_incident_open(c, row.incident) and was_alerted(c, row.incident):
        ended = "resolved" if by == ITSELF else f"closed by {by}"
        alert = Alert("resolved", row.incident, row.endpoint, row.severity, stamp(now), f"{ended}: {row.summary}")
        _put(c, f"{row.incident}/resolved/{since_epoch(now)}", alert, now, recipients)


def _put(c: Connection, key: str, alert: Alert, now: datetime, recipients: Recipients) -> None:
    for channel in recipients.channels:
        add_alert(c, f"{key}/{channel}", alert.incident, channel, alert.to_dict(), now)


# --- what people say ---


def find(catalog: Catalog, beginning: str) -> FindingRow:
    """The one open finding whose key begins so (or whose subject it is). Raises `UnknownFinding`."""
    rows = open_findings(catalog)
    exact = [row for row in rows if row.key == beginning]
    found = exact or [row for row in rows if row.key.startswith(beginning) or row.subject == beginning]
    if len(found) != 1:
        raise UnknownFinding(beginning, [row.key for row in rows])
    return found[0]


def acknowledge(catalog: Catalog, key: str, by: str, now: datetime, recipients: Recipients) -> FindingRow:
    """Somebody has seen a finding and takes care of it: its incident calls nobody else."""
    row = find(catalog, key)
    with catalog.amending() as c:
        acknowledge_incident(c, row.incident, now, by)
        alert = Alert("acknowledged", row.incident, row.endpoint, row.severity, stamp(now), f"acknowledged by {by}: {row.summary}")
        _put(c, f"{row.incident}/acknowledged", alert, now, recipients)
    return row


def mute(catalog: Catalog, key: str, by: str, span: timedelta, reason: str, now: datetime) -> FindingRow:
    """Nobody is told of findings of this kind about this subject for a while; they are still kept and shown."""
    row = find(catalog, key)
    with catalog.amending() as c:
        add_mute(c, MuteRow(row.endpoint, row.kind, row.subject, now, now + span, by, reason))
    return row


def resolve(catalog: Catalog, key: str, by: str, now: datetime, recipients: Recipients) -> FindingRow:
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


def send_due(catalog: Catalog, open_channel: Callable[[str], Channel], now: datetime, per_hour: int) -> Sent:
    """Send what is due. A channel that fails is tried again later; the others don't wait for it. What belongs to one incident reaches a
    channel in order: a pager that was told `resolved` before `opened` would ring for ever."""
    due = due_alerts(catalog, now, MAX_TRIED)
    room = {channel: per_hour - count_sent(catalog, channel, now - HOUR) for channel in {row.channel for row in due}}
    failing: dict[str, str] = {}
    sent, held = 0, first_held(catalog, now)
    for row in due:
        waits = held.get((row.channel, row.incident), row.sequence) < row.sequence
        if waits or row.channel in failing or room[row.channel] <= 0 or not _claim(catalog, row, now):
            continue
        try:
            open_channel(row.channel).send(Alert.from_dict(row.content))
        except (ChannelFailed, UserMistake) as error:
            failing[row.channel] = f"{error.what}: {error.where}"
            pause = getattr(error, "pause", None) or pause_after(row.attempts + 1)
            with catalog.amending() as c:
                mark_failed(c, row, failing[row.channel], now + pause)
            logger.warning("%s", error)
        else:
            with catalog.amending() as c:
                mark_sent(c, row, now)
            sent += 1
            room[row.channel] -= 1
    return Sent(sent, count_waiting(catalog), failing)


def _claim(catalog: Catalog, row: AlertRow, now: datetime) -> bool:
    """Whether this process is the one that sends it now."""
    with catalog.amending() as c:
        return claim_alert(c, row, now + CLAIM)


def undelivered(catalog: Catalog) -> dict[str, dict[str, Any]]:
    """The channels that have not taken what they were sent: how many notices wait, since when, and why."""
    found: dict[str, dict[str, Any]] = {}
    for row in failing_alerts(catalog):
        entry = found.setdefault(row.channel, {"waiting": 0, "since": row.created_at.isoformat(), "why": row.error})
        entry["waiting"] += 1
    return found


def digest(catalog: Catalog, endpoint: str, now: datetime, recipients: Recipients) -> None:
    """Once a day: what was found and what ended since the day before, and what is still open."""
    rows = findings_since(catalog, endpoint, now - timedelta(days=1))
    still = [row for row in rows if row.closed_at is None]
    lines = tuple(f"{'open' if row.closed_at is None else 'resolved'}: {row.summary}" for row in rows)
    summary = f"{len(rows)} findings in the last day, {len(still)} still open" if rows else "no findings in the last day"
    alert = Alert("digest", f"{endpoint}/digest", endpoint, "inform", stamp(now), summary, lines)
    with catalog.amending() as c:
        _put(c, f"{endpoint}/digest/{now:%Y-%m-%d}", alert, now, recipients)
