"""`noria check` refuses keys that would name other entities in one table than in another, before anything is trained or served."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

import noria as nr
from noria.core.errors import UserMistake
from noria.data.contract import UnknownColumn
from noria.evaluation.binary import Binary
from noria.features.check import check_keys
from noria.features.coding import BadLabel
from noria.features.keys import IncomparableKeys, KeysOfOtherLength

AT = pa.field("at", pa.timestamp("us", tz="UTC"))


def check(order: pa.DataType, customer: pa.DataType, theirs: pa.DataType, returned: pa.DataType, **label: Any) -> None:
    """Check a project whose orders have an id and a customer, whose events have a customer, and whose returns have the order's id."""
    columns = {
        "orders": [("order", order), ("customer", customer), AT],
        "events": [("id", pa.string()), ("customer", theirs), AT],
        "returns": [("order", label.pop("type_of_order", order)), ("line", pa.int64()), ("returned", returned), AT],
    }
    orders, events, returns = (
        nr.Table(name, nr.files("none"), key=key, event_time="at")
        for name, key in (("orders", "order"), ("events", "id"), ("returns", label.pop("key", "order")))
    )
    view = nr.FeatureView("v", events, entity="customer", aggregate={"n": nr.count(window="1h")})
    features = nr.FeatureSet("f", spine=orders, views=[view])
    rows = {name: pa.schema(fields).empty_table() for name, fields in columns.items()}
    check_keys(features, nr.Label(returns, **{"column": "returned", **label}), rows, Binary())


@pytest.mark.parametrize(
    ("customer", "theirs"),
    [(pa.int64(), pa.float64()), (pa.int32(), pa.decimal128(10, 2)), (pa.date32(), pa.timestamp("us")), (pa.string(), pa.null())],
    ids=str,
)
def test_keys_of_one_kind_are_let_through(customer: pa.DataType, theirs: pa.DataType) -> None:
    check(pa.string(), customer, theirs, pa.int64())


@pytest.mark.parametrize(
    ("customer", "theirs"),
    [
        (pa.string(), pa.int64()),
        (pa.bool_(), pa.int64()),
        (pa.timestamp("us"), pa.timestamp("us", tz="UTC")),
        (pa.list_(pa.int64()), pa.list_(pa.int64())),
    ],
    ids=str,
)
def test_an_entity_of_another_kind_than_in_the_views_table_is_refused_with_both(customer: pa.DataType, theirs: pa.DataType) -> None:
    with pytest.raises(IncomparableKeys, match=r"orders\.customer.*events\.customer|'customer' of 'orders'") as refused:
        check(pa.string(), customer, theirs, pa.int64())
    assert refused.value.code == "NR-217"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"type_of_order": pa.int64()}, IncomparableKeys),
        ({"key": ("order", "line")}, KeysOfOtherLength),
        ({"column": "retuned"}, UnknownColumn),
        ({"positive": "yes"}, BadLabel),
    ],
)
def test_a_label_that_no_outcome_could_be_read_from_is_refused(changed: dict[str, Any], error: type[UserMistake]) -> None:
    check(pa.string(), pa.string(), pa.string(), pa.int64())
    with pytest.raises(error):
        check(pa.string(), pa.string(), pa.string(), pa.int64(), **changed)


def test_a_transform_that_looks_at_other_rows_or_at_chance_is_refused() -> None:
    import numpy as np
    import pyarrow.compute as pc

    from noria.features.check import check_transforms
    from noria.features.feature_set import BadTransform

    table = nr.Table("orders", nr.files("x"), key="id", event_time="at")
    spine = pa.table({"id": ["a", "b", "c"], "amount": [1.0, 2.0, None]})

    def declared(compute: Any) -> nr.FeatureSet:
        return nr.FeatureSet("f", spine=table, request=[nr.request_transform("x")(compute)])

    check_transforms(declared(lambda rows: {"x": pc.multiply(rows["amount"], 2)}), spine)
    for compute in (
        lambda rows: {"x": pc.subtract(rows["amount"], pc.mean(rows["amount"]))},
        lambda rows: {"x": np.random.default_rng().random(len(rows))},
        lambda rows: {"x": np.arange(len(rows))},
    ):
        with pytest.raises(BadTransform, match="alone and"):
            check_transforms(declared(compute), spine)

    texts = nr.request_transform("x", types={"x": "string"})
    check_transforms(nr.FeatureSet("f", spine=table, request=[texts(lambda rows: {"x": rows["id"]})]), spine)
    by_place = nr.FeatureSet("f", spine=table, request=[texts(lambda rows: {"x": [f"r{i}" for i in range(len(rows))]})])
    with pytest.raises(BadTransform, match="x of row 2 of 'orders' is 'r0' alone and 'r1' in a batch"):
        check_transforms(by_place, spine)
