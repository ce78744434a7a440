"""Weaviate as the store of indexes (https://weaviate.io): NORIA_INDEX_URL, `http://host:8080?grpc=host:50051`; NORIA_INDEX_KEY if any.

A collection is two of Weaviate's, `NoriaRows_<collection>` and `NoriaVersions_<collection>`. It has no transactions: a build goes by the
rules of `noria.llm.index.versions`, and the first manifest of a name stands, since it is inserted and never updated. Weaviate looks whether
an id is there and then writes it, which is not one step: two processes that seal the same name within the same milliseconds may both think
that they were first.

What removed a row stands in a list, and a list is read, made longer and written back. So a builder says that it is there before it looks
for others; who finds another one removes nothing, and writes its version whole. Words are found by Weaviate's own BM25 over our terms: how
rare a term is counts over all rows of the collection, and not over one version as elsewhere.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID, uuid4

import grpc
import httpx
import numpy as np
import weaviate
from numpy.typing import NDArray
from weaviate.classes.config import ConsistencyLevel, DataType, Property, Tokenization
from weaviate.classes.data import DataObject
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.classes.query import Filter, MetadataQuery
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateBaseError

from noria.core.clock import Clock, SystemClock
from noria.core.ids import digest
from noria.llm.documents.document import Value
from noria.llm.index.clauses import ACCESS, NOTHING, OPEN, Clause, Compare, Every, Has, Some, clause_of, fields, readers, token
from noria.llm.index.ledger import Entry, seen
from noria.llm.index.port import Hit, NoVersion, OtherDimension, StoreFailed, Vector, checked, require_name
from noria.llm.index.rows import chunk_json, chunk_of
from noria.llm.index.versions import Build, Manifest, Row, VersionedStore
from noria.llm.index.words import counted, place_of, terms
from noria.llm.retrieval.conditions import Conditions

CONNECT_SECONDS, READ_SECONDS, WRITE_SECONDS = 10, 30, 120
ROWS_AT_ONCE, MARKED_AT_ONCE = 100, 8
MOST = 10_000  # of one answer, and of one deletion: QUERY_MAXIMUM_RESULTS as it is by default
MAX_ROUNDS = 1_000  # of deletions
REST_PORT, GRPC_PORT = 8080, 50051
HOSTED = (".weaviate.cloud", ".weaviate.network")
EVERYTHING = Conditions()
HAS = "has"  # the fields in which a row has a value
TYPES = {
    "text": DataType.TEXT,
    "number": DataType.NUMBER,
    "flag": DataType.TEXT,
}  # a filter on a boolean: the client writes it as a number too
DIMENSION = re.compile(r"(\d+) numbers")


def open_store(collection: str, environ: Mapping[str, str]) -> VersionedStore:
    """The store at the address that the environment names."""
    url = environ.get("NORIA_INDEX_URL", "")
    if not url:
        fix = "set it to Weaviate's address, http://host:8080, with ?grpc=host:port where that is not the same host's 50051"
        raise StoreFailed("Weaviate", "NORIA_INDEX_URL is not set", fix)
    return weaviate_store(url, collection, environ.get("NORIA_INDEX_KEY"))


def weaviate_store(url: str, collection: str, key: str | None = None, clock: Clock | None = None) -> VersionedStore:
    """The store at a URL."""
    return VersionedStore(WeaviateRows(Weaviate(url, key), collection, clock or SystemClock()), clock)


class Weaviate:
    """The client, whose failures are `StoreFailed`. It connects when it is first used, and asks no one but the server."""

    def __init__(self, url: str, key: str | None) -> None:
        self._rest, self._grpc = addresses(url)
        self.place = f"Weaviate {self._rest.scheme}://{self._rest.host}:{_port(self._rest, REST_PORT)}"
        self._key, self._lock = key, threading.Lock()
        self._opened: weaviate.WeaviateClient | None = None

    def ask(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        """Call something of the client's."""
        try:
            return call(*args, **kwargs)
        except (WeaviateBaseError, httpx.HTTPError, grpc.RpcError, OSError, ValueError, KeyError) as error:
            raise StoreFailed(self.place, f"{type(error).__name__}: {error}"[:500]) from error

    @property
    def client(self) -> weaviate.WeaviateClient:
        with self._lock:
            opened: weaviate.WeaviateClient = self._opened or self.ask(self._connected)
            self._opened = opened
            return opened

    def _connected(self) -> weaviate.WeaviateClient:
        """With its first checks, the client would also ask PyPI for its newest version."""
        timeout = Timeout(init=CONNECT_SECONDS, query=READ_SECONDS, insert=WRITE_SECONDS)
        return weaviate.connect_to_custom(
            http_host=self._rest.host,
            http_port=_port(self._rest, REST_PORT),
            http_secure=self._rest.scheme == "https",
            grpc_host=self._grpc.host,
            grpc_port=_port(self._grpc, GRPC_PORT),
            grpc_secure=self._grpc.scheme == "https",
            auth_credentials=Auth.api_key(self._key) if self._key else None,
            additional_config=AdditionalConfig(timeout=timeout),
            skip_init_checks=True,
        )

    def collection(self, name: str) -> Any:
        """A collection, read and written by most of its replicas, so that what was written is read."""
        return self.client.collections.get(name).with_consistency_level(ConsistencyLevel.QUORUM)

    def close(self) -> None:
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            self.ask(opened.close)


