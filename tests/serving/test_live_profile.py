"""The champion's inputs in the server's own process: bounded work, a minute at a time, and figures on the metrics page."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from noria.core.signature import Signature
from noria.data.rows import Rows
from noria.profiles.profile import Profile, profile
from noria.serving.observe.live_profile import LiveProfile
from servers import Standalone, make_bundle


def reference() -> Profile:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 2))
    return profile(("a", "b", "prediction"), np.column_stack([x, x[:, 0]]), np.repeat(np.arange(40), 100))


def values(x: NDArray[np.float32], answers: NDArray[np.float64]) -> tuple[Rows, Rows]:
    signature = Signature.of_numbers("ab")
    return Rows.dense(signature.inputs, x), Rows.dense(signature.outputs, answers[:, None])


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_minute_is_told_when_it_is_over_and_the_next_begins_anew() -> None:
    clock, rng = Clock(), np.random.default_rng(1)
    live = LiveProfile("b", reference(), 1000, clock)
    for minute, shift in enumerate((0.0, 1.0)):
        for _ in range(6):
            x = rng.normal(size=(200, 2)).astype(np.float32)
            x[:, 1] += shift
            x[:20, 0] = np.nan if minute else x[:20, 0]
            live.saw(*values(x, x[:, 1].astype(np.float64)))
            clock.seconds += 10
            live.digest()
    told = live.to_dict()
    assert told is not None
    assert told["rows"] == 1200
    assert told["columns"]["b"]["shift"] == pytest.approx(0.26, abs=0.03)
    assert told["columns"]["a"]["null_share"] == pytest.approx(0.1)
    assert abs(told["columns"]["a"]["shift"]) < 0.03


def test_no_more_rows_are_looked_at_than_a_second_may_have() -> None:
    clock = Clock()
    live = LiveProfile("b", reference(), 50, clock)
    for _ in range(100):
        live.saw(*values(np.zeros((40, 2), np.float32), np.zeros(40)))
    clock.seconds = 60
    live.digest()
    told = live.to_dict()
    assert told is not None
    assert told["rows"] == 50


@pytest.mark.parametrize("known", [True, False])
def test_a_server_shows_its_inputs_and_serves_without_a_profile_as_well(tmp_path: Path, known: bool) -> None:
    bundle = make_bundle(tmp_path / "bundles", profile=reference().to_json() if known else b"{}")
    server = Standalone(tmp_path / "server", bundle.path, sketched_rows=500)
    try:
        for _ in range(3):
            for _ in range(30):
                assert server.ask([(5.0, None)])[0] == 200
            time.sleep(1.2)
        _, page = server.admin("/metrics")
    finally:
        server.stop()
    shown = [line.rsplit(" ", 1) for line in page.splitlines() if line.startswith("noria_feature_") and "_age_" not in line]
    figures = {(name.split("{")[0], name.split('feature="')[1].split('"')[0]): float(value) for name, value in shown}
    assert bool(figures) == known
    if known:
        assert figures["noria_feature_nulls", "b"] == 1.0
        assert figures["noria_feature_shift", "a"] > 0.45
