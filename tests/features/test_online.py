"""Online is offline: whatever rows arrive, in whatever order, the store gives what training would have seen."""

from __future__ import annotations

import re
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import noria as nr
from events import SCHEMA, TABLE, events, moment, spine_of, spines, view
from noria.data.ingest import facts, push
from noria.features.fields import as_float32
from noria.features.materialize import Materializer
from noria.features.online import DamagedRecord, Layout, NotMaterialized, OnlineFeatures
from noria.features.point_in_time import PointInTime
from noria.stores.online import LmdbStore, OnlineStore
from noria.stores.tables import DeltaTables

# Ingestion refuses keys, times and whole rows that are null; entities may be.
Rows = list[dict[str, Any]]


def arrow(rows: Rows) -> pa.Table:
    return pa.Table.from_pylist([{**r, "at": moment(r["at"]), "known": moment(r["known"])} for r in rows], SCHEMA)


def offline(tables: DeltaTables, spine: Rows, views: list[nr.FeatureView]) -> dict[str, np.ndarray]:
    found = PointInTime([facts(TABLE, tables)]).join(spine_of(spine), views)
    return {name: as_float32(found.column(name)) for name in found.column_names}


def served(store: OnlineStore, row: dict[str, Any], views: list[nr.FeatureView]) -> dict[str, float]:
    found = OnlineFeatures(store, views).lookup(spine_of([row]), moment(row["_at"]))
    return {name: values[0] for name, values in found.items()}


@settings(max_examples=8, deadline=None)
@given(events, spines, st.sampled_from([None, "15m"]), st.sampled_from(["city", ("city", "line")]))
def test_the_store_gives_at_each_moment_what_the_join_gives(rows: Rows, spine: Rows, freshness: str | None, entity: Any) -> None:
    """All rows are there from the start, each to be known at its time; the store is brought forward step by step."""
    views = [view(freshness, entity)]
    with tempfile.TemporaryDirectory() as scratch:
        tables, store = DeltaTables(Path(scratch) / "t"), LmdbStore(Path(scratch) / "o")
        push(TABLE, tables, arrow(rows))
        expected = offline(tables, spine, views)
        for i in sorted(range(len(spine)), key=lambda i: spine[i]["_at"]):
            Materializer(store, tables).run(views[0], moment(spine[i]["_at"]))
            got = served(store, spine[i], views)
            assert {n: (got[n], v[i]) for n, v in expected.items() if not np.array_equal(got[n], v[i], equal_nan=True)} == {}
        store.close()


def served_from_now_on(store: OnlineStore, city: str, asked: nr.FeatureView) -> str:
    """Everything the store would serve of a city from minute 320 until its latest value has expired."""
    return repr([served(store, {"city": city, "_at": minute}, [asked]) for minute in range(320, 367)])


@settings(max_examples=6, deadline=None)
@given(events, events)
def test_a_late_batch_marks_what_it_changes_and_that_is_fixed(first: Rows, late: Rows) -> None:
    """The marked entities are exactly those that would be served other values, and after recomputing none would."""
    asked = view(None)
    with tempfile.TemporaryDirectory() as scratch:
        tables, store, fresh = DeltaTables(Path(scratch) / "t"), LmdbStore(Path(scratch) / "o"), LmdbStore(Path(scratch) / "f")
        push(TABLE, tables, arrow(first))
        Materializer(store, tables).run(asked, moment(320))
        push(TABLE, tables, arrow(late))
        Materializer(fresh, tables).run(asked, moment(320))
        expected = {city: served_from_now_on(fresh, city, asked) for city in ("ams", "ber")}
        differing = {city for city, values in expected.items() if served_from_now_on(store, city, asked) != values}
        marked = Materializer(store, tables).stale(asked)
        assert differing == set(marked.column("city").to_pylist() if marked else [])
        done = Materializer(store, tables).run(asked, moment(320))
        assert (done.changed, done.recomputed) == (0, len(differing))
        assert Materializer(store, tables).stale(asked) is None
        assert {city: served_from_now_on(store, city, asked) for city in expected} == expected
        store.close()
        fresh.close()


def test_running_again_writes_nothing(tmp_path: Path) -> None:
    tables, store = DeltaTables(tmp_path / "t"), LmdbStore(tmp_path / "o")
    rows = [{"id": f"e{i}", "part": 1, "city": "ams", "value": 1.0, "at": i, "known": i} for i in range(50)]
    push(TABLE, tables, arrow(rows))
    asked = view("15m")
    assert Materializer(store, tables).run(asked, moment(30)).changed == 1
    again = Materializer(store, tables).run(asked, moment(30))
    assert (again.changed, again.recomputed) == (0, 0)


def test_a_changed_definition_is_made_afresh_and_the_old_records_go(tmp_path: Path) -> None:
    tables, store = DeltaTables(tmp_path / "t"), LmdbStore(tmp_path / "o")
    push(TABLE, tables, arrow([{"id": "e", "part": 1, "city": "ams", "value": 1.0, "at": 1, "known": 1}]))
    old, new = (nr.FeatureView("v", TABLE, entity="city", aggregate={"n": nr.count(window=w)}) for w in ("1h", "2h"))
    for asked in (old, new):
        Materializer(store, tables).run(asked, moment(90))
    assert not list(store.scan(Layout(old).prefix))
    assert served(store, {"city": "ams", "_at": 90}, [new]) == {"n": 1.0}


