"""What every store of indexes must do, on real ones: LanceDB in a folder, PostgreSQL with pgvector, exact and by HNSW, Qdrant."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexes import DIMENSION, chunk, chunks_of, store_of, unit
from noria.llm.chunking import Chunk
from noria.llm.index import BadChunk, BadName, Index, IndexStore, NoVersion, OtherDimension, VersionTaken
from noria.llm.retrieval import Conditions
from pinecone_served import served_pinecone
from qdrant_served import served_qdrant
from servers import soon
from weaviate_served import served_weaviate

KINDS = ("lance", "pgvector", "pgvector_hnsw", "qdrant", "qdrant_http", "weaviate", "pinecone")
TEXTS = ["the cat sleeps", "a dog barks at the cat", "taxes are due in May", "the law of taxes", "naïve café 日本"]
Open = Callable[[str], IndexStore]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    servers = {
        "pgvector": "postgres_url",
        "pgvector_hnsw": "postgres_url",
        "qdrant_http": "qdrant_url",
        "weaviate": "weaviate_url",
        "pinecone": "pinecone_url",
    }
    return request.getfixturevalue(servers[kind]) if kind in servers else str(tmp_path)


@pytest.fixture
def qdrant_url() -> Iterator[str]:
    with served_qdrant() as (url, _):
        yield url


@pytest.fixture
def weaviate_url() -> Iterator[str]:
    with served_weaviate() as (url, _):
        yield url


@pytest.fixture
def pinecone_url() -> Iterator[str]:
    with served_pinecone(lag=0) as (url, _):  # what is seen later is waited for in test_hosted
        yield url


@pytest.fixture
def store(kind: str, place: str) -> Iterator[IndexStore]:
    found = store_of(kind, ":memory:" if kind == "qdrant" else place)  # a folder where it is opened again: each of its points is a sync
    yield found
    found.close()


def ids(hits: list) -> list[str]:
    return [hit.chunk.id for hit in hits]


def everything(index: Index) -> set[tuple[str, str]]:
    """All that a search by meaning finds."""
    return {(hit.chunk.id, hit.chunk.text) for hit in index.search(unit(1, 99)[0], len(index) + 10)}


def pairs(chunks: list[Chunk]) -> set[tuple[str, str]]:
    return {(each.id, each.text) for each in chunks}


def test_the_nearest_by_meaning_and_by_words(store: IndexStore) -> None:
    chunks, vectors, query = chunks_of(TEXTS), unit(len(TEXTS)), unit(1, 7)[0]
    index = store.write("one", chunks, vectors).index
    best = np.argsort(-(vectors @ query))
    found = index.search(query, 3)
    assert [hit.chunk for hit in found] == [chunks[place] for place in best[:3]]
    np.testing.assert_allclose([hit.score for hit in found], (vectors @ query)[best[:3]], atol=1e-5)
    assert ids(index.search(query, 10**20)) == [f"c{place}" for place in best]
    assert (len(index), index.dimension) == (5, DIMENSION)
    np.testing.assert_allclose(index.vectors(["c3", "c0", "c3"]), vectors[[3, 0, 3]], atol=1e-6)
    assert index.vectors([]).shape == (0, DIMENSION)
    with pytest.raises(KeyError):
        index.vectors(["c0", "c9"])
    assert set(ids(index.search_words("cat", 5))) == {"c0", "c1"}
    assert ids(index.search_words("Taxes law", 5))[0] == "c3"
    assert ids(index.search_words("tax", 5)) != []  # whatever its ending
    assert set(ids(index.search_words("CAFÉ", 5))) == {"c4"}
    assert (
        index.search_words("elephant", 5) == index.search_words("?!", 5) == index.search_words("", 5) == index.search_words("cat", 0) == []
    )
    assert index.search(query, 0) == []
    for odd in ('cat" OR "dog AND (', "'; DROP TABLE noria_docs_rows; --", "cat\0dog", "\ud800 cat", "cat " * 5_000, "%s {}"):
        index.search_words(odd, 5)
    assert set(ids(index.search_words("cat", 5))) == {"c0", "c1"}


def test_what_was_written_is_read_by_who_opens_it(kind: str, place: str) -> None:
    """Odd characters come back as they were, from a store that another one wrote."""
    odd = [
        Chunk(
            "a\0b'\"", "d 'ü/日.md", "it's \0 {} %s \\ 😀\n", 3, 9, ("\x01", "🙂"), "p'1", "w\0", {"a b": "o'clock", "日": 2.5}, ("o'neil",)
        ),
        Chunk("x", "d", "plain", 0, 5),
    ]
    first = store_of(kind, place)
    first.write("2026-05.a_1", odd, unit(2))
    first.close()
    second = store_of(kind, place)
    found = second.open("2026-05.a_1")
    assert sorted(map(repr, (hit.chunk for hit in found.search(unit(1)[0], 5)))) == sorted(map(repr, odd))
    np.testing.assert_allclose(found.vectors([odd[0].id]), unit(2)[:1], atol=1e-6)
    second.close()


def test_an_empty_corpus_and_a_single_chunk(store: IndexStore) -> None:
    empty = store.write("empty", [], np.zeros((0, DIMENSION), np.float32)).index
    assert (len(empty), empty.search(unit(1)[0], 3), empty.search_words("cat", 3)) == (0, [], [])
    assert len(store.open("empty").search(unit(1)[0], 3)) == 0
    one = store.write("one", [chunk(1, "?")], unit(1)).index  # and it has no words
    assert (ids(one.search(unit(1)[0], 3)), one.search_words("cat", 3)) == (["c1"], [])
    assert ids(store.open("one").search(-unit(1)[0], 3)) == ["c1"]


def test_equal_texts_and_equal_vectors_are_chunks_of_their_own(store: IndexStore) -> None:
    same = [chunk(number, "the cat") for number in range(4)]
    index = store.write("one", same, np.repeat(unit(1), 4, axis=0)).index
    assert sorted(ids(index.search(unit(1)[0], 9))) == sorted(ids(index.search_words("cat", 9))) == ["c0", "c1", "c2", "c3"]


def test_what_cannot_be_stored_is_refused_and_nothing_is_left(store: IndexStore) -> None:
    chunks, vectors = chunks_of(TEXTS), unit(len(TEXTS))
    for wrong in (vectors[:2], np.full_like(vectors, np.nan), np.full_like(vectors, np.inf), vectors[0]):
        with pytest.raises(OtherDimension):
            store.write("one", chunks, wrong)
    for bad in (
        chunk(9, "\ud800"),
        chunk(9, metadata={"n": float("nan")}),
        chunk(9, metadata={"n": 10**400}),
        chunk(0),
        chunk(9, access=["\udc00"]),
    ):
        with pytest.raises(BadChunk):
            store.write("one", [*chunks[:4], bad], vectors)
    for name in ("", "../up", ".hidden", "a/b", "x" * 65, "a b", "é"):
        with pytest.raises(BadName):
            store.write(name, chunks, vectors)
    assert store.versions() == []
    index = store.write("one", chunks, vectors).index
    for query in (np.ones(DIMENSION + 1), np.ones(0), np.full(DIMENSION, np.nan)):
        with pytest.raises(OtherDimension):
            index.search(query, 1)


def test_a_version_is_a_change_of_the_one_before_and_never_changes_itself(store: IndexStore) -> None:
    chunks, vectors = chunks_of([f"text {n}" for n in range(20)]), unit(20)
    first = store.write("one", chunks, vectors).index
    changed = [*chunks[:18], chunk(18, "changed elephant"), chunk(20, "new elephant")]  # one is changed, one is gone, one is new
    more = np.vstack([vectors[:19], unit(1, 5)])
    written = store.write("two", changed, more)
    if not written.kept:  # a folder, which is written whole
        assert (written.added, written.removed) == (20, 0)
    else:
        assert (written.added, written.removed, written.kept) == (2, 2, 18)
    assert everything(written.index) == everything(store.open("two")) == pairs(changed)
    assert everything(first) == everything(store.open("one")) == pairs(chunks)
    assert set(ids(written.index.search_words("elephant", 9))) == {"c18", "c20"}
    assert first.search_words("elephant", 9) == []
    assert "c19" in ids(first.search_words("19", 9))
    back = store.write("three", chunks, vectors).index  # as at first
    assert everything(back) == pairs(chunks)
    assert [hit.score for hit in back.search_words("text 3", 5)] == pytest.approx([hit.score for hit in first.search_words("text 3", 5)])
    assert store.versions() == ["one", "two", "three"]
    np.testing.assert_allclose(first.vectors(["c19"]), vectors[[19]], atol=1e-6)
    with pytest.raises(KeyError):
        written.index.vectors(["c19"])


def test_the_same_version_again_is_no_error_and_another_under_its_name_is(store: IndexStore) -> None:
    chunks, vectors = chunks_of(TEXTS), unit(len(TEXTS))
    store.write("one", chunks, vectors)
    again = store.write("one", chunks[::-1], vectors[::-1])
    assert (again.added, again.removed, again.kept) == (0, 0, 5)
    for other in ((chunks[:4], vectors[:4]), (chunks, unit(5, 3)), ([*chunks[:4], chunk(4, TEXTS[4], access=["x"])], vectors)):
        with pytest.raises(VersionTaken):
            store.write("one", *other)
    assert everything(store.open("one")) == pairs(chunks)


def test_a_dropped_version_is_gone_and_the_others_are_whole(store: IndexStore) -> None:
    chunks, vectors = chunks_of([f"text {n}" for n in range(20)]), unit(20)
    store.write("one", chunks, vectors)
    store.write("two", chunks[1:], vectors[1:])
    store.write("three", chunks[2:], vectors[2:])
    store.drop("two")
    assert store.versions() == ["one", "three"]
    with pytest.raises(NoVersion, match="one, three"):
        store.open("two")
    with pytest.raises(NoVersion, match="did you mean"):
        store.drop("tree")
    assert (everything(store.open("one")), everything(store.open("three"))) == (pairs(chunks), pairs(chunks[2:]))
    store.drop("one")
    assert everything(store.open("three")) == pairs(chunks[2:])
    store.drop("three")
    assert store.versions() == []
    assert everything(store.write("two", chunks, vectors).index) == pairs(chunks)


def test_a_long_chain_of_versions_stays_whole(kind: str, store: IndexStore) -> None:
    """Longer than the chain that a search names, where that takes a second: chains are the same in all servers, and a folder has none."""
    texts = [f"text {n}" for n in range(12)]
    for number in range(36 if kind in ("pgvector", "qdrant") else 6):
        texts[number % 12] = f"text of {number}"
        index = store.write(f"v{number}", chunks_of(texts), unit(12)).index
        assert everything(index) == pairs(chunks_of(texts))
        if number > 3:
            store.drop(f"v{number - 3}")


def test_another_dimension_is_another_collection(kind: str, store: IndexStore, place: str) -> None:
    store.write("one", chunks_of(TEXTS), unit(5))
    if kind == "lance":
        return  # each version is a folder of its own
    with pytest.raises(OtherDimension, match="another collection"):
        store.write("two", chunks_of(TEXTS), unit(5, dimension=DIMENSION + 1))
    if kind != "qdrant":  # whose folder one client has
        other = store_of(kind, place, "other")
        assert len(other.write("two", chunks_of(TEXTS), unit(5, dimension=DIMENSION + 1)).index) == 5
        other.close()
    assert store.versions() == ["one"]


# --- conditions ------------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["team", "it's", "a b", "日", "year", "x.y[0]"])
WORDS = ["x", "o'clock", '"', "", "100%", "\\", "a\0", "\x01", "é", "Z", "true", "1", "'; DROP TABLE x; --"]
VALUES = st.one_of(st.sampled_from(WORDS), st.integers(-3, 3), st.sampled_from([0.5, -2.25, 1e300, 0.1]), st.booleans())
METADATA = st.dictionaries(NAMES, VALUES, max_size=3)
LABELS = st.lists(st.sampled_from(["staff", "o'neil", "guest", "a\0", "{x}"]), max_size=2, unique=True)
ONE = st.one_of(
    VALUES,
    VALUES.map(lambda v: {"is_not": v}),
    VALUES.map(lambda v: {"at_least": v}),
    st.one_of(VALUES, st.sampled_from([float("inf"), float("-inf"), 10**400])).map(lambda v: {"at_most": v}),
    st.sampled_from([float("inf"), -(10**400)]).flatmap(lambda v: st.sampled_from(["is", "is_not", "at_least"]).map(lambda r: {r: v})),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=2).map(lambda v: {"any_of": v}),
    st.lists(st.sampled_from([1, 2.0, 0.5, float("inf")]), min_size=1, max_size=2).map(lambda v: {"any_of": v}),
    st.lists(st.booleans(), min_size=1, max_size=2).map(lambda v: {"any_of": v}),
)


@given(
    rows=st.lists(st.tuples(METADATA, LABELS), min_size=1, max_size=30),
    asked=st.lists(st.tuples(st.dictionaries(NAMES, ONE, max_size=2), st.none() | LABELS), min_size=8, max_size=8),
)
@settings(max_examples=4, suppress_health_check=list(HealthCheck))
def test_conditions_hold_in_the_stores_own_query(store: IndexStore, rows, asked) -> None:
    chunks, vectors = [chunk(n, "cat", metadata, access) for n, (metadata, access) in enumerate(rows)], unit(len(rows))
    index = store.write("some", chunks, vectors).index
    for given_, labels in asked:
        conditions = Conditions.read(given_, labels)
        wanted = {each.id for each in chunks if conditions.met_by(each.metadata, each.access)}
        assert set(ids(index.search(vectors[0], 50, conditions))) == wanted
        assert set(ids(index.search_words("cat", 50, conditions))) == wanted
        assert len(index.search(vectors[0], 2, conditions)) == min(2, len(wanted))
    store.drop("some")


def test_as_many_are_found_as_are_asked_for_however_few_meet_the_conditions(store: IndexStore) -> None:
    """The twelve that may be read are farther than all the others: who filters what was found finds none."""
    query, vectors = unit(1, 1)[0], unit(400)
    farthest = set(np.argsort(vectors @ query)[:12].tolist())
    chunks = [chunk(n, "cat", {"rare": n in farthest, "n": n}, ["staff"] if n % 2 and n not in farthest else []) for n in range(400)]
    index = store.write("one", chunks, vectors).index
    rare = Conditions.read({"rare": True}, ["guest"])
    found = index.search(query, 10, rare)
    best = sorted(farthest, key=lambda n: -(vectors[n] @ query))[:10]
    assert ids(found) == [f"c{n}" for n in best]
    assert len(index.search(query, 50, rare)) == len(index.search_words("cat", 50, rare)) == 12
    assert ids(index.search(query, 5, Conditions.read({"n": {"at_least": 7, "at_most": 7}}))) == ["c7"]
    assert set(ids(index.search(query, 700, Conditions.read(None, [])))) == {each.id for each in chunks if not each.access}


# --- several at once -------------------------------------------------------------------------------------------------------


def test_readers_beside_a_writer_see_whole_versions_only(store: IndexStore) -> None:
    """Each version's chunks all have its number in their texts."""
    count, stop, seen = 60, threading.Event(), set[int]()
    chunks = [[chunk(n, f"version {version}") for n in range(count)] for version in range(4)]
    store.write("v0", chunks[0], unit(count))

    def read() -> None:
        while not stop.is_set():
            for name in store.versions():
                found = store.open(name).search(unit(1)[0], 2 * count)
                assert [len(found), {hit.chunk.text for hit in found}] == [count, {f"version {name[1:]}"}]
                seen.add(int(name[1:]))

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for version in range(1, 4):
                store.write(f"v{version}", chunks[version], unit(count, version))
            soon(lambda: 3 in seen or any(reader.done() for reader in readers), 60)
        finally:
            stop.set()
        for reader in readers:
            reader.result()


