"""Rankings put together, and conditions that every store must keep."""

from __future__ import annotations

import numpy as np
import pytest

from noria.core.errors import NoriaError
from noria.llm.retrieval import Conditions, diverse, fused


def test_fusion_by_ranks_is_the_papers_sum() -> None:
    found = fused([["a", "b", "c"], ["b", "d", "b"]])
    assert [each for each, _ in found] == ["b", "a", "d", "c"]
    assert dict(found)["b"] == pytest.approx(1 / 62 + 1 / 61)
    assert [each for each, _ in fused([["a"], ["b"]], weights=[1, 2])] == ["b", "a"]
    assert fused([]) == []


def test_diverse_results_leave_out_repetitions() -> None:
    vectors = np.array([[1, 0], [0.999, 0.0447], [0.6, 0.8]], np.float32)
    query = np.array([1, 0], np.float32)
    assert diverse(query, vectors, 2, balance=1.0) == [0, 1]
    assert diverse(query, vectors, 2, balance=0.4) == [0, 2]
    assert diverse(query, vectors[:0], 3) == []


META = {"team": "a", "year": 2024, "final": True}


@pytest.mark.parametrize(
    ("given", "met"),
    [
        ({}, True),
        ({"team": "a"}, True),
        ({"team": {"is_not": "a"}}, False),
        ({"year": {"at_least": 2024, "at_most": 2025}}, True),
        ({"year": {"at_least": 2024.5}}, False),
        ({"year": {"any_of": [2023, 2024]}}, True),
        ({"year": "2024"}, False),
        ({"final": 1}, False),
        ({"final": True, "team": "a"}, True),
        ({"lacking": {"is_not": 1}}, False),
    ],
)
def test_conditions_on_metadata(given, met) -> None:
    assert Conditions.read(given).met_by(META, ()) is met


def test_what_has_labels_is_found_by_those_who_share_one() -> None:
    assert Conditions.read(None, ["staff"]).met_by({}, ["staff", "board"])
    assert not Conditions.read(None, ["guest"]).met_by({}, ["staff"])
    assert not Conditions.read(None, []).met_by({}, ["staff"])
    assert Conditions.read(None, []).met_by({}, [])
    assert Conditions.read(None).met_by({}, ["staff"])


@pytest.mark.parametrize(
    "given", [{"a": None}, {"a": {}}, {"a": {"greater": 1}}, {"a": {"any_of": "x"}}, {"a": {"any_of": [1, "x"]}}, {"a": [1]}]
)
def test_conditions_that_can_not_be_are_refused(given) -> None:
    with pytest.raises(NoriaError, match="the condition on 'a'"):
        Conditions.read(given)
