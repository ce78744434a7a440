"""Columns of bundles are matched by name and definition, never by place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import noria as nr
from noria.core.signature import Field, Signature, SignatureMismatch
from noria.data.rows import Rows
from noria.models.bundle import Bundle, Manifest
from noria.models.columns import in_order, lacking
from servers import lineage_of

ORDERS = nr.Table("orders", nr.files("none"), key="order_id", event_time="at")
VISITS = nr.Table("visits", nr.files("none"), key="visit", event_time="at")


def bundle(*views: nr.FeatureView, features: list[str] | None = None, defined: bool = True) -> Bundle:
    made = nr.FeatureSet("f", ORDERS, views)
    definitions = json.loads(json.dumps(made.definition(), sort_keys=True)) if defined else None
    names = list(made.features) if features is None else features
    return Bundle(
        "b" * 64,
        Path("b"),
        Manifest(
            name="m",
            runtime="onnx",
            signature=Signature.of_numbers(names),
            task={},
            feature_set="f",
            definition_hash="",
            run="run",
            lineage=lineage_of(definitions=definitions),
            metrics={},
            environment={},
            files={},
        ),
    )


def view(name: str = "v", window: str = "6h", **values: Any) -> nr.FeatureView:
    return nr.FeatureView(name, VISITS, "city", values or {"n": nr.count(window=window), "m": nr.mean("x", window="1h")})


BLOCK = np.array([[1, 2], [3, 4]], np.float32)


def rows(had: Bundle) -> Rows:
    return Rows.dense(had.signature.inputs, BLOCK)


def test_swapped_inputs_are_found_by_their_names() -> None:
    had, wanted = bundle(view()), bundle(view(m=nr.mean("x", window="1h"), n=nr.count(window="6h")))
    given = rows(had)
    assert in_order(wanted, had, given).block.tolist() == [[2, 1], [4, 3]]
    assert in_order(had, had, given) is given


def test_the_same_name_under_another_definition_is_another_column() -> None:
    assert lacking(bundle(view(window="12h")), bundle(view())) == ["n"]
    assert lacking(bundle(view("renamed")), bundle(view())) == []  # the view's own name changes no value
    as_text = nr.FeatureView("v", VISITS, "city", latest=["n"], ttl="1h")
    as_sql = nr.FeatureView("v", VISITS, "city", latest={"n": '"n"'}, ttl="1h")
    assert lacking(bundle(as_text), bundle(as_sql)) == []
    with pytest.raises(SignatureMismatch) as caught:
        in_order(bundle(view(window="12h")), bundle(view()), rows(bundle(view())))
    assert caught.value.missing == ["n"]
    assert caught.value.available == ["n", "m"]


def test_bundles_that_were_sealed_without_definitions_are_matched_by_names_alone() -> None:
    old = bundle(view(), defined=False)
    assert lacking(bundle(view(window="12h")), old) == []
    assert lacking(bundle(features=["n", "other"], defined=False), old) == ["other"]


def test_a_column_of_another_type_is_another_column() -> None:
    had, wanted = bundle(view()), bundle(view())
    counted = Signature((Field("n", "int64"), Field("m")), wanted.signature.outputs)
    wanted.manifest.signature = counted
    assert lacking(wanted, had) == ["n"]
