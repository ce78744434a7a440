"""Pinecone as the store of indexes (https://pinecone.io): NORIA_INDEX_KEY, and for another cloud or region than AWS's us-east-1
NORIA_INDEX_URL, `https://api.pinecone.io?cloud=gcp&region=us-central1`.

A collection is two serverless indexes, `noria-rows-<collection>` with dense and `noria-words-<collection>` with sparse vectors, since one
with both can't be searched by words alone. Three things of Pinecone's shape all that follows:

- *What was written is seen later.* A build waits for the log positions of its writes, and counts by the filter that searches will use, in
  both indexes, before its version is there.
- *No write is conditional,* but a namespace is created only once. So a version is a namespace `version.<name>` whose schema names its
  build; the manifest stands in records (`pinecone_kept`).
- *Texts have no order.* Which ones a field has stands in each build's entry (`noria.llm.index.ledger`), and they are compared here.

Searches are approximate; by meaning they find 10,000 rows at most, by words 1,000.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import SystemClock
from noria.core.ids import digest
from noria.integrations.pinecone_client import CONTROL, Pinecones, is_missing, is_taken
from noria.integrations.pinecone_kept import Kept
from noria.integrations.pinecone_rows import ROWS, batches, chunk_in, filter_of, own, record, seen, terms_of, unseen, words_record
from noria.llm.index.clauses import NOTHING, clause_of, ordered_fields, text_of, token, with_texts
from noria.llm.index.ledger import Entry, limited, texts_of
from noria.llm.index.ledger import seen as seen_rows
from noria.llm.index.port import Hit, NoVersion, OtherDimension, StoreFailed, Vector, checked, require_name
from noria.llm.index.versions import Build, Manifest, Row, VersionedStore
from noria.llm.retrieval.conditions import BadCondition, Conditions

PATIENCE = timedelta(seconds=120)  # for what was written to be seen
MOST, MAX_BY_WORDS, WITH_METADATA = 10_000, 1_000, 100  # rows of one answer; and of one that has their chunks, which may be 40 kB each
IDS_AT_ONCE, MARKED_AT_ONCE = 100, 1_000
VERSION = "version."  # of the namespaces of versions
EVERYTHING = Conditions()
Pause = Callable[[timedelta], None]


def open_store(collection: str, environ: Mapping[str, str]) -> VersionedStore:
    """The store of the account that the environment has the key of."""
    key = environ.get("NORIA_INDEX_KEY", "")
    if not key:
        raise StoreFailed("Pinecone", "NORIA_INDEX_KEY is not set", "set it to a key of the Pinecone project that has the indexes")
    return pinecone_store(key, collection, environ.get("NORIA_INDEX_URL") or CONTROL)


def pinecone_store(key: str, collection: str, url: str = CONTROL, pause: Pause = SystemClock().sleep) -> VersionedStore:
    """The store of a project. url: its control plane, with `cloud` and `region` of indexes that are made; pause: between two looks"""
    return VersionedStore(PineconeRows(Pinecones(url, key, PATIENCE, pause), collection))


class PineconeRows:
    """Rows in Pinecone: `Rows` of `noria.llm.index.versions`."""

    def __init__(self, client: Pinecones, collection: str) -> None:
        self._name, short = require_name("collection", collection, 40), _short(collection)
        self.client, self._named = client, (f"noria-rows-{short}", f"noria-words-{short}")
        self.place = f"{client.place}, collection {collection}"
        self.kept = Kept(client, self._named[0], self.place)
        self._open = dict[str, PineconeBuild]()  # those of this process

    @property
    def rows(self) -> Any:
        return self.client.index(self._named[0])

    @property
    def words(self) -> Any:
        return self.client.index(self._named[1])

    def ask(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        return self.client.ask(call, *args, **kwargs)

    def manifests(self) -> list[Manifest]:
        """Those that are begun are read first: one that is sealed meanwhile is then among both, not among neither."""
        if not self.client.exists(self._named[0]):
            return []
        begun = [self.kept.read(f"begun.{each}") for each in self.kept.names("begun")]
        sealed = [self.kept.read(f"sealed.{build}") for build in self.sealed().values()]
        return [Manifest.from_json(each) for each in (*begun, *sealed) if each is not None]

    def sealed(self) -> dict[str, str]:
        """Which build each version is of: version → build."""
        pages = self.ask(lambda: list(self.rows.list_namespaces(prefix=VERSION, limit=100)))
        return {each.name.removeprefix(VERSION): _build_of(each) for page in pages for each in page.namespaces}

    @contextmanager
    def building(self, name: str, dimension: int) -> Iterator[None]:  # noqa: ARG002 - nothing is locked
        dense, sparse = self._named
        if not self.client.exists(dense):
            self.client.create(dense, dimension=dimension, metric="cosine")
        if not self.client.exists(sparse):
            self.client.create(sparse, vector_type="sparse", metric="dotproduct")
        there = int(self.ask(self.rows.describe_index_stats).dimension or 0)
        if there != dimension:
            raise OtherDimension(f"{dimension} numbers", there)
        self.kept.dimension = dimension
        yield

    @contextmanager
    def begin(self, manifest: Manifest) -> Iterator[Build]:
        build = manifest.builds[-1]
        self.kept.write(f"begun.{build}", manifest.to_json())
        self._open[build] = PineconeBuild(self, manifest)
        try:
            yield self._open[build]
        finally:
            del self._open[build]

    def entries(self, builds: Sequence[str]) -> list[Entry]:
        """What the builds of a chain did."""
        return [self._entry(build) for build in builds]

    def _entry(self, build: str) -> Entry:
        if build in self._open:
            return self._open[build].entry()
        written = self.kept.read(f"entry.{build}")
        if written is None:
            raise StoreFailed(self.place, f"what the build {build} did is not there", "build the version again, under another name")
        return Entry.unpacked(written)

    def keys(self, builds: Sequence[str]) -> dict[str, str]:
        return seen_rows(self.entries(builds))

    def count(self, builds: Sequence[str]) -> int:
        """Those that are there; waits until that are as many as the builds say, since they may only not be seen yet."""
        wanted = len(self.keys(builds))
        if builds[-1] in self._open:
            self._open[builds[-1]].wait()
        return self.client.settled(lambda: self.counted(self.rows, seen(builds)), lambda found: found == wanted)

    def counted(self, index: Any, limited: dict[str, Any]) -> int:
        """How many rows meet a filter: as many as a change of them would reach, which is not made."""
        asked = {"filter": limited, "set_metadata": {"counted": True}, "dry_run": True, "namespace": ROWS}
        return int(self.ask(index.update, **asked).matched_records or 0)

    def claim(self, manifest: Manifest) -> Manifest:
        """Give a version its name, unless it is taken; whose it is."""
        build = manifest.builds[-1]
        name = f"{VERSION}{manifest.name}"
        try:
            self.ask(self.rows.create_namespace, name=name, schema={"fields": {f"b{build}": {"filterable": True}}})
        except StoreFailed as error:
            if not is_taken(error):
                raise
            build = _build_of(self.ask(self.rows.describe_namespace, name=name))
        self.client.until(lambda: manifest.name in self.sealed(), f"the version {manifest.name!r}")
        written = self.kept.read(f"sealed.{build}")
        if written is None:
            raise StoreFailed(self.place, f"the manifest of {manifest.name!r} is not there", "build the version under another name")
        return Manifest.from_json(written)

    def forget(self, manifest: Manifest) -> None:
        if not manifest.sealed:
            self.kept.remove(f"begun.{manifest.builds[-1]}")
            return
        self.unless_missing(self.rows.delete_namespace, name=f"{VERSION}{manifest.name}")
        self.client.until(lambda: manifest.name not in self.sealed(), f"that {manifest.name!r} is gone")

    def unless_missing(self, call: Any, **kwargs: Any) -> None:
        """Call something that is refused where what it is about is not there."""
        try:
            self.ask(call, **kwargs)
        except StoreFailed as error:
            if not is_missing(error):
                raise

    def sweep(self, chains: Sequence[Sequence[str]]) -> None:
        which: dict[str, Any] = {"filter": unseen(chains)} if chains else {"delete_all": True}
        for index in (self.rows, self.words):
            self.unless_missing(index.delete, **which, namespace=ROWS)
        alive = {build for chain in chains for build in chain}
        for kind in ("entry", "sealed"):
            for build in self.kept.names(kind):
                if build not in alive:
                    self.kept.remove(f"{kind}.{build}")

    def index(self, manifest: Manifest) -> PineconeIndex:
        return PineconeIndex(self, manifest)

    def definition(self) -> dict[str, Any]:
        return {"store": "pinecone", "collection": self._name}

    def close(self) -> None:
        self.client.close()


class PineconeBuild:
    """A build: its rows are written, and nobody sees them yet. Log positions are of each index's namespace."""

    def __init__(self, of: PineconeRows, manifest: Manifest) -> None:
        self._of, self._manifest, self._build = of, manifest, manifest.builds[-1]
        self._added, self._removed, self._texts = dict[str, str](), list[str](), dict[str, set[str]]()
        self._with_words, self._marked_words = 0, 0
        self._positions = {"rows": 0, "words": 0}

    def add(self, rows: Sequence[Row]) -> None:
        for some in batches([record(row, self._build) for row in rows]):
            self._write("rows", some)
        with_words = [words_record(row, self._build) for row in rows if row.words]
        for some in batches(with_words):
            self._write("words", some)
        self._with_words += len(with_words)
        self._added.update((row.key, row.id) for row in rows)
        for row in rows:
            for name, value in own(row.chunk).items():
                if isinstance(value, str):
                    self._texts.setdefault(name, set()).add(value)

    def _write(self, which: str, records: list[dict[str, Any]]) -> None:
        self._reached(which, self._of.ask(getattr(self._of, which).upsert, vectors=records, namespace=ROWS))

    def _reached(self, which: str, answer: Any) -> None:
        position = answer.response_info.lsn_committed if answer.response_info else None
        self._positions[which] = max(self._positions[which], position or 0)

    def remove(self, ids: Sequence[str]) -> Iterable[Iterable[int]]:
        terms = list[Iterable[int]]()
        for at in range(0, len(ids), IDS_AT_ONCE):
            some = list(ids[at : at + IDS_AT_ONCE])
            found = self._of.ask(self._of.words.fetch, ids=some, namespace=ROWS).vectors
            terms += [terms_of(found[each]) if each in found else [] for each in some]
        for at in range(0, len(ids), MARKED_AT_ONCE):
            marked = {"filter": {"row": {"$in": list(ids[at : at + MARKED_AT_ONCE])}}, "set_metadata": {f"removed_{self._build}": True}}
            for which in ("rows", "words"):
                self._reached(which, self._of.ask(getattr(self._of, which).update, **marked, namespace=ROWS))
        self._marked_words = sum(bool(each) for each in terms)
        self._removed += ids
        return terms

    def wait(self) -> None:
        """Until both indexes have what this build wrote; what was not seen is told by who counts the rows."""
        of, mine, marked = self._of, {"added": {"$eq": self._build}}, {f"removed_{self._build}": {"$exists": True}}
        for which, asked in (("rows", {"vector": of.kept.unit()}), ("words", {"sparse_vector": {"indices": [0], "values": [1.0]}})):
            if self._positions[which]:
                of.client.reached(getattr(of, which), {**asked, "namespace": ROWS}, self._positions[which])
        self._require_words(mine, self._with_words)
        self._require_words(marked, self._marked_words)

    def _require_words(self, limited_by: dict[str, Any], wanted: int) -> None:
        self._of.client.until(lambda: self._of.counted(self._of.words, limited_by) == wanted, "the words of all rows")

    def entry(self) -> Entry:
        return Entry(self._build, self._added, tuple(self._removed), limited(self._texts))

    def seal(self, manifest: Manifest) -> Manifest:
        self._of.kept.write(f"entry.{self._build}", self.entry().packed())
        self._of.kept.write(f"sealed.{self._build}", manifest.to_json())
        stands = self._of.claim(manifest)
        if stands.builds == manifest.builds:
            self._of.forget(self._manifest)
        return stands


