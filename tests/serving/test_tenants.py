"""Tenants through a real server, REST and gRPC: the key says who asks, and with it which guardrails and which budget hold."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt
import numpy as np
import openai
import pytest
import tritonclient.grpc as triton

from app_bundles import QUESTION, application, application_bundle
from applications import SOURCE, TASK, as_json, sample_row
from chat_server import Server, chat_server, fine
from noria import llm
from noria.core.clock import SystemClock
from noria.core.files import LocalFiles
from noria.core.settings import ServingSettings
from noria.core.signature import Signature
from noria.data.rows import Rows
from noria.evaluation.generation import INPUTS, Generation
from noria.llm.generation.budget import FOLDER_ENV
from noria.llm.generation.retries import Retries
from noria.serving.access.keys import Access, KeyFile, Role
from noria.serving.access.tokens import Tokens, find_issuer
from noria.serving.log.segments import read_log
from noria.serving.observe.tenants import MAX_TENANTS, OTHERS, Tenants
from openai_clients import closed_clients as closed_clients
from openai_clients import openai_client
from python_bundles import python_bundle
from servers import Standalone, soon
from serving.test_tokens import RSA, Provider
from serving.test_traces import Collector
from texts import FOREVER

SECRET = "The code is sk-proj-Zq8vT2mWx4Kd9LrN7pYbC3sH"
KEYS = {"acme": "acme", "globex": "globex", "nobody": "", "stranger": "initech"}


@pytest.fixture(scope="module")
def models() -> Iterator[Server]:
    with chat_server(fine(SECRET)) as running:
        yield running


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, models: Server, collector: Collector) -> Iterator[tuple[Standalone, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("tenants")
    secret_keys = KeyFile(folder / "server", LocalFiles())
    secrets = {name: secret_keys.add(name, Role.ADMIN, 0.0, tenant=tenant) for name, tenant in KEYS.items()}
    generator = llm.OpenAICompatible("m", models.base_url, retries=Retries(times=0))
    budget = llm.Budget(generator, folder / "elsewhere", tenants={"globex": llm.Limit(tokens=1_000)})
    strict = llm.Policy(llm.Guardrails((llm.Secrets(),)), {"acme": {}, "globex": {"secrets": None}}, unknown="refuse")
    first = application_bundle(folder / "bundles", application(generator=budget, guardrails=strict))
    older = Signature(INPUTS[:-1], Generation().outputs)
    row, answer = sample_row()
    before = python_bundle(folder / "bundles", SOURCE, signature=older, sample=([row[:-1]], [answer]), run="older", task=TASK)
    others = {"older": before.path}
    order = {"trust": True, "others": others}
    tracing = {"trace_endpoint": collector.url, "trace_share": 1.0}
    environ = {FOLDER_ENV: str(folder / "spending")}
    running = Standalone(folder / "server", first.path, order=order, environ=environ, grpc_port=0, durability="process", **tracing)
    yield running, secrets
    running.kill()


def ask(served: tuple[Standalone, dict[str, str]], who: str, path: str = "/v1/chat/completions", body: Any = None) -> tuple[int, Any]:
    server, secrets = served
    headers = {"authorization": f"Bearer {secrets[who]}", "x-noria-tenant": "acme"}
    return server.http("POST", path, as_json(body or chat()), headers)


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "small", "messages": [{"role": "user", "content": QUESTION}], "user": "acme", **more}


def test_each_tenant_has_its_guardrails_whatever_a_header_or_a_body_says(served: Any) -> None:
    code, found = ask(served, "acme")
    assert (code, "sk-proj" in json.dumps(found), found["choices"][0]["finish_reason"]) == (200, False, "stop")
    code, found = ask(served, "globex")
    assert (code, found["choices"][0]["message"]["content"]) == (200, SECRET)
    row = {"question": QUESTION, "conversation": None, "access": None, "conditions": None, "mode": None, "tenant": "globex"}
    code, found = ask(served, "acme", "/predict/small", {"rows": [row, row]})
    assert (code, ["sk-proj" in each["answer"] for each in found["predictions"]]) == (200, [False, False])


@pytest.mark.parametrize(("who", "words"), [("nobody", "names no tenant"), ("stranger", "tenant 'initech' is not known")])
def test_a_policy_may_refuse_whom_it_does_not_name(served: Any, who: str, words: str) -> None:
    for body in (chat(), chat(stream=True)):
        code, found = ask(served, who, body=body)
        assert (code, found["error"]["code"]) == (403, "NR-567")
        assert words in found["error"]["message"]


def test_grpc_has_the_tenant_of_its_key(served: Any) -> None:
    server, secrets = served
    question = triton.InferInput("question", [1], "BYTES")
    question.set_data_from_numpy(np.array([QUESTION.encode()], object))
    inputs = [question]
    for name in ("conversation", "conditions", "mode", "tenant"):
        inputs.append(triton.InferInput(name, [1], "BYTES"))
        inputs[-1].set_data_from_numpy(np.array([b"globex" if name == "tenant" else b""], object))
    inputs.append(triton.InferInput("access", [1, 0], "BYTES"))
    inputs[-1].set_data_from_numpy(np.zeros((1, 0), object))
    client = triton.InferenceServerClient(f"127.0.0.1:{server.where['grpc_port']}")
    try:
        wanted = [triton.InferRequestedOutput("answer")]
        for given in (inputs, [each for each in inputs if each.name() != "tenant"]):
            headers = {"authorization": f"Bearer {secrets['acme']}"}
            found = client.infer("small", given, outputs=wanted, headers=headers, client_timeout=20)
            assert b"sk-proj" not in found.as_numpy("answer").tolist()[0]
        with pytest.raises(triton.InferenceServerException, match="NR-567"):
            client.infer("small", inputs, outputs=wanted, headers={"authorization": f"Bearer {secrets['nobody']}"}, client_timeout=20)
    finally:
        client.close()


def test_each_tenant_has_its_budget_and_one_that_is_spent_is_no_others(served: Any, models: Server) -> None:
    server, secrets = served
    client = openai_client(f"{server.where['url']}/v1", secrets["globex"], timeout=20)

    def spend() -> None:  # what an answer may take is reserved before: with 512 tokens and the prompt, 1,000 are soon too few
        for _ in range(200):
            client.chat.completions.create(**chat())

    with pytest.raises(openai.RateLimitError) as spent:
        spend()
    assert (spent.value.code, "the budget of tenant 'globex'" in spent.value.message) == ("NR-839", True)
    assert int(spent.value.response.headers["retry-after"]) > 0
    asked = len(models.requests)
    assert ask(served, "globex")[0] == 429
    assert len(models.requests) == asked
    assert ask(served, "acme")[0] == 200
    ledger = llm.Budget(llm.OpenAICompatible("m", models.base_url), server.folder.parent / "spending")
    found = ledger.spent()
    assert 0 < found["globex"].amount.tokens <= 1_000
    assert found["acme"].answers >= 2
    assert not llm.Budget(llm.OpenAICompatible("m", models.base_url), server.folder.parent / "elsewhere").spent()


def test_the_log_metrics_and_traces_say_who_asked(served: Any, collector: Collector) -> None:
    server, _ = served
    ask(served, "acme")
    rows = read_log(server.folder / "log", *FOREVER, LocalFiles())
    assert rows is not None
    [values] = rows.values.values()
    assert {row["tenant"] for row in values.inputs.dicts()} <= {"acme", "globex"}

    def metric(name: str) -> float:
        text: str = server.admin("/metrics", {"authorization": f"Bearer {served[1]['acme']}"})[1]
        found = re.search(rf'{name}_total{{endpoint="small",tenant="acme",worker="0"}} (\S+)', text)
        return float(found[1]) if found else 0.0

    soon(lambda: metric("noria_tenant_answers") >= 1 and metric("noria_tenant_tokens") >= 10)
    assert metric("noria_tenant_blocked") == 0
    soon(lambda: "acme" in {a.value.string_value for s in collector.spans for a in s.attributes if a.key == "noria.tenant"}, 10)


def test_a_bundle_that_was_sealed_before_there_were_tenants_answers_as_it_did(served: Any) -> None:
    code, found = ask(served, "stranger", body=chat(model="older"))
    assert (code, found["choices"][0]["message"]["content"].strip()) == (200, QUESTION.partition(" ")[2])


def test_a_tokens_claim_has_the_tenant_and_only_one() -> None:
    provider = Provider()
    try:
        issuer = find_issuer(ServingSettings(oidc_issuer=provider.url, oidc_audience="noria", oidc_tenant_claim="org"))
        assert issuer is not None
        access, now = Access([], time.monotonic, tokens=Tokens(issuer, SystemClock())), SystemClock().now()

        def tenant(org: Any) -> str:
            claims = {"iss": provider.url, "aud": "noria", "sub": "s", "exp": now + timedelta(minutes=5), "roles": ["predict"]}
            key = access.require(jwt.encode({**claims, "org": org}, RSA, "RS256", {"kid": "r"}), Role.PREDICT)
            assert key is not None
            return key.tenant

        assert [tenant(org) for org in ("acme", ["acme"], None, 5)] == ["acme", "", "", ""]
    finally:
        provider.close()


def test_tenants_beyond_the_first_hundred_are_counted_as_one() -> None:
    sums, outputs = Tenants(), [field for field in Generation().outputs if field.name in ("finish", "prompt_tokens")]
    answers = Rows.of_values(tuple(outputs), [("answered", 2)] * (MAX_TENANTS + 5))
    sums.saw(answers, [f"tenant {number}" for number in range(MAX_TENANTS + 5)])
    found = sums.to_dict()
    assert len(found) == MAX_TENANTS + 1
    assert (found[OTHERS]["answers"], found[OTHERS]["tokens"]) == (5, 10)
