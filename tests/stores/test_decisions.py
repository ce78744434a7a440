"""Decisions: recorded once, attempted, carried out or given up; and what a person asked for in vain stands in nobody's way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from noria.stores.catalog import Catalog
from noria.stores.decisions import (
    BY_HAND,
    Verb,
    attempts_of,
    begin_attempt,
    decision_of,
    decisions_of,
    finish_decision,
    finish_waiting_trainings,
    give_up,
    newest_decision,
    newest_of_the_loop,
    record_decision,
    record_failure,
    training_decided_at,
    unfinished_decisions,
    was_decided,
    was_decided_about,
)

NOW = datetime(2024, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def record(catalog: Catalog, key: str, at: datetime = NOW, *, action: Verb = "train", subject: str = "", reason: str = "stale") -> None:
    with catalog.transaction() as c:
        evidence = {"age": 1.5, "unknown": float("nan")}
        record_decision(c, key=key, endpoint="shop", at=at, action=action, subject=subject, reason=reason, evidence=evidence)


def test_a_decision_is_recorded_once_and_comes_back_as_it_was(catalog: Catalog) -> None:
    record(catalog, "a", NOW + timedelta(microseconds=1))
    record(catalog, "a", reason="another")
    [row] = decisions_of(catalog, "shop")
    assert (row.key, row.at, row.action, row.reason) == ("a", NOW + timedelta(microseconds=1), "train", "stale")
    assert row.evidence == {"age": 1.5, "unknown": None}
    assert (row.done, row.failed, row.attempts, row.next_at, row.error) == (False, False, 0, None, {})
    assert decisions_of(catalog, "another shop") == []


def test_an_attempt_that_failed_is_told_until_the_next_one_begins(catalog: Catalog) -> None:
    record(catalog, "a")
    with catalog.transaction() as c:
        begin_attempt(c, "a", attempts_of(c, "a") + 1, NOW + MINUTE)
        record_failure(c, "a", {"code": "NR-411"})
    failed = decision_of(catalog, "a")
    assert (failed.attempts, failed.next_at, failed.error) == (1, NOW + MINUTE, {"code": "NR-411"})
    with catalog.transaction() as c:
        begin_attempt(c, "a", attempts_of(c, "a") + 1, NOW + 5 * MINUTE)
    assert (decision_of(catalog, "a").attempts, decision_of(catalog, "a").error) == (2, {})


def test_what_is_done_or_given_up_is_unfinished_no_more(catalog: Catalog) -> None:
    for key in ("done", "given up", "waits"):
        record(catalog, key)
    with catalog.transaction() as c:
        finish_decision(c, "done", "a candidate")
        give_up(c, "given up", "given up: it hangs", NOW + MINUTE)
    assert [row.key for row in unfinished_decisions(catalog, "shop")] == ["waits"]
    assert (decision_of(catalog, "given up").failed, decision_of(catalog, "given up").next_at) == (True, NOW + MINUTE)


def test_waiting_trainings_are_finished_but_for_one_and_nothing_else_is(catalog: Catalog) -> None:
    record(catalog, "loop's")
    record(catalog, "mine", reason=BY_HAND)
    record(catalog, "promotion", action="promote")
    with catalog.transaction() as c:
        finish_waiting_trainings(c, "shop", "superseded", but="mine")
    assert [row.key for row in unfinished_decisions(catalog, "shop")] == ["mine", "promotion"]
    assert decision_of(catalog, "loop's").outcome == "superseded"


def test_what_a_person_asked_for_in_vain_is_not_the_newest_decision(catalog: Catalog) -> None:
    record(catalog, "loop's", NOW)
    record(catalog, "mine", NOW + MINUTE, reason=BY_HAND)
    newest, of_the_loop = newest_decision(catalog, "shop"), newest_of_the_loop(catalog, "shop")
    assert newest is not None
    assert of_the_loop is not None
    assert (newest.key, of_the_loop.key) == ("mine", "loop's")
    assert training_decided_at(catalog, "shop") == NOW + MINUTE
    with catalog.transaction() as c:
        give_up(c, "mine", "given up", NOW + MINUTE)
    newest = newest_decision(catalog, "shop")
    assert newest is not None
    assert newest.key == "loop's"
    assert training_decided_at(catalog, "shop") == NOW


def test_whether_something_was_decided_is_asked_since_a_moment_and_about_a_bundle(catalog: Catalog) -> None:
    assert not was_decided(catalog, "shop")
    assert training_decided_at(catalog, "shop") is None
    record(catalog, "a", action="shadow", subject="bundle")
    assert was_decided(catalog, "shop", NOW)
    assert not was_decided(catalog, "shop", NOW + MINUTE)
    assert was_decided_about(catalog, "shop", "bundle", NOW)
    assert not was_decided_about(catalog, "shop", "bundle", NOW + MINUTE)
    with catalog.transaction() as c:
        give_up(c, "a", "given up", NOW)
    assert not was_decided(catalog, "shop")
