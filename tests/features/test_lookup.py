"""Requests that name entities: each value finds the entity that training found, or is refused with what was wrong."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import noria as nr
from noria.core.clock import since_epoch
from noria.data.rows import Rows
from noria.features.lookup import BadEntity, EntityLookup
from noria.features.online import Layout, encoded, entity_keys, state_record
from noria.stores.online import LmdbStore

MOMENT = datetime(2024, 1, 1, 12, tzinfo=UTC)
ORDERS = nr.Table("orders", nr.files("none"), key="order", event_time="at")
EVENTS = nr.Table("events", nr.files("none"), key="event", event_time="at")
VIEW = nr.FeatureView("v", EVENTS, entity="customer", aggregate={"n": nr.count(window="1h")})
FEATURES = nr.FeatureSet("f", spine=ORDERS, views=[VIEW])


EXAMPLE = object()


def found(folder: Path, asked: pa.DataType, stored: pa.Array, sent: Any) -> float:
    """What a store that has one fact of each `stored` entity answers to a request's value, where the spine's type is `asked`.

    sent: the value, or `EXAMPLE` for an example of the lookup's own
    """
    store, layout = LmdbStore(folder / "o"), Layout(VIEW)
    keys = [key for key in entity_keys(pa.table({"customer": stored}), ["customer"]) if key is not None]
    forever, ones = np.full(len(keys), 2**62), Rows.dense(layout.values, np.ones((len(keys), 1), np.float32))
    state = {"through": since_epoch(MOMENT), "version": 0, "digest": "", "entities": len(keys), "keys": 0}
    store.write([*encoded(layout, keys, since_epoch(MOMENT), forever, ones), state_record(layout, state)])
    try:
        lookup = EntityLookup(
            FEATURES, store, pa.schema([("order", pa.string()), ("customer", asked), ("at", pa.timestamp("us", tz="UTC"))])
        )
        entity = lookup.example({}, MOMENT, shown=True) if sent is EXAMPLE else {"customer": sent}
        entities, _ = lookup.decode(json.dumps({"entities": [entity]}).encode())
        return float(lookup.features(entities, MOMENT).block[0, 0])
    finally:
        store.close()


EQUAL = [
    (pa.int64(), pa.array([7]), 7),
    (pa.int64(), pa.array([7.0]), 7.0),
    (pa.int32(), pa.array([Decimal("7.00")]), 7),
    (pa.int64(), pa.array([2**53 + 1]), 2**53 + 1),
    (pa.uint64(), pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
    (pa.float64(), pa.array([7]), 7),
    (pa.float64(), pa.array([0]), -0.0),
    (pa.float64(), pa.array([Decimal("7.25")]), 7.25),
    (pa.float64(), pa.array([10**19], pa.uint64()), 10**19),
    (pa.float32(), pa.array([0.1], pa.float32()), 0.1),
    (pa.decimal128(10, 2), pa.array([7]), 7),
    (pa.decimal128(10, 2), pa.array([7.25]), 7.25),
    (pa.decimal128(10, 2), pa.array([Decimal("7.25")]), "7.250"),
    (pa.decimal128(10, 2), pa.array([100]), 1e2),
    (pa.decimal128(38, 0), pa.array([Decimal(10**37)]), 10**37),
    (pa.string(), pa.array(["7"]), "7"),
    (pa.large_string(), pa.array(["a|b\\"]), "a|b\\"),
    (pa.dictionary(pa.int32(), pa.string()), pa.array(["a"]), "a"),
    (pa.string(), pa.array([""]), ""),
    (pa.bool_(), pa.array([True]), True),
    (pa.date32(), pa.array([date(2024, 5, 1)]), "2024-05-01"),
    (pa.date32(), pa.array([datetime(2024, 5, 1)]), "2024-05-01"),  # noqa: DTZ001
    (pa.timestamp("us"), pa.array([date(2024, 5, 1)]), "2024-05-01T00:00:00"),
    (pa.timestamp("us"), pa.array([datetime(2024, 5, 1, 17, 30)]), "2024-05-01T17:30:00"),  # noqa: DTZ001
    (pa.timestamp("us", tz="America/New_York"), pa.array([MOMENT]), "2024-01-01T13:00:00+01:00"),
    (pa.time64("us"), pa.array([time(17, 30)]), "17:30:00"),
    (pa.binary(), pa.array([b"\x00\xff"]), "AP8="),
]


@pytest.mark.parametrize(("asked", "stored", "sent"), EQUAL)
def test_a_value_of_a_request_finds_its_entity(tmp_path: Path, asked: pa.DataType, stored: pa.Array, sent: Any) -> None:
    assert found(tmp_path, asked, stored, sent) == 1.0


@pytest.mark.parametrize(("asked", "stored"), [case[:2] for case in EQUAL])
def test_an_example_is_an_entity_of_the_store(tmp_path: Path, asked: pa.DataType, stored: pa.Array) -> None:
    assert found(tmp_path, asked, stored, EXAMPLE) == 1.0


@pytest.mark.parametrize(
    ("asked", "stored", "sent"),
    [
        (pa.int64(), pa.array([2**53]), 2**53 + 1),
        (pa.float64(), pa.array([0.3]), 0.30000000000000004),
        (pa.string(), pa.array(["7"]), "7.0"),
        (pa.int64(), pa.array([0]), None),
        (pa.float64(), pa.array([float("nan")]), None),
        (pa.string(), pa.array([""]), None),
    ],
)
def test_a_value_that_is_another_entity_or_none_has_no_facts(tmp_path: Path, asked: pa.DataType, stored: pa.Array, sent: Any) -> None:
    assert found(tmp_path, asked, stored, sent) == 0.0


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (pa.int64(), 7.5),
        (pa.int64(), 1e19),
        (pa.int64(), 9007199254740994.0),
        (pa.int64(), "7"),
        (pa.int64(), True),
        (pa.int32(), 2**31),
        (pa.uint8(), -1),
        (pa.int64(), 10**400),
        (pa.float64(), 2**53 + 1),
        (pa.float64(), 10**400),
        (pa.float64(), "7"),
        (pa.decimal128(10, 2), 7.255),
        (pa.decimal128(10, 2), 10**9),
        (pa.decimal128(10, 2), "NaN"),
        (pa.decimal128(10, 2), "Infinity"),
        (pa.decimal128(10, 2), "seven"),
        (pa.string(), 7),
        (pa.bool_(), 1),
        (pa.bool_(), "true"),
        (pa.date32(), "2024-05-01T00:00:00"),
        (pa.date32(), "1 May"),
        (pa.timestamp("us"), "2024-05-01T00:00:00Z"),
        (pa.timestamp("us", tz="UTC"), "2024-05-01T00:00:00"),
        (pa.binary(), "no base64!"),
    ],
)
def test_a_value_that_the_column_cannot_hold_as_it_is_is_refused(tmp_path: Path, asked: pa.DataType, sent: Any) -> None:
    with pytest.raises(BadEntity) as refused:
        found(tmp_path, asked, pa.array([1]), sent)
    assert (refused.value.code, refused.value.http_status) == ("NR-240", 400)
