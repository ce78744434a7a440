"""Documents as a source of a table: a row for each, which is corrected when its content changes, and retracted when it is gone.

    docs = nr.Table("docs", llm.document_files("handbook"), key="id", event_time="changed_at", deleted="deleted")

What stands in the table is then known for every moment: an index as of last month is made from the documents of last month.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.clock import SystemClock, from_epoch, since_epoch
from noria.core.ids import digest
from noria.core.sql import connect
from noria.data.sources.arrow import piece_of
from noria.data.sources.places import LocalPlace, Place, place_of
from noria.data.sources.port import Batch, Piece, RawRow, Watermark
from noria.data.table import SnapshotRows
from noria.features.versions import versions_of
from noria.llm.documents.document import Document, Value
from noria.llm.documents.document import Place as Part
from noria.llm.documents.extract import KINDS, MAX_BYTES, too_large
from noria.llm.documents.isolated import GIGABYTES, SECONDS, IsolatedExtractor
from noria.llm.documents.refusals import BadDocumentRow, NoDocuments, NotExtracted

if TYPE_CHECKING:
    import pyarrow as pa

PIECE_ROWS, PIECE_BYTES = 200, 16_000_000  # documents that are taken in together, and characters of their texts


@dataclass(frozen=True)
class DocumentSource:
    """The documents of a folder, a glob or a URL. A file is read when its size or its age has changed, and is new when its content has."""

    pattern: str
    storage: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Value] = field(default_factory=dict)
    access: tuple[str, ...] = ()
    max_bytes: int = MAX_BYTES
    seconds: float = SECONDS
    gigabytes: float = GIGABYTES

    @property
    def types(self) -> Mapping[str, str]:
        return {"id": "VARCHAR", "deleted": "BOOLEAN"}

    def describe(self) -> str:
        return f"the documents of {self.pattern}"

    def read(self, folder: Path, since: Watermark | None) -> Batch | None:
        place = place_of(self.pattern, folder, self.storage, KINDS)
        there, before = place.list(), dict((since or {}).get("files", {}))
        if not there and not before:
            raise NoDocuments(self.pattern, place.place)
        fresh = [path for path in there if path not in before or before[path][:2] != there[path]]
        gone = [path for path in before if path not in there]
        if not fresh and not gone:
            return None
        known = {path: mark for path, mark in before.items() if path in there and path not in fresh}
        marks = {path: there[path] for path in fresh}
        return Batch(self._pieces(place, marks, gone, before, known, first=since is None), lambda _: {"files": known})

    def _pieces(
        self, place: Place, fresh: Mapping[str, Any], gone: list[str], before: Mapping[str, Any], known: dict[str, Any], *, first: bool
    ) -> Iterator[Piece]:
        """The documents that are new, some at a time; `known` gets the mark of each that was read.

        What is read at first was known since its file was changed; what comes later, since now: the age of a file that is put back, or
        copied with its age, says nothing of when it came. A file that may not be read is tried again the next time.
        """
        rows, raw, size, now = list[dict[str, Any]](), list[RawRow](), 0, SystemClock().now()
        with IsolatedExtractor(seconds=self.seconds, gigabytes=self.gigabytes, max_bytes=self.max_bytes) as extractor:
            for path, mark in fresh.items():
                changed_at = min(from_epoch(mark[1] // 1000), now) if first and isinstance(mark[1], int) else now
                name, known[path] = place.relative(path).lstrip("/"), [*mark, ""]
                try:
                    name.encode()
                    data = self._content(place, path, name, mark)
                    known[path] = [*mark, digest(data)]
                    if path not in before or before[path][2:] != [digest(data)]:  # it was not only touched
                        rows.append(self._row(extractor.extract(name, data), changed_at))
                        size += len(rows[-1]["text"])
                except NotExtracted as error:
                    raw.append(RawRow(name, name, error.reason))
                except UnicodeEncodeError:
                    del known[path]
                    shown = name.encode(errors="backslashreplace").decode()
                    raw.append(RawRow(shown, shown, "its name is not UTF-8: rename it"))
                except OSError as error:
                    del known[path]
                    if not isinstance(error, FileNotFoundError):  # which went away since the folder was listed
                        raw.append(RawRow(name, name, f"it can't be opened: {error.strerror or error}"))
                if len(rows) >= PIECE_ROWS or size >= PIECE_BYTES:
                    yield piece_of(f"{self.pattern}: {len(rows)} documents", _table(rows), tuple(raw))
                    rows, raw, size = [], [], 0
        rows += [{"id": place.relative(path).lstrip("/"), "changed_at": now, "deleted": True} for path in gone]
        if rows or raw:
            yield piece_of(f"{self.pattern}: {len(rows)} documents", _table(rows), tuple(raw))

    def _content(self, place: Place, path: str, name: str, mark: list[Any]) -> bytes:
        """The bytes of a file. Raises `NotExtracted` for one that is not opened: it is too large, or a link to what is not in the folder,
        which whoever wrote the folder may not be allowed to read."""
        if isinstance(place, LocalPlace) and place.leads_out(path):
            raise NotExtracted(name, "it is a link that leads out of the folder of documents", "copy what it leads to, or leave it out")
        if isinstance(mark[0], int) and mark[0] > self.max_bytes:
            raise too_large(name, mark[0], self.max_bytes)
        with place.local(path) as local:
            return local.read_bytes()

    def _row(self, document: Document, changed_at: datetime) -> dict[str, Any]:
        return {
            "id": document.id,
            "text": document.text,
            "kind": document.kind,
            "title": document.title,
            "language": document.language,
            "places": json.dumps([[part.at, part.name] for part in document.places]),
            "metadata": json.dumps({**self.metadata, **document.metadata}, sort_keys=True),
            "access": json.dumps(sorted({*self.access, *document.access})),
            "changed_at": changed_at,
            "deleted": False,
        }


def document_files(
    pattern: str,
    *,
    storage: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Value] | None = None,
    access: tuple[str, ...] = (),
    max_bytes: int = MAX_BYTES,
    seconds: float = SECONDS,
    gigabytes: float = GIGABYTES,
) -> DocumentSource:
    """Documents from a folder and the folders below it, a glob, or any fsspec URL: Markdown, HTML, PDF, Office files, notebooks, code.

    pattern: the folder, glob or URL; storage: options of its file system, as fsspec has them
    metadata: of all of them, by which searches may be filtered; access: the labels of those who may read them, none: everybody
    max_bytes, seconds, gigabytes: of a file that is read, and what reading it may take; what takes more is quarantined, as is what has no
        text, each with its reason, and the others are read
    """
    return DocumentSource(pattern, dict(storage or {}), dict(metadata or {}), tuple(access), max_bytes, seconds, gigabytes)


def document_of(row: Mapping[str, Any]) -> Document:
    """The document of a row of its table. Tables of other sources need `id` and `text` alone; their `metadata` is a struct or a JSON
    object, their `access` a list of labels, as such or as JSON. Raises `BadDocumentRow`."""
    name = str(row["id"])
    return Document(
        name,
        row["text"] or "",
        row.get("kind") or "markdown",
        row.get("title") or "",
        row.get("language") or "",
        tuple(Part(at, place) for at, place in _plain(name, "places", row, list)),
        {key: value for key, value in _plain(name, "metadata", row, dict).items() if value is not None},
        tuple(_labels(name, _plain(name, "access", row, list))),
    )


def _plain(document: str, column: str, row: Mapping[str, Any], kind: type[Any]) -> Any:
    """A value of a column as a list or an object, whether it is one or is JSON. An access label that is misread lets everybody read."""
    value = row.get(column)
    if isinstance(value, str):
        try:
            value = json.loads(value or "null")
        except ValueError as error:
            raise BadDocumentRow(document, column, f"it is no JSON: {error}", kind) from None
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise BadDocumentRow(document, column, f"{str(value)[:60]!r} is no {'list' if kind is list else 'object'}", kind)
    return value


def _labels(document: str, labels: list[Any]) -> list[str]:
    for label in labels:
        if not isinstance(label, str) or not label:
            raise BadDocumentRow(document, "access", f"{label!r} is no label", list)
    return labels


def documents_at(facts: SnapshotRows, moment: datetime) -> Iterator[Document]:
    """The documents of a table as they were known at a moment, in the order of their ids."""
    with connect() as con:
        versions = versions_of(facts, con)
    at = since_epoch(moment)
    counts = (versions.enter <= at) & (at < versions.superseded)
    rows = versions.rows.filter(counts).sort_by(versions.table.keys[0])
    for batch in rows.to_batches(max_chunksize=PIECE_ROWS):
        yield from map(document_of, batch.to_pylist())


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    names = ("id", "text", "kind", "title", "language", "places", "metadata", "access")
    types = {**dict.fromkeys(names, pa.string()), "changed_at": pa.timestamp("us", tz="UTC"), "deleted": pa.bool_()}
    return pa.Table.from_pylist(rows, schema=pa.schema(types))
