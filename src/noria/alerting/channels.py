"""Alerts: how people hear of findings. A notice is written into the outbox together with the finding, and sent from there until the
channel has taken it: a channel that is down loses nothing.

Every channel is an adapter by name; `log` is the embedded one. Secrets come from the environment.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from noria.core.errors import OutsideWorld, UserMistake, nearest
from noria.core.plugins import adapter, adapters
from noria.core.settings import AlertSettings
from noria.core.web import NotReached, post

logger = logging.getLogger("noria.alerts")

Event = Literal["opened", "acknowledged", "resolved", "digest"]

FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
LOG, OF_CHANNELS = "log", "_alerts"  # the embedded channel; how the modules of all others end


@dataclass(frozen=True)
class Alert:
    """What is told. incident: the same for everything that belongs together (the key by which receivers join messages)

    at: when it happened (ISO 8601, UTC); summary: one sentence; lines: the findings, a sentence each; fix: what to do
    """

    event: Event
    incident: str
    endpoint: str
    severity: str
    at: str
    summary: str
    lines: tuple[str, ...] = ()
    fix: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "lines": list(self.lines)}

    @staticmethod
    def from_dict(found: Mapping[str, Any]) -> Alert:
        return Alert(**{**found, "lines": tuple(found["lines"])})


class Channel(Protocol):
    """A way to people. `send` raises `ChannelFailed`; it may be told the same notice again."""

    def send(self, alert: Alert) -> None: ...


class ChannelFailed(OutsideWorld):
    """A channel did not take a notice. It is sent again, after `pause` where the channel named one."""

    code = "NR-610"

    def __init__(self, channel: str, reason: str, pause: timedelta | None = None) -> None:
        self.channel, self.pause = channel, pause
        super().__init__(
            what=f"the alert channel {channel} did not accept an alert",
            where=reason,
            fix="the alert is kept and retried; `noria findings list` shows what is pending",
        )


class NoSecret(UserMistake):
    """A channel's secret is not in the environment."""

    code = "NR-611"

    def __init__(self, channel: str, variable: str) -> None:
        super().__init__(
            what=f"the alert channel {channel} has no URL or key",
            where=f"the environment variable {variable} is not set",
            fix=f"set {variable}, or remove {channel!r} from alerts.channels",
        )


def tell_over_http(channel: str, url: str, body: bytes, taken: Container[int], headers: Mapping[str, str], shown: int = 0) -> None:
    """POST a notice as JSON. Raises `ChannelFailed` where nobody answers, or with a status that is not `taken`, with the pause that was
    asked for; shown: so many bytes of the answer are told."""
    try:
        answer = post(url, body, {"Content-Type": "application/json", **headers})
    except NotReached as error:
        raise ChannelFailed(channel, str(error)) from None
    if answer.status not in taken:
        pause = None if answer.retry_after is None else timedelta(seconds=answer.retry_after)
        raise ChannelFailed(channel, f"it answered {answer.status} {answer.body[:shown].decode(errors='replace')}".strip(), pause)


class LogChannel:
    """Notices as lines of this process's log."""

    def send(self, alert: Alert) -> None:
        level = logging.ERROR if alert.severity == "page" and alert.event == "opened" else logging.WARNING
        logger.log(level, "%s: %s", alert.event, "; ".join([alert.summary, *alert.lines, alert.fix]))


def open_channel(name: str, settings: AlertSettings, environ: Mapping[str, str] = os.environ) -> Channel:
    """The channel of that name. Raises `NoSecret`, or `UserMistake` for a name that is none."""
    if name == LOG:
        return LogChannel()
    known = [LOG, *adapters(OF_CHANNELS)]
    if name not in known:
        raise UserMistake(
            what=f"there is no alert channel {name!r}{nearest(name, known)}",
            where="alerts.channels in noria.toml",
            fix="channels: " + ", ".join(known),
        )
    module = adapter(f"{name}{OF_CHANNELS}", extra=name, needed_for=f"the alert channel {name}")
    channel: Channel = module.open_channel(settings, environ)
    return channel


def secret(environ: Mapping[str, str], variable: str, channel: str) -> str:
    """A secret from the environment. Raises `NoSecret`."""
    value = environ.get(variable, "").strip()
    if not value:
        raise NoSecret(channel, variable)
    return value


def pause_after(attempts: int) -> timedelta:
    """How long a notice waits after so many failed attempts: twice as long each time, at most an hour."""
    times: int = 1 << min(max(attempts - 1, 0), 10)
    return min(FIRST_PAUSE * times, LONGEST_PAUSE)


def stamp(moment: datetime) -> str:
    """A moment as receivers read it: ISO 8601 in UTC."""
    return moment.isoformat().replace("+00:00", "Z")
