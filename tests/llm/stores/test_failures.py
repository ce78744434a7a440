"""Servers that are not there, refuse, or end a connection: one clear error, and no password or key in it."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL

from indexes import chunk, chunks_of, store_of, unit
from noria.core.errors import NoriaError
from noria.integrations import pgvector_index, qdrant_index
from noria.llm.index import NoVersion, StoreFailed
from noria.llm.retrieval import Conditions
from noria.llm.retrieval.conditions import BadCondition
from qdrant_served import served_qdrant

SECRET = "hush-hush"


def told(error: NoriaError) -> str:
    return f"{error} {error.to_dict()}"


def test_nobody_answers() -> None:
    for store in (
        pgvector_index.pgvector_store(f"postgresql://me:{SECRET}@127.0.0.1:1/app", "docs"),
        qdrant_index.qdrant_store(f"http://me:{SECRET}@127.0.0.1:1?token={SECRET}", "docs"),
    ):
        for call in (store.versions, lambda store=store: store.write("one", chunks_of(["cat"]), unit(1))):
            with pytest.raises(StoreFailed) as raised:
                call()
            assert SECRET not in told(raised.value)
            assert "127.0.0.1" in told(raised.value)
            assert SECRET not in str(store.definition())


def test_no_address_is_set() -> None:
    for module in (pgvector_index, qdrant_index):
        with pytest.raises(StoreFailed, match="NORIA_INDEX_URL is not set"):
            module.open_store("docs", {})


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_a_wrong_key_is_refused_and_never_told() -> None:
    with served_qdrant(key="right") as (url, _):
        right = qdrant_index.open_store("docs", {"NORIA_INDEX_URL": url, "NORIA_INDEX_KEY": "right"})
        assert len(right.write("one", chunks_of(["cat"]), unit(1)).index) == 1
        wrong = qdrant_index.open_store("docs", {"NORIA_INDEX_URL": url, "NORIA_INDEX_KEY": SECRET})
        with pytest.raises(StoreFailed, match="401") as raised:
            wrong.versions()
        assert SECRET not in told(raised.value)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the client leaves its lock file open
def test_a_folder_that_another_client_has_is_an_error(tmp_path: Path) -> None:
    store = store_of("qdrant", str(tmp_path))
    with pytest.raises(StoreFailed, match="already accessed"):
        store_of("qdrant", str(tmp_path))
    store.close()


def test_searches_go_on_when_the_server_has_ended_idle_connections(postgres_url: str) -> None:
    store = store_of("pgvector", postgres_url)
    index = store.write("one", chunks_of(["cat", "dog"]), unit(2)).index
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert len(index.search(unit(1)[0], 5)) == 2
    store.close()


def test_who_searches_a_version_that_was_dropped_is_told(postgres_url: str) -> None:
    for kind, place in (("pgvector", postgres_url), ("qdrant", ":memory:")):
        store = store_of(kind, place)
        index = store.write("one", chunks_of(["cat", "dog"]), unit(2)).index
        store.write("two", chunks_of(["cow"]), unit(1))
        store.drop("one")
        with pytest.raises(NoVersion, match="two"):
            index.search(unit(1)[0], 5)
        store.close()


def test_rows_that_vanish_under_a_build_make_it_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Someone drops the version that it began from: it is not sealed with what is left."""
    store = store_of("qdrant", ":memory:")
    chunks = chunks_of([f"text {n}" for n in range(10)])
    store.write("one", chunks, unit(10))
    remove = qdrant_index.QdrantBuild.remove

    def removed_while_dropped(self, ids):
        self._of.client.ask("delete", self._of.collection, [ids[0], *list(self._of.keys(self._manifest.builds).values())[:2]], wait=True)
        return remove(self, ids[1:])

    with monkeypatch.context() as patched:
        patched.setattr(qdrant_index.QdrantBuild, "remove", removed_while_dropped)
        with pytest.raises(StoreFailed, match="was the version before dropped"):
            store.write("two", chunks[:8], unit(10)[:8])
    assert store.versions() == ["one"]
    store.close()


def test_texts_in_qdrant_are_compared_only_while_they_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant_index, "MAX_VALUES", 2)
    store = store_of("qdrant", ":memory:")
    chunks = [chunk.__class__(**{**vars(chunk), "metadata": {"day": f"2026-05-0{n}"}}) for n, chunk in enumerate(chunks_of(["cat", "dog"]))]
    index = store.write("one", chunks, unit(2)).index
    with pytest.raises(BadCondition, match="no order of texts"):
        index.search(unit(1)[0], 5, Conditions.read({"day": {"at_least": "2026-05-01"}}))
    store.close()


def test_every_field_that_a_filter_names_has_an_index_in_qdrant() -> None:
    """A server in strict mode, as the one of these tests is, refuses a filter on another field."""
    with served_qdrant() as (url, served):
        store = store_of("qdrant_http", url)
        chunks = [chunk(n, "cat", {"team": "a"}) for n in range(6)]
        store.write("one", chunks, unit(6))
        index = store.write("two", chunks[:5], unit(6)[:5]).index
        indexed = served.indexed["noria_docs"]
        assert {"added", "chunk_id", "access", "open", f"text_{b'team'.hex()}"} < set(indexed)
        assert sum(field.startswith("removed.") for field in indexed) == 1
        assert len(index.search(unit(1)[0], 9, Conditions.read({"team": "a"}))) == 5
        assert index.search(unit(1)[0], 9, Conditions.read({"none has it": "a"})) == []
        indexed.pop(f"text_{b'team'.hex()}")
        with pytest.raises(StoreFailed, match="Index required but not found"):
            index.search(unit(1)[0], 9, Conditions.read({"team": "a"}))
        store.drop("two")
        assert not any(field.startswith("removed.") for field in indexed)
        store.close()


def test_an_approximate_index_is_searched_and_what_it_misses_is_found(postgres_url: str) -> None:
    """Among many rows PostgreSQL goes by the HNSW index; where that gives up before it has enough, the search is done again, exactly."""
    store = store_of("pgvector_hnsw", f"{postgres_url}")
    vectors = unit(300)
    index = store.write("one", [chunk(n, "cat", {"far": n in (3, 4)}) for n in range(300)], vectors).index
    rows = index._connections.read(
        SQL("SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%%hnsw%%' AND indexdef LIKE %(of)s"), {"of": "%docs_rows%"}
    )
    assert len(rows) == 1
    query = SQL("EXPLAIN SELECT id FROM noria_docs_rows ORDER BY vector <=> %(vector)s LIMIT 5")
    assert "hnsw" in str(index._connections.read(query, {"vector": vectors[0]}))
    with index._connections.one() as con:
        con.execute("SET hnsw.max_scan_tuples = 1; SET hnsw.ef_search = 1")
    for asked in (-vectors[3], vectors[3]):
        assert len(index.search(asked, 2, Conditions.read({"far": True}))) == 2
    store.close()
