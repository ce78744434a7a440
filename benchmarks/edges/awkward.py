"""Awkward files such as people really have: each is ingested right, or refused with one clear message."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.edges.inputs import Held, Input, any_of, refused
from benchmarks.edges.trial import Trial, Z, moments

KIND = "awkward files"

SHEET = f'\ufeffid;name;price;at\r\n1;Müller, Söhne;1,50;{Z}\r\n2;"Anna ""A"" B";1.234,5;{Z}\r\n3;;0,99;{Z}\r\n'
PLAIN_SHEET = f"\ufeffid;name;price;at\r\n1;Müller;1,50;{Z}\r\n2;Anna;1234,5;{Z}\r\n3;;0,99;{Z}\r\n"


def _table(name: str, content: str | bytes | pa.Table, ids: list[Any], *columns: str, **form: Any) -> list[list[Any]]:
    """The columns of an ingested file, in the order of its ids."""
    trial = Trial(**form).write(name, content)
    trial.ingest()
    return list(trial.columns(columns, ids).values())


def _spreadsheet() -> Any:
    return _table("a.csv", PLAIN_SHEET, [1, 2, 3], "name", "price", decimal=",")


def _spreadsheet_unsaid() -> Any:
    """Without `decimal=","`: texts, never other numbers."""
    return _table("a.csv", PLAIN_SHEET, [1, 2, 3], "name", "price")


def _spreadsheet_thousands() -> Any:
    return _table("a.csv", SHEET, [1, 2, 3], "price", types={"price": "DOUBLE"}, decimal=",")


def _ragged() -> Any:
    """An export whose notes have unquoted commas, and whose last line was cut."""
    text = f"id,v,at\nr0,1,{Z}\nr1,2,{Z},see below, please\nr2,3,{Z}\nr3,4,{Z}\nr4,5\n"
    return _table("a.csv", text, ["r0", "r1", "r2", "r3", "r4"], "v")


def _preamble() -> Any:
    """A report with a title before its head."""
    return _table("a.csv", f"Sales report\nprinted on Monday\n\nid,v,at\nr0,1,{Z}\nr1,2,{Z}\n", ["r0"], "v")


def _total_line() -> Any:
    return _table("a.csv", f"id,v,at\nr0,1,{Z}\nr1,2,{Z}\nTotal,3,\n", ["r0", "r1", "Total"], "v")


def _headless() -> Any:
    return _table("a.csv", f"1,2.5,{Z}\n2,3.5,{Z}\n", [1], "v")


def _mixed_zones() -> Any:
    text = "id,at\nr0,2024-01-01T00:00:00Z\nr1,2024-01-01T02:00:00+02:00\nr2,2024-01-01 00:00:00\nr3,2023-12-31T19:00:00-05:00\n"
    return _table("a.csv", text, ["r0", "r1", "r2", "r3"], "at")


def _pandas_csv() -> Any:
    """`to_csv` with its index."""
    import pandas as pd

    frame = pd.DataFrame({"id": ["007", "008"], "v": [1.0, None], "at": pd.to_datetime([Z, Z])})
    return _table("a.csv", frame.to_csv(), ["007", "008"], "v", "column0")


def _pandas_parquet() -> Any:
    """An index, nanoseconds, categories, nullable whole numbers."""
    import pandas as pd

    frame = pd.DataFrame(
        {
            "id": ["a", "b"],
            "at": pd.to_datetime([Z, Z]).astype("datetime64[ns, UTC]"),
            "kind": pd.Categorical(["x", None]),
            "n": pd.array([1, None], dtype="Int64"),
        },
        index=[10, 20],
    )
    target = io.BytesIO()
    frame.to_parquet(target)
    trial = Trial()
    for name in ("a.parquet", "b.parquet"):
        trial.write(name, target.getvalue()).ingest()
    return list(trial.columns(["kind", "n", "__index_level_0__"], ["a", "b"]).values())


def _spark() -> Any:
    """A folder with marks, checksums, unfinished work and partitions, one of them of an unknown day."""
    trial = Trial("out")
    for i, day in enumerate(("2024-01-01", "2024-01-02", "__HIVE_DEFAULT_PARTITION__")):
        trial.write(f"out/day={day}/part-0000{i}-abc.snappy.parquet", pa.table({"id": [i], "at": moments(1)}))
        trial.write(f"out/day={day}/.part-0000{i}-abc.snappy.parquet.crc", b"crc")
    trial.write("out/_SUCCESS", b"").write("out/._SUCCESS.crc", b"x").write("out/_temporary/0/part-9.parquet", b"half")
    trial.ingest()
    return [str(day) for day in trial.columns(["day"], [0, 1, 2])["day"]]


def _gzip() -> Any:
    return _table("a.csv.gz", gzip.compress(f"id,v,at\nr0,1,{Z}\n".encode()), ["r0"], "v")


def _wide() -> Any:
    """Two thousand columns of numbers, texts and nothing."""
    count = 2_000
    head = ",".join(["id", "at", *(f"c{i}" for i in range(count))])
    lines = [",".join([f"r{n}", Z, *("" if i % 3 == 2 else f"x{n}" if i % 3 else str(n + i) for i in range(count))]) for n in range(300)]
    trial = Trial().write("a.csv", "\n".join([head, *lines]) + "\n")
    trial.ingest()
    row = next(row for row in trial.rows() if row["id"] == "r7")
    return [row["c0"], row["c1"], row.get("c2"), row["c1998"], len(trial.rows())]


def _utf16() -> Any:
    return _table("a.csv", f"id\tv\tat\r\nr0\tÄ日🙂\t{Z}\r\n".encode("utf-16"), ["r0"], "v")


def _latin1() -> Any:
    return _table("a.csv", f"id,v,at\nr0,Müller,{Z}\n".encode("latin-1"), ["r0"], "v")


def _latin1_said() -> Any:
    return _table("a.csv", f"id,v,at\nr0,Müller,{Z}\n".encode("latin-1"), ["r0"], "v", encoding="latin-1")


def _sep_line() -> Any:
    return _table("a.csv", f"sep=;\r\nid;v;at\r\nr0;1;{Z}\r\nr1;2;{Z}\r\n", ["r0", "r1"], "v")


def _nested_json() -> Any:
    lines = [
        f'{{"id":"r{i}","at":"{Z}","user":{{"name":"n{i}","tags":[{{"k":"a","v":{i}}}]}},"items":[{{"sku":"0{i}","qty":{i}}}]}}'
        for i in range(3)
    ]
    trial = Trial().write("a.jsonl", "\n".join(lines))
    trial.ingest()
    return [trial.columns(["user", "items"], ["r2"])[name][0] for name in ("user", "items")]


def _json_document() -> Any:
    """One JSON document over many lines, with the ending of JSON lines."""
    return _table("a.json", f'[\n  {{\n    "id": "r0",\n    "at": "{Z}"\n  }}\n]\n', ["r0"], "id")


def _excel() -> Any:
    return _table("a.xlsx", b"PK\x03\x04 a workbook", ["r0"], "v")


def _html() -> Any:
    """What a server sends when the login has expired."""
    return _table("a.csv", "<!DOCTYPE html>\n<html><head><title>Login</title></head>\n<body>Please sign in</body></html>\n", ["r0"], "v")


def _line_ends(end: str, *, mixed: bool = False) -> Any:
    text = f"id,v,at{end}r0,1,{Z}{end}r1,2,{Z}" + ("\r\n" if mixed else end)
    return _table("a.csv", text, ["r0", "r1"], "v")


def _quotes_open() -> Any:
    return _table("a.csv", f'id,v,at\nr0,"never closed,{Z}\nr1,2,{Z}\nr2,3,{Z}\n', ["r0", "r1", "r2"], "v")


def _zero_bytes() -> Any:
    return _table("a.csv", f"id,v,at\nr0,a\0b,{Z}\n".encode(), ["r0"], "v")


def _money() -> Any:
    return _table("a.csv", f"id,v,at\nr0,€ 5,{Z}\nr1,1.000 kr,{Z}\n", ["r0", "r1"], "v")


def _old_parquet() -> Any:
    """Times in INT96, as Impala and old Spark write them; no zone is known of them."""
    target = io.BytesIO()
    pq.write_table(pa.table({"id": [1], "at": moments(1)}), target, use_deprecated_int96_timestamps=True)
    return _table("a.parquet", target.getvalue(), [1], "at")


def _cut_parquet() -> Any:
    target = io.BytesIO()
    pq.write_table(pa.table({"id": [1], "at": moments(1)}), target)
    return _table("a.parquet", target.getvalue()[:-40], [1], "at")


def _utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


NAMES_OF_SHEET: list[str | None] = ["Müller", "Anna", None]
EITHER = any_of([[1, 2]], refused("NR-202"))

FILES: list[tuple[str, Callable[[], Any], Any]] = [
    ("a spreadsheet's CSV with decimal commas", _spreadsheet, [NAMES_OF_SHEET, [1.5, 1234.5, 0.99]]),
    ("the same, decimal commas unsaid", _spreadsheet_unsaid, [NAMES_OF_SHEET, ["1,50", "1234,5", "0,99"]]),
    ("the same with thousands", _spreadsheet_thousands, any_of([[1.5, Held("1.234,5"), 0.99]], [[1.5, 1234.5, 0.99]])),
    ("a ragged export", _ragged, [[1, Held(f"r1,2,{Z},see below, please"), 3, 4, Held("r4,5")]]),
    ("a report with a title", _preamble, refused("NR-202", "NR-203")),
    ("a line of totals", _total_line, [[1, 2, Held("3")]]),
    ("a file without a head", _headless, refused("NR-202", "NR-203")),
    ("mixed zones", _mixed_zones, [[_utc(2024, 1, 1), _utc(2024, 1, 1), Held("2024-01-01 00:00:00"), _utc(2024, 1, 1)]]),
    ("pandas' CSV with an index", _pandas_csv, [[1.0, None], [0, 1]]),
    ("pandas' Parquet, twice", _pandas_parquet, [["x", None], [1, None], [10, 20]]),
    ("a folder of Spark", _spark, ["2024-01-01", "2024-01-02", "None"]),
    ("gzip", _gzip, [[1]]),
    ("two thousand columns", _wide, [7, "x7", None, 2005, 300]),
    ("UTF-16", _utf16, [["Ä日🙂"]]),
    ("Latin-1", _latin1, refused("NR-202")),
    ("Latin-1 that is said", _latin1_said, [["Müller"]]),
    ("Excel's line of the separator", _sep_line, EITHER),
    ("nested JSON", _nested_json, [{"name": "n2", "tags": [{"k": "a", "v": 2}]}, [{"sku": "02", "qty": 2}]]),
    ("a JSON document of many lines", _json_document, any_of([["r0"]], refused("NR-202", "NR-203"))),
    ("a workbook", _excel, refused("NR-202")),
    ("a login page", _html, refused("NR-202", "NR-203")),
    ("line ends of old Macs", lambda: _line_ends("\r"), EITHER),
    ("line ends of two kinds", lambda: _line_ends("\n", mixed=True), EITHER),
    ("a quote that is never closed", _quotes_open, any_of(refused("NR-202"), [[Held(f'r0,"never closed,{Z}'), 2, 3]])),
    ("a zero byte", _zero_bytes, any_of([["a\0b"]], [[Held("a\0b")]], refused("NR-202"))),
    ("amounts with currencies", _money, [["€ 5", "1.000 kr"]]),
    ("times in INT96", _old_parquet, any_of([[_utc(2024, 1, 1)]], refused("NR-204"))),
    ("a cut Parquet file", _cut_parquet, refused("NR-202")),
]


def inputs() -> Iterator[Input]:
    for name, run, right in FILES:
        yield Input(KIND, name, run, right, slow=name == "two thousand columns")
