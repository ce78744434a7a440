"""Embeddings, reranking, search, feedback and access labels below `/v1`, with what logs, metrics, traces and a shadow say of them."""

from __future__ import annotations

import base64
import json
import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import numpy as np
import openai
import pytest
import tritonclient.grpc as triton

import noria as nr
from applications import SIGNATURE, SOURCE, application, as_json, embedder, reranker
from documented import check_document
from noria.core.clock import ReplayClock, SystemClock
from noria.core.files import LocalFiles
from noria.core.settings import ServingSettings
from noria.core.signature import Field
from noria.data.ingest import current, facts, ingest
from noria.data.rows import Rows
from noria.features.outcomes import Outcomes
from noria.serving.access.keys import Access, KeyFile, Role
from noria.serving.access.labels import allowed
from noria.serving.access.tokens import Tokens, find_issuer
from noria.serving.log.feedback import FeedbackLog, Logged, find_answer
from noria.serving.log.predictions import Predictions, Values
from noria.serving.log.segments import PredictionLog, find_in_segment, read_log
from noria.stores.tables import DeltaTables
from openai_clients import closed_clients, openai_client  # noqa: F401 - a fixture
from servers import Standalone, make_bundle, soon
from serving.test_chat import said
from serving.test_tokens import RSA, Provider
from serving.test_traces import Collector
from texts import FOREVER

LABELLED = {"plain": (), "people": ("people",), "service": ("*",), "both": ("people", "board")}
ROW = {**dict.fromkeys(SIGNATURE.names)}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.close()


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {"folder": str(tmp_path_factory.mktemp("v1"))}


@pytest.fixture(scope="module")
def server(secrets: dict[str, str], collector: Collector) -> Iterator[Standalone]:
    """With keys, traces that tell texts, and comments."""
    folder = Path(secrets["folder"])
    keys = KeyFile(folder / "server", LocalFiles())
    (folder / "server").mkdir()
    for name, labels in LABELLED.items():
        secrets[name] = keys.add(name, Role.PREDICT, 0.0, labels=labels)
    secrets["slow"] = keys.add("slow", Role.PREDICT, 2.0)
    bundles = folder / "bundles"
    others = {"vectors": embedder(bundles).path, "pairs": reranker(bundles).path, "fine": make_bundle(bundles, 10.0).path}
    told = {"trace_endpoint": collector.url, "trace_share": 0.0, "trace_contents": "true", "feedback_comments": "true"}
    running = Standalone(
        folder / "server", application(bundles).path, order={"trust": True, "others": others}, durability="process", grpc_port=0, **told
    )
    yield running
    running.kill()


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """Without keys, with a shadow."""
    folder = tmp_path_factory.mktemp("open")
    bundles = folder / "bundles"
    other = application(
        bundles, SOURCE.replace("for word in words or [what]:", 'for word in [*words, "too"]:'), "other", "golden rows too "
    )
    bundle = application(bundles)
    others = {"vectors": embedder(bundles).path, "pairs": reranker(bundles).path}
    running = Standalone(folder / "server", bundle.path, other.path, order={"trust": True, "others": others}, durability="process")
    yield running
    running.kill()


def ask(server: Standalone, path: str, body: Any, secret: str | None = None, **headers: str) -> tuple[int, Any]:
    return server.http("POST", path, as_json(body), {**({"authorization": f"Bearer {secret}"} if secret else {}), **headers})


# --- access labels ---


