"""Whatever a table holds: what is ingested twice and read back is what came in, or is in quarantine with its text, and all is counted."""

# ruff: noqa: DTZ001 (a time without a zone is one kind of value)

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds import START, Feed, feed
from noria.data.ingest import push

NAMES = [
    "a b",
    "a.b",
    'say "x"',
    "it's",
    "é",
    "😀",
    "select",
    "_event",
    "_key",
    "c0",
    "n0",
    "one",
    "_reason",
    "_raw",
    "_place",
    "reason",
    "row",
    "VALUE",
]
EPOCH = datetime(1970, 1, 1)
SLOW = settings(max_examples=8, deadline=None, derandomize=True, database=None)


def same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Kind:
    """Values of a type: how they are drawn, and what each is read back as. `raw` is the type they are drawn in, if it is another."""

    type: pa.DataType
    values: st.SearchStrategy[Any]
    stored: Callable[[Any], Any] = same
    raw: pa.DataType | None = None

    def array(self, values: list[Any]) -> pa.Array:
        return pa.array(values, self.raw or self.type).cast(self.type)


def whole(bits: int, *, signed: bool = True) -> st.SearchStrategy[int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.one_of(st.integers(low, high), st.sampled_from([low, high, 0, 1]))


def microsecond(count: int, per: int, zone: Any = None) -> datetime:
    """A count of nanoseconds in units of `per`, in whole microseconds, rounded up."""
    return (EPOCH + timedelta(microseconds=-(-count * per // 1000))).replace(tzinfo=zone)


def clock(count: int, per: int) -> str:
    seconds, rest = divmod(count * per, 10**9)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"


PER = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}
FEW_TEXTS = st.one_of(
    st.sampled_from(["", "NA", "null", "0007", "7", "a,b", '"', "a\nb", "x" * 300]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
)
I64 = pa.int64()
KINDS = [
    *(Kind(t, whole(t.bit_width)) for t in (pa.int8(), pa.int16(), pa.int32(), pa.int64())),
    *(Kind(t, whole(t.bit_width, signed=False)) for t in (pa.uint8(), pa.uint16(), pa.uint32())),
    Kind(pa.uint64(), whole(64, signed=False), Decimal),
    Kind(pa.float64(), st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 2.0**53]))),
    Kind(pa.float32(), st.floats(width=32)),
    Kind(pa.float16(), st.floats(width=16), lambda v: float(np.float16(v))),
    Kind(pa.decimal128(9, 3), st.decimals(-999_999, 999_999, places=3)),
    Kind(pa.decimal128(38, 0), st.integers(-(10**38) + 1, 10**38 - 1).map(Decimal)),
    Kind(pa.bool_(), st.booleans()),
    Kind(pa.string(), FEW_TEXTS),
    Kind(pa.large_string(), FEW_TEXTS),
    Kind(pa.dictionary(pa.int32(), pa.string()), FEW_TEXTS, raw=pa.string()),
    Kind(pa.binary(), st.binary(max_size=5)),
    Kind(pa.date32(), st.dates()),
    *(Kind(pa.time32(u), st.integers(0, 86_400 * 10**9 // PER[u] - 1), lambda v, u=u: clock(v, PER[u]), pa.int32()) for u in ("s", "ms")),
    *(Kind(pa.time64(u), st.integers(0, 86_400 * 10**9 // PER[u] - 1), lambda v, u=u: clock(v, PER[u]), I64) for u in ("us", "ns")),
    *(
        Kind(pa.timestamp(u), st.integers(-(9 * 10**18) // PER[u], 9 * 10**18 // PER[u]), lambda v, u=u: microsecond(v, PER[u]), I64)
        for u in PER
    ),
    *(
        Kind(
            pa.timestamp(u, tz="Europe/Berlin"),
            st.integers(-(10**18) // PER[u], 10**18 // PER[u]),
            lambda v, u=u: microsecond(v, PER[u], UTC),
            I64,
        )
        for u in PER
    ),
    *(Kind(pa.duration(u), st.integers(-(2**62) // PER[u], 2**62 // PER[u]), lambda v, u=u: v * PER[u], I64) for u in PER),
    Kind(pa.list_(pa.int32()), st.lists(st.one_of(st.none(), whole(32)), max_size=3)),
    Kind(pa.large_list(pa.string()), st.lists(st.one_of(st.none(), FEW_TEXTS), max_size=3)),
    Kind(pa.list_(pa.float64(), 2), st.lists(st.floats(), min_size=2, max_size=2)),
    Kind(
        pa.struct([("x", pa.int16()), ("a b", pa.string())]),
        st.fixed_dictionaries({"x": whole(16), "a b": st.one_of(st.none(), FEW_TEXTS)}),
    ),
    Kind(
        pa.map_(pa.string(), pa.int64()),
        st.dictionaries(st.sampled_from(["", "a", "b"]), st.one_of(st.none(), whole(64)), max_size=2).map(lambda d: list(d.items())),
    ),
    Kind(pa.null(), st.none()),
]


@st.composite
def tables(draw: st.DrawFn) -> tuple[dict[str, Kind], list[list[dict[str, Any]]]]:
    """Columns, and the rows of two tables that have them."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    columns = {n: draw(st.sampled_from(KINDS)) for n in names}
    row = st.fixed_dictionaries(
        {
            "id": st.sampled_from(["a", "b", "c", None]),
            "at": st.sampled_from([START, START + timedelta(hours=1), None]),
            **{n: st.one_of(st.none(), k.values) for n, k in columns.items()},
        }
    )
    first, second = draw(st.lists(row, min_size=1, max_size=5)), draw(st.lists(row, max_size=5))
    return columns, [first, second + draw(st.lists(st.sampled_from(first), max_size=2))]


def arrow(columns: dict[str, Kind], rows: list[dict[str, Any]]) -> pa.Table:
    own = {"id": pa.array([r["id"] for r in rows], pa.string()), "at": pa.array([r["at"] for r in rows], pa.timestamp("us", tz="UTC"))}
    return pa.table({**own, **{n: k.array([r[n] for r in rows]) for n, k in columns.items()}})


def written(value: Any) -> str:
    """A value as a text that is equal for equal values: NaN is NaN, and 0.0 is -0.0."""
    if isinstance(value, float):
        return "nan" if value != value else repr(value + 0.0)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k!r}: {written(v)}' for k, v in sorted(value.items()))}}}"
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) and value.tzinfo else repr(value)


def in_words(row: dict[str, Any]) -> str:
    return written({n: row[n] for n in sorted(row) if row[n] is not None})


def expected(columns: dict[str, Kind], row: dict[str, Any]) -> str:
    return in_words({n: columns[n].stored(v) if n in columns and v is not None else v for n, v in row.items()})


@SLOW
@given(tables())
def test_what_is_ingested_twice_and_read_back_is_what_came_in(drawn: tuple[dict[str, Kind], list[list[dict[str, Any]]]]) -> None:
    columns, batches = drawn
    with tempfile.TemporaryDirectory() as folder:
        made = feed(Path(folder))
        seen: set[str] = set()
        refused = 0
        for rows in [*batches, batches[0]]:
            good = [r for r in rows if r["id"] is not None and r["at"] is not None]
            wanted = {expected(columns, r) for r in good}
            table = arrow(columns, rows)
            done = push(made.table, made.store, table)
            fresh = len(wanted - seen)
            assert done.balance.rows_out == {"stored": fresh, "repeated": len(good) - fresh, "quarantined": len(rows) - len(good)}
            assert done.balance.rows_in == len(rows)
            seen |= wanted
            assert sorted(map(in_words, made.rows())) == sorted(seen)
            refused += len(rows) - len(good)
        assert len(made.held()) <= refused
        assert {h["id"] for h in made.held()} == {r["id"] for rows in batches for r in rows if r["id"] is None or r["at"] is None}


# --- texts --------------------------------------------------------------------------------------------------------------

TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            "0",
            "1",
            "7",
            "007",
            "-7",
            "+7",
            "2.5",
            "2.50",
            "1e3",
            "1,5",
            ".5",
            "nan",
            "inf",
            "NA",
            "NULL",
            "null",
            "true",
            "False",
            "1 ",
            " x",
        ]
    ),
    st.sampled_from(
        ["9007199254740993", "18446744073709551615", "9" * 30, "0." + "1" * 30, "2024-01-01", "2024-05-05 17:30", "2024-02-30", "24-01-01"]
    ),
    st.sampled_from(
        ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00+02:00", "2024-01-01 00:00:00.1234567", "17:30", "é😀", 'say "hi"', "a\nb", "x;y"]
    ),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
ABSENT = ("NA", "NULL", "null")


def says(value: Any, text: str) -> bool:
    """Whether a stored value is the one that a text says."""
    if value is None:
        return text == "" or text in ABSENT
    if isinstance(value, str):
        return value == text
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    if isinstance(value, datetime):
        shown = text.replace("T", " ").removesuffix("Z")
        return _moment(value) >= _read(shown) and _moment(value) - _read(shown) < Decimal("0.000001")
    if isinstance(value, date):
        return value.isoformat() == text
    return _number(value, text)


def _number(value: Any, text: str) -> bool:
    if isinstance(value, int):
        return str(value) == text
    try:
        said = Decimal(text)
    except InvalidOperation:
        return False
    if re.match("[+]|-?0[0-9]", text):  # zeros that a number has not
        return False
    if isinstance(value, float):
        return value != value if said.is_nan() else Decimal(repr(value)) == said
    return bool(value == said)


def _moment(value: datetime) -> Decimal:
    value = value if value.tzinfo else value.replace(tzinfo=UTC)
    span = value - datetime(1970, 1, 1, tzinfo=UTC)
    return Decimal(span.days * 86_400 + span.seconds) + Decimal(span.microseconds) / 10**6


def _read(text: str) -> Decimal:
    body, _, fraction = text.partition(".")
    at = datetime.fromisoformat(body)
    return _moment(at) + (Decimal(f"0.{fraction}") if fraction else 0)


@SLOW
@given(st.lists(st.lists(TEXTS, min_size=1, max_size=5), min_size=2, max_size=3))
def test_a_text_of_a_csv_is_stored_as_what_it_says_or_kept(days: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = feed(Path(folder))
        texts: dict[str, str] = {}
        for number, values in enumerate(days):
            lines = []
            for i, text in enumerate(values):
                texts[f"r{number}_{i}"] = text
                quoted = '"' + text.replace('"', '""') + '"' if text else ""
                lines.append(f"r{number}_{i},{quoted},2024-01-01T00:00:00Z\n")
            done = made.put(f"{number}.csv", "id,v,at\n" + "".join(lines)).ingest()
            assert done.balance.rows_in == len(values)
            _all_there(made, texts)


def _all_there(made: Feed, texts: dict[str, str]) -> None:
    stored = {r["id"]: r.get("v") for r in made.rows()}
    held = {h["id"]: h["v"] or "" for h in made.held()}
    assert stored.keys() | held.keys() == texts.keys()
    assert not stored.keys() & held.keys()
    for name, text in texts.items():
        if name in held:
            assert held[name] == text
        else:
            assert says(stored[name], text), (stored[name], text)


def test_the_checks_of_these_tests_can_fail() -> None:
    assert not says(3, "2.5")
    assert not says(77, "0000077")
    assert not says(2.0**53, "9007199254740993")
    assert not says(datetime(2024, 5, 5), "2024-05-05 17:30")
    assert not says(None, "x")
    assert says(2.5, "2.50")
    assert says(datetime(2024, 1, 1, 0, 0, 0, 123_457), "2024-01-01 00:00:00.1234567")
    assert in_words({"x": float("nan")}) != in_words({"x": None})
    assert not says(float("nan"), "1.5")
