"""Windows: which facts lie in one, at its edges, at its smallest and at its largest; and that no two of them pass for one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

import noria as nr
from benchmarks.edges.inputs import Input, refused
from noria.core.ids import digest
from noria.data.table import Snapshot, SnapshotRows
from noria.features.compile import AT
from noria.features.point_in_time import PointInTime

KIND = "windows"
TABLE = nr.Table("events", nr.files("none"), key="id", event_time="at", known_at="known")
NS = 1_704_067_200_000_000_000  # 2024-01-01, in nanoseconds
SECOND, HOUR, DAY, YEAR = 10**9, 3600 * 10**9, 86_400 * 10**9, 365 * 86_400 * 10**9


def _times(values: Sequence[int]) -> pa.Array:
    return pa.array(values, pa.int64()).cast(pa.timestamp("ns", tz="UTC"))


def _view(**declared: Any) -> nr.FeatureView:
    return nr.FeatureView("v", TABLE, entity=(), **declared)


def _joined(events: Sequence[int], known: Sequence[int], at: int, **declared: Any) -> list[Any]:
    """The values of a view at 2024-01-01 and `at` nanoseconds; events and when they were known are nanoseconds after it too."""
    rows = pa.table(
        {
            "id": list(range(len(events))),
            "at": _times([NS + e for e in events]),
            "known": _times([NS + k for k in known]),
            "value": [float(i) for i in range(len(events))],
        }
    )
    facts = SnapshotRows(TABLE, Snapshot("events", 0, "", len(events)), rows)
    found = PointInTime([facts]).join(pa.table({AT: _times([NS + at])}), [_view(**declared)]).to_pylist()
    return list(found[0].values())


def _count(window: str, *events: int, at: int = 0, **more: Any) -> int:
    found = _joined(events, events, at, aggregate={"n": nr.count(window=window)}, **more)
    return int(found[0])


def _latest(ttl: str, *events: int, at: int = 0, **more: Any) -> float | None:
    found: float | None = _joined(events, events, at, latest=["value"], ttl=ttl, **more)[0]
    return found


def _known(event: int, known: int, at: int = 0) -> int:
    return int(_joined([event], [known], at, aggregate={"n": nr.count(window="1h")})[0])


def _differ(*views: nr.FeatureView) -> bool:
    return len({digest(view.definition()) for view in views}) == len(views)


def _counts(*windows: str) -> bool:
    return _differ(*(_view(aggregate={"n": nr.count(window=w)}) for w in windows))


def _shares(*shares: float) -> bool:
    return _differ(*(_view(aggregate={"q": nr.quantile("value", s, window="1h")}) for s in shares))


def _both_ways(window: str, *events: int) -> list[int]:
    """Facts counted by the running sums and by the matches: they agree."""
    found = _joined(events, events, 0, aggregate={"n": nr.count(window=window), "d": nr.distinct("value", window=window)})
    return [int(n) for n in found]


def inputs() -> Iterator[Input]:
    for name, run, right in (
        ("an event at the time asked for", lambda: _count("1h", 0), 1),
        ("an event a microsecond later", lambda: _count("1h", 1_000), 0),
        ("an event a nanosecond later", lambda: _count("1h", 1), 0),
        ("an event 999 nanoseconds later", lambda: _count("1h", 999), 0),
        ("an event 999 nanoseconds later, asked for at the next microsecond", lambda: _count("1h", 999, at=1_000), 1),
        ("asked for 999 nanoseconds after a microsecond", lambda: _count("1h", 1_000, at=1_999), 1),
        ("asked for a nanosecond before an event", lambda: _count("1h", 1_000, at=999), 0),
        ("an event as old as the window", lambda: _count("1h", -HOUR), 0),
        ("an event a microsecond younger", lambda: _count("1h", -HOUR + 1_000), 1),
        ("an event as old as the window, both ends included", lambda: _count("1h", -HOUR, closed="both"), 1),
        ("an event a microsecond older, both ends included", lambda: _count("1h", -HOUR - 1_000, closed="both"), 0),
        ("a window of a microsecond", lambda: _count("1us", 0, -1_000), 1),
        ("a window of half a second", lambda: _count("500ms", 0, -499_999_000, -500_000_000), 2),
        ("a window of a second and a half", lambda: _count("1.5s", -1_499_999_000, -1_500_000_000), 1),
        ("all history", lambda: _count("unlimited", -YEAR * 100, -1, 0), 3),
        ("a window of 400 years", lambda: _count("146097d", -YEAR * 100, 0), 2),
        ("times before 1970", lambda: _count("1h", -YEAR * 60 - HOUR + 1_000, -YEAR * 60 - HOUR, at=-YEAR * 60), 1),
        ("a latest value as old as its ttl", lambda: _latest("1h", -HOUR), None),
        ("a latest value a microsecond younger", lambda: _latest("1h", -HOUR + 1_000), 0.0),
        ("a latest value as old as its ttl, both ends included", lambda: _latest("1h", -HOUR, closed="both"), 0.0),
        ("a latest value of all history", lambda: _latest("unlimited", -YEAR * 100), 0.0),
        ("the latest of two", lambda: _latest("1h", -2_000, -1_000), 1.0),
        ("the latest is in the future", lambda: _latest("1h", -2_000, 1), 0.0),
        ("known at the time asked for", lambda: _known(-SECOND, 0), 1),
        ("known a nanosecond later", lambda: _known(-SECOND, 1), 0),
        ("known before it happens", lambda: _known(SECOND, -SECOND), 0),
        ("known before it happened, asked for afterwards", lambda: _known(SECOND, -SECOND, at=SECOND), 1),
        ("floored to a tick, an event on it", lambda: _count("1h", 600 * SECOND, at=899 * SECOND, freshness="10m"), 1),
        ("floored to a tick, an event after it", lambda: _count("1h", 601 * SECOND, at=899 * SECOND, freshness="10m"), 0),
        ("floored to a tick before 1970", lambda: _count("1h", -YEAR * 60, at=-YEAR * 60 + 599 * SECOND, freshness="1h"), 1),
        ("no facts", lambda: _count("1h"), 0),
        ("counted in both forms", lambda: _both_ways("1h", -HOUR, -HOUR + 1_000, -1, 0, 1), [3, 3]),
        ("counted in both forms, half a second", lambda: _both_ways("500ms", *range(-SECOND, SECOND, SECOND // 8)), [4, 4]),
        ("windows within a second have definitions of their own", lambda: _counts("1s", "1.5s", "1500001us", "999ms", "1us"), True),
        ("near-equal shares have definitions of their own", lambda: _shares(0.5, 0.5000001, float(np.nextafter(0.5, 1)), 0.99999999), True),
        (
            "closed ends have a definition of their own",
            lambda: _differ(_view(aggregate={"n": nr.count(window="1h")}), _view(aggregate={"n": nr.count(window="1h")}, closed="both")),
            True,
        ),
        ("equal windows have one definition", lambda: _counts("1h", "60m"), False),
    ):
        yield Input(KIND, name, run, right)
    for window in ("0s", "-1h", "1", "h", "", "1 fortnight", "1e3s", "0.1us", "∞", "500y", "146098d", "9999999999999d", "nan s"):
        wanted = refused("NR-001", "NR-102", "NR-210")
        yield Input(KIND, f"no window: {window!r}", lambda w=window: nr.count(window=w), wanted)
        yield Input(KIND, f"no ttl: {window!r}", lambda w=window: _view(latest=["value"], ttl=w), wanted)
        yield Input(KIND, f"no freshness: {window!r}", lambda w=window: _view(aggregate={"n": nr.count(window="1h")}, freshness=w), wanted)
    yield Input(
        KIND, "no freshness: 'unlimited'", lambda: _view(aggregate={"n": nr.count(window="1h")}, freshness="unlimited"), refused("NR-102")
    )
    for share in (-0.1, 1.1, float("nan")):
        yield Input(KIND, f"no share: {share}", lambda s=share: nr.quantile("value", s, window="1h"), refused("NR-001"))
    yield Input(KIND, "a latest value without a ttl", lambda: _view(latest=["value"]), refused("NR-210"))
    yield Input(KIND, "a view of nothing", lambda: _view(), refused("NR-210"))
