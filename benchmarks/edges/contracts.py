"""Contracts: values of every type against every rule give a right answer, or one clear message."""

# ruff: noqa: DTZ001 - times without a zone are among the inputs
from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

import noria as nr
from benchmarks.edges.inputs import Input, refused
from benchmarks.edges.trial import Trial, moments

KIND = "contracts"

ROWS = pa.table(
    {
        "id": [1, 2, 3],
        "at": moments(3),
        "stars": [1, 2, 9],
        "member": [True, False, None],
        "price": [1.5, -2.0, None],
        "noise": [0.0, math.nan, math.inf],
        "code": ["a", None, None],
        "zip": ["01", "1", "1"],
        "cents": pa.array([Decimal("0.10"), Decimal("0.20"), None], pa.decimal128(10, 2)),
        "big": pa.array([2**53, 2**53 + 1, 2**63 - 1]),
        "born": pa.array([date(2000, 1, 1), date(2000, 1, 2), None]),
        "seen": pa.array([datetime(2024, 1, 1), datetime(2024, 1, 1, 12), None]),
        "clock": pa.array([time(8), time(17, 30), None], pa.time64("us")),
        "raw": pa.array([b"a", b"b", None]),
        "none": pa.nulls(3),
    }
)
NOON = datetime(2024, 1, 1, 0, 1, tzinfo=UTC)  # the second row's time

