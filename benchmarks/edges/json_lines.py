"""JSON lines: values keep JSON's types, and one bad line spoils no other."""

# ruff: noqa: DTZ001 - times without a zone are among the inputs
from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from benchmarks.edges.inputs import Held, Input, any_of, refused
from benchmarks.edges.trial import Trial, Z

KIND = "JSON lines"

# The values of a key in three lines as JSON (None: the key is absent), and what they are.
KEYS: dict[str, tuple[list[str | None], Any]] = {
    "whole numbers": (["1", "-2", "0"], [1, -2, 0]),
    "decimals after whole numbers": (["1", "2.5", "3"], [1.0, 2.5, 3.0]),
    "a float that is whole": (["1.0", "2.0", "3.0"], [1.0, 2.0, 3.0]),
    "strings of digits": (['"007"', '"7"', '"77"'], ["007", "7", "77"]),
    "strings that say true": (['"true"', '"false"', '"x"'], ["true", "false", "x"]),
    "truth values": (["true", "false", "null"], [True, False, None]),
    "numbers and truth values": (["1", "true", "2"], ["1", "true", "2"]),
    "null first": (["null", "1", "2"], [None, 1, 2]),
    "absent first": ([None, "2.5", None], [None, 2.5, None]),
    "null alone": (["null", None, "null"], [None, None, None]),
    "exponents": (["1e3", "2", "3"], [1000.0, 2.0, 3.0]),
    "beyond 2^53": (["9007199254740993", "1", "2"], [9007199254740993, 1, 2]),
    "beyond 2^63": (["18446744073709551615", "1", "2"], [Decimal(2**64 - 1), Decimal(1), Decimal(2)]),
    "beyond 2^64": (["100000000000000000001", "1", "2"], [Decimal(10**20 + 1), Decimal(1), Decimal(2)]),
    "decimals, which in JSON are floats": (["0.12345678901234567", "1", "2"], [0.12345678901234567, 1.0, 2.0]),
    "beyond a float": (["1e400", "1", "2"], ["1e400", "1", "2"]),
    "zoned times": ([f'"{Z}"', '"2024-01-01T02:00:00+02:00"', "null"], [datetime(2024, 1, 1, tzinfo=UTC)] * 2 + [None]),
    "naive times": (['"2024-01-01T00:00:00"', '"2024-01-02T00:00:00"', "null"], [datetime(2024, 1, 1), datetime(2024, 1, 2), None]),
    "days": (['"2024-01-01"', '"2024-01-02"', "null"], [date(2024, 1, 1), date(2024, 1, 2), None]),
    "zoned and naive times": ([f'"{Z}"', '"2024-01-01T00:00:00"', "null"], [Z, "2024-01-01T00:00:00", None]),
    "escapes": (['"\\u00e9"', '"a\\nb"', '"\\"q\\""'], ["é", "a\nb", '"q"']),
    "an astral character": (['"\\ud83d\\ude42"', '"x"', '""'], ["🙂", "x", ""]),
    "empty and absent": (['""', None, "null"], ["", None, None]),
    "arrays of numbers": (["[1,2]", "[]", "null"], [[1, 2], [], None]),
    "arrays of texts": (['["01"]', '["1"]', "[]"], [["01"], ["1"], []]),
    "objects": (['{"a":1}', '{"a":null}', "null"], [{"a": 1}, {"a": None}, None]),
    "objects of other keys": (['{"a":1}', '{"b":"x"}', "{}"], [{"a": 1, "b": None}, {"a": None, "b": "x"}, {"a": None, "b": None}]),
    "arrays beside objects": (["[1]", '{"a":1}', "null"], ["[1]", '{"a":1}', None]),
    "numbers beside arrays": (["1", "[1]", "null"], ["1", "[1]", None]),
    "NA": (['"NA"', '"N/A"', '"x"'], ["NA", "N/A", "x"]),
}

# Lines beside good ones, on the second day of a table of numbers; `@` is the line's own id. Each is a row, or held as it is.
LINES: dict[str, tuple[str, Any]] = {
    "cut in two": ('{"id":"@","v":', Held('{"id":"@","v":')),
    "a trailing comma": (
        '{"id":"@","v":2,"at":"2024-01-01T00:00:00Z",}',
        any_of(2.0, Held('{"id":"@","v":2,"at":"2024-01-01T00:00:00Z",}')),
    ),
    "single quotes": ("{'id':'@'}", Held("{'id':'@'}")),
    "an array": ('["@",1]', Held('["@",1]')),
    "a text": ('"@"', Held('"@"')),
    "two objects": ('{"id":"@"} {"id":"y"}', Held('{"id":"@"} {"id":"y"}')),
    "NaN": ('{"id":"@","v":NaN,"at":"2024-01-01T00:00:00Z"}', any_of(math.nan, Held('{"id":"@","v":NaN,"at":"2024-01-01T00:00:00Z"}'))),
    "a comment": ("// @", Held("// @")),
    "a word": ("@", Held("@")),
    "a hexadecimal": ('{"id":"@","v":0x10}', Held('{"id":"@","v":0x10}')),
    "a leading zero": ('{"id":"@","v":01}', Held('{"id":"@","v":01}')),
    "without a time": ('{"id":"@","v":5}', Held("5.0")),
    "a time that is none": ('{"id":"@","v":5,"at":"yesterday"}', Held("5")),
    "a text where numbers are": ('{"id":"@","v":"1","at":"2024-01-01T00:00:00Z"}', any_of(1.0, Held("1"))),
    "a word where numbers are": ('{"id":"@","v":"one","at":"2024-01-01T00:00:00Z"}', Held("one")),
    "a key that stands twice": (
        '{"id":"@","v":1,"v":2,"at":"2024-01-01T00:00:00Z"}',
        Held('{"id":"@","v":1,"v":2,"at":"2024-01-01T00:00:00Z"}'),
    ),
    "a key without a name": ('{"id":"@","":1,"at":"2024-01-01T00:00:00Z"}', Held('{"id":"@","":1,"at":"2024-01-01T00:00:00Z"}')),
}
# The same without an id by which they could be found.
NAMELESS: dict[str, tuple[bytes, Any]] = {
    "a number": (b"12345", Held("12345")),
    "null": (b"null", Held("null")),
    "blank": (b"   ", "nothing"),
    "an empty object": (b"{}", Held(None)),
    "without an id": (b'{"v":1,"at":"2024-01-01T00:00:00Z"}', Held("1.0")),
    "not UTF-8": (b'{"id":"x","v":"\xff"}', Held('{"id":"x","v":"\\xff"}')),
}

