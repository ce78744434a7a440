"""Materialisation goes on from what the tables say, whatever happened to the versions that it was made from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import noria as nr
from noria.data.ingest import facts, push
from noria.features.materialize import Materializer
from noria.features.online import OnlineFeatures
from noria.features.point_in_time import PointInTime
from noria.stores.online import LmdbStore
from noria.stores.tables import DamagedTable, DeltaTables

START = datetime(2024, 1, 1, tzinfo=UTC)
UTC_US = pa.timestamp("us", tz="UTC")
VISITS = nr.Table("visits", nr.files("none"), key="id", event_time="at", known_at="known")
VIEW = nr.FeatureView("v", VISITS, entity="city", aggregate={"n": nr.count(window="1h"), "sum": nr.total("value", window="1h")})


class Shop:
    """A table and an online store in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tables, self.online = DeltaTables(folder / "t"), LmdbStore(folder / "o")

    def visit(self, id_: str, city: Any, value: Any = 1.0, at: int = 1, known: int | None = None) -> None:
        row = {"id": [id_], "city": city if isinstance(city, pa.Array) else pa.array([city])}
        row |= {"value": value if isinstance(value, pa.Array) else pa.array([value])}
        row |= {"at": pa.array([minute(at)], UTC_US), "known": pa.array([minute(at if known is None else known)], UTC_US)}
        push(VISITS, self.tables, pa.table(row))

    def materialize(self, at: int) -> tuple[int, int]:
        done = Materializer(self.online, self.tables).run(VIEW, minute(at))
        return done.changed, done.recomputed

    def compact(self) -> None:
        with self.tables.writing("visits"):
            self.tables.compact("visits")
            self.tables.retain("visits", [], timedelta(0))

    def serves(self, city: Any, at: int) -> list[float]:
        """The city's values from the store, which are those of the join."""
        asked = pa.table({"city": city if isinstance(city, pa.Array) else pa.array([city]), "_at": pa.array([minute(at)], UTC_US)})
        online = OnlineFeatures(self.online, [VIEW])
        online.verify()
        served = np.array([values[0] for values in online.lookup(asked, minute(at)).values()])
        joined = PointInTime([facts(VISITS, self.tables)]).join(asked, [VIEW]).to_pylist()[0]
        expected = np.array([np.nan if v is None else v for v in joined.values()], np.float32)
        assert np.array_equal(served, expected, equal_nan=True)
        return [float(v) for v in served]


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.online.close()


def test_rows_that_came_late_are_found_though_the_version_before_them_was_removed(shop: Shop) -> None:
    shop.visit("a", "ams", at=1)
    shop.visit("b", "ber", at=2)
    shop.materialize(5)
    shop.visit("c", "ams", at=3)
    shop.visit("d", "cph", at=3)
    shop.compact()
    assert shop.materialize(10) == (0, 2)
    assert [shop.serves(city, 10)[0] for city in ("ams", "ber", "cph")] == [2, 1, 1]


def test_a_removed_version_costs_one_comparison_and_changes_nothing_that_was_right(shop: Shop) -> None:
    shop.visit("a", "ams", at=1)
    shop.materialize(5)
    shop.visit("b", "ams", at=7)
    shop.compact()
    assert shop.materialize(6) == (0, 0)
    assert shop.materialize(8) == (1, 0)
    assert shop.serves("ams", 8) == [2, 2]


