"""JSON lines: values have the types that JSON gives them, a string is never a number, and a line that is no object is kept as text."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from feeds import Z, feed
from noria.core.sql import connect
from noria.data.reading import read_files
from noria.data.sources.json_lines import load_json_lines
from noria.data.sources.port import Loaded, UnreadableData


@lru_cache
def engine() -> Any:
    return connect()


def load(folder: Path, content: str | bytes, name: str = "a.jsonl") -> tuple[Loaded, list[dict[str, Any]]]:
    """What a file holds: its columns, and its rows."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    loaded = load_json_lines(engine(), "t", str(path), path)
    rows = engine().sql('SELECT * EXCLUDE ("__noria_place") FROM t ORDER BY __noria_place').to_arrow_table() if loaded.columns else None
    return loaded, [] if rows is None else rows.to_pylist()


def typed(folder: Path, *values: str) -> list[Any]:
    """What becomes of a key `v` with such values, each as JSON; "" for none."""
    lines = [f'{{"id": {i}, "v": {v}}}' if v else f'{{"id": {i}}}' for i, v in enumerate(values)]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    found = read_files("a.jsonl", folder)
    assert (found.malformed, found.rows.num_rows) == (0, len(values))
    return [r.get("v") for r in found.rows.to_pylist()]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["1", "2"], [1, 2]),
        (["1", "2.5"], [1.0, 2.5]),
        (["1", "1.0"], [1.0, 1.0]),
        (["null", "1"], [None, 1]),
        (["", "1"], [None, 1]),
        (["1", ""], [1, None]),
        (['"1"', '"2"'], ["1", "2"]),
        (['"0000077"', '"77"'], ["0000077", "77"]),
        (["7", '"x"'], ["7", "x"]),
        (['"a"', "null"], ["a", None]),
        (["true", "false"], [True, False]),
        (["true", "1"], ["true", "1"]),
        (["9007199254740993", "1"], [2**53 + 1, 1]),
        (["-9223372036854775808"], [-(2**63)]),
        (["18446744073709551615"], [Decimal(2**64 - 1)]),
        (["123456789012345678901234567890"], [Decimal("123456789012345678901234567890")]),
        (["12345678901234567890123456789012345678901234567890"], ["12345678901234567890123456789012345678901234567890"]),
        (["1e3", "2"], [1000.0, 2.0]),
        (["0.1", "1e-7"], [0.1, 1e-7]),
        (["-0.0", "1.5"], [0.0, 1.5]),
        (["Infinity", "1.5"], [float("inf"), 1.5]),
        (["[1]", '["a"]'], ["[1]", '["a"]']),
        (['[1, "1"]'], ['[1,"1"]']),
        (['{"x": 1}', '{"x": "1"}'], ['{"x":1}', '{"x":"1"}']),
        (['"2024-01-01T00:00:00Z"', '"x"'], ["2024-01-01T00:00:00Z", "x"]),
        (['""', '"NA"'], ["", "NA"]),
        (['"é😀\\n\\u00e9"'], ["é😀\né"]),
        (["[1, 2]", "[]"], [[1, 2], []]),
        (["[1, 2.5]"], [[1.0, 2.5]]),
        (['["a"]', "null"], [["a"], None]),
        (['{"x": 1}', '{"x": 2}'], [{"x": 1}, {"x": 2}]),
        (['{"x": 1}', '{"y": "b"}'], [{"x": 1, "y": None}, {"x": None, "y": "b"}]),
        (['{"x": {"y": [1, null]}}'], [{"x": {"y": [1, None]}}]),
        (["[[1], []]"], [[[1], []]]),
        (["[9007199254740993]"], [[2**53 + 1]]),
    ],
    ids=str,
)
def test_a_value_is_stored_as_what_it_is(tmp_path: Path, values: list[str], wanted: list[Any]) -> None:
    found = typed(tmp_path, *values)
    assert found == wanted
    assert [type(v) for v in found] == [type(w) for w in wanted]


@pytest.mark.parametrize(
    "values",
    [
        ["[1]", '{"x": 1}'],
        ["[1]", '"x"'],
        ['{"x": 1}', "1"],
        ["{}", "{}"],
        ["[18446744073709551615]"],
        ["[123456789012345678901234567890]"],
        ['{"x": 0.12345678901234567890}'],
        ['[{"a": 1}, "b"]'],
        ['{"x": [1], "y": {"z": "2024-01-01"}}'],
    ],
)
def test_values_of_many_forms_lose_nothing(tmp_path: Path, values: list[str]) -> None:
    """As JSON they are what they were, whether they are stored as such or as text."""
    found = typed(tmp_path, *values)

    def same(found: Any, said: str) -> bool:
        def numbers(text: str) -> Any:
            return json.loads(text, parse_float=Decimal, parse_int=Decimal)

        found = numbers(found) if isinstance(found, str) and said[0] in "[{" else found
        return bool(found == numbers(said) or found == json.loads(said) or found == said.strip('"'))

    assert all(same(f, v) for f, v in zip(found, values, strict=True)), found


