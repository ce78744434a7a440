"""Qdrant as the store of indexes (https://qdrant.tech): NORIA_INDEX_URL, `http://host:6333` or a folder; NORIA_INDEX_KEY if it has one.

A collection is two of Qdrant's, `noria_<collection>` and `noria_<collection>_versions`. Qdrant has no transactions: a build goes by the
rules of `noria.llm.index.versions`, and the first manifest of a name stands, since it is inserted and never updated (Qdrant 1.17 or later).
In a folder (the client's local mode), one process at a time can have it, and searches are exact. Words are searched by BM25 in sparse
vectors. Qdrant has no order of texts: for `at_least` and `at_most` of texts, the values that stand there are asked for first (a facet), and
compared here.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

from noria.core.ids import digest
from noria.llm.documents.document import Value
from noria.llm.index.port import Hit, NoVersion, OtherDimension, StoreFailed, Vector, checked, require_name
from noria.llm.index.rows import chunk_json, chunk_of, field_and_values, fields_of, kind_of
from noria.llm.index.versions import Build, Manifest, Row, VersionedStore
from noria.llm.index.words import Sparse
from noria.llm.retrieval.conditions import BadCondition, Condition, Conditions

MEANING, WORDS = "meaning", "words"  # the vectors of a point
PATIENCE_SECONDS = 30
ROWS_AT_ONCE, KEYS_AT_ONCE = 100, 5_000
MAX_VALUES = 10_000  # of texts that are compared here
LARGEST = sys.float_info.max
EVERYTHING = Conditions()
INDEXED = {
    "text": models.PayloadSchemaType.KEYWORD,
    "number": models.PayloadSchemaType.FLOAT,
    "flag": models.PayloadSchemaType.BOOL,
}
NONE = models.HasIdCondition(has_id=[])  # what no point meets


def open_store(collection: str, environ: Mapping[str, str]) -> VersionedStore:
    """The store at the address that the environment names."""
    url = environ.get("NORIA_INDEX_URL", "")
    if not url:
        raise StoreFailed("Qdrant", "NORIA_INDEX_URL is not set", "set it to Qdrant's address, http://host:6333, or to a folder")
    return qdrant_store(url, collection, environ.get("NORIA_INDEX_KEY"))


def qdrant_store(url: str, collection: str, key: str | None = None) -> VersionedStore:
    """The store at a URL, in a folder, or in memory (`:memory:`)."""
    return VersionedStore(QdrantRows(Qdrant(url, key), collection))


class Qdrant:
    """The client, whose failures are `StoreFailed`. In a folder, where it is not made for several threads, one is let in at a time."""

    def __init__(self, url: str, key: str | None) -> None:
        self.local = "://" not in url
        self.place = f"Qdrant {url if self.local else httpx.URL(url).copy_with(username=None, password=None, query=None)}"
        self.entry: AbstractContextManager[Any] = threading.RLock() if self.local else nullcontext()
        where: dict[str, Any] = {"url": url, "api_key": key, "timeout": PATIENCE_SECONDS, "check_compatibility": False}
        if self.local:
            where = {"location": url} if url == ":memory:" else {"path": url, "force_disable_check_same_thread": True}
        self._client = self._asked(QdrantClient, **where)

    def ask(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the client."""
        return self._asked(getattr(self._client, method), *args, **kwargs)

    def _asked(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            with self.entry:
                return call(*args, **kwargs)
        except (ApiException, httpx.HTTPError, OSError, RuntimeError, ValueError, KeyError) as error:
            raise StoreFailed(self.place, f"{type(error).__name__}: {error}"[:500]) from error

    def scroll(self, collection: str, seen: models.Filter | None, payload: list[str] | bool, **more: Any) -> Iterator[Any]:
        """Every point that meets a filter."""
        at: Any = None
        while True:
            page = {"scroll_filter": seen, "limit": KEYS_AT_ONCE, "offset": at, "with_payload": payload, **more}
            points, at = self.ask("scroll", collection, **page)
            yield from points
            if at is None:
                return

    def close(self) -> None:
        self.ask("close")


class QdrantRows:
    """Rows in Qdrant: `Rows` of `noria.llm.index.versions`."""

    def __init__(self, client: Qdrant, collection: str) -> None:
        self._name = require_name("collection", collection, 40)
        self.client, self.collection, self._versions = client, f"noria_{collection}", f"noria_{collection}_versions"
        self.place = f"{client.place}, collection {collection}"
        self._indexed = frozenset[str]()

    def manifests(self) -> list[Manifest]:
        if not self.client.ask("collection_exists", self._versions):
            return []
        return [Manifest.from_json(point.payload["manifest"]) for point in self.client.scroll(self._versions, None, ["manifest"])]

    @contextmanager
    def building(self, name: str, dimension: int) -> Iterator[None]:  # noqa: ARG002 - nothing is locked
        if not self.client.ask("collection_exists", self.collection):
            vectors = {MEANING: models.VectorParams(size=dimension, distance=models.Distance.COSINE)}
            self._create(self.collection, vectors_config=vectors, sparse_vectors_config={WORDS: models.SparseVectorParams()})
            self.require_indexed({"added": "text", "chunk_id": "text", "access": "text", "open": "flag"})
        if not self.client.ask("collection_exists", self._versions):
            self._create(self._versions, vectors_config={})
        there = self.client.ask("get_collection", self.collection).config.params.vectors[MEANING].size
        if there != dimension:
            raise OtherDimension(f"{dimension} numbers", there)
        yield

    def _create(self, collection: str, **config: Any) -> None:
        try:
            self.client.ask("create_collection", collection, **config)
        except StoreFailed:
            if not self.client.ask("collection_exists", collection):  # nor made by another builder meanwhile
                raise

    def require_indexed(self, fields: Mapping[str, str]) -> None:
        """Have an index of each field, by its kind; a folder has none."""
        for field, kind in fields.items():
            if not self.client.local:
                self.client.ask("create_payload_index", self.collection, field, INDEXED[kind], wait=True)

    def knows(self, fields: Iterable[str]) -> bool:
        """Whether there is an index of each of these fields: without one, no row has a value there."""
        asked = set(fields)
        if not self.client.local and not asked <= self._indexed:
            self._indexed = frozenset(self.client.ask("get_collection", self.collection).payload_schema)
        return self.client.local or asked <= self._indexed

    @contextmanager
    def begin(self, manifest: Manifest) -> Iterator[Build]:
        self.put(manifest)
        if manifest.builds[1:]:  # every chain from here on asks what it removed
            self.require_indexed({f"removed.{manifest.builds[-1]}": "flag"})
        yield QdrantBuild(self, manifest)

    def put(self, manifest: Manifest) -> Manifest:
        """Write a manifest, unless there is one of its name; that which stands."""
        id = _id_of(manifest)
        point = models.PointStruct(id=id, vector={}, payload={"manifest": manifest.to_json()})
        self.client.ask("upsert", self._versions, [point], wait=True, update_mode=models.UpdateMode.INSERT_ONLY)
        found = self.client.ask("retrieve", self._versions, [id], with_payload=["manifest"])
        return Manifest.from_json(found[0].payload["manifest"])

    def keys(self, builds: Sequence[str]) -> dict[str, str]:
        found = self.client.scroll(self.collection, _seen(builds), ["key"])
        return {point.payload["key"]: str(point.id).replace("-", "") for point in found}

    def count(self, builds: Sequence[str]) -> int:
        return int(self.client.ask("count", self.collection, count_filter=_seen(builds), exact=True).count)

    def forget(self, manifest: Manifest) -> None:
        self.client.ask("delete", self._versions, models.PointIdsList(points=[_id_of(manifest)]), wait=True)

    def sweep(self, chains: Sequence[Sequence[str]]) -> None:
        unseen = models.Filter(must_not=[_seen(chain) for chain in chains])
        self.client.ask("delete", self.collection, models.FilterSelector(filter=unseen), wait=True)
        self._drop_indexes({build for chain in chains for build in chain})

    def _drop_indexes(self, alive: Collection[str]) -> None:
        """Remove the indexes of what builds removed of which no chain is left."""
        there = () if self.client.local else self.client.ask("get_collection", self.collection).payload_schema
        for field in there:
            if field.startswith("removed.") and field.removeprefix("removed.") not in alive:
                self.client.ask("delete_payload_index", self.collection, field, wait=True)

    def index(self, manifest: Manifest) -> QdrantIndex:
        return QdrantIndex(self, manifest)

    def definition(self) -> dict[str, Any]:
        return {"store": "qdrant", "collection": self._name}

    def close(self) -> None:
        self.client.close()


class QdrantBuild:
    """A build: its rows are there at once, and nobody sees them yet."""

    def __init__(self, of: QdrantRows, manifest: Manifest) -> None:
        self._of, self._manifest, self._build, self._indexed = of, manifest, manifest.builds[-1], set[str]()

    def add(self, rows: Sequence[Row]) -> None:
        fields = {field for row in rows for field in fields_of(row.chunk.metadata)} - self._indexed
        self._of.require_indexed({field: field.split("_")[0] for field in sorted(fields)})
        self._indexed |= fields
        for at in range(0, len(rows), ROWS_AT_ONCE):
            points = [_point(row, self._build) for row in rows[at : at + ROWS_AT_ONCE]]
            self._of.client.ask("upsert", self._of.collection, points, wait=True)

    def remove(self, ids: Sequence[str]) -> Iterable[Iterable[int]]:
        terms = list[Iterable[int]]()
        for at in range(0, len(ids), ROWS_AT_ONCE):
            some = list(ids[at : at + ROWS_AT_ONCE])
            found = self._of.client.ask("retrieve", self._of.collection, some, with_payload=False, with_vectors=[WORDS])
            terms += [point.vector[WORDS].indices if WORDS in (point.vector or {}) else [] for point in found]
            self._of.client.ask("set_payload", self._of.collection, {self._build: True}, points=some, key="removed", wait=True)
        return terms

    def seal(self, manifest: Manifest) -> Manifest:
        stands = self._of.put(manifest)
        if stands.builds == manifest.builds:
            self._of.forget(self._manifest)
        return stands


class QdrantIndex:
    """A version, to be searched by any number of threads."""

    def __init__(self, of: QdrantRows, manifest: Manifest) -> None:
        self._of, self._manifest = of, manifest
        self.dimension, self._rarity = manifest.dimension, manifest.rarity

    def __len__(self) -> int:
        return self._manifest.chunks

    def search(self, vector: Vector, count: int, conditions: Conditions = EVERYTHING) -> list[Hit]:
        asked = checked(vector, self.dimension).tolist()
        hits = self._nearest(asked, MEANING, count, conditions)
        if len(hits) < min(count, len(self)) and not self._of.client.local:  # an approximate search may have ended before it had enough
            hits = self._nearest(asked, MEANING, count, conditions, models.SearchParams(exact=True))
        return hits

    def search_words(self, question: str, count: int, conditions: Conditions = EVERYTHING) -> list[Hit]:
        asked = self._rarity.question(question)
        return self._nearest(_sparse(asked), WORDS, count, conditions) if asked else []

    def _nearest(self, asked: Any, using: str, count: int, conditions: Conditions, params: Any = None) -> list[Hit]:
        if count < 1 or not len(self):
            return []
        if not self._of.knows(field_and_values(each)[0] for each in conditions.of):
            return []
        own = list(self._conditions(conditions))
        query = {
            "query": asked,
            "using": using,
            "limit": min(count, len(self)),
            "search_params": params,
            "with_payload": ["chunk_id", "chunk"],
        }
        with self._of.client.entry:
            seen = [] if self._alone() else [_seen(self._manifest.builds)]
            limited = models.Filter(must=[*seen, *own]) if seen or own else None
            found = self._of.client.ask("query_points", self._of.collection, query_filter=limited, **query).points
        if len(found) < min(count, len(self)):
            self._require_there()
        return [Hit(chunk_of(point.payload["chunk_id"], point.payload["chunk"]), float(point.score)) for point in found]

    def close(self) -> None:
        self._of.close()

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        if not ids:
            return np.zeros((0, self.dimension), np.float32)
        seen = models.Filter(must=[_seen(self._manifest.builds), _any_text("chunk_id", ids)])
        found = self._of.client.scroll(self._of.collection, seen, ["chunk_id"], with_vectors=[MEANING])
        known = {point.payload["chunk_id"]: point.vector[MEANING] for point in found}
        return np.array([known[each] for each in ids], np.float32)

    def _alone(self) -> bool:
        """Whether a folder has no row but this version's, while nobody else is let in: there, a filter costs more than the search."""
        client = self._of.client
        return client.local and bool(client.ask("count", self._of.collection, exact=True).count == len(self))

    def _conditions(self, conditions: Conditions) -> Iterator[models.Condition]:
        for each in conditions.of:
            yield self._ordered(each) if kind_of(each.value) == "text" and each.relation in ("at_least", "at_most") else _condition(each)
        if conditions.labels is not None:
            is_open = models.FieldCondition(key="open", match=models.MatchValue(value=True))
            yield models.Filter(should=[is_open, *([_any_text("access", conditions.labels)] if conditions.labels else [])])

    def _ordered(self, condition: Condition) -> models.Condition:
        """A condition on the order of texts, by the values that there are."""
        field, _ = field_and_values(condition)
        facet = {"key": field, "facet_filter": _seen(self._manifest.builds), "limit": MAX_VALUES, "exact": True}
        there = [str(hit.value) for hit in self._of.client.ask("facet", self._of.collection, **facet).hits]
        if len(there) >= MAX_VALUES:
            raise BadCondition(condition.name, f"Qdrant has no order of texts, and {MAX_VALUES:,} values or more are too many to compare")
        return _any_text(field, [value for value in there if condition.met_by(value)])

    def _require_there(self) -> None:
        """That a search which found little did not do so since its version was dropped."""
        names = [each.name for each in self._of.manifests() if each.sealed]
        if self._manifest.name not in names:
            raise NoVersion(self._of.place, self._manifest.name, names)


# --- points and filters ----------------------------------------------------------------------------------------------------


def _id_of(manifest: Manifest) -> str:
    return digest(["sealed", manifest.name] if manifest.sealed else ["begun", *manifest.builds])[:32]


def _point(row: Row, build: str) -> models.PointStruct:
    vectors: dict[str, Any] = {MEANING: row.vector.tolist()}
    if row.words:
        vectors[WORDS] = _sparse(row.words)
    payload = {
        "added": build,
        "key": row.key,
        "chunk_id": row.chunk.id,
        "chunk": chunk_json(row.chunk),
        "open": not row.chunk.access,
        "access": list(row.chunk.access),
        **fields_of(row.chunk.metadata),
    }
    return models.PointStruct(id=row.id, vector=vectors, payload=payload)


def _sparse(words: Sparse) -> models.SparseVector:
    return models.SparseVector(indices=list(words), values=list(words.values()))


def _seen(builds: Sequence[str]) -> models.Filter:
    """That a chain of builds sees a point. The first removes nothing, since there was nothing before it."""
    removed = [models.FieldCondition(key=f"removed.{each}", match=models.MatchValue(value=True)) for each in builds[1:]]
    return models.Filter(must=[_any_text("added", builds)], must_not=[*removed] or None)


def _any_text(field: str, values: Collection[str]) -> models.Condition:
    return models.FieldCondition(key=field, match=models.MatchAny(any=list(values))) if values else NONE


def _condition(condition: Condition) -> models.Condition:
    """A condition in Qdrant's terms, but on the order of texts."""
    field, values = field_and_values(condition)
    possible = models.Filter(should=[_related(field, condition.relation, value) for value in values])
    there = models.IsEmptyCondition(is_empty=models.PayloadField(key=field))
    return models.Filter(must=[possible], must_not=[there])


def _related(field: str, relation: str, value: Value) -> models.Condition:
    if isinstance(value, float):
        return _number(field, relation, value)
    if isinstance(value, str):
        if relation == "is_not":
            return models.FieldCondition(key=field, match=models.MatchExcept(**{"except": [value]}))
        return models.FieldCondition(key=field, match=models.MatchValue(value=value))
    met = [each for each in (False, True) if Condition(field, "is" if relation == "any_of" else relation, value).met_by(each)]  # type: ignore[arg-type]
    return models.Filter(should=[NONE, *(models.FieldCondition(key=field, match=models.MatchValue(value=each)) for each in met)])


def _number(field: str, relation: str, value: float) -> models.Condition:
    """A condition on a number, as a range: Qdrant matches whole numbers only. What is stored is finite, and JSON has no infinity."""
    if math.isinf(value):
        met = relation == "is_not" or relation == ("at_most" if value > 0 else "at_least")
        return models.FieldCondition(key=field, range=models.Range(gte=-LARGEST)) if met else NONE

    def within(**limits: float) -> models.Condition:
        return models.FieldCondition(key=field, range=models.Range(**limits))

    if relation == "is_not":
        return models.Filter(should=[within(lt=value), within(gt=value)])
    return within(**{side: value for side in ("gte", "lte") if relation != ("at_most" if side == "gte" else "at_least")})
