"""Which files a pattern names, what their folders say, and what becomes of files that change, vanish or are none of ours."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import noria as nr
from feeds import Z, dated, feed
from noria.data.ingest import ingest
from noria.data.reading import read_files
from noria.data.sources.files import FileSource, MissingData, files
from noria.data.sources.port import SourceAway, UnreadableData
from noria.data.types import BadTypes

HEAD = "id,v,at\n"


def day(i: int) -> str:
    return f"{HEAD}r{i},{i},{Z}\n"


@pytest.mark.parametrize(
    ("pattern", "names", "chosen"),
    [
        ("*.csv", ["a.csv", "b.csv", "c.txt"], "ab"),
        ("*", ["a.csv", "b.csv"], "ab"),
        ("a.csv", ["a.csv", "b.csv"], "a"),
        ("?.csv", ["a.csv", "bb.csv"], "a"),
        ("[ab].csv", ["a.csv", "b.csv", "c.csv"], "ab"),
        ("day=*/*.csv", ["day=1/a.csv", "day=2/b.csv", "c.csv"], "ab"),
        ("*/part.csv", ["x/part.csv", "y/part.csv", "y/other.csv"], "ab"),
        ("**/*.csv", ["a.csv", "x/b.csv", "x/y/c.csv"], "abc"),
        ("x/**/*.csv", ["a.csv", "x/b.csv", "x/y/c.csv"], "bc"),
        (".", ["a.csv", "x/b.csv"], "ab"),
        ("x", ["a.csv", "x/b.csv", "x/y/c.csv"], "bc"),
        ("x/", ["a.csv", "x/b.csv"], "b"),
        ("./x/*.csv", ["x/a.csv", "b.csv"], "a"),
        ("x", ["x/a.csv", "x/_SUCCESS", "x/.a.csv.crc", "x/_metadata", "x/.hidden.csv", "x/_temporary/0/b.csv"], "a"),
        ("x", ["x/a.csv", "x/.ipynb_checkpoints/b.csv", "x/y/.git/c.csv", "x/_delta_log/d.csv"], "a"),
        ("**/*.csv", ["a.csv", ".cache/b.csv"], "a"),
        (".cache/*.csv", ["a.csv", ".cache/b.csv"], "b"),
        ("*/.old/*.csv", ["x/.old/a.csv", "x/.new/b.csv"], "a"),
        ("*", ["a.csv", "_SUCCESS", ".a.csv.crc", "_committed_1", "_started_1"], "a"),
        ("data[1].csv", ["data[1].csv", "data1.csv"], "a"),
        ("*.csv*", ["a.csv", "b.csv.gz"], "ab"),
        ("a b.csv", ["a b.csv"], "a"),
        ("x[1]/*.csv", ["x1/a.csv", "x[1]/b.csv"], "a"),
        ("x[[]1]/*.csv", ["x[1]/a.csv", "x1/b.csv"], "a"),
        ("*.csv", ["a[1].csv", "a1.csv", "a?.csv"], "abc"),
        ("*", ["a[1].csv.gz", "a1.csv.gz", "it's.csv"], "abc"),
        ("é*.csv", ["é1.csv", "e1.csv"], "a"),
        ("_events.csv", ["_events.csv"], "a"),
    ],
)
def test_a_pattern_names_files_in_any_folder(tmp_path: Path, pattern: str, names: list[str], chosen: str) -> None:
    import gzip

    made = feed(tmp_path)
    for i, name in enumerate(names):
        content = day(i).encode()
        made.put(name, gzip.compress(content) if name.endswith(".gz") else content)
    found = read_files(pattern, tmp_path / "in").rows
    assert sorted(found.column("id").to_pylist()) == [f"r{'abc'.index(c)}" for c in chosen]


def test_an_absolute_path_names_files_too(tmp_path: Path) -> None:
    made = feed(tmp_path, f"{tmp_path}/in/*/*.csv").put("x/a.csv", day(0)).put("y/b.csv", day(1))
    made.ingest()
    assert made.column("id") == ["r0", "r1"]


@pytest.mark.parametrize("pattern", ["none.csv", "*.csv", "none/*.csv", "**/none.csv", "../none/*.csv"])
def test_where_no_file_matches_it_is_said(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(MissingData, match="no file matches"):
        feed(tmp_path, pattern).ingest()


def test_an_empty_folder_has_no_file(tmp_path: Path) -> None:
    (tmp_path / "in" / "x").mkdir(parents=True)
    with pytest.raises(MissingData):
        feed(tmp_path, "x").ingest()


# --- partitions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folders", "values"),
    [
        (["day=2024-01-01", "day=2024-01-02"], ["2024-01-01", "2024-01-02"]),
        (["n=1", "n=2"], [1, 2]),
        (["n=01", "n=2"], ["01", "2"]),
        (["city=S%C3%A3o%20Paulo", "city=a%2Fb"], ["São Paulo", "a/b"]),
        (["k=x", "k=__HIVE_DEFAULT_PARTITION__"], ["x", None]),
        (["k=a=b", "k=c"], ["a=b", "c"]),
        (["k=x", "k="], ["x", ""]),
        (["a%20b=x", "a%20b=y"], ["x", "y"]),
    ],
)
@pytest.mark.parametrize("pattern", ["*/*.parquet", ".", "**/*.parquet"])
def test_the_name_of_a_folder_is_a_column(tmp_path: Path, folders: list[str], values: list[Any], pattern: str) -> None:
    made = feed(tmp_path)
    for i, folder in enumerate(folders):
        made.put(f"{folder}/part.parquet", pa.table({"id": [i]}))
    found = read_files(pattern, tmp_path / "in").rows
    read = {r["id"]: r[folders[0].split("=")[0].replace("%20", " ")] for r in found.to_pylist()}
    assert [read[i].isoformat() if isinstance(read[i], date) else read[i] for i in range(len(folders))] == values


def test_a_column_of_the_file_stands_before_that_of_its_folder(tmp_path: Path) -> None:
    made = feed(tmp_path, ".").put("v=9/a.parquet", dated(v=[1]))
    made.ingest()
    assert made.column("v") == [1]


def test_the_folders_above_a_pattern_are_no_columns(tmp_path: Path) -> None:
    made = feed(tmp_path, "year=2024/*.csv").put("year=2024/a.csv", day(0))
    made.ingest()
    assert set(made.rows()[0]) == {"id", "v", "at"}


def test_several_folders_are_several_columns_and_can_be_keys(tmp_path: Path) -> None:
    made = feed(tmp_path, "**/*.csv", key=("id", "shop"))
    made.put("shop=a/day=2024-01-01/x.csv", day(0)).put("shop=b/day=2024-01-02/x.csv", day(0))
    made.ingest()
    assert [(r["shop"], str(r["day"])) for r in sorted(made.rows(), key=lambda r: r["shop"])] == [("a", "2024-01-01"), ("b", "2024-01-02")]


def test_a_spark_folder_is_read_as_it_stands(tmp_path: Path) -> None:
    made = feed(tmp_path, "export")
    made.put("export/_SUCCESS", "").put("export/.part-00000.snappy.parquet.crc", b"\x00crc")
    made.put("export/day=2024-01-01/part-00000.snappy.parquet", dated(v=[1])).put(
        "export/day=2024-01-02/part-00000.snappy.parquet", dated(1, v=[2])
    )
    assert made.ingest().balance.rows_out["stored"] == 2
    assert [str(d) for d in made.column("day")] == ["2024-01-01", "2024-01-02"]


# --- behind a URL -------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket() -> Iterator[str]:
    root = f"/b{uuid.uuid4().hex}"
    yield root
    fs = fsspec.filesystem("memory")
    if fs.exists(root):
        fs.rm(root, recursive=True)


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("/*.csv", ["r0"]),
        ("/day=*/*.csv", ["r1", "r2"]),
        ("/**/*.csv", ["r0", "r1", "r2"]),
        ("", ["r0", "r1", "r2"]),
        ("/day=1/b.csv", ["r1"]),
    ],
)
def test_files_behind_a_url_are_named_alike(tmp_path: Path, bucket: str, pattern: str, chosen: list[str]) -> None:
    fs = fsspec.filesystem("memory")
    for i, name in enumerate(("a.csv", "day=1/b.csv", "day=2/c.csv")):
        with fs.open(f"{bucket}/{name}", "w") as out:
            out.write(day(i))
    with fs.open(f"{bucket}/_SUCCESS", "w") as out:
        out.write("")
    made = feed(tmp_path, f"memory:/{bucket}{pattern}")
    made.ingest()
    assert made.column("id") == chosen
    if "day=" in pattern and "*" in pattern:
        assert made.column("day") == [1, 2]
    assert made.ingest().balance.rows_in == 0


def test_a_folder_behind_a_url_gives_its_parts_as_one_here_does(tmp_path: Path, bucket: str) -> None:
    fs = fsspec.filesystem("memory")
    for i in (1, 2):
        with fs.open(f"{bucket}/day=2024-01-0{i}/part.csv", "w") as out:
            out.write(day(i))
    made = feed(tmp_path, f"memory:/{bucket}")
    made.ingest()
    assert [str(d) for d in made.column("day")] == ["2024-01-01", "2024-01-02"]


def test_a_changed_file_behind_a_url_is_read_again(tmp_path: Path, bucket: str) -> None:
    fs = fsspec.filesystem("memory")
    made = feed(tmp_path, f"memory:/{bucket}/*.csv")
    for content, stored in ((day(0), 1), (day(0) + f"more,5,{Z}\n", 1)):
        with fs.open(f"{bucket}/a.csv", "w") as out:
            out.write(content)
        assert made.ingest().balance.rows_out["stored"] == stored


@pytest.mark.parametrize("url", ["carrier://pigeon/*.csv", "s4://bucket/*.csv"])
def test_an_unknown_kind_of_address_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(nr.NoriaError, match="not a supported kind of address"):
        feed(tmp_path, url).ingest()


def test_a_file_that_vanishes_from_a_url_leaves_the_table_as_it_was(tmp_path: Path, bucket: str) -> None:
    fs = fsspec.filesystem("memory")
    with fs.open(f"{bucket}/a.csv", "w") as out:
        out.write(day(0))
    made = feed(tmp_path, f"memory:/{bucket}/*.csv")
    batch = made.table.source.read(tmp_path, None)
    assert batch is not None
    fs.rm(f"{bucket}/a.csv")
    from noria.core.sql import connect

    with connect() as con, pytest.raises(SourceAway, match="can't be read"):
        next(batch.pieces).load(con, "t")


# --- files that change --------------------------------------------------------------------------------------------------


def test_a_changed_file_is_read_again_and_its_old_rows_are_not_stored_twice(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.csv", day(0))
    made.ingest()
    made.put("a.csv", day(0) + f"more,5,{Z}\n")
    assert made.ingest().balance.rows_out == {"stored": 1, "repeated": 1, "quarantined": 0}
    assert made.ingest().balance.rows_in == 0


def test_a_removed_file_is_no_matter(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.csv", day(0)).put("b.csv", day(1))
    made.ingest()
    (tmp_path / "in" / "a.csv").unlink()
    assert made.ingest().balance.rows_in == 0
    assert made.column("id") == ["r0", "r1"]


@pytest.mark.parametrize("name", ["b.csv", "b.jsonl", "b.parquet", "b.csv.gz"])
def test_a_file_that_vanishes_while_it_is_read_is_refused_alone(tmp_path: Path, name: str) -> None:
    made = feed(tmp_path).put("a.csv", day(0)).put(name, dated(v=[1]) if name.endswith("parquet") else "x").put("c.csv", day(2))
    gone = tmp_path / "in" / name

    class Vanishing(FileSource):
        def read(self, folder: Path, since: Any) -> Any:
            batch = super().read(folder, since)
            gone.unlink()
            return batch

    made.declare(source=Vanishing("*"))
    done = made.ingest()
    assert [Path(p).name for p in done.unreadable] == [name]
    assert made.column("id") == ["r0", "r2"]


@pytest.mark.parametrize("name", ["b.xlsx", "b", "b.parquet.bak", "b.zip", "b.csv.bz2"])
def test_a_file_of_an_unknown_kind_is_refused_alone_by_name(tmp_path: Path, name: str) -> None:
    made = feed(tmp_path).put("a.csv", day(0)).put(name, "whatever")
    done = made.ingest()
    [(path, why)] = done.unreadable.items()
    assert (Path(path).name, "not supported" in why) == (name, True)
    (tmp_path / "in" / name).unlink()
    assert not made.ingest().unreadable


@pytest.mark.parametrize(
    "name", ["a.CSV", "a.Csv", "a.tsv", "a.txt", "a.JSONL", "a.ndjson", "a.json", "a.PARQUET", "a.pq", "a.b.csv", "2024.01.01.csv"]
)
def test_an_ending_is_known_in_any_case(tmp_path: Path, name: str) -> None:
    kind = name.lower().rsplit(".", 1)[1]
    contents = {"jsonl": f'{{"id":"r0","v":0,"at":"{Z}"}}\n', "parquet": dated(v=[0])}
    content = contents["jsonl" if kind in ("ndjson", "json", "jsonl") else "parquet"] if kind not in ("csv", "tsv", "txt") else day(0)
    made = feed(tmp_path).put(name, content)
    assert made.ingest().balance.rows_out["stored"] == 1


def test_damaged_files_are_refused_alone_whatever_their_kind(tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    pq.write_table(dated(v=list(range(2000))), whole)
    data = whole.read_bytes()
    made = feed(tmp_path).put("good.csv", day(0))
    made.put("a.parquet", data[: len(data) // 2]).put("b.parquet", b"PAR1" + bytes(100)).put("c.parquet", b"x")
    made.put("d.csv.gz", b"\x1f\x8b nothing").put("e.jsonl.gz", b"\x1f\x8b nothing").put("f.parquet", data[:200] + bytes(400) + data[600:])
    done = made.ingest()
    assert sorted(Path(p).name for p in done.unreadable) == ["a.parquet", "b.parquet", "c.parquet", "d.csv.gz", "e.jsonl.gz", "f.parquet"]
    assert made.column("id") == ["r0"]


def test_parquet_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    rows = pa.Table.from_arrays(
        [pa.array(["a"]), dated(v=[1]).column("at").combine_chunks(), pa.array([1]), pa.array([2])], names=["id", "at", "v", "V"]
    )
    with pytest.raises(UnreadableData, match="two of its columns are named 'v'"):
        feed(tmp_path).put("a.parquet", rows).ingest()


def test_a_parquet_file_without_rows_or_row_groups_is_read_and_done_with(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.parquet", dated(v=[1]))
    made.ingest()
    made.put("b.parquet", dated(v=[1]).slice(0, 0)).put("c.parquet", b"")
    assert made.ingest().balance.rows_in == 0
    assert not made.ingest().unreadable


def test_a_folder_that_ends_like_a_file_is_a_folder(tmp_path: Path) -> None:
    made = feed(tmp_path, "export.csv").put("export.csv/part-0.csv", day(0)).put("export.csv/_SUCCESS", "")
    made.ingest()
    assert made.column("id") == ["r0"]


# --- declarations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decimal": ";"}, "not a decimal separator"),
        ({"delimiter": ";;"}, "not a delimiter"),
        ({"delimiter": ""}, "not a delimiter"),
        ({"types": {"v": "NUMBER(3"}}, "declared for 'v'"),
    ],
)
def test_an_option_that_can_not_be_meant_is_refused_where_it_is_declared(options: dict[str, Any], words: str) -> None:
    with pytest.raises(nr.NoriaError, match=words):
        files("*.csv", **options)


def test_a_declared_type_that_is_none_names_the_source() -> None:
    with pytest.raises(BadTypes, match=r"nr\.files\('a/\*\.csv'\)"):
        files("a/*.csv", types={"v": "WHATEVER"})


def test_a_secret_is_taken_from_the_environment(tmp_path: Path) -> None:
    made = feed(tmp_path, source=nr.files("memory://x/*.csv", storage={"token": "${NORIA_TEST_NO_SUCH}"}))
    with pytest.raises(nr.NoriaError, match="the environment has no NORIA_TEST_NO_SUCH"):
        ingest(made.table, made.store, tmp_path)