@pytest.mark.parametrize(
    "line",
    ["{", "not json", "[1, 2]", "17", '"text"', "null", "{'id': 1}", '{"id": 1} {"id": 2}', "\\", '{"a": 01}'],
)
def test_one_line_that_is_no_object_is_kept_with_its_text_and_the_others_are_rows(tmp_path: Path, line: str) -> None:
    loaded, rows = load(tmp_path, f'{{"id": "a"}}\n{line}\n{{"id": "b"}}\n')
    assert [r["id"] for r in rows] == ["a", "b"]
    [raw] = loaded.raw
    assert (raw.text, raw.place) == (line, "a.jsonl, line 2")
    assert raw.reason in ("not valid JSON", "not a JSON object")


def test_a_line_that_is_not_utf_8_is_kept_and_the_others_are_rows(tmp_path: Path) -> None:
    loaded, rows = load(tmp_path, b'{"id": "a"}\n{"id": "\xff"}\n{"id": "b"}\n')
    assert [r["id"] for r in rows] == ["a", "b"]
    assert [(r.place, r.reason) for r in loaded.raw] == [("a.jsonl, line 2", "not UTF-8")]


def test_malformed_lines_are_in_their_order(tmp_path: Path) -> None:
    loaded, _ = load(tmp_path, '{"id": 1}\n' * 3 + "x\n" * 9)
    assert [r.place for r in loaded.raw] == [f"a.jsonl, line {i}" for i in range(4, 13)]


@pytest.mark.parametrize(
    "content",
    [
        '{"id": "a"}\r\n{"id": "b"}\r\n',
        '{"id": "a"}\n\n\n{"id": "b"}\n\n',
        '\ufeff{"id": "a"}\n{"id": "b"}',
        '  {"id": "a"}  \n\t{"id": "b"}\n',
        '{ "id" : "a" }\n{"id":"b"}\n',
    ],
)
def test_line_ends_marks_and_spaces_are_no_matter(tmp_path: Path, content: str) -> None:
    loaded, rows = load(tmp_path, content)
    assert (rows, loaded.raw) == ([{"id": "a"}, {"id": "b"}], ())


@pytest.mark.parametrize("content", ["", "\n", "\n\n  \n"])
def test_a_file_without_lines_has_no_rows(tmp_path: Path, content: str) -> None:
    loaded, rows = load(tmp_path, content)
    assert (loaded.columns, loaded.rows, rows) == ((), 0, [])


def test_compressed_files_are_read_and_damaged_ones_refused(tmp_path: Path) -> None:
    lines = b"".join(b'{"id": "%d"}\n' % (i * 7919) for i in range(3000))
    assert len(load(tmp_path, gzip.compress(lines), "a.jsonl.gz")[1]) == 3000
    with pytest.raises(UnreadableData):
        load(tmp_path, gzip.compress(lines)[:3000], "b.jsonl.gz")
    with pytest.raises(UnreadableData):
        load(tmp_path, b"no gzip at all", "c.jsonl.gz")


