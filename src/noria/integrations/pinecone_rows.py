"""Rows as Pinecone's records, and conditions in its filters (https://docs.pinecone.io/guides/search/filter-by-metadata).

`$ne` and `$nin` are asked only where a field is there for sure, since it isn't documented what they say of a record without it.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from noria.core.errors import UserMistake
from noria.llm.chunking.chunk import Chunk
from noria.llm.documents.document import Value
from noria.llm.index.clauses import ACCESS, OPEN, Clause, Compare, Every, Has, Some, fields, readers, text_of, token
from noria.llm.index.rows import chunk_json, chunk_of
from noria.llm.index.versions import Row

ROWS = "rows"  # the namespace of rows, in both indexes
MAX_METADATA = 40 * 1024  # bytes of one record
MAX_TERMS = 1_000  # of a sparse vector
MAX_RECORDS, MAX_BYTES = 1_000, 1_900_000  # of one request, which may have 2 MB
PACKED_FROM = 8_000  # characters of a chunk: longer ones are stored compressed
Filter = dict[str, Any]


class RowTooLarge(UserMistake):
    """A chunk and its metadata are larger than a store's rows may be."""

    code = "NR-843"

    def __init__(self, document: str, size: int, most: int) -> None:
        super().__init__(
            what=f"a chunk with its metadata takes {size:,} bytes, and this store's rows have {most:,} at most",
            where=f"the document {document!r}",
            fix="cut it into smaller chunks, give it less metadata, or use another store",
        )


def own(chunk: Chunk) -> dict[str, Value]:
    """A chunk's metadata as a record has it."""
    return fields(chunk)


def record(row: Row, build: str) -> dict[str, Any]:
    """A row of the index with dense vectors. Raises `RowTooLarge`."""
    metadata = {**_metadata(row, build), "chunk_id": token(row.chunk.id)}
    size = len(json.dumps(metadata).encode())
    if size > MAX_METADATA:
        raise RowTooLarge(row.chunk.document, size, MAX_METADATA)
    return {"id": row.id, "values": row.vector.tolist(), "metadata": metadata}


def words_record(row: Row, build: str) -> dict[str, Any]:
    """A row of the index with sparse vectors: of a chunk with very many different terms, those that weigh most."""
    terms = sorted(sorted(row.words, key=lambda place: -row.words[place])[:MAX_TERMS])
    values = {"indices": terms, "values": [row.words[place] for place in terms]}
    return {"id": row.id, "sparse_values": values, "metadata": {**_metadata(row, build), "chunk_id": token(row.chunk.id)}}


def _metadata(row: Row, build: str) -> dict[str, Any]:
    labels = readers(row.chunk)
    about: dict[str, Any] = {"row": row.id, "added": build, "chunk": _packed(chunk_json(row.chunk)), OPEN: not labels, **own(row.chunk)}
    return {**about, ACCESS: labels} if labels else about


def _packed(chunk: str) -> str:
    return chunk if len(chunk) <= PACKED_FROM else base64.b85encode(zlib.compress(chunk.encode())).decode()


def chunk_in(metadata: Mapping[str, Any]) -> Chunk:
    """The chunk of a record: JSON begins with '[', and what is compressed does not."""
    written = str(metadata["chunk"])
    plain = written if written.startswith("[") else zlib.decompress(base64.b85decode(written)).decode()
    return chunk_of(text_of(str(metadata["chunk_id"])), plain)


def terms_of(vector: Any) -> list[int]:
    """The terms of a fetched record of the index with sparse vectors."""
    return [int(each) for each in vector.sparse_values.indices] if vector.sparse_values else []


def batches(records: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The same in as few requests as their limits allow."""
    some, size = list[dict[str, Any]](), 0
    for each in records:
        more = len(json.dumps(each))
        if some and (len(some) >= MAX_RECORDS or size + more > MAX_BYTES):
            yield some
            some, size = [], 0
        some.append(each)
        size += more
    if some:
        yield some


def seen(builds: Sequence[str]) -> Filter:
    """That a chain of builds sees a row. The first removes nothing, since there was nothing before it."""
    added: Filter = {"added": {"$in": list(builds)}}
    return {"$and": [added, *({f"removed_{each}": {"$exists": False}} for each in builds[1:])]} if builds[1:] else added


def unseen(chains: Sequence[Sequence[str]]) -> Filter:
    """That none of these chains sees a row."""
    every = [_unseen(chain) for chain in chains]
    return every[0] if len(every) == 1 else {"$and": every}


def _unseen(builds: Sequence[str]) -> Filter:
    elsewhere: Filter = {"added": {"$nin": list(builds)}}
    return {"$or": [elsewhere, *({f"removed_{each}": {"$exists": True}} for each in builds[1:])]} if builds[1:] else elsewhere


def filter_of(clause: Clause) -> Filter:
    """A clause as a filter; it has no order of texts, and something can meet it."""
    match clause:
        case Every(of):
            return {"$and": [filter_of(each) for each in of]}
        case Some(of):
            return _one_of(of)
        case Has(field):
            return {field: {"$exists": True}}
        case Compare(field, "!=", value):
            return {"$and": [{field: {"$exists": True}}, {field: {"$ne": value}}]}
        case Compare(field, how, value):
            return {field: {{"==": "$eq", ">=": "$gte", "<=": "$lte"}[how]: value}}


def _one_of(of: tuple[Clause, ...]) -> Filter:
    """Some texts of one field are one list."""
    names = {each.field for each in of if isinstance(each, Compare) and each.how == "==" and isinstance(each.value, str)}
    texts = [each.value for each in of if isinstance(each, Compare) and each.how == "==" and isinstance(each.value, str)]
    if len(names) == 1 and len(texts) == len(of):
        return {names.pop(): {"$in": texts}}
    return {"$or": [filter_of(each) for each in of]}
