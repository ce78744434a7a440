"""Contracts: each rule does what its policy says, and quarantined rows come back when they are mended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import noria as nr
from noria.core.clock import ReplayClock
from noria.data.contract import Contract, ContractBroken
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
        ({"sql": {"nobody pays too much": "paid <= price"}}, "not: nobody pays too much", 2),
        ({"unique": ["paid"]}, "paid stands twice", 2),
        ({"one_of": {"id": ["o0", "o1", "o2"]}}, "id is not an allowed value", 1),
    ],
)
def test_a_rule_quarantines_warns_or_rejects(tmp_path: Path, contract: dict[str, Any], reason: str, rows: int) -> None:
    name = next(iter(contract["sql"])) if "sql" in contract else next(iter(contract))
    write(tmp_path)
    done = run(tmp_path, table(**contract))
    assert (done.reasons, done.warnings) == ({reason: rows}, {})
    assert done.balance.went == {"stored": 4 - rows, "repeated": 0, "quarantined": rows}
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
    with pytest.raises(nr.NoriaError, match="contract of table 'orders'"):
        check_source(table(sql={"broken": "no_such(price) > 1"}), tmp_path)
    with pytest.raises(nr.NoriaError, match="did you mean 'price'"):
        check_source(table(not_null=["prise"]), tmp_path)


def test_quarantined_rows_come_back_once_the_contract_is_mended(tmp_path: Path) -> None:
    write(tmp_path)
    store = DeltaTables(tmp_path / "tables")
    strict = table(between={"price": (0, 15)}, not_null=["price"])
    assert run(tmp_path, strict).balance.went["quarantined"] == 3
    mended = replace(strict, contract=Contract(between={"price": (0, 30)}, not_null=["price"]))
    done = replay_quarantine(mended, store, ReplayClock(NOW))
    assert done.balance.went == {"stored": 1, "repeated": 0, "quarantined": 2}
    held, kept = store.read_or_none("orders__quarantine"), store.read_or_none("orders")
    assert held is not None
    assert kept is not None
    assert sorted(held.column("id").to_pylist()) == ["o2", "o3"]
    assert sorted(kept.column("id").to_pylist()) == ["o0", "o1"]
    again = replay_quarantine(mended, store, ReplayClock(NOW))
    assert again.balance.went == {"stored": 0, "repeated": 0, "quarantined": 2}
    assert run(tmp_path, mended).balance.came_in == 0


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
    with pytest.raises(SchemaChanged, match="paid is gone"):
        run(tmp_path, table())


def test_a_suggested_contract_keeps_what_has_held_and_is_python(tmp_path: Path) -> None:
    write(tmp_path, city=["ams", "ber", "ams", "cph"] * 10, price=[1.0, 2.0, 3.0, None] * 10, paid=[0.5] * 40, **many(40))
    contract = suggest(table(), check_source(table(), tmp_path))
    cities = {"city": ["ams", "ber", "cph"]}
    assert contract == Contract(not_null=["paid", "city"], between={"price": (0.8, 3.2), "paid": (0.5, 0.5)}, one_of=cities)
    assert eval(as_python(contract), {"nr": nr}) == contract  # noqa: S307 - our own words
    assert run(tmp_path, table(**vars(contract))).reasons == {}


def many(count: int) -> dict[str, Any]:
    times = [NOW - timedelta(minutes=i) for i in range(count)]
    return {"id": [f"o{i}" for i in range(count)], "at": pa.array(times, pa.timestamp("us", tz="UTC"))}
