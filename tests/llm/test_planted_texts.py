"""Searching every file for what was planted, in the spellings and containers that files have."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import lancedb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from noria.llm.guardrails import Guardrails, PersonalData, Restorer, searched

PLANTED = ("jürgen.groß+test@example.org", "4111 1111 1111 1111", "Dr. Anna O'Neill")
ROWS = [{"text": f"x {PLANTED[0]} y"}, {"text": "nothing"}]


def arrow(path: Path, open_: Callable[..., pa.ipc.RecordBatchStreamWriter]) -> None:
    table = pa.Table.from_pylist(ROWS)
    with open_(str(path), table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", f"x {PLANTED[0]}")


def in_sqlite(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("create table t (text)")
    database.execute("insert into t values (?)", (PLANTED[0],))
    database.commit()
    database.close()


WRITTEN: dict[str, Callable[[Path], object]] = {
    "plain.txt": lambda path: path.write_text(f"x {PLANTED[0]} y", "utf-8"),
    "UPPER.txt": lambda path: path.write_text(f"x {PLANTED[0].replace('jürgen', 'JüRGEN')} y", "utf-8"),
    "wide.txt": lambda path: path.write_bytes(PLANTED[0].encode("utf-16-le")),
    "escaped.json": lambda path: path.write_text(json.dumps(ROWS)),
    "address.log": lambda path: path.write_text("GET /?q=j%C3%BCrgen.gro%C3%9F%2Btest%40example.org"),
    "base64.txt": lambda path: path.write_bytes(base64.b64encode(b"ab" + PLANTED[0].encode() + b"c")),
    ".hidden.gz": lambda path: path.write_bytes(gzip.compress(PLANTED[0].encode())),
    "a.bz2": lambda path: path.write_bytes(bz2.compress(PLANTED[0].encode())),
    "a.xz": lambda path: path.write_bytes(lzma.compress(PLANTED[0].encode())),
    "a.zst": lambda path: path.write_bytes(pa.compress(PLANTED[0].encode() * 20, "zstd", asbytes=True)),
    "a.zip": zipped,
    "a.parquet": lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path, compression="zstd"),
    "a.arrow": lambda path: arrow(path, pa.ipc.new_file),
    "a.arrows": lambda path: arrow(path, pa.ipc.new_stream),
    "a.db": in_sqlite,
    "index": lambda path: lancedb.connect(path).create_table("chunks", ROWS * 50),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_was_planted_is_found_wherever_it_was_written(tmp_path: Path, name: str) -> None:
    WRITTEN[name](tmp_path / name)
    found = searched(tmp_path, PLANTED)
    assert {leak.place for leak in found.leaks} == {0}
    assert not found.clean


@pytest.mark.parametrize(
    "text", ["4111111111111111", "4111-1111 1111 1111".replace("-", " "), "Dr. Anna O&#x27;Neill", "Dr.+Anna+O%27Neill", "Dr.AnnaO'Neill"]
)
def test_other_spellings_are_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_text(f"... {text} ...")
    assert searched(tmp_path, PLANTED).leaks


def test_a_file_that_can_t_be_read_and_a_folder_without_files_prove_nothing(tmp_path: Path) -> None:
    assert not searched(tmp_path, PLANTED).clean
    (tmp_path / "broken.gz").write_bytes(gzip.compress(bytes(range(256)))[:40])
    found = searched(tmp_path, PLANTED)
    assert ([path.name for path in found.unread], found.leaks, found.clean) == (["broken.gz"], (), False)


def test_what_was_redacted_is_found_nowhere(tmp_path: Path) -> None:
    log, restorer = list[str](), Restorer()
    guardrails = Guardrails((PersonalData(),), lambda record: log.append(json.dumps(record)))
    checked = guardrails.check("I am Dr. Anna O'Neill, jurgen@example.org, 4111 1111 1111 1111", "question", None, restorer)
    (tmp_path / "log.jsonl").write_text("\n".join([*log, checked.text, repr(restorer)]))
    planted = ("Anna O'Neill", "jurgen@example.org", "4111 1111 1111 1111")
    assert searched(tmp_path, planted).clean
    (tmp_path / "more.txt").write_text(restorer.restore(checked.text))
    assert {leak.place for leak in searched(tmp_path, planted).leaks} == {0, 1, 2}