def test_two_builders_of_the_same_version_both_get_it(store: IndexStore) -> None:
    chunks, vectors = chunks_of([f"text {n}" for n in range(50)]), unit(50)
    store.write("before", chunks[:40], vectors[:40])
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(store.write, "one", chunks, vectors) for _ in range(2)]
        found = [each.result().index for each in both]
    assert [everything(each) for each in (*found, store.open("one"))] == [pairs(chunks)] * 3
    assert store.versions() == ["before", "one"]


def test_only_one_of_two_builders_of_different_things_gets_the_name(store: IndexStore) -> None:
    lists, vectors = [chunks_of([f"{which} {n}" for n in range(50)]) for which in ("a", "b")], unit(50)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(store.write, "one", chunks, vectors) for chunks in lists]
        failed = [each.exception() for each in both]
    assert sorted(type(each).__name__ for each in failed) == ["NoneType", "VersionTaken"]
    assert everything(store.open("one")) == pairs(lists[failed.index(None)])


def _build_until_killed(kind: str, place: str, mark: str) -> None:
    """Writes a version, and stands still when its rows are there and it is not yet sealed."""
    store = store_of(kind, place)
    rows = getattr(store, "_rows", None)
    if rows is None:  # a folder
        from noria.llm.index import lance

        lance._sync = lambda _: _wait(mark)  # type: ignore[assignment]
    else:
        rows.count = lambda _: _wait(mark)
    store.write("two", chunks_of([f"new {n}" for n in range(150)]), unit(150))