# The ids of the rows that a rule quarantines.
RULES: list[tuple[str, Mapping[str, Any], Any]] = [
    ("one_of with numbers", {"one_of": {"stars": [1, 2, 3]}}, [3]),
    ("one_of with floats for whole numbers", {"one_of": {"stars": [1.0, 2.0]}}, [3]),
    ("one_of with a number that none can be", {"one_of": {"stars": [1, 2.5, 9]}}, [2]),
    ("one_of with truth values", {"one_of": {"member": [True]}}, [2]),
    ("one_of with texts", {"one_of": {"code": ["b"]}}, [1]),
    ("one_of with texts like numbers", {"one_of": {"zip": ["01"]}}, [2, 3]),
    ("one_of with None among the values", {"one_of": {"code": ["a", None]}}, []),
    ("one_of with decimals", {"one_of": {"cents": [Decimal("0.1")]}}, [2]),
    ("one_of with floats for decimals", {"one_of": {"cents": [0.1, 0.2]}}, []),
    ("one_of with dates", {"one_of": {"born": [date(2000, 1, 1)]}}, [2]),
    ("one_of with bytes", {"one_of": {"raw": [b"a"]}}, [2]),
    ("one_of with times of day", {"one_of": {"clock": [time(8)]}}, [2]),
    ("one_of beyond 2^53", {"one_of": {"big": [2**53 + 1, 2**63 - 1]}}, [1]),
    ("one_of with NaN", {"one_of": {"noise": [0.0, math.nan]}}, [3]),
    ("one_of of a column of nulls", {"one_of": {"none": ["x"]}}, []),
    ("one_of with a quote", {"one_of": {"code": ["a'b", "a"]}}, []),
    ("one_of with a set", {"one_of": {"code": {"a"}}}, []),
    ("between", {"between": {"price": (0, 5)}}, [2]),
    ("between, its ends included", {"between": {"stars": (1, 9)}}, []),
    ("between, open above", {"between": {"price": (0, None)}}, [2]),
    ("between, open below", {"between": {"price": (None, 0)}}, [1]),
    ("between, up to infinity", {"between": {"price": (0, math.inf)}}, [2]),
    ("between and NaN", {"between": {"noise": (0, None)}}, [2]),
    ("between and infinity", {"between": {"noise": (None, 5)}}, [2, 3]),
    ("between with Decimals on floats", {"between": {"price": (Decimal("0"), Decimal("5"))}}, [2]),
    ("between with Decimals", {"between": {"cents": (Decimal("0.105"), None)}}, [1]),
    ("between with floats on decimals", {"between": {"cents": (0.1, 0.15)}}, [2]),
    ("between with fractions on whole numbers", {"between": {"stars": (1.5, 8.5)}}, [1, 3]),
    ("between beyond 2^53", {"between": {"big": (2**53 + 1, None)}}, [1]),
    ("between beyond 64 bits", {"between": {"big": (None, 2**70)}}, []),
    ("between with zoned times", {"between": {"at": (NOON, None)}}, [1]),
    ("between with naive times", {"between": {"seen": (datetime(2024, 1, 1, 6), None)}}, [1]),
    ("between with a date on naive times", {"between": {"seen": (None, date(2024, 1, 1))}}, []),
    ("between with dates", {"between": {"born": (date(2000, 1, 2), None)}}, [1]),
    ("between with texts", {"between": {"zip": ("02", None)}}, [1]),
    ("between with times of day", {"between": {"clock": (time(9), None)}}, [1]),
    ("between of a column of nulls", {"between": {"none": (0, 1)}}, []),
    ("unique", {"unique": ["zip"]}, [2, 3]),
    ("unique takes two nulls for no repetition", {"unique": ["code"]}, []),
    ("unique of several columns", {"unique": [("zip", "stars")]}, []),
    ("unique and NaN", {"unique": ["noise"]}, []),
    ("not_null", {"not_null": ["code"]}, [2, 3]),
    ("not_null and NaN", {"not_null": ["noise"]}, [2]),
    ("not_null of a column of nulls", {"not_null": ["none"]}, [1, 2, 3]),
    ("a condition", {"sql": {"cheap": "price < 1"}}, [1]),
    ("a condition that is null", {"sql": {"coded": "code = 'a'"}}, []),
    (
        "a condition that fails for a row",
        {"sql": {"number": "CAST(zip AS INTEGER) = 1 AND CAST(coalesce(code, 'x') AS VARCHAR) <> 'a'"}},
        [1],
    ),
    ("a condition that can't be computed for a row", {"sql": {"number": "CAST(coalesce(code, '1') AS INTEGER) = 1"}}, [1]),
    ("a condition with a window", {"sql": {"first": "row_number() OVER (ORDER BY id) = 1"}}, [2, 3]),
    ("a condition with a comment", {"sql": {"cheap": "price < 1 -- euros"}}, [1]),
    ("two rules at once", {"not_null": ["code"], "between": {"price": (None, 0)}}, [1, 2, 3]),
    ("a rule that only warns", {"not_null": ["code"], "policy": {"not_null": "warn"}}, []),
    ("types as they are stored", {"types": {"stars": "INTEGER", "price": "DOUBLE"}}, []),
    ("a rule that rejects", {"not_null": ["code"], "policy": {"not_null": "reject"}}, refused("NR-208")),
    ("another type", {"types": {"price": "VARCHAR"}}, refused("NR-208")),
    ("a type that is none", {"types": {"price": "NUMBER"}}, refused("NR-225")),
    ("a type that is an injection", {"types": {"price": "INTEGER); DROP TABLE t; --"}}, refused("NR-225")),
    ("a column that is not there", {"not_null": ["prize"]}, refused("NR-203")),
    ("a condition on a column that is not there", {"sql": {"x": "prize > 0"}}, refused("NR-203", "NR-221")),
    ("a condition that is no truth value", {"sql": {"x": "'maybe'"}}, refused("NR-221")),
    ("a condition that is no SQL", {"sql": {"x": "price >"}}, refused("NR-221")),
    ("a condition that closes its bracket", {"sql": {"x": "price > 0) OR (true"}}, refused("NR-221")),
    ("between, upside down", {"between": {"price": (5, 0)}}, refused("NR-221")),
    ("between with NaN", {"between": {"price": (math.nan, 1)}}, refused("NR-221")),
    ("between without bounds", {"between": {"price": (None, None)}}, refused("NR-221")),
    ("between with one bound", {"between": {"price": 5}}, refused("NR-221")),
    ("between with a text and a number", {"between": {"price": ("a", 5)}}, refused("NR-221")),
    ("between with texts on numbers", {"between": {"price": ("a", "b")}}, refused("NR-221")),
    ("between with naive times on zoned ones", {"between": {"at": (datetime(2024, 1, 1), None)}}, refused("NR-221")),
    ("between with truth values", {"between": {"member": (False, True)}}, refused("NR-221")),
    ("one_of with texts on numbers", {"one_of": {"stars": ["1", "2"]}}, refused("NR-221")),
    ("one_of with numbers on texts", {"one_of": {"zip": [1]}}, refused("NR-221")),
    ("one_of with nothing", {"one_of": {"stars": []}}, refused("NR-221")),
    ("one_of with a text for a list", {"one_of": {"code": "abc"}}, refused("NR-221")),
    ("one_of with values of two kinds", {"one_of": {"code": ["a", 1]}}, refused("NR-221")),
    ("one_of with a list in it", {"one_of": {"code": [["a"]]}}, refused("NR-221")),
    ("a text for a list of columns", {"not_null": "code"}, refused("NR-221")),
    ("a policy of no rule", {"policy": {"unique:zip": "warn"}}, refused("NR-221")),
    ("a policy that is none", {"unique": ["zip"], "policy": {"unique": "ignore"}}, refused("NR-221")),
    ("a negative number of rows", {"rows": (-1, None)}, refused("NR-221")),
    ("an age that is none", {"stale_after": "soon"}, refused("NR-102", "NR-221")),
]


def _held(rules: Mapping[str, Any]) -> list[int]:
    trial = Trial(contract=nr.Contract(**rules))
    done = trial.push(ROWS)
    held = sorted(int(row["id"]) for row in trial.held())
    assert done.balance.rows_out == {"stored": 3 - len(held), "repeated": 0, "quarantined": len(held)}, done.balance
    return held


def inputs() -> Iterator[Input]:
    for i, (name, rules, right) in enumerate(RULES):
        yield Input(KIND, name, lambda rules=rules: _held(rules), right, slow=i % 2 > 0)
