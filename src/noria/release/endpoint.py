"""Endpoints: a served name, the model behind it, and the plan by which its versions change."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from noria.core.errors import UserMistake
from noria.models.model import Model
from noria.release.rollout import Immediate, Rollout

PREVIOUS = "previous"


@dataclass(frozen=True)
class SLO:
    """What an endpoint promises its callers: 99 % of answers within `p99_ms` milliseconds."""

    p99_ms: float = 50.0


@dataclass(frozen=True)
class Endpoint:
    """A served name with its release plan.

    fallback: who answers where the champion can't: `"previous"` (the champion before it, on the same features), a number (the
        answer to give), both in that order, or nobody: then the request fails
    cached_rows: how many answers a worker remembers by their features; 0 for none
    """

    name: str
    model: Model
    release: Rollout | Immediate = field(default_factory=Immediate)
    slo: SLO = field(default_factory=SLO)
    fallback: str | float | tuple[str | float, ...] = ()
    cached_rows: int = 0

    def __post_init__(self) -> None:
        for part in self._fallbacks:
            if not (part == PREVIOUS or (isinstance(part, int | float) and math.isfinite(part))):
                raise UserMistake(
                    what=f"{part!r} is no fallback",
                    where=f"endpoint {self.name!r}",
                    mend='use "previous", a number, or both: ("previous", 0.2)',
                )

    @property
    def _fallbacks(self) -> tuple[str | float, ...]:
        return self.fallback if isinstance(self.fallback, tuple) else (self.fallback,)

    @property
    def falls_back(self) -> bool:
        """Whether the champion before answers what the champion can't."""
        return PREVIOUS in self._fallbacks

    @property
    def default_answer(self) -> float | None:
        """What is answered where no model can; None where the request then fails."""
        return next((float(part) for part in self._fallbacks if not isinstance(part, str)), None)
