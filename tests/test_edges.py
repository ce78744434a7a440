"""Awkward inputs of every kind: each gives its right value, or is refused by name, or stands in quarantine with its text."""

from __future__ import annotations

import pytest
from benchmarks.edges import awkward, properties
from benchmarks.edges.inputs import Input, LostRows, Verdict, judge, refused
from benchmarks.edges.kinds import KINDS, inputs_of

import noria as nr

RANDOM_TABLES = 4


def bad(inputs: list[Input]) -> list[str]:
    """The inputs that go wrong, in words. Those that need a server or many seconds are left to `make prove AREA=edges`."""
    judged = [judge(tried) for tried in inputs if not tried.slow]
    assert judged
    return [str(found) for found in judged if not found.verdict.good]


@pytest.mark.parametrize("kind", KINDS)
def test_no_input_is_wrong_or_a_traceback_or_lost(kind: str) -> None:
    assert bad(list(inputs_of(kind))) == []


def test_awkward_files_are_ingested_right_or_refused_with_one_message() -> None:
    assert bad(list(awkward.inputs())) == []


@pytest.mark.parametrize("seed", range(1000, 1000 + RANDOM_TABLES))
def test_a_random_table_is_what_plain_python_says_of_it(seed: int) -> None:
    assert properties.check(seed) == []


def test_a_wrong_value_a_traceback_and_a_lost_row_are_seen() -> None:
    def lost() -> None:
        raise LostRows("row 1 is nowhere")

    made = [Input("made up", "wrong", lambda: 1, 2), Input("made up", "traceback", lambda: 1 / 0, 1), Input("made up", "lost", lost, 1)]
    assert [judge(tried).verdict for tried in made] == [Verdict.WRONG, Verdict.TRACEBACK, Verdict.LOST]
    assert [judge(Input("made up", "type", lambda: 1, right)).verdict.good for right in (1, 1.0, True, "1")] == [True, False, False, False]
    assert judge(Input("made up", "refusal", lambda: nr.count(window="0s"), refused("NR-999"))).verdict is Verdict.WRONG
