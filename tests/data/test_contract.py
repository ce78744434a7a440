"""Contracts: each rule does what its policy says, and quarantined rows come back when they are fixed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import noria as nr
from noria.core.clock import ReplayClock
from noria.core.sql import connect
from noria.data.contract import BadContract, Contract, ContractBroken, UnknownColumn
from noria.data.ingest import SchemaChanged, check_source, ingest, replay_quarantine
from noria.data.suggest import as_python, suggest
from noria.stores.tables import DeltaTables

NOW = datetime(2024, 1, 2, tzinfo=UTC)


def table(**contract: Any) -> nr.Table:
    return nr.Table("orders", nr.files("orders.parquet"), key="id", event_time="at", contract=nr.Contract(**contract))


def write(folder: Path, **columns: Any) -> None:
    count = len(next(iter(columns.values()), [1, 2, 3, 4]))
    rows = {
        "id": [f"o{i}" for i in range(count)],
        "price": [10.0, 20.0, -5.0, None][:count],
        "paid": [10.0, 25.0, 0.0, 0.0][:count],
        "at": pa.array([NOW - timedelta(hours=i) for i in range(count)], pa.timestamp("us", tz="UTC")),
        **columns,
    }
    pq.write_table(pa.table(rows), folder / "orders.parquet")


def run(folder: Path, table: nr.Table) -> Any:
    return ingest(table, DeltaTables(folder / "tables"), folder, ReplayClock(NOW))


@pytest.mark.parametrize(
    ("contract", "reason", "rows"),
    [
        ({"not_null": ["price"]}, "price is null", 1),
        ({"between": {"price": (0, 15)}}, "price is outside 0 to 15", 2),
        ({"sql": {"nobody pays too much": "paid <= price"}}, "violates: nobody pays too much", 2),
        ({"unique": ["paid"]}, "paid is duplicated", 2),
        ({"one_of": {"id": ["o0", "o1", "o2"]}}, "id is not an allowed value", 1),
    ],
)
def test_a_rule_quarantines_warns_or_rejects(tmp_path: Path, contract: dict[str, Any], reason: str, rows: int) -> None:
    name = next(iter(contract["sql"])) if "sql" in contract else next(iter(contract))
    write(tmp_path)
    done = run(tmp_path, table(**contract))
    assert (done.reasons, done.warnings) == ({reason: rows}, {})
    assert done.balance.rows_out == {"stored": 4 - rows, "repeated": 0, "quarantined": rows}
    for policy in ("warn", "reject"):
        folder = tmp_path / policy
        folder.mkdir()
        write(folder)
        chosen = table(**contract, policy={name: policy})
        if policy == "warn":
            done = run(folder, chosen)
            assert (done.reasons, done.warnings, done.snapshot.rows) == ({}, {reason: rows}, 4)
        else:
            with pytest.raises(ContractBroken, match=f"{reason} .{rows} rows"):
                run(folder, chosen)
            assert DeltaTables(folder / "tables").latest("orders") is None


def test_a_batch_that_is_too_small_or_too_old_warns_or_is_rejected(tmp_path: Path) -> None:
    write(tmp_path)
    assert run(tmp_path, table(rows=(5, None))).warnings == {"4 rows, expected 5 to any": 4}
    strict = tmp_path / "strict"
    strict.mkdir()
    write(strict)
    with pytest.raises(ContractBroken, match="4 rows, expected any to 3"):
        run(strict, table(rows=(None, 3), policy={"rows": "reject"}))
    old = tmp_path / "old"
    old.mkdir()
    write(old, at=pa.array([NOW - timedelta(days=3)] * 4, pa.timestamp("us", tz="UTC")))
    assert list(run(old, table(stale_after="2d")).warnings) == ["the newest event is 3d old, expected 2d at most"]


def test_a_type_that_is_not_the_declared_one_is_rejected(tmp_path: Path) -> None:
    write(tmp_path, price=["1", "2", "3", "4"])
    with pytest.raises(ContractBroken, match="price is VARCHAR, not DOUBLE"):
        run(tmp_path, table(types={"price": "DOUBLE"}))


def test_a_rule_or_policy_that_is_not_there_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(nr.NoriaError, match="between:price"):
        Contract(between={"price": (0, 1)}, policy={"between:prise": "warn"})
    with pytest.raises(nr.NoriaError, match="ignore"):
        Contract(not_null=["a"], policy={"not_null": "ignore"})  # type: ignore[dict-item]


def test_a_condition_that_the_engine_refuses_and_an_unknown_column_are_named(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(nr.NoriaError, match="the condition 'broken' can't be computed"):
        check_source(table(sql={"broken": "no_such(price) > 1"}), tmp_path)
    with pytest.raises(nr.NoriaError, match="did you mean 'price'"):
        check_source(table(not_null=["prise"]), tmp_path)


def test_quarantined_rows_come_back_once_the_contract_is_fixed(tmp_path: Path) -> None:
    write(tmp_path)
    store = DeltaTables(tmp_path / "tables")
    strict = table(between={"price": (0, 15)}, not_null=["price"])
    assert run(tmp_path, strict).balance.rows_out["quarantined"] == 3
    fixed = replace(strict, contract=Contract(between={"price": (0, 30)}, not_null=["price"]))
    done = replay_quarantine(fixed, store, ReplayClock(NOW))
    assert done.balance.rows_out == {"stored": 1, "repeated": 0, "quarantined": 2}
    held, kept = store.read_or_none("orders__quarantine"), store.read_or_none("orders")
    assert held is not None
    assert kept is not None
    assert sorted(held.column("id").to_pylist()) == ["o2", "o3"]
    assert sorted(kept.column("id").to_pylist()) == ["o0", "o1"]
    again = replay_quarantine(fixed, store, ReplayClock(NOW))
    assert again.balance.rows_out == {"stored": 0, "repeated": 0, "quarantined": 2}
    assert run(tmp_path, fixed).balance.rows_in == 0


def test_an_added_column_is_taken_and_a_dropped_one_is_not(tmp_path: Path) -> None:
    write(tmp_path)
    first = run(tmp_path, table())
    write(tmp_path, id=[f"p{i}" for i in range(4)], colour=["red"] * 4)
    second = run(tmp_path, table())
    assert second.snapshot.rows == 8
    store = DeltaTables(tmp_path / "tables")
    assert store.read("orders", second.snapshot.version).column("colour").null_count == 4
    assert "colour" not in store.read("orders", first.snapshot.version).column_names
    pq.write_table(pq.read_table(tmp_path / "orders.parquet").drop_columns(["paid"]), tmp_path / "orders.parquet")
    with pytest.raises(SchemaChanged, match="paid is missing"):
        run(tmp_path, table())


def test_a_suggested_contract_keeps_what_has_held_and_is_python(tmp_path: Path) -> None:
    write(tmp_path, city=["ams", "ber", "ams", "cph"] * 10, price=[1.0, 2.0, 3.0, None] * 10, paid=[0.5] * 40, **many(40))
    contract = suggest(table(), check_source(table(), tmp_path).rows)
    cities = {"city": ["ams", "ber", "cph"]}
    assert contract == Contract(not_null=["paid", "city"], between={"price": (0.8, 3.2), "paid": (0.5, 0.5)}, one_of=cities)
    assert eval(as_python(contract), {"nr": nr}) == contract  # noqa: S307 - our own words
    assert run(tmp_path, table(**vars(contract))).reasons == {}


def many(count: int) -> dict[str, Any]:
    times = [NOW - timedelta(minutes=i) for i in range(count)]
    return {"id": [f"o{i}" for i in range(count)], "at": pa.array(times, pa.timestamp("us", tz="UTC"))}


# --- rules on rows, judged by the engine alone ----------------------------------------------------------------------------


def broken(rows: pa.Table, **contract: Any) -> dict[str, list[int]]:
    """The places of the rows that break each rule, by its reason."""
    rules = Contract(**contract).rules((), (), {f.name: f.type for f in rows.schema})
    found = {}
    with connect() as con:
        con.register("raw", rows.append_column("place", pa.array(range(rows.num_rows))))
        for rule in rules:
            judged = con.sql(f"SELECT place FROM (SELECT place, coalesce({rule.broken}, false) AS bad FROM raw) WHERE bad ORDER BY place")
            found[rule.reason] = [place for (place,) in judged.fetchall()]
    return found


NAN = float("nan")
ROWS = pa.table(
    {
        "x": [1.0, NAN, None, 1.0, NAN],
        "n": [1, 2, None, 2, 5],
        "code": ["1", "x", None, "5", "1"],
        "day": pa.array([NOW.date()] * 5),
        "ok": [True, False, None, True, False],
        "empty": pa.nulls(5),
        "tags": [["a"], ["a"], None, [], ["b"]],
    }
)


@pytest.mark.parametrize(
    ("contract", "bad"),
    [
        ({"not_null": ["x"]}, {"x is null": [2], "x is not a number": [1, 4]}),
        ({"not_null": ["n", "n"]}, {"n is null": [2]}),
        ({"unique": ["x"]}, {"x is duplicated": [0, 3]}),
        ({"unique": ["n", "n"]}, {"n is duplicated": [1, 3]}),
        ({"unique": [("n", "ok")]}, {"n, ok are duplicated": []}),
        ({"unique": [("x", "ok"), "tags"]}, {"x, ok are duplicated": [0, 3], "tags is duplicated": [0, 1]}),
        ({"between": {"n": (2, None)}}, {"n is below 2": [0]}),
        ({"between": {"n": (None, 4.5)}}, {"n is above 4.5": [4]}),
        ({"between": {"x": (float("-inf"), 0.5)}}, {"x is above 0.5": [0, 1, 3, 4]}),
        ({"between": {"x": (float("-inf"), float("inf"))}}, {"x is not a number": [1, 4]}),
        ({"between": {"n": (123_456_789, 10**18)}}, {"n is outside 123456789 to 1000000000000000000": [0, 1, 3, 4]}),
        ({"between": {"code": ("1", "5")}}, {"code is outside '1' to '5'": [1]}),
        ({"between": {"day": (None, NOW.date() - timedelta(days=1))}}, {"day is above 2024-01-01": [0, 1, 2, 3, 4]}),
        ({"between": {"empty": (1, 2)}, "one_of": {"empty": ["a"]}, "not_null": ["empty"]}, {"empty is null": [0, 1, 2, 3, 4]}),
        ({"one_of": {"ok": {True, None}}}, {"ok is not an allowed value": [1, 4]}),
        ({"one_of": {"n": np.array([1, 2])}}, {"n is not an allowed value": [4]}),
        ({"sql": {"c": "n > 1"}}, {"violates: c": [0]}),
        ({"sql": {"c": "n > 1 -- as they say"}}, {"violates: c": [0]}),
        ({"sql": {"c": "CAST(code AS INT) < 5"}}, {"violates: c": [1, 3]}),
        ({"sql": {"c": "count(*) OVER (PARTITION BY n) = 1"}}, {"violates: c": [1, 3]}),
        ({"sql": {"c": "n <= (SELECT min(v) FROM (VALUES (2), (3)) AS most(v))"}}, {"violates: c": [4]}),
        ({"sql": {'it\'s "c"': "code != 'x;) --'"}}, {'violates: it\'s "c"': []}),
    ],
)
def test_what_breaks_a_rule(contract: dict[str, Any], bad: dict[str, list[int]]) -> None:
    assert broken(ROWS, **contract) == bad


@pytest.mark.parametrize(
    ("contract", "words"),
    [
        ({"between": {"code": (0, 5)}}, "'code' can't be compared .* 0 is a number, and the column holds string"),
        ({"between": {"day": (NOW, None)}}, "a time with a zone"),
        ({"between": {"x": (None, 2**53 + 1)}}, "can't be distinguished from neighboring values"),
        ({"one_of": {"n": ["1", "2"]}}, "'1' is text, and the column holds int64"),
        ({"one_of": {"n": [True]}}, "a boolean"),
        ({"one_of": {"tags": ["a"]}}, "the column holds list"),
        ({"sql": {"c": "prise > 1"}}, "'c' can't be computed: .*prise"),
        ({"sql": {"c": "n >"}}, "'c' can't be computed: Parser Error"),
        ({"sql": {"c": "n"}}, "'c' is BIGINT, not boolean"),
        ({"sql": {"c": "'yes'"}}, "not boolean"),
        ({"sql": {"c": "n > 1, n < 3"}}, "not boolean|can't be computed"),
        ({"sql": {"c": "true) OR (true"}}, "can't be computed"),
        ({"sql": {"c": "n > 1; SELECT true"}}, "can't be computed"),
        ({"sql": {"c": "n > 1;"}}, "can't be computed"),
        ({"sql": {"c": "n > 1 /*"}}, "can't be computed"),
        ({"sql": {"c": "max(n) > 1"}}, "can't be computed"),
        ({"sql": {"c": "n <= (SELECT max(n) FROM raw)"}}, "can't be computed"),
        ({"sql": {"c": "COLUMNS(*) IS NOT NULL"}}, "can't be computed|not boolean"),
        ({"sql": {"c": "n > 1 AS x"}}, "can't be computed"),
        ({"sql": {"c": "n > 1 FROM range(3)"}}, "can't be computed"),
    ],
)
def test_what_can_not_be_judged_is_one_mistake(contract: dict[str, Any], words: str) -> None:
    declared = Contract(**contract)
    with pytest.raises(BadContract, match=words):
        declared.rules((), (), {f.name: f.type for f in ROWS.schema})


@pytest.mark.parametrize(
    ("contract", "words"),
    [
        ({"not_null": "price"}, "not a list of columns"),
        ({"not_null": {"a", "b"}}, "not a list of columns"),
        ({"not_null": [1]}, "1 is not a column name"),
        ({"not_null": [("a", "b")]}, "is not a column name"),
        ({"unique": "price"}, "not a list of columns"),
        ({"unique": [("a", "a")]}, "each column once"),
        ({"unique": [()]}, "is not a column name"),
        ({"between": [("a", 1, 2)]}, "not a dict"),
        ({"between": {1: (0, 1)}}, "not a dict with names"),
        ({"between": {"a": 5}}, "not a pair"),
        ({"between": {"a": (1, 2, 3)}}, "not a pair"),
        ({"between": {"a": (None, None)}}, "at least one bound"),
        ({"between": {"a": (2, 1)}}, "no value lies between 2 and 1"),
        ({"between": {"a": ("b", "a")}}, "no value lies between"),
        ({"between": {"a": (NOW, NOW - timedelta(1))}}, "no value lies between"),
        ({"between": {"a": (float("inf"), None)}}, "no value lies between"),
        ({"between": {"a": (0, NAN)}}, "NaN can't be a bound"),
        ({"between": {"a": (Decimal("NaN"), 1)}}, "NaN can't be a bound"),
        ({"between": {"a": (False, True)}}, "use one_of"),
        ({"between": {"a": (0, "9")}}, "can't be compared"),
        ({"between": {"a": (NOW, NOW.replace(tzinfo=None))}}, "a time with a zone and a time without a zone"),
        ({"between": {"a": (NOW.date(), NOW)}}, "can't be compared"),
        ({"between": {"a": (timedelta(1), None)}}, "which no column can hold"),
        ({"between": {"a": (1j, None)}}, "which no column can hold"),
        ({"one_of": {"a": "abc"}}, "not a list of values"),
        ({"one_of": {"a": {"b": 1}}}, "not a list of values"),
        ({"one_of": {"a": (v for v in "ab")}}, "not a list of values"),
        ({"one_of": {"a": 5}}, "not a list of values"),
        ({"one_of": {"a": []}}, "no value is allowed"),
        ({"one_of": {"a": [1, "a"]}}, "can't be compared"),
        ({"one_of": {"a": [True, 1]}}, "can't be compared"),
        ({"one_of": {"a": [object()]}}, "which no column can hold"),
        ({"one_of": {"a": [["nested"]]}}, "which no column can hold"),
        ({"one_of": {"a": ["\ud800"]}}, "valid Unicode"),
        ({"sql": {"c": ""}}, "not an SQL condition"),
        ({"sql": {"c": True}}, "not an SQL condition"),
        ({"sql": "price > 0"}, "not a dict"),
        ({"sql": {"between:a": "a > 0"}, "between": {"a": (0, 1)}}, "name of another rule"),
        ({"sql": {"rows": "a > 0"}}, "name of another rule"),
        ({"types": {"a": int}}, "not an SQL type"),
        ({"types": ["a"]}, "not a dict"),
        ({"rows": 5}, "not a pair"),
        ({"rows": (5, 1)}, "no batch has 5 to 1 rows"),
        ({"rows": ("1", None)}, "no batch has"),
        ({"rows": (-1, None)}, "no batch has"),
        ({"rows": (True, None)}, "no batch has"),
        ({"stale_after": 2}, "not a valid age"),
        ({"stale_after": "0s"}, "not a valid age"),
        ({"stale_after": "two days"}, "not a duration"),
        ({"policy": "warn"}, "not a dict"),
        ({"policy": {"between": "drop"}}, "policies: reject, quarantine, warn"),
        ({"policy": {"between": ["warn"]}}, "policies: reject, quarantine, warn"),
        ({"policy": {"between:a": "warn"}}, "no rule 'between:a'"),
        ({"policy": {"unique:a": "warn"}, "unique": [("a", "b")]}, "did you mean 'unique:a,b'"),
    ],
)
def test_what_can_not_be_meant_is_refused_when_it_is_declared(contract: dict[str, Any], words: str) -> None:
    with pytest.raises(nr.NoriaError, match=words) as caught:
        Contract(**contract)
    assert caught.value.code in ("NR-221", "NR-102")
    assert len(caught.value.where) < 300


def test_only_rules_of_windows_and_subqueries_are_not_rowwise() -> None:
    rules = Contract(unique=["n"], not_null=["n"], sql={"a": "count(*) over(partition by n) = 1", "b": "n > 1", "c": "n > (SELECT 1)"})
    assert [r.rowwise for r in rules.rules((), (), {f.name: f.type for f in ROWS.schema})] == [True, False, False, True, False]


def test_a_rule_on_several_columns_has_a_policy_of_its_own() -> None:
    contract = Contract(unique=[("n", "ok"), "code"], policy={"unique:n,ok": "reject", "unique": "warn"})
    rules = contract.rules((), (), {f.name: f.type for f in ROWS.schema})
    assert [(r.name, r.policy) for r in rules] == [("unique:n,ok", "reject"), ("unique:code", "warn")]
    assert contract.columns() == {"n", "ok", "code"}


def test_a_rule_on_a_column_that_is_not_there_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UnknownColumn, match="did you mean 'code'"):
        Contract(one_of={"cod": ["a"]}).rules((), (), {f.name: f.type for f in ROWS.schema})


@pytest.mark.parametrize(
    ("sql", "stored", "same"),
    [
        ("INT", pa.int64(), True),
        ("BIGINT", pa.int64(), True),
        ("DOUBLE PRECISION", pa.float64(), True),
        ("real", pa.float64(), True),
        ("NUMERIC(12,2)", pa.decimal128(18, 2), True),
        ("NUMERIC(12,2)", pa.decimal128(18, 3), False),
        ("NUMERIC(12,2)", pa.float64(), False),
        ("TIMESTAMPTZ", pa.timestamp("us", tz="UTC"), True),
        ("timestamp with time zone", pa.timestamp("us", tz="UTC"), True),
        ("TIMESTAMP", pa.timestamp("us", tz="UTC"), False),
        ("TEXT", pa.string(), True),
        ("BIGINT[]", pa.list_(pa.int64()), True),
        ("BIGINT", pa.null(), True),
        ("BIGINT", pa.string(), False),
    ],
)
def test_declared_types_are_compared_as_they_are_stored(sql: str, stored: pa.DataType, same: bool) -> None:
    assert (Contract(types={"a": sql}).other_types({"a": stored}) == []) is same


def test_a_declared_type_that_is_none_is_a_mistake() -> None:
    with pytest.raises(nr.NoriaError, match="'NUMBER', the type declared for 'a'"):
        Contract(types={"a": "NUMBER"}).other_types({"a": pa.int64()})