IDS: dict[str, tuple[str, list[Any]]] = {
    "ids 1 and '1'": ('{"id":1,"at":"%s"}\n{"id":"1","at":"%s"}\n', ["1"]),
    "ids 2 and '1'": ('{"id":2,"at":"%s"}\n{"id":"1","at":"%s"}\n', ["1", "2"]),
}


@cache
def _keys() -> dict[str, list[Any]]:
    lines = []
    for i in range(3):
        values = [f'"c{n}":{texts[i]}' for n, (texts, _) in enumerate(KEYS.values()) if texts[i] is not None]
        lines.append("{" + ",".join([f'"id":"r{i}"', f'"at":"{Z}"', *values]) + "}")
    trial = Trial().write("a.jsonl", "\n".join(lines) + "\n")
    trial.ingest()
    names = [f"c{n}" for n in range(len(KEYS))]
    return dict(zip(KEYS, trial.columns(names, ["r0", "r1", "r2"]).values(), strict=True))


def _second_day(lines: bytes) -> Trial:
    """A table of numbers after a first day, and a second one with lines between good ones."""
    good = f'{{"id":"%s","at":"{Z}","v":1.5}}\n'
    trial = Trial().write("a.jsonl", good % "day")
    trial.ingest()
    trial.write("b.jsonl", (good % "before").encode() + lines + b"\n" + (good % "after").encode()).ingest()
    assert {"day", "before", "after"} <= {row["id"] for row in trial.rows()}
    return trial


@cache
def _lines() -> dict[str, Any]:
    """What became of all LINES, each under an id of its own."""
    ids = [f"line-{i}-" for i in range(len(LINES))]
    trial = _second_day("\n".join(line.replace("@", name) for name, (line, _) in zip(ids, LINES.values(), strict=True)).encode())
    found = trial.values(ids)
    for i, each in enumerate(found):
        if isinstance(each, Held) and each.text is not None:
            found[i] = Held(each.text.replace(ids[i], "@"))
    return dict(zip(LINES, found, strict=True))


def _nameless(line: bytes) -> Any:
    trial = _second_day(line)
    return next((Held(row["_raw"] or row["v"]) for row in trial.held()), "nothing")


def _late() -> Any:
    trial = Trial().write(
        "a.jsonl", "".join(f'{{"id":{i},"v":{i},"at":"{Z}"}}\n' for i in range(30_000)) + f'{{"id":-1,"v":2.5,"at":"{Z}"}}\n'
    )
    trial.ingest()
    return trial.values([-1, 0])


def _whole(content: str | bytes, column: str = "id") -> list[Any]:
    trial = Trial().write("a.jsonl", content)
    trial.ingest()
    return sorted((row[column] for row in trial.rows()), key=str)


def inputs() -> Iterator[Input]:
    for name, (_, right) in KEYS.items():
        yield Input(KIND, name, lambda name=name: _keys()[name], right)
    for name, (_, right) in LINES.items():
        yield Input(KIND, f"a line: {name}", lambda name=name: _lines()[name], right)
    for name, (line, right) in NAMELESS.items():
        yield Input(KIND, f"a line: {name}", lambda line=line: _nameless(line), right)
    for name, (text, right) in IDS.items():
        yield Input(KIND, name, lambda text=text: _whole(text % (Z, Z)), right)
    yield Input(KIND, "a decimal after 30,000 whole numbers", _late, [2.5, 0.0])
    row = f'{{"id":"r","v":"x","at":"{Z}"}}'
    yield Input(KIND, "a byte order mark", lambda: _whole("\ufeff" + row + "\n"), ["r"])
    yield Input(KIND, "lines that end in CR LF", lambda: _whole(row + "\r\n" + row.replace('"r"', '"s"') + "\r\n"), ["r", "s"])
    yield Input(KIND, "no end of the last line", lambda: _whole(row), ["r"])
    yield Input(KIND, "keys that differ in case", lambda: _whole(f'{{"id":"r","ID":"s","at":"{Z}"}}\n'), refused("NR-202", "NR-226"))
    yield Input(KIND, "an empty key", lambda: _whole(f'{{"id":"r","":1,"at":"{Z}"}}\n'), any_of(["r"], refused("NR-202", "NR-226")))
    yield Input(KIND, "a key with a slash and a tilde", lambda: _whole(f'{{"id":"r","a/b~c":5,"at":"{Z}"}}\n', "a/b~c"), [5])
    yield Input(KIND, "a key with quotes", lambda: _whole(f'{{"id":"r","a\\"b":5,"at":"{Z}"}}\n', 'a"b'), [5])
