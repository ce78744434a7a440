"""One check: what was looked at, what was seen, and what to do where it failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["passed", "failed", "unknown"]


@dataclass(frozen=True)
class Check:
    """The result of a check. about: what was checked; seen: what was found; fix: what to do, empty where nothing is"""

    about: str
    outcome: Outcome
    seen: str
    fix: str = ""

    def to_dict(self) -> dict[str, str]:
        return {"check": self.about, "outcome": self.outcome, "seen": self.seen, "fix": self.fix}


def passed(about: str, seen: str) -> Check:
    return Check(about, "passed", seen)


def failed(about: str, seen: str, fix: str) -> Check:
    return Check(about, "failed", seen, fix)


def unknown(about: str, why: str, fix: str = "") -> Check:
    return Check(about, "unknown", why, fix)


def ran(about: str, checks: Callable[[], Iterator[Check]]) -> list[Check]:
    """The results of checks. One that raises is unknown, with its words, and stops no other."""
    found: list[Check] = []
    try:
        found.extend(checks())
    except Exception as error:  # noqa: BLE001 - whatever a broken machine raises; it must not hide the other checks
        words = f"{type(error).__name__}: {error}".splitlines()[0]
        found.append(unknown(about, f"it could not be checked: {words}"))
    return found