@pytest.mark.parametrize(
    ("who", "named", "count"),
    [
        ("plain", None, []),
        ("plain", ["people"], []),
        ("people", None, ["people"]),
        ("people", [], []),
        ("people", ["board"], []),
        ("both", None, ["board", "people"]),
        ("both", ["board", "cellar"], ["board"]),
        ("service", ["people", "cellar"], ["cellar", "people"]),
        ("service", None, []),
        ("service", ["*"], []),
    ],
)
def test_labels_are_the_keys_and_a_body_can_only_narrow_them(
    server: Standalone, secrets: dict[str, str], who: str, named: list[str] | None, count: list[str]
) -> None:
    """On every path on which a row can be sent."""
    secret, expected = secrets[who], ",".join(count) or "none"
    extension = {} if named is None else {"noria": {"access": named}}
    row = {**ROW, "question": "labels", "access": named}
    status, found = ask(server, "/v1/chat/completions", {"model": "small", "messages": said("labels"), **extension}, secret)
    assert (status, found["choices"][0]["message"]["content"]) == (200, expected)
    assert ask(server, "/predict/small", {"rows": [row]}, secret)[1]["predictions"][0]["answer"] == expected
    parts = ask(server, "/predict/small", {"rows": [row], "stream": True}, secret)[1]
    assert json.loads(parts.split("event: answer\ndata: ")[1])["predictions"][0]["answer"] == expected
    large = {"rows": [{**row, "conversation": "x" * 70_000}]}  # large bodies are columns while they wait
    assert ask(server, "/predict/small", large, secret)[1]["predictions"][0]["answer"] == expected
    status, found = ask(server, "/search", {"question": "pay", **({} if named is None else {"access": named})}, secret)
    assert ("c2" in [each["id"] for each in found["results"]]) == ("people" in count)


def test_without_keys_everybody_reads_what_everybody_may_whatever_the_body_says(open_server: Standalone) -> None:
    row = {**ROW, "question": "labels", "access": ["people", "*"]}
    assert ask(open_server, "/predict/small", {"rows": [row]})[1]["predictions"][0]["answer"] == "none"
    body = {"model": "small", "messages": said("labels"), "noria": {"access": ["people"]}}
    assert ask(open_server, "/v1/chat/completions", body)[1]["choices"][0]["message"]["content"] == "none"


def test_grpc_has_the_labels_of_its_key_and_lists_and_unknown_numbers_as_answers(server: Standalone, secrets: dict[str, str]) -> None:
    def infer(who: str, question: str, access: list[str]) -> Any:
        client = triton.InferenceServerClient(f"127.0.0.1:{server.where['grpc_port']}")
        texts = {"question": [question], "conversation": ["x"], "conditions": ["{}"], "mode": ["answer"]}
        inputs = [triton.InferInput(name, [1], "BYTES") for name in texts]
        for each, values in zip(inputs, texts.values(), strict=True):
            each.set_data_from_numpy(np.array([value.encode() for value in values], object))
        labels = triton.InferInput("access", [1, len(access)], "BYTES")
        labels.set_data_from_numpy(np.array([[label.encode() for label in access]], object))
        try:
            return client.infer("small", [*inputs, labels], headers={"authorization": f"Bearer {secrets[who]}"}, client_timeout=10)
        finally:
            client.close()

    found = infer("both", "labels", ["board", "cellar"])
    assert found.as_numpy("answer").tolist() == [b"board"]
    assert found.as_numpy("found").tolist() == [[b"c1", b"c3"]]
    assert infer("plain", "labels", ["people"]).as_numpy("answer").tolist() == [b"none"]
    unpriced = infer("plain", "unpriced", ["people"])
    assert np.isnan(unpriced.as_numpy("cost")).all()
    assert unpriced.as_numpy("decisions").tolist() == [b""]


def test_lists_of_several_lengths_are_no_tensor_and_plain_json_has_them(server: Standalone, secrets: dict[str, str]) -> None:
    rows = [{**ROW, "question": "say a"}, {**ROW, "question": "say b", "conditions": '{"document": "people"}'}]
    status, found = ask(server, "/predict/small", {"rows": rows}, secrets["plain"])
    assert (status, [each["found"] for each in found["predictions"]]) == (200, [["c1", "c3"], []])
    columns: dict[str, tuple[str, list[int], list[Any]]] = {
        "question": ("BYTES", [2], ["say a", "say b"]),
        "conversation": ("BYTES", [2], [None, None]),
        "access": ("BYTES", [2, 1], ["x", "x"]),
        "conditions": ("BYTES", [2], [None, '{"document": "people"}']),
        "mode": ("BYTES", [2], [None, None]),
    }
    inputs = [{"name": name, "datatype": kind, "shape": shape, "data": data} for name, (kind, shape, data) in columns.items()]
    status, found = ask(server, "/v2/models/small/infer", {"inputs": inputs}, secrets["plain"])
    assert (status, found["code"]) == (400, "NR-865"), found
    wanted = [{"name": "answer"}, {"name": "prompt_tokens", "parameters": {"binary_data": False}}]
    status, found = ask(server, "/v2/models/small/infer", {"inputs": inputs, "outputs": wanted}, secrets["plain"])
    assert (status, [each["data"] for each in found["outputs"]]) == (200, [["a ", "b "], [7, 7]]), found