def addresses(url: str) -> tuple[httpx.URL, httpx.URL]:
    """Where Weaviate answers REST, and where gRPC: `grpc=host:port` of the URL, else where it usually does."""
    try:
        rest = httpx.URL(url)
        given = rest.params.get("grpc")
        if rest.scheme not in ("http", "https") or not rest.host:
            raise ValueError("it is no http:// or https:// URL with a host")
        if given:
            return rest, httpx.URL(f"{rest.scheme}://{given}")
        if rest.host.endswith(HOSTED):
            return rest, httpx.URL(f"https://grpc-{rest.host}:443")
        return rest, rest.copy_with(port=GRPC_PORT)
    except (httpx.InvalidURL, ValueError) as error:
        raise StoreFailed("Weaviate", f"its address can't be read: {error}", "write it as http://host:8080?grpc=host:50051") from error


def _port(url: httpx.URL, usual: int) -> int:
    return url.port or (443 if url.scheme == "https" else usual)


class WeaviateRows:
    """Rows in Weaviate: `Rows` of `noria.llm.index.versions`."""

    def __init__(self, client: Weaviate, collection: str, clock: Clock) -> None:
        self._name, self._clock = require_name("collection", collection, 40), clock
        self.client, self.collection = client, f"NoriaRows_{_class_of(collection)}"
        self._versions = f"NoriaVersions_{_class_of(collection)}"
        self.place = f"{client.place}, collection {collection}"
        self._known, self._alone = frozenset[str](), threading.local()

    @property
    def rows(self) -> Any:
        return self.client.collection(self.collection)

    @property
    def kept(self) -> Any:
        """The collection of manifests and of what builds did."""
        return self.client.collection(self._versions)

    def ask(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        return self.client.ask(call, *args, **kwargs)

    def manifests(self) -> list[Manifest]:
        if not self._exists(self._versions):
            return []
        every = self.ask(lambda: list(self.kept.iterator(return_properties=["manifest"])))
        return [Manifest.from_json(each.properties["manifest"]) for each in every if each.properties.get("manifest")]

    @contextmanager
    def building(self, name: str, dimension: int) -> Iterator[None]:
        self._require_made(dimension)
        here = Manifest(name, (uuid4().hex[:16],), self._clock.now().timestamp(), dimension)
        self.put(here)
        try:
            self._alone.so = not any(not each.sealed and each.builds != here.builds for each in self.manifests())
            yield
        finally:
            with suppress(StoreFailed):  # it is swept later, and what the build failed by is told
                self.forget(here)

    def _exists(self, collection: str) -> bool:
        return bool(self.ask(lambda: self.client.client.collections.exists(collection)))

    def _require_made(self, dimension: int) -> None:
        if not self._exists(self._versions):
            self._create({"class": self._versions, "properties": [_text(name, False) for name in ("manifest", "of", "entry")], **_SETTINGS})
        if not self._exists(self.collection):
            names = ("row", "added", "removed", HAS, "chunk_id", ACCESS, OPEN)
            own = [_text(name, True, array=name in ("removed", HAS, ACCESS)) for name in names]
            own += [_text("chunk", False), _words()]
            self._create({"class": self.collection, "description": f"Noria: {dimension} numbers", "properties": own, **_SETTINGS})
        config = self.ask(lambda: self.rows.config.get(simple=True))
        there = DIMENSION.search(config.description or "")
        if there is None or int(there[1]) != dimension:
            raise OtherDimension(f"{dimension} numbers", int(there[1]) if there else 0)

    def _create(self, schema: dict[str, Any]) -> None:
        try:
            self.ask(lambda: self.client.client.collections.create_from_dict(schema))
        except StoreFailed:
            if not self._exists(schema["class"]):  # nor made by another builder meanwhile
                raise

    def knows(self, names: Iterable[str]) -> bool:
        """Whether the collection has all these properties: Weaviate refuses a filter on others."""
        asked = set(names)
        if not asked <= self._known:
            config = self.ask(lambda: self.rows.config.get(simple=True))
            self._known = frozenset(each.name for each in config.properties)
        return asked <= self._known

    def require_known(self, names: Iterable[str]) -> None:
        """Have a property of each name, by its kind."""
        for name in sorted(set(names)):
            if not self.knows([name]):
                is_text = not name.startswith("number")
                made = Property(
                    name=name,
                    data_type=TYPES[name.split("_")[0]],
                    index_filterable=True,
                    index_searchable=False if is_text else None,
                    tokenization=Tokenization.FIELD if is_text else None,
                )
                try:
                    self.ask(lambda made=made: self.rows.config.add_property(made))
                except StoreFailed:
                    if not self.knows([name]):  # nor made by another builder meanwhile
                        raise

    @contextmanager
    def begin(self, manifest: Manifest) -> Iterator[Build]:
        self.put(manifest)
        yield WeaviateBuild(self, manifest)

    def put(self, manifest: Manifest) -> Manifest:
        """Write a manifest, unless there is one of its name; that which stands."""
        id = _id_of(manifest)
        self.insert(id, {"manifest": manifest.to_json()})
        found = self.ask(lambda: self.kept.query.fetch_object_by_id(id, return_properties=["manifest"]))
        if found is None:
            raise StoreFailed(self.place, f"the manifest of {manifest.name!r} can't be read after it was written")
        return Manifest.from_json(found.properties["manifest"])

    def insert(self, id: UUID, properties: dict[str, str]) -> None:
        """Keep something under an id, unless that is taken."""
        try:
            self.ask(lambda: self.kept.data.insert(properties, uuid=id))
        except StoreFailed as error:
            refused = error.__cause__
            if not isinstance(refused, UnexpectedStatusCodeError) or refused.status_code != 422 or "already exists" not in str(refused):
                raise

    def keys(self, builds: Sequence[str]) -> dict[str, str]:
        if not getattr(self._alone, "so", False):
            return {}  # so that the version is written whole, and nothing of other builders' is marked
        found = [self.ask(lambda id=_entry_id(each): self.kept.query.fetch_object_by_id(id)) for each in builds]
        if None in found:
            return {}  # as when nothing is known of it
        return seen(Entry.unpacked(each.properties["entry"]) for each in found)

    def count(self, builds: Sequence[str]) -> int:
        return int(self.ask(lambda: self.rows.aggregate.over_all(filters=_seen(builds), total_count=True)).total_count or 0)

    def forget(self, manifest: Manifest) -> None:
        self.ask(lambda: self.kept.data.delete_by_id(_id_of(manifest)))

    def sweep(self, chains: Sequence[Sequence[str]]) -> None:
        unseen = [_unseen(chain) for chain in chains] or [Filter.by_property("added").not_equal("-")]
        for _ in range(MAX_ROUNDS):
            if self.ask(lambda: self.rows.data.delete_many(where=Filter.all_of(unseen))).matches < MOST:
                break
        self._forget_entries({build for chain in chains for build in chain})

    def _forget_entries(self, alive: Collection[str]) -> None:
        """Remove what builds did of which no chain is left: no manifest names them any more."""
        kept = self.ask(lambda: list(self.kept.iterator(return_properties=["of"])))
        for each in kept:
            if each.properties.get("of") and each.properties["of"] not in alive:
                self.ask(lambda id=each.uuid: self.kept.data.delete_by_id(id))

    def index(self, manifest: Manifest) -> WeaviateIndex:
        return WeaviateIndex(self, manifest)

    def definition(self) -> dict[str, Any]:
        return {"store": "weaviate", "collection": self._name}

    def close(self) -> None:
        self.client.close()


class WeaviateBuild:
    """A build: its rows are there at once, and nobody sees them yet."""

    def __init__(self, of: WeaviateRows, manifest: Manifest) -> None:
        self._of, self._manifest, self._build = of, manifest, manifest.builds[-1]
        self._added, self._removed = dict[str, str](), list[str]()

    def add(self, rows: Sequence[Row]) -> None:
        self._of.require_known(field for row in rows for field in fields(row.chunk))
        for at in range(0, len(rows), ROWS_AT_ONCE):
            some = [_object(row, self._build) for row in rows[at : at + ROWS_AT_ONCE]]
            written = self._of.ask(lambda some=some: self._of.rows.data.insert_many(some))
            if written.has_errors:
                raise StoreFailed(self._of.place, f"a row is refused: {next(iter(written.errors.values())).message}"[:500])
        self._added.update((row.key, row.id) for row in rows)

    def remove(self, ids: Sequence[str]) -> Iterable[Iterable[int]]:
        found = list[Any]()
        for at in range(0, len(ids), ROWS_AT_ONCE):
            some = Filter.by_property("row").contains_any(list(ids[at : at + ROWS_AT_ONCE]))
            asked = {"filters": some, "limit": ROWS_AT_ONCE, "return_properties": ["words", "removed"]}
            found += self._of.ask(lambda asked=asked: self._of.rows.query.fetch_objects(**asked)).objects
        with ThreadPoolExecutor(MARKED_AT_ONCE) as several:
            list(several.map(self._mark, found))
        self._removed += ids
        return [[int(term) for term in (each.properties.get("words") or "").split()] for each in found]

    def _mark(self, row: Any) -> None:
        removed = [*(row.properties.get("removed") or []), self._build]
        self._of.ask(lambda: self._of.rows.data.update(row.uuid, properties={"removed": removed}))

    def seal(self, manifest: Manifest) -> Manifest:
        entry = Entry(self._build, self._added, tuple(self._removed))
        self._of.insert(_entry_id(self._build), {"of": self._build, "entry": entry.packed()})
        stands = self._of.put(manifest)
        if stands.builds == manifest.builds:
            self._of.forget(self._manifest)
        return stands


class WeaviateIndex:
    """A version, to be searched by any number of threads."""

    def __init__(self, of: WeaviateRows, manifest: Manifest) -> None:
        self._of, self._manifest = of, manifest
        self.dimension, self._rarity = manifest.dimension, manifest.rarity

    def __len__(self) -> int:
        return self._manifest.chunks

    def search(self, vector: Vector, count: int, conditions: Conditions = EVERYTHING) -> list[Hit]:
        asked = checked(vector, self.dimension).tolist()
        query = {"near_vector": asked, "return_metadata": MetadataQuery(distance=True)}
        return [Hit(chunk, 1 - meta.distance) for chunk, meta in self._found("near_vector", count, conditions, query)]

    def search_words(self, question: str, count: int, conditions: Conditions = EVERYTHING) -> list[Hit]:
        asked = sorted({place for place in map(place_of, terms(question)) if self._rarity.counts.get(place, 0) > 0})
        if not asked:
            return []
        query = {"query": " ".join(map(str, asked)), "query_properties": ["words"], "return_metadata": MetadataQuery(score=True)}
        return [Hit(chunk, meta.score) for chunk, meta in self._found("bm25", count, conditions, query)]

    def _found(self, how: str, count: int, conditions: Conditions, query: dict[str, Any]) -> list[tuple[Any, Any]]:
        limited, most = self._limited(conditions), min(count, len(self), MOST)
        if most < 1 or limited is None:
            return []
        asked = {**query, "filters": limited, "limit": most, "return_properties": ["chunk_id", "chunk"]}
        found = self._of.ask(lambda: getattr(self._of.rows.query, how)(**asked)).objects
        if len(found) < most:
            self._require_there()
        return [(_chunk_of(each.properties), each.metadata) for each in found]

    def _limited(self, conditions: Conditions) -> Any:
        """The filter of a search; None where nothing can meet it."""
        clause = clause_of(conditions)
        if clause is None:
            return _seen(self._manifest.builds)
        known = clause != NOTHING and self._of.knows(_compared(clause))
        return Filter.all_of([_seen(self._manifest.builds), _filter(clause)]) if known else None

    def close(self) -> None:
        self._of.close()

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        if not ids:
            return np.zeros((0, self.dimension), np.float32)
        known, wanted = dict[str, Any](), sorted(set(ids))
        for at in range(0, len(wanted), ROWS_AT_ONCE):
            some = Filter.by_property("chunk_id").contains_any([token(each) for each in wanted[at : at + ROWS_AT_ONCE]])
            asked = {"filters": Filter.all_of([_seen(self._manifest.builds), some]), "limit": ROWS_AT_ONCE, "include_vector": True}
            for each in self._of.ask(lambda asked=asked: self._of.rows.query.fetch_objects(**asked)).objects:
                known[_chunk_of(each.properties).id] = each.vector["default"]
        return np.array([known[each] for each in ids], np.float32)

    def _require_there(self) -> None:
        """That a search which found little did not do so since its version was dropped."""
        if not self._of.ask(lambda: self._of.kept.data.exists(_id_of(self._manifest))):
            names = [each.name for each in self._of.manifests() if each.sealed]
            raise NoVersion(self._of.place, self._manifest.name, names)


# --- collections and objects -----------------------------------------------------------------------------------------------

_SETTINGS: dict[str, Any] = {
    "vectorizer": "none",
    "vectorIndexType": "hnsw",
    "vectorIndexConfig": {"distance": "cosine"},
    "invertedIndexConfig": {"bm25": {"k1": 1.2, "b": 0.75}, "stopwords": {"preset": "none"}},
}


def _text(name: str, filterable: bool, array: bool = False) -> dict[str, Any]:
    kind = ["text[]" if array else "text"]
    return {"name": name, "dataType": kind, "tokenization": "field", "indexFilterable": filterable, "indexSearchable": False}


def _words() -> dict[str, Any]:
    return {"name": "words", "dataType": ["text"], "tokenization": "whitespace", "indexFilterable": False, "indexSearchable": True}


def _class_of(collection: str) -> str:
    """The name of a collection as one of Weaviate's may be, which has no other signs than letters, digits and '_', and no two cases."""
    plain = re.sub(r"[^a-z0-9_]", "_", collection.lower())
    return plain if plain == collection else f"{plain}_{digest([collection])[:12]}"


def _id_of(manifest: Manifest) -> UUID:
    return UUID(digest(["sealed", manifest.name] if manifest.sealed else ["begun", *manifest.builds])[:32])


def _entry_id(build: str) -> UUID:
    return UUID(digest(["entry", build])[:32])


def _object(row: Row, build: str) -> Any:
    own = {name: _stored(value) for name, value in fields(row.chunk).items()}
    properties: dict[str, Any] = {
        "row": row.id,
        "added": build,
        "chunk_id": token(row.chunk.id),
        "chunk": chunk_json(row.chunk),
        "words": " ".join(str(place) for place, count in sorted(counted(row.chunk.embedded).items()) for _ in range(count)),
        OPEN: _stored(not row.chunk.access),
        **own,
    }
    lists = {ACCESS: readers(row.chunk), HAS: sorted(own)}
    return DataObject(
        properties={**properties, **{name: each for name, each in lists.items() if each}}, uuid=UUID(row.id), vector=row.vector.tolist()
    )


def _stored(value: Value) -> Value:
    return ("yes" if value else "no") if isinstance(value, bool) else value


def _chunk_of(properties: Mapping[str, Any]) -> Any:
    return chunk_of(bytes.fromhex(properties["chunk_id"][1:]).decode(), properties["chunk"])


# --- filters: an unequal value and a value that is not there both meet `not_equal`, which is the contrary of `equal` -------------


def _seen(builds: Sequence[str]) -> Any:
    """That a chain of builds sees a row. The first removes nothing, since there was nothing before it."""
    added = Filter.by_property("added").contains_any(list(builds))
    return Filter.all_of([added, *(Filter.by_property("removed").not_equal(each) for each in builds[1:])])


def _unseen(builds: Sequence[str]) -> Any:
    """The contrary."""
    elsewhere = Filter.all_of([Filter.by_property("added").not_equal(each) for each in builds])
    return Filter.any_of([elsewhere, Filter.by_property("removed").contains_any(list(builds[1:]))]) if builds[1:] else elsewhere


def _filter(clause: Clause) -> Any:
    match clause:
        case Every(of):
            return Filter.all_of([_filter(each) for each in of])
        case Some(of):
            return Filter.any_of([_filter(each) for each in of])
        case Has(field):
            return Filter.by_property(HAS).contains_any([field])
        case Compare(field, "!=", value):
            return Filter.all_of([Filter.by_property(HAS).contains_any([field]), Filter.by_property(field).not_equal(_stored(value))])
        case Compare(field, "==", value):
            return Filter.by_property(field).equal(_stored(value))
        case Compare(field, ">=", value):
            return Filter.by_property(field).greater_or_equal(value)
        case Compare(field, _, value):
            return Filter.by_property(field).less_or_equal(value)


def _compared(clause: Clause) -> set[str]:
    """The properties that a clause's filter names."""
    match clause:
        case Every(of) | Some(of):
            return {name for each in of for name in _compared(each)}
        case Compare(field):
            return {field}
        case Has():
            return set()
