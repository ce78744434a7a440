"""Weaviate and Pinecone: what their protocols ask for, what is seen later, what is refused. Against servers of ours, never the vendors'."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from indexes import chunk, chunks_of, store_of, unit
from noria.integrations import pinecone_index, weaviate_index
from noria.integrations.pinecone_client import NotSeen
from noria.integrations.pinecone_rows import RowTooLarge
from noria.llm.chunking import Chunk
from noria.llm.index import NoVersion, StoreFailed, VersionTaken, open_store, reference
from noria.llm.index.clauses import Compare, token
from noria.llm.retrieval import Conditions
from noria.llm.retrieval.conditions import BadCondition
from pinecone_served import Refused as PineconeRefused
from pinecone_served import met, served_pinecone
from weaviate_served import Refused as WeaviateRefused
from weaviate_served import served_weaviate

SECRET = "hush-hush"
TEN = [f"text {n}" for n in range(10)]


@pytest.fixture
def weaviate() -> Iterator[tuple[str, Any]]:
    with served_weaviate() as found:
        yield found


@pytest.fixture
def pinecone() -> Iterator[tuple[str, Any]]:
    with served_pinecone(lag=1) as found:
        yield found


@pytest.fixture(params=["weaviate", "pinecone"])
def hosted(request: pytest.FixtureRequest) -> tuple[str, str, Any]:
    """Each kind, its address, and what its server keeps."""
    url, served = request.getfixturevalue(request.param)
    return request.param, url, served


def refusing(error: Exception, when: Callable[[str], bool] = lambda _: True, times: int = 10**9) -> Callable[[str], None]:
    """A fault: some requests are answered with an error, so many times."""
    left = [times]

    def fault(request: str) -> None:
        if left[0] and when(request):
            left[0] -= 1
            raise error

    return fault


def test_labels_and_conditions_are_in_every_query(hosted: tuple[str, str, Any]) -> None:
    kind, url, served = hosted
    store = store_of(kind, url)
    chunks = [chunk(n, "cat", {"team": "a" if n % 2 else "b", "n": n}, ["staff"] if n < 3 else []) for n in range(6)]
    index = store.write("one", chunks, unit(6)).index
    served.filters.clear()
    conditions = Conditions.read({"team": "a", "n": {"at_least": 1}}, ["guest"])
    for found in (index.search(unit(1)[0], 5, conditions), index.search_words("cat", 5, conditions)):
        assert {hit.chunk.id for hit in found} == {"c3", "c5"}
    assert len(served.filters) == 2
    for sent in map(str, served.filters):
        assert all(each in sent for each in ("added", token("a"), token("guest"), "access", "open", f"text_{b'team'.hex()}"))
    store.close()


def test_a_store_is_opened_by_its_name_and_its_reference_has_no_key(hosted: tuple[str, str, Any]) -> None:
    kind, url, _ = hosted
    environ = {"NORIA_INDEX_URL": url, "NORIA_INDEX_KEY": "right"}
    store = open_store(kind, "My docs.v2".replace(" ", "_"), environ)
    store.write("one", chunks_of(TEN), unit(10))
    assert reference(store, "one") == {"store": kind, "collection": "My_docs.v2", "version": "one"}
    other = open_store(kind, "my_docs.v2", environ)  # which is another collection, though neither system has two cases
    assert (store.versions(), other.versions()) == (["one"], [])
    for each in (store, other):
        each.close()


def test_an_address_or_a_key_that_is_not_there_or_not_right_is_told() -> None:
    with pytest.raises(StoreFailed, match="NORIA_INDEX_URL is not set"):
        weaviate_index.open_store("docs", {})
    with pytest.raises(StoreFailed, match="NORIA_INDEX_KEY is not set"):
        pinecone_index.open_store("docs", {})
    for url in ("localhost:8080", "ftp://x", "http://"):
        with pytest.raises(StoreFailed, match="can't be read"):
            weaviate_index.weaviate_store(url, "docs")
        with pytest.raises(StoreFailed, match="can't be read"):
            pinecone_index.pinecone_store("key", "docs", url)
    rest, rpc = weaviate_index.addresses("https://me.weaviate.cloud")
    assert (str(rest), str(rpc)) == ("https://me.weaviate.cloud", "https://grpc-me.weaviate.cloud")
    assert str(weaviate_index.addresses("http://host:1")[1]) == "http://host:50051"


def test_a_wrong_key_is_refused_and_never_told() -> None:
    with served_weaviate(key="right") as (url, _):
        right = weaviate_index.open_store("docs", {"NORIA_INDEX_URL": url, "NORIA_INDEX_KEY": "right"})
        assert len(right.write("one", chunks_of(["cat"]), unit(1)).index.search(unit(1)[0], 1)) == 1
        right.close()
        _refused_without_a_word(weaviate_index.weaviate_store(url, "docs", SECRET))
    with served_pinecone() as (url, _):
        _refused_without_a_word(pinecone_index.pinecone_store(SECRET, "docs", url))


def _refused_without_a_word(store: Any) -> None:
    with pytest.raises(StoreFailed, match=r"401|Unauthorized") as raised:
        store.versions()
    assert SECRET not in f"{raised.value} {raised.value.to_dict()}"
    store.close()


@pytest.mark.parametrize("store", ["weaviate", "pinecone"])
def test_nobody_answers(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinecone._internal.http_client._retry_sleep", lambda _: None)  # it asks three times more
    if store == "weaviate":
        opened = weaviate_index.weaviate_store(f"http://me:{SECRET}@127.0.0.1:1?grpc=127.0.0.1:1", "docs", SECRET)
    else:
        opened = pinecone_index.pinecone_store(SECRET, "docs", f"http://me:{SECRET}@127.0.0.1:1")
    with pytest.raises(StoreFailed, match=r"127\.0\.0\.1:1") as raised:
        opened.versions()
    assert SECRET not in f"{raised.value} {raised.value.to_dict()} {opened.definition()}"
    opened.close()


# --- builds -------------------------------------------------------------------------------------------------------------------


def test_a_write_that_fails_leaves_what_was_there(hosted: tuple[str, str, Any]) -> None:
    kind, url, served = hosted
    store = store_of(kind, url)
    store.write("one", chunks_of(TEN), unit(10))
    error = (WeaviateRefused if kind == "weaviate" else PineconeRefused)(400, "the disk is full")
    for request in ("BatchObjectsRequest", "AggregateRequest") if kind == "weaviate" else ("POST /vectors/upsert", "POST /namespaces"):
        served.fault = refusing(error, lambda asked, wanted=request: asked == wanted)
        with pytest.raises(StoreFailed, match="the disk is full"):
            store.write("two", chunks_of(["new", *TEN[1:]]), unit(10))
        served.fault = lambda _: None
        assert store.versions() == ["one"]
    written = store.write("two", chunks_of(["new", *TEN[1:]]), unit(10))
    assert {hit.chunk.text for hit in written.index.search(unit(1)[0], 10)} == {"new", *TEN[1:]}
    store.close()


def test_a_server_that_is_busy_is_asked_again(pinecone: tuple[str, Any]) -> None:
    """By Pinecone's own client, when `Retry-After` says."""
    url, served = pinecone
    store = store_of("pinecone", url)
    index = store.write("one", chunks_of(TEN), unit(10)).index
    for status in (429, 503):
        served.fault = refusing(PineconeRefused(status, "Request limit reached", {"Retry-After": "0"}), times=2)
        served.requests.clear()
        assert len(index.search(unit(1)[0], 5)) == 5
        assert served.requests == ["POST /query"] * 3
    store.close()