@pytest.mark.parametrize("place", [0, 3, 5, 13, -1])
def test_a_record_that_was_changed_is_never_served(tmp_path: Path, place: int) -> None:
    tables, store = DeltaTables(tmp_path / "t"), LmdbStore(tmp_path / "o")
    push(TABLE, tables, arrow([{"id": "e", "part": 1, "city": "ams", "value": 1.0, "at": 1, "known": 1}]))
    asked = view(None)
    Materializer(store, tables).run(asked, moment(20))
    [(key, record)] = list(store.scan(Layout(asked).prefix))
    damaged = bytearray(record)
    damaged[place] ^= 1
    store.write([(key, bytes(damaged))])
    with pytest.raises(DamagedRecord, match="ams"):
        served(store, {"city": "ams", "_at": 20}, [asked])


def test_a_record_that_went_missing_is_noticed_when_the_store_is_verified(tmp_path: Path) -> None:
    tables, store = DeltaTables(tmp_path / "t"), LmdbStore(tmp_path / "o")
    push(TABLE, tables, arrow([{"id": c, "part": 1, "city": c, "value": 1.0, "at": 1, "known": 1} for c in ("ams", "ber")]))
    asked = view(None)
    for minute in (20, 100):
        Materializer(store, tables).run(asked, moment(minute))
    features = OnlineFeatures(store, [asked])
    assert features.verify() == 2
    [(_, record), (missing, _)] = list(store.scan(Layout(asked).prefix))
    store.drop(missing)
    with pytest.raises(DamagedRecord, match="1 of 2 are missing"):
        features.verify()
    store.write([(missing, record)])
    with pytest.raises(DamagedRecord, match="ber"):
        features.verify()


def test_a_branch_of_the_tree_that_leads_astray_is_noticed_when_the_store_is_verified(tmp_path: Path) -> None:
    """A flip in a branch's key leaves every record for a scan to see, and hides some from lookups."""
    tables, store = DeltaTables(tmp_path / "t"), LmdbStore(tmp_path / "o")
    cities = [f"c{i:03d}" for i in range(400)]
    push(TABLE, tables, arrow([{"id": c, "part": 1, "city": c, "value": 1.0, "at": 1, "known": 1} for c in cities]))
    asked = view(None)
    Materializer(store, tables).run(asked, moment(20))
    store.close()
    whole = (tmp_path / "o" / "data.mdb").read_bytes()
    branches = [page for page in range(0, len(whole), 4096) if whole[page + 10] & 1]
    prefix = Layout(asked).prefix
    keys = [page + place.end() for page in branches for place in re.finditer(re.escape(prefix), whole[page : page + 4096])]
    refused = 0
    for number, place in enumerate(keys):
        damaged = bytearray(whole)
        damaged[place + 1] ^= 4
        folder = tmp_path / f"damaged{number}"
        folder.mkdir()
        (folder / "data.mdb").write_bytes(damaged)
        found = LmdbStore(folder)
        try:
            features = OnlineFeatures(found, [asked])
            features.verify()
            [looked] = features.read([[c.encode() for c in cities]], moment(20))
            assert (looked.tick > 0).all()
        except DamagedRecord:
            refused += 1
        finally:
            found.close()
    assert refused >= len(branches) > 0


def test_a_view_that_was_never_materialised_is_not_served_as_if_nothing_were_known(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "o")
    with pytest.raises(NotMaterialized, match="noria materialize"):
        served(store, {"city": "ams", "_at": 20}, [view(None)])
    with pytest.raises(NotMaterialized):
        OnlineFeatures(store, [view(None)]).verify()


def test_records_of_another_encoding_of_keys_are_not_read_as_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables, store = DeltaTables(tmp_path / "t"), LmdbStore(tmp_path / "o")
    push(TABLE, tables, arrow([{"id": "e", "part": 1, "city": "ams", "value": 1.0, "at": 1, "known": 1}]))
    asked = view(None)
    with monkeypatch.context() as before:
        before.setattr("noria.features.online.ENCODING", 1)
        Materializer(store, tables).run(asked, moment(20))
        old = Layout(asked).prefix
    with pytest.raises(NotMaterialized):
        served(store, {"city": "ams", "_at": 20}, [asked])
    Materializer(store, tables).run(asked, moment(20))
    assert served(store, {"city": "ams", "_at": 20}, [asked])["n"] == 1.0
    assert not list(store.scan(old))


def test_values_expire_online_as_offline(tmp_path: Path) -> None:
    tables, store = DeltaTables(tmp_path / "t"), LmdbStore(tmp_path / "o")
    push(TABLE, tables, arrow([{"id": "e", "part": 1, "city": "ams", "value": 1.0, "at": 10, "known": 12}]))
    latest = nr.FeatureView("v", TABLE, entity="city", latest=["value"], ttl="45m")
    Materializer(store, tables).run(latest, moment(12))
    assert served(store, {"city": "ams", "_at": 54}, [latest])["value"] == 1.0
    assert np.isnan(served(store, {"city": "ams", "_at": 55}, [latest])["value"])
    assert timedelta(minutes=45) == latest.latest_reach