def test_a_tokens_claim_has_labels() -> None:
    provider = Provider()
    try:
        settings = ServingSettings(oidc_issuer=provider.url, oidc_audience="noria", oidc_labels_claim="groups")
        issuer = find_issuer(settings)
        assert issuer is not None
        access = Access([], time.monotonic, tokens=Tokens(issuer, SystemClock()))
        now = SystemClock().now()

        def labels(groups: Any) -> tuple[str, ...]:
            claims = {"iss": provider.url, "aud": "noria", "sub": "s", "exp": now + timedelta(minutes=5), "roles": ["predict"]}
            token = jwt.encode({**claims, "groups": groups}, RSA, "RS256", {"kid": "r"})
            key = access.require(token, Role.PREDICT)
            assert key is not None
            return key.labels

        assert labels(["people", "board"]) == ("people", "board")
        assert labels("people board") == ("people", "board")
        assert labels(None) == labels({"people": 1}) == ()
    finally:
        provider.close()


def test_what_counts_of_labels() -> None:
    assert allowed(None, ("a", "b")) == ["a", "b"]
    assert allowed(["b", "c"], ("a", "b")) == ["b"]
    assert allowed(["c"], ("*",)) == ["c"]
    assert allowed(None, ("*", "a")) == ["a"]
    assert allowed(["*"], ("a",)) == []


# --- limits ---


def test_a_client_is_told_to_slow_down_and_its_retries_get_through(server: Standalone, secrets: dict[str, str]) -> None:
    client = openai_client(f"{server.where['url']}/v1", secrets["slow"])
    ends = []
    for _ in range(4):
        try:
            ends.append(client.chat.completions.create(model="small", messages=said("say a")).choices[0].message.content)
        except openai.RateLimitError as error:
            ends.append(f"{error.code}, after {error.response.headers['retry-after']} s")
    assert ends[0] == "a "
    assert "NR-532, after 1 s" in ends
    patient = client.with_options(max_retries=4)
    assert [patient.chat.completions.create(model="small", messages=said("say b")).choices[0].message.content for _ in range(3)] == [
        "b "
    ] * 3
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="nr_wrong").models.list()


# --- embeddings ---


def test_embeddings_by_openais_client(open_server: Standalone) -> None:
    client = openai_client(f"{open_server.where['url']}/v1")
    found = client.embeddings.create(model="vectors", input=["an apple", "wörld", ""])  # the client asks for base64, and decodes it
    assert [each.embedding for each in found.data] == [[8.0, 2.0, 0.5], [5.0, 0.0, 0.5], [0.0, 0.0, 0.5]]
    assert [each.index for each in found.data] == [0, 1, 2]
    assert client.embeddings.create(model="vectors", input="a", encoding_format="float", dimensions=3).data[0].embedding == [1.0, 1.0, 0.5]
    status, plain = ask(open_server, "/v1/embeddings", {"model": "vectors", "input": "a", "encoding_format": "base64"})
    assert status == 200
    assert struct.unpack("<3f", base64.b64decode(plain["data"][0]["embedding"])) == (1.0, 1.0, 0.5)
    ids = plain["noria"]["prediction_ids"]
    log = read_log(open_server.folder / "log-vectors", *FOREVER, LocalFiles())
    assert log is not None
    assert set(ids) <= set(log.ids)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": [1, 2, 3]}, "input"),
        ({"input": [["a"]]}, "input"),
        ({"input": None}, "input"),
        ({"input": []}, None),
        ({"input": ["a"] * 10_001}, None),
        ({"input": "a", "dimensions": 2}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "model": "small"}, "model"),
    ],
)
def test_embeddings_that_are_refused(open_server: Standalone, body: Any, param: str | None) -> None:
    status, found = ask(open_server, "/v1/embeddings", {"model": "vectors", **body})
    assert (status, found["error"]["param"]) == (400, param), found


