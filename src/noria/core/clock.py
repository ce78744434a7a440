"""The only clock. Everything that asks for the time is handed a `Clock`; nothing else in Noria calls `now()`.

`SystemClock` runs live; `ReplayClock` drives the same code over history. All times are UTC-aware.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol

from noria.core.errors import OurBug, UserMistake, nearest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
_UNITS = {"us": "microseconds", "ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

_SIZES = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1))


class BadDuration(UserMistake):
    """A duration could not be read."""

    code = "NR-102"

    def __init__(self, text: object) -> None:
        self.text = text
        number = str(text).strip() if not isinstance(text, bool) and re.fullmatch(r"[1-9]\d*", str(text).strip()) else ""
        unit = f'add its unit, such as "{number}h" or "{number}d"' if number else "write for example 15m, 3h, 28d or 2w"
        super().__init__(
            what=f"{text!r} is not a duration",
            where="durations are a number and a unit",
            fix=f"{unit} (units: {', '.join(_UNITS)})",
        )


class BadTimeZone(UserMistake):
    """There is no time zone of that name."""

    code = "NR-104"

    def __init__(self, name: str, known: set[str]) -> None:
        super().__init__(
            what=f"there is no time zone {name!r}{nearest(name, known)}",
            where="time zones are named as in the IANA database",
            fix="write for example Europe/Berlin, America/New_York or UTC",
        )


class Clock(Protocol):
    """Tells the time, in UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - the one place

    def sleep(self, span: timedelta) -> None:
        """Let so much time pass."""
        time.sleep(span.total_seconds())


class ReplayClock:
    """A clock that history moves: it stands still until it is advanced, and never goes back."""

    def __init__(self, start: datetime) -> None:
        self._now = require_utc(start)

    def now(self) -> datetime:
        return self._now

    def advance_to(self, moment: datetime) -> None:
        if moment < self._now:
            raise OurBug(
                what="the replay clock was asked to go backwards",
                where=f"from {self._now:%Y-%m-%d %H:%M} to {moment:%Y-%m-%d %H:%M} UTC",
                fix="please report this with the command that led here",
            )
        self._now = require_utc(moment)


class Stopwatch:
    """Seconds of wall time since it was made; for costs and latencies, never for decisions."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start


def require_utc(moment: datetime) -> datetime:
    """The same moment in UTC; a naive time is refused, because guessing its zone is how hours get lost."""
    if moment.tzinfo is None:
        raise UserMistake(
            what=f"the time {moment.isoformat()} has no time zone",
            where="times must have a UTC offset",
            fix="add an offset, for example 2013-02-26T05:00:00Z",
        )
    return moment.astimezone(UTC)


def moment(text: str) -> datetime:
    """Read a moment as people write it, such as `2013-02-26T05:00:00Z`, in UTC."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UserMistake(
            what=f"{text!r} is not a time", where="times are ISO 8601 with an offset", fix="write for example 2013-02-26T05:00:00Z"
        ) from error
    return require_utc(found)


def duration(text: str | timedelta) -> timedelta:
    """Read `15m`, `3h`, `28d`, `2w`, `500ms`, `20us`, or sums such as `1d12h`. Raises `BadDuration`."""
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str):
        raise BadDuration(text)
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|us|[smhdw])", text.replace(" ", ""))
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise BadDuration(text)
    total = timedelta()
    try:
        for number, unit in parts:
            total += timedelta(**{_UNITS[unit]: float(number)})
    except OverflowError as error:
        raise BadDuration(text) from error
    return total


def in_words(span: timedelta) -> str:
    """`timedelta(days=1, hours=12)` as `1d12h`, for people: to the second, and to the microsecond where it is shorter than that."""
    whole = timedelta(seconds=int(span.total_seconds()))
    return exactly(whole or span)


def exactly(span: timedelta) -> str:
    """A span as text, to the microsecond: the inverse of `duration` for spans that are not negative."""
    left = microseconds(abs(span))
    words = []
    for unit, size in _SIZES:
        count, left = divmod(left, size)
        if count:
            words.append(f"{count}{unit}")
    return ("-" if span < timedelta() else "") + ("".join(words) or "0s")


def microseconds(span: timedelta) -> int:
    """A duration in whole microseconds."""
    return span // timedelta(microseconds=1)


def zone_named(name: str) -> tzinfo:
    """The time zone of a name, such as `Europe/Berlin`: for what people do by their own clock, while moments stay in UTC.

    Raises `BadTimeZone`.
    """
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, available_timezones

    known = available_timezones()
    if name not in known:
        raise BadTimeZone(name, known)
    return ZoneInfo(name)


def since_epoch(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC."""
    return microseconds(require_utc(moment) - EPOCH)


def from_epoch(us: int) -> datetime:
    """The moment `us` microseconds after 1970-01-01 UTC."""
    return EPOCH + timedelta(microseconds=us)