def test_weaviate_is_asked_again_while_it_is_not_available(weaviate: tuple[str, Any]) -> None:
    url, served = weaviate
    store = store_of("weaviate", url)
    index = store.write("one", chunks_of(TEN), unit(10)).index
    served.fault = refusing(WeaviateRefused(503, "starting"), times=1)
    assert len(index.search(unit(1)[0], 5)) == 5
    assert served.levels == {"CONSISTENCY_LEVEL_QUORUM", "consistency_level=QUORUM"}
    store.close()


def test_who_searches_a_version_that_was_dropped_is_told(hosted: tuple[str, str, Any]) -> None:
    kind, url, _ = hosted
    store = store_of(kind, url)
    index = store.write("one", chunks_of(TEN), unit(10)).index
    store.write("two", chunks_of(["cow"]), unit(1))
    store.drop("one")
    if kind == "pinecone":
        index.search(unit(1)[0], 10)  # it may show the rows a while longer
    with pytest.raises(NoVersion, match="two"):
        index.search(unit(1)[0], 10)
    store.close()


def test_rows_of_a_dropped_version_are_not_kept(hosted: tuple[str, str, Any]) -> None:
    kind, url, served = hosted
    store = store_of(kind, url)
    store.write("one", chunks_of(TEN), unit(10))
    store.write("two", chunks_of(["new", *TEN[1:]]), unit(10))
    store.drop("one")
    index = store.write("three", chunks_of(["other", *TEN[1:]]), unit(10)).index
    store.drop("two")
    assert len(index.search(unit(1)[0], 20)) == 10
    if kind == "weaviate":
        kept = [len(each.objects) for name, each in served.classes.items() if name == "NoriaRows_docs"]
    else:
        for _ in range(3):  # requests, until what was deleted is not seen
            index.search(unit(1)[0], 1)
        kept = [len(index._of.ask(index._of.rows.query, vector=unit(1)[0].tolist(), top_k=100, namespace="rows").matches)]  # type: ignore[attr-defined]
    assert kept == [10]
    store.close()


