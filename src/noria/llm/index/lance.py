"""The embedded index: a folder with one LanceDB table, which is written beside its place and then put there, whole.

LanceDB, because it searches by meaning and by words, filters within the search, and is a folder of Arrow files that needs no server.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import MissingExtra
from noria.core.files import sync_folder
from noria.llm.chunking.chunk import Chunk
from noria.llm.documents.document import Value
from noria.llm.index.port import BadIndex, Hit, Vector, checked
from noria.llm.index.rows import Kind, chunk_json, chunk_of, field_and_values, field_of, fields_of, kind_of, require_rows, whole_of
from noria.llm.retrieval.conditions import Condition, Conditions

if TYPE_CHECKING:
    import pyarrow as pa

TABLE, FACTS = "chunks", "index.json"
BATCH_ROWS = 5_000
EVERYTHING = Conditions()
SQL_OF = {"is": "=", "is_not": "<>", "at_least": ">=", "at_most": "<="}


def write_lance(folder: Path, chunks: Sequence[Chunk], vectors: NDArray[np.float32]) -> LanceIndex:
    """Write an index of chunks and their vectors `(chunks, dimension)`, of length 1, as the new folder `folder`.

    It is there whole or not at all, whenever the process dies. Raises `OtherDimension` for vectors that are none, `BadChunk`,
    `FileExistsError` for a folder that is there (an index is never changed: another one is another folder), and `MissingExtra`.
    """
    require_rows(chunks, vectors)
    if folder.exists():
        raise FileExistsError(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.{uuid4().hex[:12]}")
    try:
        _write(beside, chunks, vectors)
        _sync(beside)
        _put(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return LanceIndex(folder)


def _write(beside: Path, chunks: Sequence[Chunk], vectors: NDArray[np.float32]) -> None:
    columns = _columns_of(chunks)
    facts = {"dimension": int(vectors.shape[1]), "chunks": len(chunks), "columns": columns, "digest": whole_of(chunks, vectors)}
    table = _connected(beside).create_table(TABLE, schema=_schema(columns, vectors.shape[1]))
    for at in range(0, len(chunks), BATCH_ROWS):
        table.add(_rows(chunks[at : at + BATCH_ROWS], vectors[at : at + BATCH_ROWS], columns))
    if len(chunks):
        table.create_index("words", config=_by_words())
    (beside / FACTS).write_text(json.dumps(facts))


def _put(beside: Path, folder: Path) -> None:
    try:
        beside.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another writer was faster
            raise FileExistsError(folder) from error
        raise
    sync_folder(folder.parent)


def _sync(folder: Path) -> None:
    """Have all its files on the disk, before their folder gets its name."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        elif path.is_dir():
            sync_folder(path)
    sync_folder(folder)


