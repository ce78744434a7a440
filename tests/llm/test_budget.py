"""Budgets of tokens and money: refused before they are spent, whoever spends, and however an answer ends."""

from __future__ import annotations

import multiprocessing
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chat_server import chat_server, dies_after, fine, hangs, status
from noria.core.clock import ReplayClock
from noria.llm.generation import (
    FREE,
    AnswerTimedOut,
    BadRequest,
    Budget,
    Cached,
    Limit,
    Message,
    NoAnswer,
    NotAnswered,
    OpenAICompatible,
    Options,
    OverBudget,
    Prices,
    Retries,
)
from noria.llm.generation.prices import tokens_in, tokens_of
from noria.stores.spending import Amount, SpendingLedger, Spent

HI = [Message("user", "hi")]
PROMPT = tokens_of(HI)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def of(base_url: str, prices: Prices | None = None) -> OpenAICompatible:
    return OpenAICompatible("m", base_url, retries=Retries(times=0), key_env="NORIA_TEST_KEY", prices=prices)


def small(tokens: int, tenant: str = "", timeout: float = 30.0) -> Options:
    return Options(most_tokens=tokens, tenant=tenant, timeout=timeout)


def test_an_answer_that_could_go_over_is_refused_before_it_is_asked_for(tmp_path: Path) -> None:
    with chat_server(fine("a")) as server:  # each takes 7 + 3 tokens
        budget = Budget(of(server.base_url), tmp_path, a_day=Limit(tokens=50), clock=ReplayClock(NOON))
        for _ in range(3):
            budget.generate(HI, small(10))
        assert budget.spent() == {"": Spent(Amount(30, 0.0), 3)}
        with pytest.raises(
            OverBudget, match=rf"for 2026-01-01 is spent: the answer may take {PROMPT + 15} tokens, and 20 tokens is left"
        ) as caught:
            budget.generate(HI, small(15))
        assert (caught.value.retry_after, caught.value.http_status) == (12 * 3600 + 1, 429)
        with pytest.raises(OverBudget):
            next(budget.stream(HI, small(15)))
        assert len(server.requests) == 3


def test_money_is_counted_at_its_prices(tmp_path: Path) -> None:
    prices = Prices(1_000_000, 2_000_000)  # a dollar a token, and two
    with chat_server(fine("a")) as server:
        budget = Budget(of(server.base_url, prices), tmp_path, a_day=Limit(dollars=40.0), prices=prices, clock=ReplayClock(NOON))
        budget.generate(HI, small(3))
        assert budget.spent()[""].amount.dollars == 7 + 3 * 2
        with pytest.raises(OverBudget, match=r"and \$27\.0000 is left"):
            budget.generate(HI, small(20))
    with pytest.raises(BadRequest, match="there are no prices"):
        Budget(of("http://a/v1"), tmp_path, tenant=Limit(dollars=1))
    Budget(of("http://a/v1"), tmp_path, tenant=Limit(dollars=1), prices=FREE)


def test_tenants_have_their_own_and_share_the_whole(tmp_path: Path) -> None:
    with chat_server(fine("a")) as server:
        tenants = {"large": Limit(tokens=1000)}
        budget = Budget(of(server.base_url), tmp_path, a_day=Limit(tokens=70), tenant=Limit(tokens=25), tenants=tenants)
        budget.generate(HI, small(3, "small"))
        with pytest.raises(OverBudget, match="tenant 'small'"):
            budget.generate(HI, small(10, "small"))
        budget.generate(HI, small(10, "other"))
        budget.generate(HI, small(10, "large"))
        with pytest.raises(OverBudget):
            budget.generate(HI, small(40, "large"))
        assert {name: spent.amount.tokens for name, spent in budget.spent().items()} == {"small": 10, "other": 10, "large": 10}
        assert "tenant" not in server.requests[0]


