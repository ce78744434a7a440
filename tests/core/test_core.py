"""The small stones: clock, durations, ids, seeds, health, fingerprints, settings."""

from __future__ import annotations

import copy
import importlib.util
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.core.clock import BadDuration, ReplayClock, duration, from_epoch, in_words, require_utc, since_epoch
from noria.core.conservation import Balance, RowsLost
from noria.core.errors import NoriaError, OurBug
from noria.core.fingerprint import fingerprint
from noria.core.health import Healthy, Unhealthy, Unknown, worst
from noria.core.ids import PredictionIds, canonical_json, digest
from noria.core.randomness import Randomness
from noria.core.settings import BadSettings, load_settings
from noria.core.sql import literal, quoted


@given(st.integers(0, 10**7))
def test_durations_read_what_they_write(seconds: int) -> None:
    assert duration(in_words(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "3", "h", "3 hours", "-1h", "1h2", "1y", "h1"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadDuration):
        duration(text)


def test_a_replay_clock_never_goes_back_and_naive_times_are_refused() -> None:
    clock = ReplayClock(datetime(2024, 1, 2, tzinfo=UTC))
    clock.advance_to(datetime(2024, 1, 3, tzinfo=UTC))
    with pytest.raises(OurBug):
        clock.advance_to(datetime(2024, 1, 2, tzinfo=UTC))
    with pytest.raises(NoriaError, match="no time zone"):
        require_utc(datetime(2024, 1, 1))  # noqa: DTZ001


@given(st.integers(-(10**15), 10**16))
def test_moments_survive_their_microseconds(us: int) -> None:
    assert since_epoch(from_epoch(us)) == us


def test_prediction_ids_are_ordered_and_tell_their_time() -> None:
    ids = PredictionIds("w").take([1_700_000_000_000, 1_700_000_000_001, 1_800_000_000_000])
    assert ids == sorted(ids)
    assert PredictionIds.milliseconds(ids[1]) == 1_700_000_000_001
    for text in ("", "x", "zzzzzzzzzzzz-w-1", "0123456789ab"):
        with pytest.raises(ValueError):  # noqa: PT011
            PredictionIds.milliseconds(text)


def test_digests_do_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": datetime(2024, 1, 1, tzinfo=UTC)}) == digest({"b": datetime(2024, 1, 1, tzinfo=UTC), "a": 1})
    with pytest.raises(TypeError):
        canonical_json(object())


def test_seeds_depend_on_their_name_and_root_only() -> None:
    assert Randomness(1).seed("a") == Randomness(1).seed("a")
    assert len({Randomness(r).seed(n) for r in (1, 2) for n in ("a", "b")}) == 4


def test_an_error_comes_out_of_another_process_as_what_it_is() -> None:
    error = RowsLost(Balance("requests", 10, {"logged": 9}))
    again = copy.deepcopy(error)  # by the same protocol
    assert type(again) is RowsLost
    assert (again.what, str(again), again.balance) == (error.what, str(error), error.balance)


def test_well_needs_evidence_and_unknown_is_not_well() -> None:
    with pytest.raises(ValueError, match="evidence"):
        Healthy({})
    well, ill, unknown = Healthy({"rows": 1}), Unhealthy("x"), Unknown("y")
    assert worst([well, unknown]) is unknown
    assert worst([unknown, ill, well]) is ill
    assert isinstance(worst([]), Unknown)
    assert isinstance(worst([well]), Healthy)


def module(tmp_path: Path, text: str) -> ModuleType:
    path = tmp_path / f"m{len(list(tmp_path.iterdir()))}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("fingerprinted", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules["fingerprinted"] = made
    spec.loader.exec_module(made)
    return made


CODE = """RATE = {rate}

def far(x):
    return x + {far}

def near(x):
    {note}
    return far(x) * RATE

def top(x):
    return [near(v) for v in x]
"""


def test_a_helper_two_calls_away_counts_and_a_comment_does_not(tmp_path: Path) -> None:
    def of(**parts: object) -> str:
        return fingerprint(module(tmp_path, CODE.format(**{"rate": 1, "far": 1, "note": "pass", **parts})).top)

    first = of()
    assert of() == first
    assert of(note="pass  # a word") == first
    assert of(far=2) != first
    assert of(rate=2) != first


def test_the_environment_overrides_the_file_and_types_are_checked(tmp_path: Path) -> None:
    (tmp_path / "noria.toml").write_text('[project]\nname = "p"\nmodule = "m"\n[serving]\nport = 1\n')
    assert load_settings(tmp_path, {}).serving.port == 1
    assert load_settings(tmp_path, {"NORIA_SERVING_PORT": "2"}).serving.port == 2
    for environ, words in (
        ({"NORIA_SERVING_PORT": "many"}, "NORIA_SERVING_PORT is not a whole number .*; write NORIA_SERVING_PORT=8080"),
        ({"NORIA_SERVING_DURABILITY": "maybe"}, "a setting can't be used"),
    ):
        with pytest.raises(BadSettings, match=words):
            load_settings(tmp_path, environ)
    for text in ("[project", '[projet]\nname = "p"', "serving = 3", '[project]\nname = "p"'):
        (tmp_path / "noria.toml").write_text(text)
        with pytest.raises(BadSettings):
            load_settings(tmp_path, {})


@given(st.text())
def test_quoting_survives_any_text(text: str) -> None:
    import duckdb

    if "\x00" in text:
        return
    with duckdb.connect() as con:
        row = con.execute(f"SELECT {literal(text)} AS {quoted(text or 'x')}").fetchall()
    assert row == [(text,)]


def test_the_engine_draws_no_progress_bar_into_a_callers_output() -> None:
    """Where no script runs (`python -c`, a shell), DuckDB's own default is to write one to standard output."""
    setting = "SELECT value FROM duckdb_settings() WHERE name = 'enable_progress_bar'"
    code = f'from noria.core.sql import connect; print(connect().sql("{setting}").fetchall()[0][0])'
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "false"