class LanceIndex:
    """The index of a folder. Raises `BadIndex` where it is none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            facts = json.loads((folder / FACTS).read_bytes())
            self.dimension, self._count = int(facts["dimension"]), int(facts["chunks"])
            self._columns: dict[str, list[Kind]] = facts["columns"]
            self.digest = str(facts.get("digest", ""))  # of its rows
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadIndex(str(folder), f"it has no {FACTS} that can be read ({error})") from error

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """Nothing is held open but files, which end with it."""

    @cached_property
    def _table(self) -> Any:
        try:
            return _connected(self.folder).open_table(TABLE)
        except MissingExtra:
            raise
        except Exception as error:  # of LanceDB, whose errors share no base
            raise BadIndex(str(self.folder), str(error)) from error

    def search(self, vector: Vector, count: int, conditions: Conditions = EVERYTHING) -> list[Hit]:
        found = checked(vector, self.dimension)
        if not self._count or count < 1:
            return []
        query = self._table.search(found, vector_column_name="vector").distance_type("cosine").limit(min(count, self._count))
        return [Hit(chunk_of(row["id"], row["chunk"]), 1 - float(row["_distance"])) for row in self._rows(query, conditions)]

    def search_words(self, question: str, count: int, conditions: Conditions = EVERYTHING) -> list[Hit]:
        if not self._count or count < 1 or not any(letter.isalnum() for letter in question):
            return []
        import lancedb.query

        words: Any = lancedb.query.MatchQuery  # its defaults are not typed
        query = self._table.search(words(question.encode(errors="replace").decode(), "words"), query_type="fts").limit(
            min(count, self._count)
        )
        return [Hit(chunk_of(row["id"], row["chunk"]), float(row["_score"])) for row in self._rows(query, conditions)]

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        if not ids:
            return np.zeros((0, self.dimension), np.float32)
        listed = ", ".join(_literal(each) for each in ids)
        rows = self._table.search().where(f"id IN ({listed})").select(["id", "vector"]).limit(len(set(ids))).to_arrow()
        known = dict(zip(rows["id"].to_pylist(), np.stack(rows["vector"].to_numpy()), strict=True)) if rows.num_rows else {}
        return np.stack([known[each] for each in ids]).astype(np.float32)

    def _rows(self, query: Any, conditions: Conditions) -> list[dict[str, Any]]:
        where = self._sql(conditions)
        if where is None:
            return []
        try:
            found: list[dict[str, Any]] = (query.where(where, prefilter=True) if where else query).to_list()
        except Exception as error:  # of LanceDB, whose errors share no base
            raise BadIndex(str(self.folder), str(error)) from error
        return found

    def _sql(self, conditions: Conditions) -> str | None:
        """The conditions in the store's SQL; None where no chunk can meet them, since none has such metadata."""
        parts = []
        for each in conditions.of:
            field, values = field_and_values(each)
            if kind_of(each.value) not in self._columns.get(each.name, []):
                return None
            parts.append(_condition(field, each, values))
        if conditions.labels is not None:
            labels = ", ".join(_literal(label) for label in conditions.labels)
            parts.append(f"(open OR array_has_any(access, make_array({labels})))" if labels else "open")
        return " AND ".join(parts)


# --- rows ------------------------------------------------------------------------------------------------------------------


def _connected(folder: Path) -> Any:
    try:
        import lancedb
    except ImportError as error:
        raise MissingExtra(library="lancedb", extra="llm", needed_for="the embedded index") from error
    return lancedb.connect(str(folder))


def _by_words() -> Any:
    from lancedb.index import FTS

    return FTS(with_position=False)


def _columns_of(chunks: Sequence[Chunk]) -> dict[str, list[Kind]]:
    """The kinds of values that each name of the metadata has: each is a column."""
    found = dict[str, set[Kind]]()
    for chunk in chunks:
        for name, value in chunk.metadata.items():
            found.setdefault(name, set()).add(kind_of(value))
    return {name: sorted(kinds) for name, kinds in sorted(found.items())}


def _schema(columns: dict[str, list[Kind]], dimension: int) -> pa.Schema:
    import pyarrow as pa

    types = {"text": pa.string(), "number": pa.float64(), "flag": pa.bool_()}
    own = {field_of(name, kind): types[kind] for name, kinds in columns.items() for kind in kinds}
    return pa.schema(
        {
            "id": pa.string(),
            "words": pa.string(),
            "chunk": pa.string(),
            "open": pa.bool_(),
            "access": pa.list_(pa.string()),
            "vector": pa.list_(pa.float32(), dimension),
            **own,
        }
    )


def _rows(chunks: Sequence[Chunk], vectors: NDArray[np.float32], columns: dict[str, list[Kind]]) -> pa.Table:
    import pyarrow as pa

    rows = [
        {
            "id": chunk.id,
            "words": chunk.embedded,
            "chunk": chunk_json(chunk),
            "open": not chunk.access,
            "access": list(chunk.access),
            "vector": vector,
            **fields_of(chunk.metadata),
        }
        for chunk, vector in zip(chunks, vectors, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=_schema(columns, vectors.shape[1]))


def _condition(field: str, condition: Condition, values: Sequence[Value]) -> str:
    listed = ", ".join(map(_literal, values))
    return f"{field} IN ({listed})" if condition.relation == "any_of" else f"{field} {SQL_OF[condition.relation]} {listed}"


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return f"CAST('{float(value)!r}' AS DOUBLE)"