def test_a_file_that_is_damaged_is_not_taken_for_one_that_was_removed(shop: Shop) -> None:
    shop.visit("a", "ams", at=1)
    shop.materialize(5)
    shop.visit("b", "ams", at=3)
    with shop.tables.writing("visits"):
        shop.tables.compact("visits")
    [old, *_] = sorted((shop.folder / "t" / "visits").glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    old.write_bytes(old.read_bytes()[:-1] + b"?")
    with pytest.raises(DamagedTable):
        Materializer(shop.online, DeltaTables(shop.folder / "t")).run(VIEW, minute(10))


def test_a_file_of_the_newest_version_that_is_gone_is_damage(shop: Shop) -> None:
    shop.visit("a", "ams", at=1)
    shop.materialize(5)
    shop.visit("b", "ams", at=3)
    for path in (shop.folder / "t" / "visits").glob("*.parquet"):
        path.unlink()
    with pytest.raises(DamagedTable):
        shop.materialize(10)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_table_that_was_removed_and_ingested_anew_is_materialised_anew(shop: Shop, rows: int) -> None:
    shop.visit("a", "ams", at=1)
    shop.visit("b", "ber", at=1)
    shop.materialize(5)
    shutil.rmtree(shop.folder / "t" / "visits")
    for i in range(rows):
        shop.visit(f"c{i}", "cph", at=2)
    shop.materialize(10)
    assert [shop.serves(city, 10)[0] for city in ("ams", "ber", "cph")] == [0, 0, rows]


def test_columns_that_became_wider_make_no_row_late(shop: Shop) -> None:
    shop.visit("a", pa.array([7], pa.int64()), pa.array([1], pa.int64()), at=1)
    shop.visit("b", pa.array([2**40], pa.int64()), pa.array([2], pa.int64()), at=1)
    shop.materialize(5)
    try:
        shop.visit("c", pa.array([7.5]), pa.array([2.5]), at=6)
    except nr.NoriaError:
        pytest.skip("the table's types are not widened")
    assert shop.materialize(10) == (1, 0)
    assert [shop.serves(pa.array([city]), 10) for city in (7.0, 7.5)] == [[1, 1], [1, 2.5]]
    assert shop.serves(pa.array([7]), 10) == [1, 1]


@pytest.mark.parametrize(
    ("asked", "stored", "facts"),
    [
        (pa.array([7]), pa.array([7.0]), 1),
        (pa.array([2**53 + 1]), pa.array([2.0**53]), 0),
        (pa.array([7.0]), pa.array([Decimal("7.00")]), 1),
        (pa.array([0.1]), pa.array([Decimal("0.10")]), 1),
        (pa.array([0.0]), pa.array([-0.0]), 1),
        (pa.array([float("nan")]), pa.array([float("nan")]), 0),
        (pa.array([None], pa.string()), pa.array([""]), 0),
        (pa.array([""]), pa.array([""]), 1),
        (pa.array([date(2024, 5, 1)]), pa.array([datetime(2024, 5, 1)], pa.timestamp("us")), 1),  # noqa: DTZ001
        (pa.array([True]), pa.array([True]), 1),
        (pa.array([b"\x00\xff"]), pa.array([b"\x00\xff"]), 1),
        (pa.array(["k" * 301]), pa.array(["k" * 302]), 0),
        (pa.array(["k" * 302]), pa.array(["k" * 302]), 1),
        (pa.array(["a\x00|\\🙂"]), pa.array(["a\x00|\\🙂"]), 1),
    ],
)
def test_what_the_store_has_of_an_entity_of_another_type_is_what_training_sees(
    shop: Shop, asked: pa.Array, stored: pa.Array, facts: int
) -> None:
    shop.visit("a", stored, at=1)
    shop.materialize(5)
    assert shop.serves(asked, 5)[0] == facts


def test_entities_that_are_nan_and_zeros_of_either_sign_are_counted_once(shop: Shop) -> None:
    for i, city in enumerate([0.0, -0.0, float("nan"), float("nan")]):
        shop.visit(f"v{i}", city, at=1)
    assert shop.materialize(5) == (1, 0)
    shop.visit("late", -0.0, at=2)
    assert shop.materialize(6) == (0, 1)
    assert [shop.serves(city, 6)[0] for city in (0.0, -0.0, float("nan"))] == [3, 3, 0]


def test_values_of_the_whole_table_are_served_as_training_sees_them(shop: Shop) -> None:
    everything = nr.FeatureView("all", VISITS, entity=(), aggregate={"n": nr.count(window="1h")}, latest=["value"], ttl="1h")
    shop.visit("a", "ams", value=2.0, at=1)
    assert Materializer(shop.online, shop.tables).run(everything, minute(5)).changed == 1
    shop.visit("b", "ber", value=3.0, at=2)
    done = Materializer(shop.online, shop.tables).run(everything, minute(5))
    assert (done.changed, done.recomputed) == (0, 1)
    assert OnlineFeatures(shop.online, [everything]).verify() == 1
    asked = pa.table({"order": ["x", "y"], "_at": pa.array([minute(5)] * 2, UTC_US)})
    served = OnlineFeatures(shop.online, [everything]).lookup(asked, minute(5))
    joined = PointInTime([facts(VISITS, shop.tables)]).join(asked, [everything])
    assert {name: column.tolist() for name, column in served.items()} == joined.to_pydict() == {"n": [2, 2], "value": [3.0, 3.0]}