class PineconeIndex:
    """A version, to be searched by any number of threads."""

    def __init__(self, of: PineconeRows, manifest: Manifest) -> None:
        self._of, self._manifest = of, manifest
        self.dimension, self._rarity = manifest.dimension, manifest.rarity

    def __len__(self) -> int:
        return self._manifest.chunks

    def search(self, vector: Vector, count: int, conditions: Conditions = EVERYTHING) -> list[Hit]:
        asked = checked(vector, self.dimension).tolist()
        return self._nearest(self._of.rows if len(self) else None, {"vector": asked}, min(count, MOST), conditions)

    def search_words(self, question: str, count: int, conditions: Conditions = EVERYTHING) -> list[Hit]:
        asked = self._rarity.question(question)
        if not asked:
            return []
        vector = {"indices": list(asked), "values": list(asked.values())}
        return self._nearest(self._of.words, {"sparse_vector": vector}, min(count, MAX_BY_WORDS), conditions)

    def _nearest(self, index: Any, asked: dict[str, Any], count: int, conditions: Conditions) -> list[Hit]:
        limited, most = self._limited(conditions), min(count, len(self))
        if most < 1 or limited is None:
            return []
        query = {**asked, "top_k": most, "filter": limited, "namespace": ROWS, "include_metadata": most <= WITH_METADATA}
        found = self._of.ask(index.query, **query).matches
        if len(found) < most:
            self._require_there()
        known = self._metadata([each.id for each in found]) if most > WITH_METADATA else {each.id: each.metadata for each in found}
        return [Hit(chunk_in(known[each.id]), float(each.score)) for each in found if each.id in known]

    def _metadata(self, ids: Sequence[str]) -> dict[str, Any]:
        known = dict[str, Any]()
        for at in range(0, len(ids), IDS_AT_ONCE):
            some = self._of.ask(self._of.rows.fetch, ids=list(ids[at : at + IDS_AT_ONCE]), namespace=ROWS).vectors
            known.update({id: each.metadata for id, each in some.items()})
        return known

    def _limited(self, conditions: Conditions) -> dict[str, Any] | None:
        """The filter of a search; None where nothing can meet it."""
        clause = clause_of(conditions)
        if clause is None:
            return seen(self._manifest.builds)
        ordered = ordered_fields(clause)
        if ordered:
            clause = with_texts(clause, {name: self._texts(name, conditions) for name in ordered})
        return None if clause == NOTHING else {"$and": [seen(self._manifest.builds), filter_of(clause)]}

    def _texts(self, name: str, conditions: Conditions) -> Sequence[str]:
        found = texts_of(self._of.entries(self._manifest.builds), name)
        if found is None:
            asked = next((each.name for each in conditions.of if name.endswith(each.name.encode().hex())), name)
            raise BadCondition(asked, "Pinecone has no order of texts, and 10,000 values or more are too many to compare")
        return found

    def close(self) -> None:
        self._of.close()

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        if not ids:
            return np.zeros((0, self.dimension), np.float32)
        known, wanted = dict[str, Any](), sorted(set(ids))
        for at in range(0, len(wanted), IDS_AT_ONCE):
            some = {"chunk_id": {"$in": [token(each) for each in wanted[at : at + IDS_AT_ONCE]]}}
            asked = {"filter": {"$and": [seen(self._manifest.builds), some]}, "limit": IDS_AT_ONCE, "namespace": ROWS}
            found = self._of.ask(self._of.rows.fetch_by_metadata, **asked).vectors
            known.update({text_of(each.metadata["chunk_id"]): each.values for each in found.values()})
        return np.array([known[each] for each in ids], np.float32)

    def _require_there(self) -> None:
        """That a search which found little did not do so since its version was dropped."""
        sealed = self._of.sealed()
        if sealed.get(self._manifest.name) != self._manifest.builds[-1]:
            raise NoVersion(self._of.place, self._manifest.name, list(sealed))


def _short(collection: str) -> str:
    """The name of a collection as a part of an index's may be: small letters, digits and '-', 45 with what stands before it."""
    plain = re.sub(r"[^a-z0-9]+", "-", collection.lower()).strip("-")
    return plain if plain == collection and len(plain) <= 30 else f"{plain[:17].rstrip('-')}-{digest([collection])[:12]}".lstrip("-")


def _build_of(namespace: Any) -> str:
    """The build that a version's namespace is of: the one field of its schema."""
    fields: Collection[str] = namespace.schema.fields if namespace.schema else ()
    return next(iter(fields), "b")[1:]
