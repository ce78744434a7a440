"""Times: no zone is ever guessed, what is no time keeps its text in quarantine, and one absurd row spoils no table."""

# ruff: noqa: DTZ001 - times without a zone are among the inputs
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

import noria as nr
from benchmarks.edges.inputs import Held, Input, any_of, refused
from benchmarks.edges.trial import Trial, Z, moments
from noria.data.source import Message, _rows_of

KIND = "times"


def _utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


# Texts of a time column, and the moments that they are; others are held.
TEXTS: dict[str, datetime | None] = {
    "2024-01-01T00:00:00Z": _utc(2024, 1, 1),
    "2024-01-01T00:00:00z": _utc(2024, 1, 1),
    "2024-01-01 00:00:00+00": _utc(2024, 1, 1),
    "2024-01-01 00:00:00 UTC": _utc(2024, 1, 1),
    "2024-01-01T02:00:00+02:00": _utc(2024, 1, 1),
    "2024-01-01T02:00:00+0200": _utc(2024, 1, 1),
    "2023-12-31T18:30:00-05:30": _utc(2024, 1, 1),
    "2024-01-01T00:00Z": _utc(2024, 1, 1),
    "2024-01-01T00:00:00.1234567Z": _utc(2024, 1, 1, 0, 0, 0, 123_457),
    "2024-02-29T12:00:00Z": _utc(2024, 2, 29, 12),
    "2024-01-01T00:00:00": None,
    "2024-01-01 00:00:00": None,
    "2024-01-01": None,
    "2024-01-01T00:00:00+99:00": None,
    "2024-02-30T00:00:00Z": None,
    "2024-13-01T00:00:00Z": None,
    "2024-01-01T25:00:00Z": None,
    "2024-01-01T00:00:00 CET": None,
    "2024-01-01T00:00:00 Europe/Berlin": None,
    "01.02.2024 10:00Z": None,
    "01/02/2024": None,
    "Mon, 01 Jan 2024 00:00:00 GMT": None,
    "1704067200": None,
    "1704067200000": None,
    "20240101T000000Z": None,
    "now": None,
    "today": None,
    "epoch": None,
    "infinity": None,
    "NaT": None,
    "+002024-01-01T00:00:00Z": None,
    "0001-01-01T00:00:00Z": None,
    "1677-01-01T00:00:00Z": None,
    "1899-12-31T23:59:59Z": None,
    "2201-01-01T00:00:00Z": None,
    "9999-12-31T23:59:59Z": None,
    "1970-01-01T00:00:00Z": None,
}


def _csv() -> Trial:
    return Trial().write("a.csv", "id,at\n" + "".join(f'r{i},"{text}"\n' for i, text in enumerate(TEXTS)))


def _json() -> Trial:
    return Trial().write("a.jsonl", "".join(f'{{"id":"r{i}","at":"{text}"}}\n' for i, text in enumerate(TEXTS)))


def _parquet() -> Trial:
    return Trial().write("a.parquet", pa.table({"id": [f"r{i}" for i in range(len(TEXTS))], "at": list(TEXTS)}))


SOURCES: dict[str, Callable[[], Trial]] = {"CSV": _csv, "JSON lines": _json, "Parquet": _parquet}


@cache
def _of(source: str) -> dict[str, Any]:
    trial = SOURCES[source]()
    trial.ingest()
    return dict(zip(TEXTS, trial.values([f"r{i}" for i in range(len(TEXTS))], "at"), strict=True))


@cache
def _of_stream() -> dict[str, Any]:
    """Each text as a message of its own: a row, or malformed."""
    found = {}
    for text in TEXTS:
        rows, raw = _rows_of([Message("1", f'{{"at":"{text}"}}'.encode())], {"at": "TIMESTAMPTZ"})
        found[text] = rows.column("at").to_pylist()[0] if rows.num_rows else Held(text if text in raw[0].text else raw[0].text)
    return found


def _columns(at: pa.Array, **more: Any) -> list[Any]:
    """What becomes of a typed time column."""
    trial = Trial(**more)
    trial.write("a.parquet", pa.table({"id": list(range(len(at))), "at": at})).ingest()
    return trial.values(list(range(len(at))), "at")


def _ns(*values: int) -> pa.Array:
    return pa.array(values, pa.int64()).cast(pa.timestamp("ns", tz="UTC"))


