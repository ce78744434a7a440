"""Whether a request is made again, and when."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from noria.core.clock import SystemClock, require_utc
from noria.llm.generation.failures import NoAnswer


@dataclass(frozen=True)
class Retries:
    """How often a request is made again, at most; first: seconds before the first time, twice as long before each next, up to `longest`

    Half of each wait is random (equal jitter: Brooker, "Exponential backoff and jitter", 2015), so that those who failed together
    don't come back together. A provider that says how long to wait is left alone for so long.
    """

    times: int = 2
    first: float = 0.5
    longest: float = 8.0

    def wait(self, failure: NoAnswer, tries: int, left: float) -> float | None:
        """Seconds until the next try, after so many; None where there is none, or it would be too late."""
        if not failure.again or tries > self.times:
            return None
        backoff = min(self.longest, self.first * 2 ** (tries - 1)) * random.uniform(0.5, 1.0)
        wait = max(backoff, failure.wait or 0.0)
        return wait if wait < left else None

    def definition(self) -> dict[str, Any]:
        return asdict(self)


def told_to_wait(headers: Mapping[str, str]) -> float | None:
    """The seconds of `retry-after-ms` or `Retry-After`, which has seconds or a date (RFC 9110, section 10.2.3)."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) / unit
        except ValueError:
            try:
                seconds = (require_utc(parsedate_to_datetime(text)) - SystemClock().now()).total_seconds()
            except Exception:  # noqa: BLE001 - a date that is none, in any of the ways in which the library says so
                continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    return None