# --- reranking and search ---


def test_reranking_in_the_form_of_cohere_and_jina(open_server: Standalone) -> None:
    documents = ["nothing here", "keys are hashes", {"text": "what are keys"}, "what keys"]
    for path in ("/v1/rerank", "/v2/rerank"):
        status, found = ask(open_server, path, {"model": "pairs", "query": "what are keys", "documents": documents})
        assert status == 200, found
        assert [(each["index"], each["relevance_score"]) for each in found["results"]] == [(2, 3.0), (1, 2.0), (3, 2.0), (0, 0.0)]
    body = {"model": "pairs", "query": "keys", "documents": documents, "top_n": 1, "return_documents": True}
    assert ask(open_server, "/v1/rerank", body)[1]["results"] == [
        {"index": 1, "relevance_score": 1.0, "document": {"text": "keys are hashes"}}
    ]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/rerank", {"model": "pairs", "query": "a", "documents": []}, "NR-510"),
        ("/v1/rerank", {"model": "pairs", "query": "a", "documents": ["b"], "top_n": 0}, "NR-860"),
        ("/v1/rerank", {"model": "pairs", "query": "a", "documents": [5]}, "NR-510"),
        ("/v1/rerank", {"model": "small", "query": "a", "documents": ["b"]}, "NR-861"),
        ("/v1/search", {"question": "a", "model": "pairs"}, "NR-861"),
        ("/v1/search", {"question": "a", "count": 0}, "NR-860"),
        ("/v1/search", {"count": 1}, "NR-510"),
        ("/v1/search", {"question": "a", "limit": 1}, "NR-860"),
        ("/v1/feedback", {"prediction_id": "x", "helpful": True}, "NR-863"),
        ("/v1/feedback", {"prediction_id": "019a5c3e7a10-../../etc-00000000", "helpful": True}, "NR-863"),
        ("/v1/feedback", {"prediction_id": "019a5c3e7a10-1-00000000", "helpful": 1.5}, "NR-860"),
        ("/v1/feedback", {"prediction_id": "019a5c3e7a10-1-00000000", "helpful": "yes"}, "NR-510"),
        ("/v1/feedback", {"prediction_id": "019a5c3e7a10-1-00000000"}, "NR-510"),
        ("/v1/feedback", {"prediction_id": "019a5c3e7a10-1-00000000", "helpful": True, "comment": "x" * 5000}, "NR-860"),
    ],
)
def test_what_is_refused(open_server: Standalone, path: str, body: Any, code: str) -> None:
    status, found = ask(open_server, path, body)
    assert (status, found["error"]["code"]) == (404 if code == "NR-863" else 400, code), found


def test_search_finds_chunks_and_makes_no_answer(open_server: Standalone) -> None:
    status, found = ask(open_server, "/search", {"question": "how are keys kept", "count": 1})
    assert status == 200, found
    assert found["results"] == [{"id": "c1", "text": "Noria sends predictions over HTTP.", "place": "serving.md#http", "score": 0.9}]
    only = {"question": "keys", "model": "small", "conditions": {"document": "people"}}
    assert ask(open_server, "/v1/search", only)[1]["results"] == []
    log = read_log(open_server.folder / "log", *FOREVER, LocalFiles())
    assert log is not None
    [values] = [log.by("champion").of(found["bundle"]).values[found["bundle"]]]
    assert (values.inputs.dicts()[-2]["mode"], values.outputs.dicts()[-2]["finish"]) == ("search", "searched")


# --- feedback ---

GIVEN = nr.Table("feedback", nr.feedback("docs"), key="key", event_time="asked_at", known_at="given_at")