TYPED: list[tuple[str, pa.Array, Any]] = [
    ("naive timestamps", pa.array([datetime(2024, 1, 1)], pa.timestamp("us")), refused("NR-204")),
    ("dates", pa.array([date(2024, 1, 1)]), refused("NR-204")),
    ("seconds since 1970", pa.array([1_704_067_200]), refused("NR-204")),
    ("floats", pa.array([1_704_067_200.5]), refused("NR-204")),
    ("truth values", pa.array([True]), refused("NR-204")),
    ("nothing but nulls", pa.nulls(1), any_of([Held(None)], refused("NR-204"))),
    ("seconds with a zone", pa.array([_utc(2024, 1, 1)], pa.timestamp("s", tz="UTC")), [_utc(2024, 1, 1)]),
    ("another zone", pa.array([_utc(2024, 1, 1)], pa.timestamp("us", tz="America/New_York")), [_utc(2024, 1, 1)]),
    ("an offset for a zone", pa.array([_utc(2024, 1, 1)], pa.timestamp("us", tz="+05:30")), [_utc(2024, 1, 1)]),
    ("nanoseconds, rounded up", _ns(1_704_067_200_000_000_001), [_utc(2024, 1, 1, 0, 0, 0, 1)]),
    ("categories of texts", pa.array([Z, "noon"]).dictionary_encode(), [_utc(2024, 1, 1), Held("noon")]),
    ("a null", pa.array([_utc(2024, 1, 1), None], pa.timestamp("us", tz="UTC")), [_utc(2024, 1, 1), Held(None)]),
    (
        "tomorrow's tomorrow",
        pa.array([_utc(2024, 1, 1), _utc(2190, 1, 1)], pa.timestamp("us", tz="UTC")),
        [_utc(2024, 1, 1), Held("2190-01-01 00:00:00+00")],
    ),
    (
        "years 1 and 9999",
        pa.array([_utc(1, 1, 1), _utc(9999, 12, 31)], pa.timestamp("us", tz="UTC")),
        [Held("0001-01-01 00:00:00+00"), Held("9999-12-31 00:00:00+00")],
    ),
    (
        "the zero of clocks among times",
        pa.array([_utc(2024, 1, 1), _utc(1970, 1, 1)], pa.timestamp("us", tz="UTC")),
        [_utc(2024, 1, 1), Held("1970-01-01 00:00:00+00")],
    ),
    ("data of 1970", pa.array([_utc(1970, 1, 1), _utc(1970, 1, 2)], pa.timestamp("us", tz="UTC")), [_utc(1970, 1, 1), _utc(1970, 1, 2)]),
    ("nanoseconds before 1970", _ns(-1, -(10**15)), [_utc(1970, 1, 1), _utc(1969, 12, 20, 10, 13, 20)]),
]


def _known(value: str) -> list[Any]:
    """A row with a `known_at` of its own."""
    trial = Trial(known_at="known").write("a.csv", f"id,at,known\nr0,{Z},{Z}\nr1,{Z},{value}\n")
    trial.ingest()
    return trial.values(["r0", "r1"], "known")


def _judged(*more: datetime, twice: bool = False) -> Any:
    """What monitoring says of a table with some absurd rows: whether its fault still lasts."""
    rng = np.random.default_rng(3)
    times: Sequence[Any] = [1_704_067_200_000_000 + 60_000_000 * (24 * i + 1440 * d) for d in range(80) for i in range(60)]
    at = pa.chunked_array([pa.array(times, pa.int64()).cast(pa.timestamp("us", tz="UTC")), pa.array(more, pa.timestamp("us", tz="UTC"))])
    x = np.append(rng.normal(size=len(times)) + np.where(np.arange(len(times)) >= 75 * 60, 5.0, 0.0), np.zeros(len(more)))
    rows = pa.table({"at": at, "x": x})
    reading = nr.judge_table(rows.append_column("x", rows.column("x")) if twice else rows, "at")
    return any(f.evidence.get("over", 0) is None for f in reading.findings)


def inputs() -> Iterator[Input]:
    for source in SOURCES:
        for text, moment in TEXTS.items():
            # a text that is a time, of a year that is none, is shown as the time
            right = moment or (any_of(Held(text), Held(text.replace("T", " ").replace("Z", "+00"))))
            yield Input(KIND, f"{source}: {text}", lambda source=source, text=text: _of(source)[text], right)
    far = {
        "0001-01-01T00:00:00Z",
        "1677-01-01T00:00:00Z",
        "1899-12-31T23:59:59Z",
        "2201-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "1970-01-01T00:00:00Z",
    }
    for text, moment in TEXTS.items():
        right = moment or (datetime.fromisoformat(text) if text in far else Held(text))  # judged later, with the other rows
        yield Input(KIND, f"a stream: {text}", lambda text=text: _of_stream()[text], right)
    for name, at, right in TYPED:
        yield Input(KIND, name, lambda at=at: _columns(at), right)
    yield Input(KIND, "known in the future", lambda: _known("2199-01-01T00:00:00Z"), [_utc(2024, 1, 1), Held("2199-01-01 00:00:00+00")])
    yield Input(KIND, "known at no time", lambda: _known(""), [_utc(2024, 1, 1), Held(None)])
    yield Input(KIND, "known without a zone", lambda: _known("2024-01-01T00:00:00"), [_utc(2024, 1, 1), Held("2024-01-01T00:00:00")])
    yield Input(KIND, "a time declared as text", lambda: _columns(moments(1), types={"at": "VARCHAR"}), refused("NR-204"))
    yield Input(KIND, "a time declared without a zone", lambda: _columns(moments(1), types={"at": "TIMESTAMP"}), refused("NR-204"))
    for year in (1970, 2034, 9999):
        yield Input(KIND, f"monitored, with a row of {year}", lambda year=year: _judged(_utc(year, 1, 1)), True, slow=True)
    yield Input(KIND, "monitored, with two columns of one name", lambda: _judged(twice=True), any_of(True, refused("NR-606")), slow=True)
