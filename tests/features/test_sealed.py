"""Sealed definitions: what a bundle carries comes back as the same feature set, or is refused."""

from __future__ import annotations

import json
from typing import Any

import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

import noria as nr
from noria.features.sealed import LostDefinition, SealedSource, opened
from noria.features.view import KINDS, Aggregate, span

ORDERS = nr.Table("orders", nr.files("none"), key="order_id", event_time="at")
VISITS = nr.Table("visits", nr.files("none"), key=("city", "visit"), event_time="at", known_at="known", deleted="gone")


@nr.request_transform("price", "twice")
def basket(rows: Any) -> dict[str, Any]:
    return {"price": rows["price"], "twice": pc.multiply(rows["price"], 2.0)}


def sealed(features: nr.FeatureSet) -> dict[str, Any]:
    """The definition as it stands in a bundle: keys sorted, tuples lists."""
    found: dict[str, Any] = json.loads(json.dumps(features.definition(), sort_keys=True))
    return found


def again(features: nr.FeatureSet, **given: Any) -> nr.FeatureSet:
    found = {"spine": features.spine, "lead": features.lead, "transforms": list(features.request), **given}
    return opened(sealed(features), features.features, **found)


windows = st.one_of(st.just("unlimited"), st.timedeltas(min_value=span("1us"), max_value=span("1000d")))
texts = st.one_of(st.sampled_from(["*", "a, 0.5", "f(a) over 3d", "x) over 1d", '"odd, name"', "a\nb"]), st.text(min_size=1))
aggregates = st.builds(
    lambda kind, text, window, share: Aggregate(kind, text, span(window), share if kind == "quantile" else None),
    st.sampled_from(KINDS),
    texts,
    windows,
    st.floats(0, 1),
)


@given(st.dictionaries(st.sampled_from("abcdefgh"), aggregates, min_size=1), st.booleans(), st.sampled_from([None, "15m"]))
def test_any_view_comes_back_as_it_was_in_the_order_of_its_values(made: dict[str, Aggregate], both: bool, freshness: str | None) -> None:
    view = nr.FeatureView("v", VISITS, ("city", "kind"), made, freshness=freshness, closed="both" if both else "right")
    features = nr.FeatureSet("f", ORDERS, [view])
    found = again(features)
    assert dict(found.views[0].aggregate) == made
    assert found.features == features.features
    assert found.definition() == features.definition()


def test_latest_values_transforms_and_the_order_of_views_come_back() -> None:
    latest = nr.FeatureView("z", VISITS, "city", latest=["b", "a"], ttl="2h")
    named = nr.FeatureView("y", VISITS, "city", latest={"q": "a + 1", "p": "b"}, ttl="unlimited")
    features = nr.FeatureSet("f", ORDERS, [latest, named], [basket], lead="1h")
    found = again(features, tables=[VISITS])
    assert found.features == ("b", "a", "q", "p", "price", "twice")
    assert found.definition_hash() == features.definition_hash()
    assert found.views[0].table is VISITS


def test_a_table_that_is_declared_no_more_or_otherwise_is_the_sealed_one() -> None:
    features = nr.FeatureSet("f", ORDERS, [nr.FeatureView("z", VISITS, "city", latest=["b"], ttl="2h")])
    other = nr.Table("visits", nr.files("none"), key="visit", event_time="at")
    for tables in ([], [other]):
        table = again(features, tables=tables).views[0].table
        assert (table.keys, table.known, table.deleted) == (("city", "visit"), "known", "gone")
        assert isinstance(table.source, SealedSource)


def test_a_transform_that_is_gone_or_has_other_code_is_refused_by_name() -> None:
    def rewritten(rows: Any) -> dict[str, Any]:
        return {"price": rows["price"], "twice": pc.multiply(rows["price"], 2.5)}

    rewritten.__name__ = "basket"
    features = nr.FeatureSet("f", ORDERS, request=[basket])
    with pytest.raises(LostDefinition, match="'basket' is no longer declared"):
        again(features, transforms=[])
    with pytest.raises(LostDefinition, match="'basket' has changed since"):
        again(features, transforms=[nr.request_transform("price", "twice")(rewritten)])


def test_what_can_not_be_read_back_is_refused() -> None:
    features = nr.FeatureSet("f", ORDERS, [nr.FeatureView("z", VISITS, "city", aggregate={"n": nr.count(window="1h")})])
    torn = sealed(features)
    torn["views"][0]["aggregate"]["n"] = "count(*)"
    with pytest.raises(LostDefinition, match="can't be read back"):
        opened(torn, features.features, spine=ORDERS, lead="0s")
    with pytest.raises(LostDefinition, match="the model reads n, m"):
        opened(sealed(features), ("n", "m"), spine=ORDERS, lead="0s")
