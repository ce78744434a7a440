"""The drift monitor on profiles: quiet on the same, loud on the moved, unknown on nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from noria.data.profile import Profile, profile
from noria.monitoring.drift import read_drift
from noria.monitoring.windows import Window

START = datetime(2024, 1, 1, tzinfo=UTC)
LEVEL = 365 / 2


def values(days: int, seed: int, *, shift: float = 0.0, nulls: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(days * 300, 4)) + np.repeat(0.1 * rng.normal(size=(days, 4)), 300, axis=0)
    x[:, 2] += shift
    x[rng.random(len(x)) < nulls, 1] = np.nan
    return x


def reference(days: int = 40) -> Profile:
    return profile(("a", "b", "c", "d"), values(days, 0), np.repeat(np.arange(days), 300))


def windows(ref: Profile, x: np.ndarray) -> list[Window]:
    days = np.split(x, len(x) // 300)
    return [Window(START + i * timedelta(days=1), "b", "champion", 300, ref.statistics(day), None) for i, day in enumerate(days)]


def test_the_same_stream_stays_quiet() -> None:
    ref = reference()
    reading = read_drift(ref, windows(ref, values(60, 1)), LEVEL)
    assert reading.alarmed_at is None
    assert type(reading.health).__name__ == "Healthy"


def test_a_moved_column_is_named_within_three_windows() -> None:
    ref = reference()
    reading = read_drift(ref, windows(ref, values(10, 2, shift=0.8)), LEVEL)
    assert reading.alarmed_at is not None
    assert reading.alarmed_at < 3
    assert reading.leading(reading.alarmed_at)[0][0] == "c"
    assert reading.leading(reading.alarmed_at)[0][1] > 0.1


def test_nulls_that_appear_are_named() -> None:
    ref = reference()
    reading = read_drift(ref, windows(ref, values(10, 3, nulls=0.3)), LEVEL)
    assert reading.alarming
    assert reading.leading(-1)[0][0] == "b"


def test_no_windows_or_too_short_a_reference_is_unknown() -> None:
    ref = reference()
    assert type(read_drift(ref, [], LEVEL).health).__name__ == "Unknown"
    short = reference(10)
    assert type(read_drift(short, windows(short, values(10, 4, shift=3)), LEVEL).health).__name__ == "Unknown"


def test_a_profile_survives_being_written_down() -> None:
    x = values(5, 5, nulls=0.1)
    x[:, 3] = np.nan
    before = profile(("a", "b", "c", "d"), x, np.repeat(np.arange(5), 300))
    after = Profile.from_json(before.to_json())
    assert after.to_json() == before.to_json()
    assert np.array_equal(after.statistics(x), before.statistics(x), equal_nan=True)
