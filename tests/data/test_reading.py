"""Reading files without a table: the same rows and types as ingestion's, what is malformed counted, what is unreadable said."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feeds import Z, feed
from noria.data.reading import read_files
from noria.data.sources.files import MissingData
from noria.data.sources.port import UnreadableData


def test_rows_are_typed_as_ingestion_types_them_in_the_order_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("v,w\n2.5,007\n")
    (tmp_path / "a.csv").write_text("v,w\n2,x\n1,y\n")
    found = read_files("*.csv", tmp_path)
    assert found.rows.to_pydict() == {"v": [2.0, 1.0, 2.5], "w": ["x", "y", "007"]}
    assert (found.malformed, dict(found.unreadable)) == (0, {})


def test_what_is_no_row_is_counted_and_what_is_unreadable_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("v,w\n1,x\n2\n3,y\n")
    (tmp_path / "b.parquet").write_bytes(b"PAR1" + bytes(50))
    (tmp_path / "c.csv").write_text("v,w\nmany,z\n4,z\n")
    found = read_files("*", tmp_path)
    assert found.rows.column("v").to_pylist() == [1, 3, 4]
    assert found.malformed == 2
    assert [Path(p).name for p in found.unreadable] == ["b.parquet"]


def test_a_parquet_file_keeps_its_types(tmp_path: Path) -> None:
    pq.write_table(pa.table({"v": pa.array([1], pa.int8()), "t": ["a"]}), tmp_path / "a.parquet")
    assert read_files("a.parquet", tmp_path).rows.to_pylist() == [{"v": 1, "t": "a"}]


def test_what_can_not_be_read_at_all_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"nothing\.csv"):
        read_files("nothing.csv", tmp_path)
    (tmp_path / "a.csv").write_text("a,a\n1,2\n")
    with pytest.raises(UnreadableData, match="the same name"):
        read_files("a.csv", tmp_path)


@pytest.mark.parametrize("content", ["", "v,w\n"])
def test_a_file_without_rows_has_no_rows(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    assert read_files("a.csv", tmp_path).rows.num_rows == 0


def test_it_reads_what_a_table_stores(tmp_path: Path) -> None:
    content = f"id,v,day,flag,at\na,1,2024-01-01,true,{Z}\nb,,2024-01-02 10:00,,{Z}\n"
    made = feed(tmp_path).put("a.csv", content)
    made.ingest()
    found = read_files("in/a.csv", tmp_path).rows
    assert found.to_pylist() == [{n: row[n] for n in found.column_names} for row in made.rows()]