def _wait(mark: str) -> int:
    Path(mark).touch()
    while True:
        signal.pause()


def test_a_crash_in_the_middle_of_a_build_leaves_the_old_version_and_nothing_else(kind: str, place: str, tmp_path: Path) -> None:
    first = store_of(kind, place)
    chunks = chunks_of([f"old {n}" for n in range(30)])
    first.write("one", chunks, unit(30))
    first.close()
    mark = tmp_path / "all is written but the end"
    builder = multiprocessing.get_context("spawn").Process(target=_build_until_killed, args=(kind, place, str(mark)))
    builder.start()
    soon(lambda: mark.exists() or not builder.is_alive(), 60)
    assert builder.is_alive()
    assert builder.pid is not None
    os.kill(builder.pid, signal.SIGKILL)
    builder.join()
    store = store_of(kind, place)
    assert (store.versions(), everything(store.open("one"))) == (["one"], pairs(chunks))
    assert ids(store.open("one").search_words("new", 5)) == []
    with pytest.raises(NoVersion):
        store.open("two")
    new = chunks_of([f"new {n}" for n in range(40)])
    assert everything(store.write("two", new, unit(40)).index) == pairs(new)
    assert everything(store.open("one")) == pairs(chunks)
    store.close()


def test_answers_are_the_same_each_time(store: IndexStore) -> None:
    chunks, vectors = chunks_of([f"text {n % 7} cat" for n in range(200)]), unit(200)
    store.write("one", chunks, vectors)
    store.write("two", chunks[:150], vectors[:150])
    first, second = store.open("one"), store.open("one")
    for seed in range(5):
        query = unit(1, seed)[0]
        both = [index.search(query, 20) for index in (first, second)]
        assert ids(both[0]) == ids(both[1])
        assert [hit.score for hit in both[0]] == pytest.approx([hit.score for hit in both[1]], abs=1e-6)
    assert [hit.score for hit in first.search_words("text 3 cat", 20)] == [hit.score for hit in second.search_words("text 3 cat", 20)]
