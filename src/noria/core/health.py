"""Three-valued health: "well" needs evidence, and what had no evidence is unknown, never well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Healthy:
    """It was looked at, and this is what was seen."""

    evidence: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not self.evidence:
            raise ValueError("Healthy needs evidence; without any, use Unknown(why)")


@dataclass(frozen=True)
class Unhealthy:
    """It was looked at, and this is wrong with it."""

    cause: str


@dataclass(frozen=True)
class Unknown:
    """It could not be looked at, or there was nothing to see."""

    why: str


Health = Healthy | Unhealthy | Unknown


def word(health: Health) -> str:
    """`healthy`, `unhealthy` or `unknown`."""
    return type(health).__name__.lower()


def worst(parts: Iterable[Health]) -> Health:
    """The health of a whole: unhealthy if any part is, else unknown if any part is or there are none, else healthy."""
    seen = list(parts)
    for kind in (Unhealthy, Unknown):
        for part in seen:
            if isinstance(part, kind):
                return part
    return Healthy({"parts": len(seen)}) if seen else Unknown("nothing was checked")
