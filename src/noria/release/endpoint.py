"""Endpoints: a served name, the model behind it, and the plan by which its versions change."""

from __future__ import annotations

from dataclasses import dataclass, field

from noria.models.model import Model
from noria.release.rollout import Immediate, Rollout


@dataclass(frozen=True)
class SLO:
    """What an endpoint promises its callers: 99 % of answers within `p99_ms` milliseconds."""

    p99_ms: float = 50.0


@dataclass(frozen=True)
class Endpoint:
    """A served name with its release plan."""

    name: str
    model: Model
    release: Rollout | Immediate = field(default_factory=Immediate)
    slo: SLO = field(default_factory=SLO)