def test_feedback_is_stored_and_read_as_the_outcomes_of_a_label(server: Standalone, secrets: dict[str, str], tmp_path: Path) -> None:
    secret = secrets["plain"]
    client = openai_client(f"{server.where['url']}/v1", secret)
    first, second = (client.chat.completions.create(model="small", messages=said(f"say {word}")) for word in "ab")
    named = client.chat.completions.create(model="small", messages=said("say c"), extra_body={"noria": {"key": "order 7"}})
    for identifier, helpful in ((first.id, True), (second.id, True), (second.id, False), (named.id, 0.25)):
        body = {"prediction_id": identifier, "helpful": helpful, "comment": "Ünlesbar"}
        status, found = ask(server, "/v1/feedback", body, secret)
        assert (status, found["stored"], found["comment_stored"], found["model"]) == (200, True, True, "small"), found
    assert ask(server, "/v1/feedback", {"prediction_id": first.id, "helpful": True, "model": "vectors"}, secret)[0] == 404
    project = tmp_path / ".noria" / "log" / "docs"
    project.mkdir(parents=True)
    (project / "feedback").symlink_to(server.folder / "log" / "feedback")
    store = DeltaTables(tmp_path / "tables")
    done = ingest(GIVEN, store, tmp_path)
    assert done.balance.rows_out == {"stored": 4, "repeated": 0, "quarantined": 0}
    rows = {row["id"]: row for row in facts(GIVEN, store).rows.to_pylist()}
    assert {rows[first.id]["helpful"], rows[named.id]["helpful"]} == {1, 0}
    assert (rows[named.id]["key"], rows[named.id]["rating"], rows[first.id]["key"]) == ("order 7", 0.25, first.id)
    assert rows[second.id]["comment"] == "Ünlesbar"
    label = nr.Label(GIVEN, "helpful")
    outcomes = Outcomes(facts(GIVEN, store), label)
    known = outcomes.known_at([first.id, second.id, "order 7", "none"], SystemClock().now())
    assert known.tolist() == pytest.approx([1.0, 0.0, 0.0, np.nan], nan_ok=True)
    assert current(GIVEN, store).rows == 4


def test_before_the_first_feedback_its_table_is_empty(tmp_path: Path) -> None:
    store = DeltaTables(tmp_path / "tables")
    assert ingest(GIVEN, store, tmp_path).snapshot.rows == 0
    log = FeedbackLog(tmp_path / ".noria/log/docs", "docs", "w", LocalFiles(), ReplayClock(datetime(2026, 1, 2, tzinfo=UTC)), durable=True)
    log.add(Logged("i", "k", datetime(2026, 1, 1, tzinfo=UTC)), 1.0, None)
    log.close()
    with next((tmp_path / ".noria/log/docs/feedback").iterdir()).open("ab") as file:
        file.write(b'{"id": "torn')  # a crash in the middle of a line
    log.add(Logged("j", "l", datetime(2026, 1, 1, tzinfo=UTC)), 0.0, None)
    log.close()
    done = ingest(GIVEN, store, tmp_path)
    assert done.balance.rows_out == {"stored": 2, "repeated": 0, "quarantined": 1}
    assert [row["helpful"] for row in sorted(facts(GIVEN, store).rows.to_pylist(), key=lambda row: row["id"])] == [1, 0]


def test_comments_are_not_kept_unless_that_is_allowed_nor_feedback_on_what_was_not_sent(open_server: Standalone) -> None:
    _, found = ask(open_server, "/v1/chat/completions", {"model": "small", "messages": said("say a")})
    status, told = ask(open_server, "/v1/feedback", {"prediction_id": found["id"], "helpful": False, "comment": "my name is Ann"})
    assert (status, told["comment_stored"]) == (200, False)
    assert "Ann" not in "".join(path.read_text() for path in (open_server.folder / "log" / "feedback").iterdir())
    soon(lambda: len(shadowed(open_server)) > 0)
    [challenger, *_] = shadowed(open_server)
    assert ask(open_server, "/v1/feedback", {"prediction_id": challenger, "helpful": True})[0] == 404


