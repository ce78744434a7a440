"""Parts of an application that wait, limit or refuse: cancelled in the middle, sealed in a bundle, and by tenant."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from queue import SimpleQueue

import pytest

from app_bundles import application
from chat_server import Exchange, chat_server, fine, hangs, hangs_after
from noria import llm
from noria.core.cancelling import Cancellation, Cancelled, current, within
from noria.llm.application.parts import uses_secrets
from noria.llm.generation import BadRequest, Message, Options
from noria.llm.generation.budget import FOLDER_ENV
from noria.llm.generation.definitions import generator_of, sealed
from noria.llm.generation.port import Completion, waits
from noria.llm.generation.retries import Retries
from noria.llm.guardrails.policy import UnknownTenant
from noria.llm.guardrails.rule import BadRule

ASKED = [Message("user", "hello")]


@pytest.mark.parametrize("behaviour", [hangs, hangs_after("one ")], ids=["before a part", "after one"])
def test_what_is_cancelled_closes_its_connection_and_is_tried_no_more(behaviour: object) -> None:
    reached, gone = threading.Semaphore(0), threading.Semaphore(0)

    def watched(exchange: Exchange) -> None:
        if behaviour is not hangs:
            exchange.begin()
            exchange.event({"id": "1", "choices": [{"index": 0, "delta": {"content": "one "}}]})
        reached.release()
        if exchange.connection.recv(1) == b"":
            gone.release()
        exchange.close_connection = True

    with chat_server(watched) as server:
        generator = llm.OpenAICompatible("m", server.base_url, retries=Retries(times=5, first=0.01))
        both, cancellation, ends = llm.Fallbacks([generator, generator]), Cancellation(), SimpleQueue[object]()

        def read() -> None:
            with within(cancellation):
                try:
                    ends.put([*both.stream(ASKED)])
                except BaseException as error:  # noqa: BLE001 - what it is, is what is tested
                    ends.put(error)

        thread = threading.Thread(target=read)
        thread.start()
        assert reached.acquire(timeout=10)
        cancellation.cancel()
        thread.join(10)
        assert gone.acquire(timeout=10)
        assert isinstance(ends.get(timeout=10), Cancelled)
        assert len(server.requests) == 1
        generator.close()


def test_what_is_cancelled_begins_nothing_and_what_is_not_can_go_on() -> None:
    cancellation = Cancellation()
    with within(cancellation):
        assert current() is cancellation
        with current().ended_by(lambda: None):
            current().sleep(0.0)
        cancellation.cancel()
        cancellation.cancel()
        for begin in (current().check, lambda: current().sleep(60), current().ended_by(lambda: None).__enter__):
            with pytest.raises(Cancelled):
                begin()
    current().check()
    with chat_server(fine("hello")) as server:
        generator = llm.OpenAICompatible("m", server.base_url)
        with within(cancellation), pytest.raises(Cancelled):
            generator.generate(ASKED)
        assert generator.generate(ASKED).text == "hello"
        assert len(server.requests) == 1
        generator.close()


def test_what_waits_says_so_through_what_is_around_it(tmp_path: Path) -> None:
    served, local = llm.OpenAICompatible("m", "http://localhost:1/v1"), llm.Local()
    around = [llm.Fallbacks([local, served]), llm.Budget(served, tmp_path), llm.Cached(served, tmp_path)]
    assert [waits(each) for each in (served, *around, local, None)] == [True, True, True, True, False, False]


def test_a_bundle_has_the_budget_with_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with chat_server(fine("hello")) as server:
        served = llm.OpenAICompatible("m", server.base_url, key_env="")
        budget = llm.Budget(served, tmp_path / "a", tenants={"acme": llm.Limit(tokens=600)}, prices=llm.Prices(1.0, 2.0))
        definition = json.loads(json.dumps(sealed(budget)))
        assert (uses_secrets(definition), uses_secrets(sealed(served))) == (True, False)
        monkeypatch.setenv(FOLDER_ENV, str(tmp_path / "b"))
        again = generator_of(definition)
        assert sealed(again)["of"] == sealed(served)
        assert sealed(again)["calls"] == {**definition["calls"], "folder": str(tmp_path / "b")}
        assert isinstance(again.generate(ASKED, Options(tenant="globex")), Completion)
        with pytest.raises(llm.generation.OverBudget, match="tenant 'acme'"):
            again.generate(ASKED, Options(tenant="acme", most_tokens=600))
        assert list(llm.Budget(served, tmp_path / "b").spent()) == ["globex"]
        served.close()
        again.limited.close()  # type: ignore[attr-defined]


def test_a_budget_that_a_bundle_would_lose_is_refused(tmp_path: Path) -> None:
    served = llm.OpenAICompatible("m", "http://localhost:1/v1")
    inside = llm.Fallbacks([llm.Budget(served, tmp_path), served])
    with pytest.raises(BadRequest, match="put the budget around all"):
        application(generator=inside).parameters()


def test_a_policy_that_refuses_strangers_refuses_requests_and_no_samples() -> None:
    policy = llm.Policy(llm.Guardrails((llm.Secrets(),)), {"acme": {}}, unknown="refuse")
    assert policy.of("acme").rules == policy.of(None).rules
    for tenant in ("globex", ""):
        with pytest.raises(UnknownTenant) as refused:
            policy.of(tenant)
        assert (refused.value.code, refused.value.http_status) == ("NR-567", 403)
    with pytest.raises(BadRule, match="unknown='no' says nothing"):
        llm.Policy(llm.Guardrails(), unknown="no")  # type: ignore[arg-type]
