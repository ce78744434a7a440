"""CSV as people have it: every field is the text that stands there, or the line is in quarantine, or the file is refused by one message."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from feeds import Z, feed
from noria.core.sql import connect, quoted
from noria.data.reading import read_files
from noria.data.sources.csv_lines import CsvForm, load_csv
from noria.data.sources.port import Loaded, UnreadableData


@lru_cache
def engine() -> Any:
    return connect()


def load(folder: Path, content: str | bytes, name: str = "a.csv", **form: Any) -> tuple[Loaded, list[tuple[str | None, ...]]]:
    """What a file holds: its columns, and the texts of its rows."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    loaded = load_csv(engine(), "t", str(path), path, CsvForm(**form))
    listed = ", ".join(quoted(c.name) for c in loaded.columns)
    return loaded, engine().sql(f"SELECT {listed} FROM t ORDER BY __noria_place").fetchall() if loaded.columns else []


def names(loaded: Loaded) -> list[str]:
    return [c.name for c in loaded.columns]


AB = ["a", "b"]
ROW = [("1", "x")]


@pytest.mark.parametrize(
    ("content", "columns", "rows"),
    [
        ("a,b\n1,x\n", AB, ROW),
        ("a;b\n1;x\n", AB, ROW),
        ("a\tb\n1\tx\n", AB, ROW),
        ("a|b\n1|x\n", AB, ROW),
        ("a,b\n1,x", AB, ROW),
        ("a,b\r\n1,x\r\n", AB, ROW),
        ("\ufeffa,b\n1,x\n", AB, ROW),
        ("\ufeffa;b\r\n1;x\r\n", AB, ROW),
        ('"a","b"\n"1","x"\n', AB, ROW),
        ('\ufeff"a","b"\n1,x\n', AB, ROW),
        ("a;b\n1;x,y\n2;y,z\n", AB, [("1", "x,y"), ("2", "y,z")]),
        ("a;b\n1;2,5\n2;3,5\n", AB, [("1", "2,5"), ("2", "3,5")]),
        ('a,b\n1,"x,y"\n', AB, [("1", "x,y")]),
        ('a,b\n1,"x\ny"\n2,z\n', AB, [("1", "x\ny"), ("2", "z")]),
        ('a,b\n1,"say ""hi"""\n', AB, [("1", 'say "hi"')]),
        ("a,b\n1,\n", AB, [("1", None)]),
        ("a,b\n,\n", AB, [(None, None)]),
        ("a,b\n1,NA\n", AB, [("1", "NA")]),
        ("a,b\n#1,x\n", AB, [("#1", "x")]),
        ("a,b\n//1,x\n", AB, [("//1", "x")]),
        ("#a,b\n1,x\n", ["#a", "b"], ROW),
        ("a,b\n 1 , x \n", AB, [(" 1 ", " x ")]),
        ("a,b\n0007,1e3\n", AB, [("0007", "1e3")]),
        ("a\n1\n2\n", ["a"], [("1",), ("2",)]),
        ("a,a b,ä,a.b,select,_event,c0\n1,2,3,4,5,6,7\n", ["a", "a b", "ä", "a.b", "select", "_event", "c0"], [tuple("1234567")]),
        (",b\n0,x\n", ["column0", "b"], [("0", "x")]),
        ("a,b\n", AB, []),
        ("a,b", AB, []),
        ("a,b\nO'Brien,\\n\n", AB, [("O'Brien", "\\n")]),
        ("a,b\n1,'x'\n", AB, [("1", "'x'")]),
        ("a,b\n😀,名前\n", AB, [("😀", "名前")]),
    ],
)
def test_a_field_is_the_text_that_stands_there(
    tmp_path: Path, content: str, columns: list[str], rows: list[tuple[str | None, ...]]
) -> None:
    loaded, found = load(tmp_path, content)
    assert (names(loaded), found, loaded.raw, loaded.rows) == (columns, rows, (), len(rows))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b,a\n1,2,3\n", "'a' and 'a'"),
        ("a,b,A\n1,2,3\n", "'a' and 'A'"),
        ("1,2\n3,4\n", "first line holds values"),
        ("x,2024-01-01\ny,2024-01-02\n", "first line holds values"),
        ("x,2024-01-01T00:00:00Z\ny,2024-01-02T00:00:00Z\n", "first line holds values"),
        ("x,1.5\ny,2.5\n", "first line holds values"),
        ("Report of May\n\na,b\n1,2\n3,4\n5,6\n", "its columns are named further down: a,b"),
        ("\n\n", "has no column names"),
        ("sep=;\na;b\n1;2\n", "first line is 'sep=;', not column names"),
        ('"sep=,"\r\na,b\r\n1,2\r\n', "not column names"),
    ],
)
def test_a_file_that_would_lose_something_is_refused_with_the_reason(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(UnreadableData, match=words):
        load(tmp_path, content)


def test_a_file_of_zero_bytes_has_no_rows_and_no_columns(tmp_path: Path) -> None:
    loaded, rows = load(tmp_path, b"")
    assert (loaded.columns, loaded.rows, rows) == ((), 0, [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [("1", "[Cc]olumn"), ("1,x,y", "[Cc]olumn"), ("1,x,y,z,,", "[Cc]olumn"), ('1,"x" y', "[Qq]uote")],
)
def test_a_line_that_is_no_row_keeps_its_text_its_number_and_the_reason(tmp_path: Path, line: str, reason: str) -> None:
    import re

    good = [f"{i},v{i}" for i in range(10)]
    loaded, rows = load(tmp_path, "\n".join(["a,b", *good[:5], line, *good[5:]]) + "\n")
    assert rows == [(str(i), f"v{i}") for i in range(10)]
    [raw] = loaded.raw
    assert (raw.text, raw.place) == (line, "a.csv, line 7")
    assert re.search(reason, raw.reason)


def test_every_line_is_a_row_or_is_kept_as_text(tmp_path: Path) -> None:
    """Whatever stands in a file: nothing is lost and nothing becomes two."""
    lines = ["1,x", "2", "3,y,z", "", "4,w", '5,"open', "6,v", '7,""', "8,u"]
    loaded, rows = load(tmp_path, "\n".join(["a,b", *(f"g{i},v" for i in range(20)), *lines]) + "\n")
    said = " ".join([*(str(r) for r in rows), *(r.text for r in loaded.raw)])
    for key in "12345678":
        assert said.count(key + ",") + said.count(f"'{key}'") + sum(r.text == key for r in loaded.raw) == 1, (key, said)


def test_quotes_that_first_appear_late_are_quotes(tmp_path: Path) -> None:
    lines = [f"{i},plain" for i in range(30_500)] + ['x,"late, and\nquoted"', "y,plain"]
    loaded, rows = load(tmp_path, "a,b\n" + "\n".join(lines) + "\n")
    assert (len(rows), loaded.raw) == (30_502, ())
    assert rows[-2:] == [("x", "late, and\nquoted"), ("y", "plain")]


def test_the_rows_keep_their_order_in_a_long_file(tmp_path: Path) -> None:
    _, rows = load(tmp_path, "a,b\n" + "".join(f"{i},v\n" for i in range(250_000)))
    assert [r[0] for r in rows] == [str(i) for i in range(250_000)]


def test_a_field_may_be_very_long(tmp_path: Path) -> None:
    long = "x" * 3_000_000
    _, rows = load(tmp_path, f"a,b\n1,{long}\n2,y\n")
    assert rows == [("1", long), ("2", "y")]


def test_a_file_may_have_many_columns(tmp_path: Path) -> None:
    many = [f"c{i}" for i in range(300)]
    loaded, rows = load(tmp_path, ",".join(many) + "\n" + ",".join(str(i) for i in range(300)) + "\n")
    assert (names(loaded), rows) == (many, [tuple(str(i) for i in range(300))])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_known_by_its_mark(tmp_path: Path, encoding: str) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"
    loaded, rows = load(tmp_path, (mark + "a;b\r\n1;é\r\n").encode(encoding))
    assert (names(loaded), rows) == (["a", "b"], [("1", "é")])


def test_another_encoding_is_read_where_it_is_named(tmp_path: Path) -> None:
    content = "a;größe\n1;Zürich – 5 €\n".encode("cp1252")
    loaded, rows = load(tmp_path, content, encoding="cp1252")
    assert (names(loaded), rows) == (["a", "größe"], [("1", "Zürich – 5 €")])
    for wrong in ("utf-8", "klingon"):
        with pytest.raises(UnreadableData, match="it is not"):
            load(tmp_path, content, encoding=wrong)


def test_names_of_columns_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableData, match="the names of its columns are not UTF-8") as refused:
        load(tmp_path, "a;größe\n1;2\n".encode("cp1252"))
    assert 'encoding="latin-1"' in refused.value.fix


def test_a_line_that_is_not_utf_8_is_kept_and_a_file_of_such_lines_is_refused(tmp_path: Path) -> None:
    good = "".join(f"{i},v\n" for i in range(20))
    loaded, rows = load(tmp_path, b"a,b\n" + good.encode() + "x,Zürich\n".encode("latin-1"))
    assert (len(rows), [(r.place, r.reason) for r in loaded.raw]) == (20, [("a.csv, line 22", "not UTF-8: give its encoding to nr.files")])
    with pytest.raises(UnreadableData, match="not UTF-8: give its encoding"):
        load(tmp_path, ("a,b\n" + "x,Zürich\n" * 20).encode("latin-1"))


def test_compressed_files_are_read(tmp_path: Path) -> None:
    assert load(tmp_path, gzip.compress(b"a,b\n1,x\n"), "a.csv.gz")[1] == ROW
    assert load(tmp_path, gzip.compress("a,b\n1,ü\n".encode("latin-1")), "a.csv.gz", encoding="latin-1")[1] == [("1", "ü")]
    assert load(tmp_path, gzip.compress("a,b\n1,ü\n".encode("utf-16")), "a.csv.gz")[1] == [("1", "ü")]
    import pyarrow as pa

    squeezed = pa.compress(b"a,b\n1,x\n", codec="zstd", asbytes=True)
    assert load(tmp_path, squeezed, "a.csv.zst")[1] == ROW


def test_a_compressed_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(("a,b\n" + "".join(f"{i},{i * 7919 % 1000}\n" for i in range(5000))).encode())
    for name, content in (("a.csv.gz", whole[: len(whole) // 2]), ("b.csv.gz", b"no gzip at all"), ("c.csv.zst", b"no zst at all")):
        with pytest.raises(UnreadableData):
            load(tmp_path, content, name)


@pytest.mark.parametrize(
    "content",
    [
        "a,b\r\n" + "1,v\n" * 10,
        "a,b\n" + "1,v\r\n" * 10,
        "a,b\n" + "1,v\n" * 50_000 + "2,v\r\n",
        "a,b\r\n" + "1,v\r\n" * 50_000 + "2,v\n",
        "a,b\n1,x\ry\n2,z\n",
    ],
)
def test_lines_that_end_in_two_ways_are_refused_with_the_reason(tmp_path: Path, content: str) -> None:
    with pytest.raises(UnreadableData, match="mixes line endings"):
        load(tmp_path, content)


@pytest.mark.parametrize("inside", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_end_within_quotes_is_part_of_the_field(tmp_path: Path, end: str, inside: str) -> None:
    loaded, rows = load(tmp_path, f'a,b{end}1,"x{inside}y"{end}2,z{end}')
    assert (rows, loaded.raw) == ([("1", f"x{inside}y"), ("2", "z")], ())


def test_the_lines_after_a_quote_that_is_not_closed_are_counted_one_by_one(tmp_path: Path) -> None:
    lines = ["a,b", *(f"{i},v" for i in range(30)), 'x,"open', "y,v", "z,v"]
    loaded, rows = load(tmp_path, "\n".join(lines) + "\n")
    assert len(rows) == 30
    assert [(r.place, r.text) for r in loaded.raw] == [("a.csv, line 32", 'x,"open'), ("a.csv, line 33", "y,v"), ("a.csv, line 34", "z,v")]


def test_a_quote_that_swallows_more_than_can_be_kept_refuses_the_file(tmp_path: Path) -> None:
    good = "".join(f"{i},v\n" for i in range(3000))
    with pytest.raises(UnreadableData, match="the quote opened in line 3002 is not closed"):
        load(tmp_path, f'a,b\n{good}x,"open\n{good}')


def test_an_old_macs_file_is_read(tmp_path: Path) -> None:
    assert load(tmp_path, "a,b\r1,x\r2,y\r")[1] == [("1", "x"), ("2", "y")]


@pytest.mark.parametrize(
    ("content", "rows", "raw"),
    [
        ('a,b\n1,x\n2,"y', [("1", "x")], ['2,"y']),
        ('a,b\n1,"x" y\n2,z\n3,w\n', [("2", "z"), ("3", "w")], ['1,"x" y']),
        ('a"b,c\n1,2\n', [("1", "2")], []),
        ("a,b\n1,x\n\x1a", [("1", "x")], ["\x1a"]),
        ("a,b,\n1,2,\n", [("1", "2", None)], []),
        ("a,b\n1,2,\n", [("1", "2")], []),
        ('a,b\n"1",""\n', [("1", None)], []),
        ("a,b\n1,x\n,\n", [("1", "x"), (None, None)], []),
        ('a,b\n1,in"side\n', [("1", 'in"side')], []),
    ],
)
def test_odd_lines_are_rows_or_kept_as_text(tmp_path: Path, content: str, rows: list[Any], raw: list[str]) -> None:
    loaded, found = load(tmp_path, content)
    assert (found, [r.text for r in loaded.raw]) == (rows, raw)


def test_blank_lines_are_no_rows_where_a_row_has_several_fields(tmp_path: Path) -> None:
    loaded, rows = load(tmp_path, "a,b\n\n1,x\n\n\n2,y\n\n")
    assert rows == [("1", "x"), ("2", "y")]
    assert loaded.raw == ()


def test_a_delimiter_can_be_given(tmp_path: Path) -> None:
    loaded, rows = load(tmp_path, "a:b\n1:x\n", delimiter=":")
    assert (names(loaded), rows) == (AB, ROW)
    loaded, rows = load(tmp_path, "a,b;c\n1,2;3\n", delimiter=";")
    assert (names(loaded), rows) == (["a,b", "c"], [("1,2", "3")])


# --- as a table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "wanted", "type"),
    [
        (["1", "2", ""], [1, 2, None], "int64"),
        (["1", "2.5"], [1.0, 2.5], "double"),
        (["1", "NA", "n/a"], [1, None, None], "int64"),
        (["1.5", "NULL"], [1.5, None], "double"),
        (["NA", "AT"], ["NA", "AT"], "string"),
        (["0000077", "77"], ["0000077", "77"], "string"),
        (["2024-01-01", "2024-05-05 17:30"], ["2024-01-01 00:00:00", "2024-05-05 17:30:00"], "timestamp[us]"),
        (["2024-01-01", "2024-05-05"], ["2024-01-01", "2024-05-05"], "date32[day]"),
        (["2024-01-01", "n. d."], ["2024-01-01", "n. d."], "string"),
        (["true", "False"], [True, False], "bool"),
        (["true", "1"], ["true", "1"], "string"),
        (["0", "1"], [0, 1], "int64"),
        (["9007199254740993", "1"], [2**53 + 1, 1], "int64"),
        (["18446744073709551615", "1"], [2**64 - 1, 1], "decimal128(38, 0)"),
        (["1e3", "5"], [1000.0, 5.0], "double"),
        (["nan", "1.5"], ["nan", 1.5], "double"),
        (["1,5", "2"], ["1,5", "2"], "string"),
        (["1 ", "2"], ["1 ", "2"], "string"),
        (["a", "1"], ["a", "1"], "string"),
    ],
)
def test_a_column_has_the_narrowest_type_that_all_of_its_texts_fit(tmp_path: Path, values: list[str], wanted: list[Any], type: str) -> None:
    (tmp_path / "a.csv").write_text("id;v\n" + "".join(f"{i};{v}\n" for i, v in enumerate(values)))
    found = read_files("a.csv", tmp_path)
    assert (found.malformed, found.rows.num_rows) == (0, len(values))
    assert str(found.rows.schema.field("v").type) == type
    assert [str(v) for v in found.rows.column("v").to_pylist()] == [str(w) for w in wanted]


@pytest.mark.parametrize("late", ["2.5", "x", "0007", "2024-05-05 17:30:00", "99999999999999999999", "true", "NA"])
def test_a_value_that_comes_late_is_what_it_says(tmp_path: Path, late: str) -> None:
    (tmp_path / "a.csv").write_text("id,v\n" + "".join(f"{i},{i}\n" for i in range(3000)) + f"last,{late}\n")
    [last] = read_files("a.csv", tmp_path).rows.column("v").to_pylist()[3000:]
    assert last == {"2.5": 2.5, "99999999999999999999": 99999999999999999999, "NA": None}.get(late, late)


def test_decimal_commas_are_numbers_where_it_is_said(tmp_path: Path) -> None:
    made = feed(tmp_path, decimal=",")
    made.put("a.csv", f"\ufeffid;price;n;word;at\r\na;1,5;7;x,y;{Z}\r\nb;-0,25;8;1,5;{Z}\r\n")
    assert made.ingest().balance.rows_out["stored"] == 2
    assert [(r["price"], r["n"], r["word"]) for r in made.rows()] == [(1.5, 7, "x,y"), (-0.25, 8, "1,5")]


def test_decimal_commas_are_texts_where_it_is_not_said(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.csv", f"id;price;at\na;1,5;{Z}\n")
    made.ingest()
    assert made.column("price") == ["1,5"]


def test_declared_types_hold_whatever_the_values_look_like(tmp_path: Path) -> None:
    made = feed(tmp_path, types={"zip": "VARCHAR", "price": "DECIMAL(18, 2)", "day": "DATE", "flag": "BOOLEAN"})
    made.put(
        "a.csv",
        f"id,zip,price,day,flag,at\na,02139,1,2024-01-01,true,{Z}\nb,10001,+2.50,2024-01-02,,{Z}\nc,1,2.505,2024-01-01 17:30,x,{Z}\n",
    )
    done = made.ingest()
    assert done.balance.rows_out == {"stored": 2, "repeated": 0, "quarantined": 1}
    assert [(r["zip"], str(r["price"]), str(r["day"]), r["flag"]) for r in made.rows()] == [
        ("02139", "1.00", "2024-01-01", True),
        ("10001", "2.50", "2024-01-02", None),
    ]
    [held] = made.held()
    assert (held["price"], held["day"], held["flag"], held["zip"]) == ("2.505", "2024-01-01 17:30", "x", "1")


def test_signs_for_null_are_null_in_numbers_and_said(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.csv", f"id,v,w,at\na,1,NA,{Z}\nb,NA,x,{Z}\nc,#N/A,y,{Z}\n")
    done = made.ingest()
    assert [(r["v"], r["w"]) for r in made.rows()] == [(1, "NA"), (None, "x"), (None, "y")]
    assert [count for note, count in done.warnings.items() if note.startswith("v:")] == [2]


def test_a_pandas_index_column_is_a_column(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.csv", f",id,at\n0,a,{Z}\n1,b,{Z}\n")
    assert made.ingest().balance.rows_out["stored"] == 2
    assert set(made.rows()[0]) == {"column0", "id", "at"}
