"""Looking for planted texts in everything that was written: the proof that redaction leaves nothing behind."""

from __future__ import annotations

import base64
import bz2
import gzip
import html
import json
import lzma
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

LARGEST = 512 * 2**20  # bytes of a file, and of what it unpacks to


@dataclass(frozen=True)
class Leak:
    """A planted text that stands in a file. place: which of the planted texts, by its number; how: in which spelling, in which layer"""

    path: Path
    place: int
    how: str


@dataclass(frozen=True)
class Searched:
    """What a search found, and what it could not look into: a file that was not read is no proof. files: how many were"""

    leaks: tuple[Leak, ...]
    unread: tuple[Path, ...]
    files: int

    @property
    def clean(self) -> bool:
        return not self.leaks and not self.unread and self.files > 0


def searched(folder: Path, planted: Sequence[str]) -> Searched:
    """Every file below a folder, hidden ones too, searched for texts in the spellings that files have.

    Plain, in JSON, HTML and addresses, in UTF-16 and base64, without the separators of numbers; within gzip, bzip2, xz, zstd, zip, Parquet,
    Arrow and Lance.
    """
    spellings = [(place, how, needle) for place, text in enumerate(planted) for how, needle in _spellings(text)]
    leaks, unread, files = list[Leak](), list[Path](), 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        files += 1
        try:
            for layer, data in _layers(path):
                lower = data.lower()
                leaks += [
                    Leak(path, place, f"{how}{f' in {layer}' if layer else ''}")
                    for place, how, needle in spellings
                    if needle.lower() in lower
                ]
        except (OSError, ValueError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile):
            unread.append(path)
    return Searched(tuple(leaks), tuple(unread), files)


def _spellings(text: str) -> Iterator[tuple[str, bytes]]:
    """The bytes that a text may have in a file."""
    seen = set[bytes]()
    ways = {
        "plain": text,
        "JSON": json.dumps(text)[1:-1],
        "HTML": html.escape(text),
        "an address": urllib.parse.quote(text, safe=""),
        "a query": urllib.parse.quote_plus(text),
    }
    digits = "".join(letter for letter in text if letter.isdecimal())
    if len(digits) >= 9 and 2 * len(digits) >= len(text):
        ways["digits"] = digits
    if " " in text:
        ways["without spaces"] = text.replace(" ", "")
    for how, spelled in ways.items():
        for coding in ("utf-8", "utf-16-le"):
            needle = spelled.encode(coding)
            if needle not in seen:
                seen.add(needle)
                yield how if coding == "utf-8" else f"{how}, UTF-16", needle
    if len(text) >= 8:
        data = text.encode()
        for shift in range(3):  # base64 of a text depends on where in three bytes it begins
            head = base64.b64encode(b"\0" * shift + data)
            yield "base64", head[4 if shift else 0 : -4]


def _layers(path: Path) -> Iterator[tuple[str, bytes]]:
    """The bytes of a file, and what they hold packed."""
    if path.stat().st_size > LARGEST:
        raise ValueError("it is too large to be searched")
    data = path.read_bytes()
    yield "", data
    yield from _unpacked(path, data)


def _unpacked(path: Path, data: bytes) -> Iterator[tuple[str, bytes]]:
    if data.startswith(b"\x1f\x8b"):
        yield "gzip", gzip.decompress(data)
    elif data.startswith(b"BZh"):
        yield "bzip2", bz2.decompress(data)
    elif data.startswith(b"\xfd7zXZ\0"):
        yield "xz", lzma.decompress(data)
    elif data.startswith(b"\x28\xb5\x2f\xfd"):
        import pyarrow as pa

        yield "zstd", pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
    elif data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            for each in archive.infolist():
                if each.file_size > LARGEST:
                    raise ValueError("it unpacks to too much")
                inner = archive.read(each)
                yield f"zip, {each.filename}", inner
    elif data[:4] == b"PAR1":
        import pyarrow.parquet as pq

        yield "Parquet", json.dumps(pq.read_table(path).to_pylist(), default=str, ensure_ascii=False).encode()
    elif data.startswith(b"ARROW1"):
        import pyarrow as pa

        with pa.OSFile(str(path)) as opened:
            table = pa.ipc.open_file(opened).read_all()
        yield "Arrow", json.dumps(table.to_pylist(), default=str, ensure_ascii=False).encode()
    elif data.startswith(b"\xff\xff\xff\xff"):  # Arrow's stream, as segments of the prediction log are
        import pyarrow as pa

        batches = list[object]()
        with pa.ipc.open_stream(pa.BufferReader(data)) as reader:
            for batch in reader:
                batches += batch.to_pylist()
        yield "Arrow", json.dumps(batches, default=str, ensure_ascii=False).encode()
    elif path.suffix == ".lance":
        yield "Lance", _lance(path)


def _lance(path: Path) -> bytes:
    """The rows of the table that a file of Lance belongs to: its own encodings pack texts."""
    try:
        import lancedb
    except ImportError as error:
        raise ValueError("lancedb is not installed") from error
    table = next((parent for parent in path.parents if parent.suffix == ".lance"), None)
    if table is None:
        raise ValueError("it is no part of a table")
    rows = lancedb.connect(table.parent).open_table(table.stem).to_arrow().to_pylist()
    return json.dumps(rows, default=str, ensure_ascii=False).encode()
