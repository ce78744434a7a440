"""What every index must do, on real stores: the nearest by meaning and by words, and nothing that may not be found."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noria.llm.chunking import Chunk
from noria.llm.index import BadIndex, LanceIndex, OtherDimension, write_lance
from noria.llm.retrieval import Conditions
from servers import soon

TEXTS = ["the cat sleeps", "a dog barks at the cat", "taxes are due in May", "the law of taxes", "naïve café 日本"]
RNG = np.random.default_rng(0)


def unit(count: int, dimension: int = 8) -> np.ndarray:
    found = RNG.normal(size=(count, dimension)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def chunk(number: int, text: str = "text", metadata: dict | None = None, access: tuple[str, ...] = ()) -> Chunk:
    return Chunk(f"c{number}", f"d{number}.md", text, 0, len(text), ("A", "B"), "page 1", "wider", metadata or {}, access)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[LanceIndex, list[Chunk], np.ndarray]:
    chunks, vectors = [chunk(n, text) for n, text in enumerate(TEXTS)], unit(len(TEXTS))
    return write_lance(tmp_path_factory.mktemp("index") / "small", chunks, vectors), chunks, vectors


def test_the_nearest_by_meaning_are_those_of_brute_force(small) -> None:
    index, chunks, vectors = small
    query = unit(1)[0]
    found = index.search(query, 3)
    best = np.argsort(-(vectors @ query))[:3]
    assert [hit.chunk for hit in found] == [chunks[place] for place in best]
    np.testing.assert_allclose([hit.score for hit in found], (vectors @ query)[best], rtol=1e-5)
    assert len(index.search(query, 100)) == len(index) == 5
    np.testing.assert_allclose(index.vectors(["c3", "c0"]), vectors[[3, 0]])


def test_words_find_what_has_them_whatever_else_stands_there(small) -> None:
    index, _, _ = small
    assert {hit.chunk.id for hit in index.search_words("cat", 5)} == {"c0", "c1"}
    assert index.search_words("Taxes law", 5)[0].chunk.id == "c3"
    assert index.search_words("elephant", 5) == []
    assert index.search_words('cat" OR "dog AND (', 5) != []
    assert index.search_words("?!", 5) == []


def test_another_dimension_and_no_numbers_are_refused(small, tmp_path: Path) -> None:
    index, chunks, vectors = small
    with pytest.raises(OtherDimension, match="9 numbers, and those of the index have 8"):
        index.search(np.ones(9), 1)
    with pytest.raises(OtherDimension, match="no numbers"):
        index.search(np.full(8, np.nan), 1)
    with pytest.raises(OtherDimension):
        write_lance(tmp_path / "x", chunks, vectors[:2])
    with pytest.raises(OtherDimension):
        write_lance(tmp_path / "x", chunks, np.full_like(vectors, np.inf))
    assert not list(tmp_path.iterdir())


def test_an_empty_index_finds_nothing_and_a_damaged_one_says_so(tmp_path: Path) -> None:
    index = write_lance(tmp_path / "empty", [], np.zeros((0, 8), np.float32))
    assert (len(index), index.search(unit(1)[0], 3), index.search_words("cat", 3)) == (0, [], [])
    with pytest.raises(BadIndex, match="build it again"):
        LanceIndex(tmp_path / "nothing")


NAMES = st.sampled_from(["team", "it's", "a b", "日", "year"])
VALUES = st.one_of(
    st.sampled_from(["x", "o'clock", '"', "", "100%", "\\"]), st.integers(-3, 3), st.sampled_from([0.5, -2.25]), st.booleans()
)
METADATA = st.dictionaries(NAMES, VALUES, max_size=3)
LABELS = st.lists(st.sampled_from(["staff", "o'neil", "guest"]), max_size=2, unique=True)
ONE = st.one_of(
    VALUES,
    VALUES.map(lambda v: {"is_not": v}),
    st.integers(-3, 3).map(lambda v: {"at_least": v}),
    st.sampled_from(["x", 1, 0.5]).map(lambda v: {"at_most": v}),
    st.lists(st.sampled_from(["x", "", "o'clock"]), min_size=1, max_size=2).map(lambda v: {"any_of": v}),
)


@given(
    rows=st.lists(st.tuples(METADATA, LABELS), min_size=1, max_size=8),
    asked=st.lists(st.tuples(st.dictionaries(NAMES, ONE, max_size=2), st.none() | LABELS), min_size=1, max_size=6),
)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_conditions_hold_in_the_stores_own_query(tmp_path: Path, rows, asked) -> None:
    chunks = [chunk(n, "cat", metadata, tuple(access)) for n, (metadata, access) in enumerate(rows)]
    vectors = unit(len(chunks))
    index = write_lance(tmp_path / uuid.uuid4().hex, chunks, vectors)
    for given_, labels in asked:
        conditions = Conditions.read(given_, labels)
        wanted = {each.id for each in chunks if conditions.met_by(each.metadata, each.access)}
        assert {hit.chunk.id for hit in index.search(vectors[0], 1, conditions)} <= wanted
        assert {hit.chunk.id for hit in index.search(vectors[0], 50, conditions)} == wanted
        assert {hit.chunk.id for hit in index.search_words("cat", 50, conditions)} == wanted


def _write_many(folder: str) -> None:
    for number in range(1_000):
        write_lance(Path(folder) / f"{number}", [chunk(n, f"version {number}") for n in range(400)], unit(400))


def test_a_writer_that_is_killed_leaves_whole_indexes_only(tmp_path: Path) -> None:
    writer = multiprocessing.get_context("spawn").Process(target=_write_many, args=(str(tmp_path),))
    writer.start()
    soon(lambda: (tmp_path / "1").exists(), 60)
    time.sleep(0.07)  # in the middle of the next one
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    for path in (path for path in tmp_path.iterdir() if not path.name.startswith(".")):
        found = LanceIndex(path).search(unit(1)[0], 400)
        assert [len(found), {hit.chunk.text for hit in found}] == [400, {f"version {path.name}"}]