def test_an_answer_is_found_in_its_writers_log_alone(open_server: Standalone) -> None:
    _, found = ask(open_server, "/v1/chat/completions", {"model": "small", "messages": said("say a")})
    writer = found["id"].split("-")[1]
    log = open_server.folder / "log"
    answer = find_answer(log, writer, found["id"], LocalFiles())
    assert answer is not None
    assert (answer.id, answer.key) == (found["id"], found["id"])
    assert find_answer(log, "other", found["id"], LocalFiles()) is None
    assert find_answer(log, writer, found["id"][:-1] + "f", LocalFiles()) is None


def test_an_answer_is_found_in_a_segment_that_is_torn_and_where_its_id_is_quoted_too(tmp_path: Path) -> None:
    log, files = PredictionLog(tmp_path, "w", LocalFiles()), LocalFiles()
    asked, said_fields = (Field("question", "string"),), (Field("answer", "string"), Field("n", "float64"))
    start = 1_796_000_000_000_000
    ids = [f"{(start + n) // 1000:012x}-w-{n:08x}" for n in range(30)]
    for n, identifier in enumerate(ids):
        question = f"what of {ids[20]}?" if n == 3 else "x" * 100
        values = Values(Rows.of_values(asked, [(question,)]), Rows.of_values(said_fields, [("yes", 1.0)]))
        numbers = np.array([start + n]), np.array([1], np.int32)
        log.append(Predictions([identifier], [None], ["champion"], ["b"], *numbers, {"b": values}))
    log.close()
    [path] = tmp_path.glob("w/*.seg")

    def found(identifier: str) -> list[str] | None:
        rows = find_in_segment(path, identifier, files)
        return None if rows is None else rows.ids

    assert [found(ids[place]) for place in (0, 3, 20, 29)] == [[ids[0]], [ids[3]], [ids[20]], [ids[29]]]
    assert found("another") is None
    whole = path.read_bytes()
    cut = whole.index(ids[25].encode())
    path.write_bytes(whole[:cut])
    assert [found(ids[place]) for place in (20, 25)] == [[ids[20]], None]


# --- a shadow, metrics, traces, the document ---


def shadowed(server: Standalone) -> dict[str, tuple[str | None, dict[str, Any]]]:
    """Id → key and answer of what the shadow said."""
    log = read_log(server.folder / "log", *FOREVER, LocalFiles())
    if log is None or "challenger" not in log.variant:
        return {}
    own = log.by("challenger")
    [values] = own.values.values()
    return dict(zip(own.ids, zip(own.keys, values.outputs.dicts(), strict=True), strict=True))


def test_a_shadow_of_several_outputs_scores_what_was_streamed_and_what_was_not(open_server: Standalone) -> None:
    client = openai_client(f"{open_server.where['url']}/v1")
    whole = client.chat.completions.create(model="small", messages=said("say shadow one"))
    chunks = list(client.chat.completions.create(model="small", messages=said("say shadow two"), stream=True))

    def by_key() -> dict[str | None, dict[str, Any]]:
        return dict(shadowed(open_server).values())

    soon(lambda: {whole.id, chunks[0].id} <= set(by_key()))
    found = by_key()
    assert found[whole.id]["answer"] == "shadow one too "
    assert (found[chunks[0].id]["answer"], found[chunks[0].id]["found"]) == ("shadow two too ", ["c1", "c3"])


def test_metrics_have_tokens_cost_and_how_answers_finished(open_server: Standalone) -> None:
    names = ("generated", "unanswered", "blocked", "prompt_tokens", "completion_tokens", "cost_dollars")

    def metrics() -> dict[str, float]:
        lines = open_server.admin("/metrics")[1].splitlines()
        own = [line for line in lines if 'endpoint="small",worker="0"' in line]
        return {name: float(next(line for line in own if line.startswith(f"noria_{name}_total")).split()[-1]) for name in names}

    state = open_server.http("GET", "/status")[1]["endpoints"]
    before = next(each for each in state if each["endpoint"] == "small")["generated"]
    for question in ("say a", "unknown", "blocked", "unpriced"):
        assert ask(open_server, "/v1/chat/completions", {"model": "small", "messages": said(question)})[0] == 200
    more = {"generated": 4, "unanswered": 1, "blocked": 1, "prompt_tokens": 28, "completion_tokens": 12, "cost_dollars": 0.003}
    soon(lambda: all(abs(metrics()[name] - before[name] - value) < 1e-9 for name, value in more.items()))
    text = open_server.admin("/metrics")[1]
    assert 'noria_generated_total{endpoint="vectors"' not in text
    assert 'noria_first_part_seconds_count{endpoint="small"' in text