def test_a_number_and_the_same_text_never_become_one_key(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.jsonl", f'{{"id": 7, "at": "{Z}"}}\n{{"id": "7", "at": "{Z}"}}\n{{"id": "x", "at": "{Z}"}}\n')
    done = made.ingest()
    assert done.balance.rows_out == {"stored": 2, "repeated": 0, "quarantined": 1}
    assert made.column("id") == ["7", "x"]
    assert made.held()[0]["_raw"].startswith('{"id":') or made.held()[0]["_raw"].startswith('{"id": 7')


def test_a_number_and_the_same_text_of_another_file_never_become_one_key(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.jsonl", f'{{"id": "7", "v": 1, "at": "{Z}"}}\n{{"id": "x", "v": 2, "at": "{Z}"}}\n')
    made.ingest()
    made.put("b.jsonl", f'{{"id": 7, "v": 3, "at": "{Z}"}}\n').ingest()
    assert made.store.count("events") + len(made.held()) == 3
    assert [r["v"] for r in made.rows() if r["id"] == "7"] in ([1], [1, 3])


def test_keys_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableData, match="'id' and 'Id' have the same name"):
        load(tmp_path, '{"id": 1, "Id": 2}\n')
    with pytest.raises(UnreadableData, match="the same name"):
        load(tmp_path, '{"id": 1}\n{"ID": 2}\n')


def test_a_key_that_stands_twice_in_a_line_is_never_silently_one_of_both(tmp_path: Path) -> None:
    loaded, rows = load(tmp_path, '{"id": "a", "v": 1, "v": 2}\n{"id": "b", "v": 3}\n')
    assert [r["id"] for r in rows] == ["b"]
    assert [r.place for r in loaded.raw] == ["a.jsonl, line 1"]
    assert "duplicated" in loaded.raw[0].reason


@pytest.mark.parametrize(
    "key", ["a b", "a.b", "a/b", "a~b", "a~1b", 'say "x"', "é", "😀", "select", "$", "[0]", "*", "_event", "c0", "a\nb", "it's"]
)
def test_a_key_may_have_any_name(tmp_path: Path, key: str) -> None:
    loaded, rows = load(tmp_path, json.dumps({"id": "r", key: "v"}) + "\n" + json.dumps({"id": "s"}) + "\n")
    assert [c.name for c in loaded.columns] == ["id", key]
    assert [list(r.values())[1] for r in rows] == ["v", None]


def test_a_string_is_a_time_where_all_are(tmp_path: Path) -> None:
    made = feed(tmp_path)
    made.put("a.jsonl", f'{{"id": "a", "day": "2024-05-05", "when": "2024-05-05 17:30", "at": "{Z}"}}\n').ingest()
    assert {n: made.types()[n] for n in ("day", "when", "at")} == {
        "day": "date32[day]",
        "when": "timestamp[us]",
        "at": "timestamp[us, tz=UTC]",
    }


def test_a_key_first_seen_after_many_lines_is_a_column(tmp_path: Path) -> None:
    loaded, rows = load(tmp_path, "".join(f'{{"id": {i}}}\n' for i in range(25_000)) + '{"id": 25000, "late": true}\n')
    assert [c.name for c in loaded.columns] == ["id", "late"]
    assert rows[-1]["late"] is True


def test_a_long_line_and_many_keys_are_read(tmp_path: Path) -> None:
    long = "x" * 2_000_000
    wide = {f"k{i}": i for i in range(300)}
    loaded, rows = load(tmp_path, json.dumps({"id": long}) + "\n" + json.dumps(wide) + "\n")
    assert rows[0]["id"] == long
    assert len(loaded.columns) == 301


def test_declared_types_hold_for_json_too(tmp_path: Path) -> None:
    made = feed(tmp_path, types={"zip": "VARCHAR", "price": "DECIMAL(18,2)", "n": "BIGINT"})
    lines = [
        {"id": "a", "zip": 2139, "price": "9.99", "n": "007"},
        {"id": "b", "zip": "02139", "price": 1, "n": 3},
        {"id": "c", "zip": "x", "price": 1.005, "n": 2.5},
    ]
    made.put("a.jsonl", "".join(json.dumps({**row, "at": Z}) + "\n" for row in lines))
    done = made.ingest()
    assert done.balance.rows_out == {"stored": 2, "repeated": 0, "quarantined": 1}
    assert [(r["zip"], str(r["price"]), r["n"]) for r in made.rows()] == [("2139", "9.99", 7), ("02139", "1.00", 3)]


def test_nested_values_of_a_later_file_fit_what_is_stored_as_text_or_are_kept(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.jsonl", f'{{"id": "a", "v": {{"x": 1}}, "at": "{Z}"}}\n{{"id": "b", "v": {{"x": "1"}}, "at": "{Z}"}}\n')
    made.ingest()
    made.put("b.jsonl", f'{{"id": "c", "v": {{"x": 2}}, "at": "{Z}"}}\n').ingest()
    assert made.column("v") == ['{"x":1}', '{"x":"1"}', '{"x":2}']


def test_nested_values_that_do_not_fit_what_is_stored_are_kept_with_their_text(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.jsonl", f'{{"id": "a", "v": {{"x": 1}}, "at": "{Z}"}}\n')
    made.ingest()
    made.put("b.jsonl", f'{{"id": "b", "v": {{"x": "one"}}, "at": "{Z}"}}\n{{"id": "c", "v": {{"x": 2}}, "at": "{Z}"}}\n')
    assert made.ingest().balance.rows_out["quarantined"] == 1
    assert "one" in made.held()[0]["v"]
    assert made.column("v") == [{"x": 1}, {"x": 2}]
