"""What is known about an endpoint at one moment, and what may be done about it: plain values, nothing that acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from noria.core.clock import since_epoch
from noria.evaluation.gates import Verdict
from noria.loop.retrain import Retrain
from noria.monitoring.monitors.reading import Monitors
from noria.release.ab_test import ReleasePlan
from noria.release.rollout import ShadowVerdict
from noria.stores.decisions import Verb


@dataclass(frozen=True)
class Pending:
    """A candidate that was trained and judged, and about which nothing has been decided yet. reports: the pages of its gates, by path"""

    bundle: str
    passed: bool
    gates: tuple[Verdict, ...]
    reports: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """An endpoint as seen at `now`.

    champion: the bundle that answers; None before the first
    champion_trained_at: up to when the champion knows the world
    tried_at: when a training was last decided on, whatever came of it; None before the first
    failed_at: when the newest action was given up; None where it was not
    tick: how long a window is
    changed: of the tables that the model is built from, those of which something is known that the champion does not know, and since when
    challenger: the bundle that shadows; shadow: what its shadow says now
    """

    now: datetime
    endpoint: str
    rollout: ReleasePlan
    retrain: Retrain | None
    gated: bool
    champion: str | None
    champion_trained_at: datetime | None
    tried_at: datetime | None
    pending: Pending | None
    challenger: str | None
    shadow: ShadowVerdict | None
    monitors: Monitors = field(default_factory=Monitors)
    failed_at: datetime | None = None
    tick: timedelta = timedelta(days=1)
    changed: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class Action:
    """One thing to do, and why. `key` is its idempotency key: an action is done once, however often it is tried."""

    verb: Verb
    endpoint: str
    at: datetime
    subject: str
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.endpoint}/{since_epoch(self.at)}/{self.verb}/{self.subject}"
