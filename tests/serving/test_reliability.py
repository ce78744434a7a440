"""A small part of what `make prove AREA=reliability` does at length, and the sabotages that show that it can fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.reliability import serving


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def clean(found: dict[str, int], *zero: str) -> bool:
    return all(found.get(what, 0) == 0 for what in zero)


@pytest.mark.parametrize("worker", ["noria.serving.process.worker", "tests.crashing_worker 1"], ids=["at random", "around writes"])
def test_a_killed_server_loses_nothing_that_it_acknowledged(tmp_path: Path, worker: str) -> None:
    found = serving.kills(tmp_path, 4, worker=worker)
    assert found["acknowledged"] > 20
    assert clean(found, "lost", "different", "repeated", "invented", "wrong"), found


def test_a_power_cut_loses_nothing_that_was_synced(tmp_path: Path) -> None:
    assert serving.power_cuts(tmp_path / "a", 600) == {"states": 600, "lost": 0, "not_reopened": 0}
    assert serving.power_cuts(tmp_path / "b", 100, ignore_sync=True)["lost"] > 0  # the sabotage


def test_swaps_and_shutdowns_fail_nobody(tmp_path: Path) -> None:
    swapped = serving.swaps(tmp_path / "swaps", 4)
    assert clean(swapped, "failed", "differing_from_log"), swapped
    stopped = serving.shutdowns(tmp_path / "shutdowns", 3)
    assert clean(stopped, "failed", "differing_from_log", "unclean"), stopped


def test_nobody_gets_another_rows_answer(tmp_path: Path) -> None:
    found = serving.many_rows(tmp_path, 100_000)
    assert found["rows"] >= 100_000
    assert clean(found, "swapped", "ids_twice", "failed"), found


def test_hostile_requests_break_nothing(tmp_path: Path) -> None:
    found = serving.hostile(tmp_path, 4_000)
    assert found["status_2xx"] > 50
    assert found["still_answers"] == 1
    assert clean(found, "server_errors", "crashes"), found