def test_a_new_day_is_a_new_budget(tmp_path: Path) -> None:
    clock = ReplayClock(NOON)
    with chat_server(fine("a")) as server:
        budget = Budget(of(server.base_url), tmp_path, a_day=Limit(tokens=25), clock=clock)
        budget.generate(HI, small(10))
        with pytest.raises(OverBudget):
            budget.generate(HI, small(10))
        clock.advance_to(datetime(2026, 1, 2, tzinfo=UTC))
        budget.generate(HI, small(10))
        assert (budget.spent("2026-01-01"), budget.spent("2026-01-02")) == (budget.spent("2026-01-01"), budget.spent())


def test_what_a_failed_answer_took_is_spent_and_no_more(tmp_path: Path) -> None:
    with chat_server(status(500), dies_after("word " * 20), hangs) as server:
        budget = Budget(of(server.base_url), tmp_path)
        with pytest.raises(NotAnswered):
            budget.generate(HI)
        assert budget.spent()[""].amount.tokens == 0
        with pytest.raises(NotAnswered):
            list(budget.stream(HI))
        after = budget.spent()[""].amount.tokens
        assert after == PROMPT + tokens_in("word " * 20)
        with pytest.raises(AnswerTimedOut):
            budget.generate(HI, small(100, timeout=0.1))
        assert budget.spent()[""].amount.tokens == after + PROMPT


def test_a_reader_who_leaves_has_spent_what_was_written(tmp_path: Path) -> None:
    with chat_server(fine("one ", "two ", "three")) as server:
        budget = Budget(of(server.base_url), tmp_path)
        parts = budget.stream(HI, small(400))
        next(parts)
        assert budget.spent()[""].amount.tokens == PROMPT + 400
        parts.close()  # type: ignore[attr-defined]
        assert budget.spent()[""].amount.tokens == PROMPT + tokens_in("one ")


def test_kept_answers_cost_nothing(tmp_path: Path) -> None:
    with chat_server(fine("a")) as server:
        budget = Budget(Cached(of(server.base_url), tmp_path), tmp_path)
        for _ in range(3):
            budget.generate(HI)
    assert budget.spent() == {"": Spent(Amount(10, 0.0), 3)}


def test_threads_never_spend_the_same_rest(tmp_path: Path) -> None:
    answered, refused = list[str](), list[str]()
    with chat_server(fine("a")) as server:
        budgets = [Budget(of(server.base_url), tmp_path, a_day=Limit(tokens=105)) for _ in range(4)]

        def ask(budget: Budget) -> None:
            for _ in range(8):
                try:
                    answered.append(budget.generate(HI, small(10)).text)
                except NoAnswer as failure:
                    refused.append(failure.code)

        threads = [threading.Thread(target=ask, args=(budget,)) for budget in budgets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(refused) == {"NR-839"}
    assert budgets[0].spent()[""].amount.tokens == 10 * len(answered) <= 105
    assert len(answered) >= 8


def _spends(path: Path) -> None:
    ledger = SpendingLedger(path)
    for _ in range(25):
        if ledger.reserve("d", "", Amount(10, 0.5), {None: (600, None)}) is None:
            ledger.settle("d", "", Amount(10, 0.5), Amount(8, 0.25))


def test_processes_never_spend_the_same_rest(tmp_path: Path) -> None:
    processes = [multiprocessing.get_context("spawn").Process(target=_spends, args=(tmp_path / "s.sqlite",)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert SpendingLedger(tmp_path / "s.sqlite").spent("d") == {"": Spent(Amount(592, 18.5), 74)}


def test_a_budget_without_its_ledger_lets_nothing_through(tmp_path: Path) -> None:
    with chat_server(fine("a")) as server:
        budget = Budget(of(server.base_url), tmp_path)
        for name in ("spending.sqlite", "spending.sqlite-wal", "spending.sqlite-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / "spending.sqlite").write_bytes(b"no database at all" * 100)
        with pytest.raises(NotAnswered, match="the budget's ledger"):
            budget.generate(HI)
        assert server.requests == []
