"""PostgreSQL with pgvector as the store of indexes (https://github.com/pgvector/pgvector): NORIA_INDEX_URL, `postgresql://…`.

A collection is two tables, `noria_<collection>_rows` and `noria_<collection>_versions`; a build is one transaction. Up to some ten thousand
rows every search is exact. Above that there is an HNSW index, which is searched on until enough rows meet the conditions
(`hnsw.iterative_scan`); where it ends with too few, the search is done again, exactly. Words are searched by BM25 in sparse vectors.
Numbers and booleans are compared as such, texts by their code points, whatever the database's collation.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import SparseVector
from pgvector import Vector as StoredVector
from pgvector.psycopg import register_vector
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Composed, Identifier
from psycopg.types.json import Jsonb

from noria.llm.documents.document import Value
from noria.llm.index.port import Hit, NoVersion, OtherDimension, StoreFailed, Vector, checked, require_name
from noria.llm.index.rows import chunk_json, chunk_of, field_and_values, fields_of, kind_of
from noria.llm.index.versions import Build, Manifest, Row, VersionedStore
from noria.llm.index.words import PLACES, Sparse
from noria.llm.retrieval.conditions import Condition, Conditions

EXACT_ROWS = 20_000  # up to which a search that reads every vector takes some milliseconds
INDEXED_DIMENSION = 2_000  # the most that pgvector's HNSW takes
PLAIN_DIMENSION = 1_500  # up to which a vector stands in its row's page, beside the rest of it, and is not fetched from elsewhere
READ_SECONDS, CONNECT_SECONDS = 30, 10
SEARCHING = "SET hnsw.iterative_scan = strict_order; SET hnsw.ef_search = 100"
COMPARED = {"is": "=", "is_not": "<>", "at_least": ">=", "at_most": "<="}
EVERYTHING = Conditions()
COLUMNS = ("id", "added", "key", "chunk_id", "chunk", "fields", "open", "access", "terms", "words", "vector")
TYPES = ("text", "text", "text", "text", "text", "jsonb", "bool", "text[]", "int4[]", "sparsevec", "vector")

Params = dict[str, Any]
V = TypeVar("V", bound=Value)


def open_store(collection: str, environ: Mapping[str, str]) -> VersionedStore:
    """The store of the database that the environment names."""
    url = environ.get("NORIA_INDEX_URL", "")
    if not url:
        raise StoreFailed(
            "pgvector", "NORIA_INDEX_URL is not set", "set it to the database's address: postgresql://user:password@host/database"
        )
    return pgvector_store(url, collection)


def pgvector_store(url: str, collection: str, exact_rows: int = EXACT_ROWS) -> VersionedStore:
    """The store of a database. exact_rows: with more of them, there is an approximate index"""
    return VersionedStore(PgvectorRows(url, collection, exact_rows))


class Connections:
    """The connections of one process, as many as are used at once. A broken one is not used again."""

    def __init__(self, url: str, place: str) -> None:
        self._url, self.place = url, place
        self._idle, self._lock = list[psycopg.Connection[Any]](), threading.Lock()

    @contextmanager
    def one(self) -> Iterator[psycopg.Connection[Any]]:
        with self._lock:
            con = self._idle.pop() if self._idle else None
        try:
            con = con or self._connect()
            yield con
        except psycopg.Error as error:
            if con is not None and (con.closed or isinstance(error, psycopg.OperationalError)):
                con.close()
            raise StoreFailed(self.place, str(error).strip()) from error
        finally:
            if con is not None and not con.closed:
                with self._lock:
                    self._idle.append(con)

    def read(self, query: SQL | Composed, params: Params) -> list[Any]:
        """The rows of a query; asked once more where the server had ended a connection that was idle."""
        try:
            with self.one() as con:
                return con.execute(query, params).fetchall()
        except StoreFailed as error:
            if not isinstance(error.__cause__, psycopg.OperationalError) or isinstance(error.__cause__, psycopg.errors.QueryCanceled):
                raise
            self.close()
            with self.one() as con:
                return con.execute(query, params).fetchall()

    def _connect(self) -> psycopg.Connection[Any]:
        con = psycopg.connect(self._url, autocommit=True, connect_timeout=CONNECT_SECONDS)
        try:
            if not con.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'").fetchall():
                with con.transaction():  # two who create it at once would fail
                    con.execute("SELECT pg_advisory_xact_lock(hashtextextended('noria vector', 0))")
                    con.execute("CREATE EXTENSION IF NOT EXISTS vector")
            register_vector(con)
            con.execute(f"SET statement_timeout = '{READ_SECONDS}s'")
            con.execute(SEARCHING)
        except BaseException:
            con.close()
            raise
        return con

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for con in idle:
            con.close()


class PgvectorRows:
    """Rows in PostgreSQL: `Rows` of `noria.llm.index.versions`."""

    def __init__(self, url: str, collection: str, exact_rows: int) -> None:
        self._collection, self._exact_rows = require_name("collection", collection, 40), exact_rows
        known = conninfo_to_dict(url)
        self.place = f"PostgreSQL {known.get('host', '')}/{known.get('dbname', '')}, collection {collection}"
        self._connections = Connections(url, self.place)
        self._rows, self._versions = Identifier(f"noria_{collection}_rows"), Identifier(f"noria_{collection}_versions")
        self._own = threading.local()  # the connection of this thread's build, whose rows only it sees

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        own = getattr(self._own, "connection", None)
        if own is not None:
            yield own
        else:
            with self._connections.one() as con:
                yield con

    def _sql(self, text: str, **parts: SQL | Composed | Identifier) -> Composed:
        return SQL(text).format(rows=self._rows, versions=self._versions, **parts)

    def manifests(self) -> list[Manifest]:
        with self._connection() as con:
            if con.execute("SELECT to_regclass(%s)", [self._versions.as_string(con)]).fetchall() == [(None,)]:
                return []
            return [Manifest.from_json(text) for (text,) in con.execute(self._sql("SELECT manifest FROM {versions}"))]

    @contextmanager
    def building(self, name: str, dimension: int) -> Iterator[None]:  # noqa: ARG002 - builders of all names wait for each other
        with self._connections.one() as con, con.transaction():
            con.execute("SET LOCAL statement_timeout = 0")
            con.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"noria {self._collection}"])
            self._create(con, dimension)
            self._own.connection = con
            try:
                yield
            finally:
                self._own.connection = None

    def _create(self, con: psycopg.Connection[Any], dimension: int) -> None:
        typed = "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = 'vector'"
        there = con.execute(typed, [self._rows.as_string(con)]).fetchone()
        if there is not None:
            if there[0] != dimension:
                raise OtherDimension(f"{dimension} numbers", there[0])
            return
        sql = f"""
            CREATE TABLE {{versions}} (name text PRIMARY KEY, manifest text NOT NULL);
            CREATE TABLE {{rows}} (id text PRIMARY KEY, added text NOT NULL, removed text[], key text NOT NULL, chunk_id text NOT NULL,
              chunk text NOT NULL, fields jsonb NOT NULL, open boolean NOT NULL, access text[] NOT NULL, terms int4[] NOT NULL,
              words sparsevec({PLACES}) NOT NULL, vector vector({dimension}) NOT NULL);
            ALTER TABLE {{rows}} ALTER COLUMN vector SET STORAGE {"PLAIN" if dimension <= PLAIN_DIMENSION else "EXTERNAL"};
            ALTER TABLE {{rows}} ALTER COLUMN terms SET STORAGE MAIN, ALTER COLUMN words SET STORAGE MAIN;
            CREATE INDEX ON {{rows}} (chunk_id);
            CREATE INDEX ON {{rows}} USING gin (terms);
            CREATE INDEX ON {{rows}} USING gin (fields jsonb_path_ops)
        """
        con.execute(self._sql(sql))

    @contextmanager
    def begin(self, manifest: Manifest) -> Iterator[Build]:
        with self._connection() as con:
            yield PgvectorBuild(self, con, manifest)

    def keys(self, builds: Sequence[str]) -> dict[str, str]:
        with self._connection() as con:
            return dict(con.execute(self._sql("SELECT key, id FROM {rows} WHERE {seen}", seen=SEEN), _chain(builds)).fetchall())

    def count(self, builds: Sequence[str]) -> int:
        with self._connection() as con:
            found = con.execute(self._sql("SELECT count(*) FROM {rows} WHERE {seen}", seen=SEEN), _chain(builds)).fetchall()
        return int(found[0][0])

    def forget(self, manifest: Manifest) -> None:
        with self._connection() as con:
            con.execute(self._sql("DELETE FROM {versions} WHERE name = %s"), [manifest.name])

    def sweep(self, chains: Sequence[Sequence[str]]) -> None:
        unseen = SQL(" AND ").join([SQL("TRUE"), *(SQL("NOT {}").format(_seen(f"c{place}")) for place in range(len(chains)))])
        with self._connection() as con:
            params = {f"c{place}": list(chain) for place, chain in enumerate(chains)}
            con.execute(self._sql("DELETE FROM {rows} WHERE {unseen}", unseen=unseen), params)

    def index(self, manifest: Manifest) -> PgvectorIndex:
        return PgvectorIndex(self._connections, self._rows, self._versions, manifest)

    def require_planned(self, con: psycopg.Connection[Any], dimension: int, added: int) -> None:
        """Have an HNSW index where there are many rows, and have the planner know what is there where many are new."""
        name = Identifier(f"noria_{self._collection}_hnsw")
        count = con.execute(self._sql("SELECT count(*) FROM {rows}")).fetchall()[0][0]
        if 10 * added > count:  # fewer are left to the server's own rounds
            con.execute(self._sql("ANALYZE {rows}"))
        if count > self._exact_rows and dimension <= INDEXED_DIMENSION:
            con.execute(self._sql("CREATE INDEX IF NOT EXISTS {name} ON {rows} USING hnsw (vector vector_cosine_ops)", name=name))

    def definition(self) -> dict[str, Any]:
        return {"store": "pgvector", "collection": self._collection}

    def close(self) -> None:
        self._connections.close()


class PgvectorBuild:
    """A build, in the transaction of its connection."""

    def __init__(self, of: PgvectorRows, con: psycopg.Connection[Any], manifest: Manifest) -> None:
        self._of, self._con, self._build, self._dimension = of, con, manifest.builds[-1], manifest.dimension
        self._added = 0

    def add(self, rows: Sequence[Row]) -> None:
        names = SQL(", ").join(map(Identifier, COLUMNS))
        copy = self._of._sql("COPY {rows} ({names}) FROM STDIN (FORMAT BINARY)", names=names)
        with self._con.cursor() as cursor, cursor.copy(copy) as copying:
            copying.set_types(TYPES)
            for row in rows:
                copying.write_row(_columns(row, self._build))
        self._added += len(rows)

    def remove(self, ids: Sequence[str]) -> Iterable[Iterable[int]]:
        sql = "UPDATE {rows} SET removed = coalesce(removed, '{{}}') || %(build)s::text WHERE id = ANY(%(ids)s) RETURNING terms"
        return [found for (found,) in self._con.execute(self._of._sql(sql), {"build": self._build, "ids": list(ids)})]

    def seal(self, manifest: Manifest) -> Manifest:
        self._of.require_planned(self._con, self._dimension, self._added)
        self._con.execute(self._of._sql("INSERT INTO {versions} VALUES (%s, %s)"), [manifest.name, manifest.to_json()])
        return manifest  # nobody else was let in meanwhile


class PgvectorIndex:
    """A version, to be searched by any number of threads."""

    def __init__(self, connections: Connections, rows: Identifier, versions: Identifier, manifest: Manifest) -> None:
        self._connections, self._rows, self._versions, self._manifest = connections, rows, versions, manifest
        self.dimension, self._rarity = manifest.dimension, manifest.rarity

    def __len__(self) -> int:
        return self._manifest.chunks

    def search(self, vector: Vector, count: int, conditions: Conditions = EVERYTHING) -> list[Hit]:
        asked = checked(vector, self.dimension)
        score = SQL("1 - (vector <=> %(vector)s)")
        hits = self._nearest(score, SQL("vector <=> %(vector)s"), {"vector": asked}, count, conditions, SQL("TRUE"))
        if len(hits) < min(count, len(self)):  # an approximate index may have given up before it had enough
            hits = self._nearest(score, SQL("(vector <=> %(vector)s) + 0"), {"vector": asked}, count, conditions, SQL("TRUE"))
        return hits

    def search_words(self, question: str, count: int, conditions: Conditions = EVERYTHING) -> list[Hit]:
        asked = self._rarity.question(question)
        if not asked:
            return []
        params = {"words": _sparse(asked), "terms": list(asked)}
        has_one = SQL("terms && %(terms)s::int4[]")
        return self._nearest(SQL("-(words <#> %(words)s)"), SQL("words <#> %(words)s"), params, count, conditions, has_one)

    def _nearest(self, score: SQL, order: SQL, params: Params, count: int, conditions: Conditions, also: SQL) -> list[Hit]:
        if count < 1 or not len(self):
            return []
        limited, values = _where(conditions)
        sql = "SELECT chunk_id, chunk, {score} FROM {rows} WHERE {seen} AND {also} AND {limited} ORDER BY {order} LIMIT %(count)s"
        query = SQL(sql).format(score=score, rows=self._rows, seen=SEEN, also=also, limited=limited, order=order)
        found = self._connections.read(query, {**params, **values, **_chain(self._manifest.builds), "count": min(count, len(self))})
        if len(found) < min(count, len(self)):
            self._require_there()
        return [Hit(chunk_of(_read(id), chunk), 0.0 if math.isnan(score) else float(score)) for id, chunk, score in found]

    def close(self) -> None:
        self._connections.close()

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        if not ids:
            return np.zeros((0, self.dimension), np.float32)
        sql = SQL("SELECT chunk_id, vector FROM {rows} WHERE {seen} AND chunk_id = ANY(%(ids)s)").format(rows=self._rows, seen=SEEN)
        found = self._connections.read(sql, {**_chain(self._manifest.builds), "ids": [_text(each) for each in ids]})
        known = {_read(id): vector.to_numpy() for id, vector in found}
        return np.stack([known[each] for each in ids]).astype(np.float32)

    def _require_there(self) -> None:
        """That a search which found little did not do so since its version was dropped."""
        sql = SQL("SELECT name FROM {versions}").format(versions=self._versions)
        names = [name for (name,) in self._connections.read(sql, {})]
        if self._manifest.name not in names:
            raise NoVersion(self._connections.place, self._manifest.name, names)


# --- queries and columns ---------------------------------------------------------------------------------------------------


def _seen(chain: str) -> Composed:
    """That a chain of builds sees a row."""
    found = "(added = ANY(%({0})s) AND (removed IS NULL OR NOT removed && %({0})s))".replace("{0}", chain)
    return Composed([SQL(found)])


SEEN = _seen("chain")


def _chain(builds: Sequence[str]) -> Params:
    return {"chain": list(builds)}


def _where(conditions: Conditions) -> tuple[Composed, Params]:
    """Conditions in SQL, with the values apart: whatever they are, they are never read as SQL."""
    parts: list[SQL | Composed] = [SQL("TRUE")]
    values: Params = {}
    for place, each in enumerate(conditions.of):
        part, value = _condition(each, f"v{place}")
        parts.append(part)
        values |= value
    if conditions.labels is not None:
        parts.append(SQL("(open OR access && %(labels)s)"))
        values["labels"] = [_text(label) for label in conditions.labels]
    return SQL(" AND ").join(parts), values


def _condition(condition: Condition, name: str) -> tuple[SQL | Composed, Params]:
    field, values = field_and_values(condition)
    if condition.relation in ("is", "any_of"):  # by the index on the fields
        possible = [Jsonb({field: _text(value)}) for value in values if not isinstance(value, float) or math.isfinite(value)]
        return SQL(f"fields @> ANY(%({name})s::jsonb[])"), {name: possible}
    form = {"flag": "(fields->>%({0}_f)s)::boolean", "number": "(fields->>%({0}_f)s)::float8", "text": '(fields->>%({0}_f)s) COLLATE "C"'}
    left = form[kind_of(condition.value)].replace("{0}", name)
    sql = f"({left} {COMPARED[condition.relation]} %({name})s)"
    return Composed([SQL(sql)]), {name: _text(values[0]), f"{name}_f": field}


def _columns(row: Row, build: str) -> tuple[Any, ...]:
    fields = Jsonb({name: _text(value) for name, value in fields_of(row.chunk.metadata).items()})
    access = [_text(label) for label in row.chunk.access]
    about = (row.id, build, row.key, _text(row.chunk.id), chunk_json(row.chunk), fields, not access, access)
    return (*about, list(row.words), _sparse(row.words), StoredVector(row.vector))


def _sparse(words: Sparse) -> SparseVector:
    return SparseVector(words, PLACES)


def _text(value: V) -> V:
    """A value as PostgreSQL can keep it, whose texts have no NUL: in an order, and differing, as before."""
    return value.replace("\x01", "\x01\x02").replace("\0", "\x01\x01") if isinstance(value, str) else value  # type: ignore[return-value]


def _read(text: str) -> str:
    return text.replace("\x01\x01", "\0").replace("\x01\x02", "\x01")