def test_spans_follow_the_conventions_for_generative_ai(server: Standalone, secrets: dict[str, str], collector: Collector) -> None:
    trace, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    parent = {"traceparent": f"00-{trace}-{caller}-01"}
    body = {"model": "small", "messages": said("one", "two", "say pay day")}
    status, found = ask(server, "/v1/chat/completions", body, secrets["people"], **parent)
    assert status == 200
    ask(server, "/v1/chat/completions", {**body, "stream": True}, secrets["people"], **parent)
    ask(server, "/search", {"question": "pay"}, secrets["people"], **parent)
    soon(lambda: sum(span.name in ("chat small", "retrieval small") for span in collector.spans) >= 6, 10)
    spans = [span for span in collector.spans if span.trace_id.hex() == trace]
    about = {span.span_id: {a.key: value_of(a.value) for a in span.attributes} for span in spans}
    [chat] = [span for span in spans if about[span.span_id].get("gen_ai.response.id") == found["id"]]
    told = about[chat.span_id]
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "noria",
        "gen_ai.request.model": "small",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "llm.token_count.prompt": 7,
        "llm.cost.total": 0.001,
        "openinference.span.kind": "CHAIN",
        "input.value": "say pay day",
        "output.value": "pay day ",
    }
    assert {name: told[name] for name in expected} == expected
    assert [each["role"] for each in json.loads(told["gen_ai.input.messages"])] == ["user", "assistant", "user"]
    [retrieval] = [span for span in spans if span.parent_span_id == chat.span_id and span.name == "retrieval small"]
    documents = about[retrieval.span_id]
    assert documents["openinference.span.kind"] == "RETRIEVER"
    assert documents["retrieval.documents.1.document.id"] == "c2"
    assert documents["retrieval.documents.1.document.content"] == "Salaries are paid on the 25th."
    assert documents["retrieval.documents.1.document.score"] == pytest.approx(0.8)
    assert json.loads(documents["retrieval.documents.1.document.metadata"]) == {"place": "people.md#pay"}
    operations = sorted(each["gen_ai.operation.name"] for span, each in about.items() if "gen_ai.response.id" in each)
    assert operations == ["chat", "chat", "retrieval"]


def test_spans_tell_no_texts_unless_that_is_allowed(tmp_path: Path) -> None:
    collector = Collector()
    server = Standalone(
        tmp_path / "server", application(tmp_path / "bundles").path, order={"trust": True}, trace_endpoint=collector.url, trace_share=1.0
    )
    try:
        ask(server, "/v1/chat/completions", {"model": "small", "messages": said("say my name")})
        soon(lambda: any(span.name == "chat small" for span in collector.spans), 10)
    finally:
        server.kill()
        collector.close()
    text = str(collector.spans)
    assert "gen_ai.usage.input_tokens" in text
    assert "retrieval.documents.0.document.id" in text
    assert "my name" not in text
    assert "over HTTP" not in text


def value_of(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [value_of(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def test_every_example_is_answered(open_server: Standalone) -> None:
    asked = check_document(open_server.where["port"])
    by_path: dict[str, set[str]] = {}
    for _, path, name in asked:
        by_path.setdefault(path, set()).add(name)
    assert by_path["/v1/chat/completions"] == {"small", "small, in parts"}
    assert by_path["/v1/embeddings"] == {"vectors"}
    assert by_path["/v1/rerank"] == by_path["/v2/rerank"] == {"pairs"}
    assert by_path["/v1/search"] == by_path["/search"] == by_path["/v1/feedback"] == {"small"}
    assert {"/v1/models", "/v1/models/{model}"} <= set(by_path)