# --- Weaviate -------------------------------------------------------------------------------------------------------------------


def test_a_builder_beside_another_marks_nothing(weaviate: tuple[str, Any]) -> None:
    """Weaviate has no way to append to a list at once: of two who do, one loses its mark, and a sealed version would change."""
    url, _ = weaviate
    first, second = store_of("weaviate", url), store_of("weaviate", url)
    first.write("one", chunks_of(TEN), unit(10))
    with first._rows.building("open", 8):  # type: ignore[attr-defined]
        beside = second.write("two", chunks_of(["new", *TEN[1:]]), unit(10))
    assert (beside.added, beside.removed, beside.kept) == (10, 0, 0)
    alone = second.write("three", chunks_of(["newer", *TEN[1:]]), unit(10))
    assert (alone.added, alone.removed, alone.kept) == (1, 1, 9)
    assert not any("building" in each for each in second.versions())
    for store in (first, second):
        store.close()


def test_the_client_asks_nobody_but_the_server(weaviate: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """With its usual checks, Weaviate's client asks PyPI for its newest version."""
    import httpx

    asked, send = list[str](), httpx.Client.send
    monkeypatch.setattr(
        httpx.Client, "send", lambda self, request, **more: (asked.append(request.url.host), send(self, request, **more))[1]
    )
    store = store_of("weaviate", weaviate[0])
    assert store.versions() == []
    assert set(asked) == {"127.0.0.1"}
    store.close()


# --- Pinecone -------------------------------------------------------------------------------------------------------------------


def test_a_version_is_there_once_all_of_it_is_seen(pinecone: tuple[str, Any]) -> None:
    """What was written is seen some requests later; whoever opens the version then finds all of it, by meaning and by words."""
    url, served = pinecone
    for lag in (0, 5):
        served.lag = lag
        # no pauses, since the server counts requests and not seconds
        writer, reader = [pinecone_index.pinecone_store("right", f"lag{lag}", url, pause=lambda _: None) for _ in range(2)]
        texts = TEN
        for version in range(2):
            texts = [f"new{version}", *texts[1:]]
            writer.write(f"v{version}", chunks_of(texts), unit(10, version))
            index = reader.open(f"v{version}")
            assert {hit.chunk.text for hit in index.search_words(f"new{version} text", 20)} == set(texts)
            assert {hit.chunk.text for hit in index.search(unit(1)[0], 20)} == set(texts)
        for store in (writer, reader):
            store.close()


def test_a_version_whose_rows_are_never_seen_is_not_there(pinecone: tuple[str, Any]) -> None:
    url, served = pinecone
    store = pinecone_index.pinecone_store("right", "docs", url, pause=lambda _: None)
    served.lag = 0
    store.write("one", chunks_of(TEN), unit(10))
    served.lag = 10_000
    with pytest.raises(NotSeen, match="versions before are as they were"):
        store.write("two", chunks_of(["new", *TEN[1:]]), unit(10))
    assert store.versions() == ["one"]
    store.close()


def test_of_two_projects_that_seal_one_name_the_first_stands(pinecone: tuple[str, Any]) -> None:
    """The second has its rows and its manifest there when the first creates the namespace."""
    url, _ = pinecone
    first, second = store_of("pinecone", url), store_of("pinecone", url)
    claim = second._rows.claim  # type: ignore[attr-defined]

    def claimed_later(manifest: Any) -> Any:
        first.write("one", chunks_of(TEN), unit(10))
        return claim(manifest)

    second._rows.claim = claimed_later  # type: ignore[attr-defined]
    with pytest.raises(VersionTaken):
        second.write("one", chunks_of(["other"]), unit(1))
    assert {hit.chunk.text for hit in second.open("one").search(unit(1)[0], 20)} == set(TEN)
    for store in (first, second):
        store.close()


def test_requests_keep_to_pinecones_limits(pinecone: tuple[str, Any]) -> None:
    """The server refuses more than 2 MB, 1,000 records, 1,000 terms and 40 kB of metadata."""
    url, served = pinecone
    served.lag = 0
    store = store_of("pinecone", url)
    long = " ".join(f"w{n}" for n in range(5_000))
    many = [chunk(n, f"{n} {long if n < 40 else 'short'}") for n in range(1_010)]
    index = store.write("one", many, unit(1_010)).index
    assert index.search(unit(1_010)[3], 1)[0].chunk == many[3]
    assert len(index.search(unit(1)[0], 1_010)) == 1_010
    incompressible = "".join(chr(0x4E00 + (n * n * 7919) % 20_000) for n in range(30_000))
    with pytest.raises(RowTooLarge, match="40,960 at most"):
        store.write("two", [Chunk("x", "d", incompressible, 0, 1)], unit(1))
    assert store.versions() == ["one"]
    store.close()


def test_texts_in_pinecone_are_compared_only_while_they_are_few(pinecone: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noria.llm.index.ledger.MAX_VALUES", 3)
    url, served = pinecone
    served.lag = 0
    store = store_of("pinecone", url)
    at_least = Conditions.read({"day": {"at_least": "2026-05-02"}})
    few = store.write("few", [chunk(n, "cat", {"day": f"2026-05-0{n}"}) for n in range(3)], unit(3)).index
    assert {hit.chunk.id for hit in few.search(unit(1)[0], 9, at_least)} == {"c2"}
    many = store.write("many", [chunk(n, "dog", {"day": f"2026-05-0{n}"}) for n in range(9)], unit(9)).index
    with pytest.raises(BadCondition, match="no order of texts"):
        many.search(unit(1)[0], 5, at_least)
    assert {hit.chunk.id for hit in many.search(unit(1)[0], 9, Conditions.read({"day": "2026-05-02"}))} == {"c2"}
    store.close()


def test_a_filter_never_hangs_on_what_pinecone_does_not_document() -> None:
    """The server of the tests answers neither yes nor no to `$ne` of a record without the field."""
    from noria.integrations.pinecone_rows import filter_of

    unequal = filter_of(Compare("team", "!=", token("a")))
    assert [met(unequal, each) for each in ({}, {"team": token("a")}, {"team": token("b")})] == [False, False, True]
    with pytest.raises(PineconeRefused, match="isn't documented"):
        met({"team": {"$ne": token("a")}}, {})
