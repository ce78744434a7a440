"""The life of findings, and that what is to be told is told: once, in order, and not lost when a channel is down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noria.alerting.channels import Alert, ChannelFailed
from noria.alerting.incidents import (
    Recipients,
    UnknownFinding,
    acknowledge,
    digest,
    mute,
    open_finding,
    resolve,
    send_due,
    sync_findings,
    undelivered,
)
from noria.evidence.figures import findings
from noria.monitoring.findings import Finding, Kind, Observed
from noria.stores.catalog import Catalog

NOW = datetime(2024, 3, 1, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
OUTBOX = Recipients(("one", "two"))

KINDS = ("data_quality", "volume", "drift", "performance", "estimated_performance", "skew", "objective", "metric", "no_data", "stalled")


class Phone:
    """A channel that remembers, and fails as told."""

    def __init__(self) -> None:
        self.heard: list[Alert] = []
        self.down = False
        self.pause: timedelta | None = None

    def send(self, told: Alert) -> None:
        if self.down:
            raise ChannelFailed("phone", "nobody picks up", self.pause)
        self.heard.append(told)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(tmp_path / "catalog.db")
    opened.take_lease()
    yield opened
    opened.close()


def found(subject: str = "price", kind: Kind = "data_quality", since: datetime = NOW) -> Finding:
    return Finding(kind, subject, since, "page", f"{subject} is wrong", "fix it", {"share": 0.2})


def seen(*given: Finding, judged: tuple[Kind, ...] = KINDS) -> Observed:
    return Observed(given, frozenset(judged))


def see(catalog: Catalog, now: datetime, *given: Finding, judged: tuple[Kind, ...] = KINDS, recipients: Recipients = OUTBOX) -> None:
    sync_findings(catalog, "shop", "c1", seen(*given, judged=judged), now, recipients)


def still_open(catalog: Catalog) -> list[str]:
    return [f["subject"] for f in findings(catalog) if f["closed_at"] is None]


def test_an_episode_that_begins_anew_while_the_old_one_is_open_is_another_finding(catalog: Catalog) -> None:
    def drift(since: datetime, *, episode: bool = True) -> Finding:
        return replace(found("weather", "drift", since), episode=episode)

    see(catalog, NOW, drift(NOW))
    see(catalog, NOW + DAY, drift(NOW))
    see(catalog, NOW + 2 * DAY, drift(NOW + DAY))
    told = [(f["since"][:10], f["closed_at"] and f["closed_at"][:10]) for f in findings(catalog)]
    assert told == [("2024-03-01", "2024-03-03"), ("2024-03-02", None)]
    see(catalog, NOW + 3 * DAY, drift(NOW + 2 * DAY, episode=False))  # what only says since when it is seen is the same finding
    assert len(findings(catalog)) == 2


def test_a_finding_opens_once_is_told_once_and_ends_by_itself(catalog: Catalog) -> None:
    phones = {"one": Phone(), "two": Phone()}
    for turn in range(5):
        see(catalog, NOW + turn * HOUR, found())
        send_due(catalog, phones.__getitem__, NOW + turn * HOUR, 30)
    see(catalog, NOW + DAY)
    send_due(catalog, phones.__getitem__, NOW + DAY, 30)
    assert still_open(catalog) == []
    for phone in phones.values():
        assert [told.event for told in phone.heard] == ["opened", "resolved"]
        assert len({told.incident for told in phone.heard}) == 1
    see(catalog, NOW + 2 * DAY, found(since=NOW + DAY))
    assert still_open(catalog) == ["price"]


def test_who_was_alerted_finds_the_same_words_later(catalog: Catalog) -> None:
    phone = Phone()
    see(catalog, NOW, replace(found(), summary="20% are nulls", fix="check `orders`"), recipients=Recipients(("one",)))
    see(catalog, NOW + HOUR, replace(found(), summary="35% are nulls", fix="check more"), recipients=Recipients(("one",)))
    send_due(catalog, lambda _: phone, NOW + HOUR, 100)
    (row,), (alert,) = findings(catalog), phone.heard
    assert (row["summary"], row["fix"]) == (alert.summary, alert.fix) == ("20% are nulls", "check `orders`")


def test_details_are_looked_up_when_a_finding_opens_and_not_again(catalog: Catalog) -> None:
    looks = []

    def detailed() -> Finding:
        looks.append(1)
        return replace(found(), summary="price is wrong in ams")

    for turn in range(3):
        see(catalog, NOW + turn * HOUR, replace(found(), details=detailed))
    assert len(looks) == 1
    assert [f["summary"] for f in findings(catalog)] == ["price is wrong in ams"]


def test_what_could_not_be_judged_is_not_over(catalog: Catalog) -> None:
    see(catalog, NOW, found())
    see(catalog, NOW + DAY, judged=("performance",))
    assert still_open(catalog) == ["price"]


def test_one_cause_is_one_incident_and_resolved_with_its_last_finding(catalog: Catalog) -> None:
    phone = Phone()
    see(catalog, NOW, found("price"), found("qty"), recipients=Recipients(("one",)))
    see(catalog, NOW + HOUR, found("price"), found("log_loss", "performance", NOW + HOUR), recipients=Recipients(("one",)))
    assert len({f["incident"] for f in findings(catalog)}) == 1
    send_due(catalog, lambda _: phone, NOW + HOUR, 30)
    assert [told.event for told in phone.heard] == ["opened"] * 3
    assert phone.heard[1].summary.startswith("also: ")
    see(catalog, NOW + DAY, recipients=Recipients(("one",)))
    send_due(catalog, lambda _: phone, NOW + DAY, 30)
    assert [told.event for told in phone.heard].count("resolved") == 1


def test_people_acknowledge_mute_and_resolve(catalog: Catalog) -> None:
    phone = Phone()
    see(catalog, NOW, found("price"))
    acknowledge(catalog, "price", "ada", NOW, OUTBOX)
    acknowledge(catalog, "shop/c1/data_quality/pri", "ada", NOW, OUTBOX)
    mute(catalog, "price", "ada", 3 * DAY, "known", NOW)
    resolve(catalog, "price", "ada", NOW + HOUR, OUTBOX)
    see(catalog, NOW + 2 * HOUR, found("price"))
    assert still_open(catalog) == []  # closed by a person, and not begun anew
    see(catalog, NOW + DAY, found("price", since=NOW + DAY))
    assert still_open(catalog) == ["price"]  # kept and shown, but nobody is told
    send_due(catalog, lambda _: phone, NOW + DAY, 30)
    assert sorted(told.event for told in phone.heard) == ["acknowledged"] * 2 + ["opened"] * 2 + ["resolved"] * 2
    see(catalog, NOW + 2 * DAY)
    see(catalog, NOW + 5 * DAY, found("price", since=NOW + 5 * DAY))
    before = len(phone.heard)
    send_due(catalog, lambda _: phone, NOW + 5 * DAY, 30)
    assert [told.event for told in phone.heard[before:]] == ["opened"] * 2  # the mute has expired
    with pytest.raises(UnknownFinding, match="did you mean"):
        acknowledge(catalog, "shop/c1/data_quality/prise/20240306T0000", "ada", NOW, OUTBOX)


def test_a_channel_that_is_down_loses_nothing_and_holds_up_no_other(catalog: Catalog) -> None:
    phones = {"one": Phone(), "two": Phone()}
    phones["two"].down = True
    now = NOW
    for i in range(12):
        see(catalog, now, *[found(f"c{n}", since=NOW) for n in range(i + 1)])
        send_due(catalog, phones.__getitem__, now, 1000)
        now += HOUR
    assert len(phones["one"].heard) == 12
    assert phones["two"].heard == []
    assert undelivered(catalog)["two"]["waiting"] >= 1
    assert "nobody picks up" in undelivered(catalog)["two"]["why"]
    phones["two"].down = False
    for _ in range(4):
        now += HOUR
        send_due(catalog, phones.__getitem__, now, 1000)
    assert [told.summary for told in phones["two"].heard] == [told.summary for told in phones["one"].heard]
    assert undelivered(catalog) == {}


def test_what_ended_is_never_told_before_what_opened(catalog: Catalog) -> None:
    phone, recipients = Phone(), Recipients(("one",))
    phone.down = True
    see(catalog, NOW, found(), recipients=recipients)
    send_due(catalog, lambda _: phone, NOW, 30)  # fails: again in a minute
    send_due(catalog, lambda _: phone, NOW + timedelta(seconds=61), 30)  # fails: again in two
    phone.down = False
    later = NOW + timedelta(seconds=90)
    see(catalog, later, recipients=recipients)
    sync_findings(catalog, "other", "c1", seen(found("qty")), later, recipients)
    assert send_due(catalog, lambda _: phone, later, 30).sent == 1  # of another incident, which waits for nothing
    send_due(catalog, lambda _: phone, NOW + timedelta(minutes=5), 30)
    assert [(told.endpoint, told.event) for told in phone.heard] == [("other", "opened"), ("shop", "opened"), ("shop", "resolved")]


def test_a_channel_is_asked_again_later_and_later_or_when_it_says(catalog: Catalog) -> None:
    phone = Phone()
    phone.down, phone.pause = True, timedelta(seconds=17)
    see(catalog, NOW, found(), recipients=Recipients(("one",)))
    assert send_due(catalog, lambda _: phone, NOW, 30).failing
    assert not send_due(catalog, lambda _: phone, NOW + timedelta(seconds=16), 30).failing
    phone.pause = None
    assert send_due(catalog, lambda _: phone, NOW + timedelta(seconds=18), 30).failing
    assert not send_due(catalog, lambda _: phone, NOW + timedelta(seconds=100), 30).failing
    phone.down = False
    assert send_due(catalog, lambda _: phone, NOW + timedelta(minutes=5), 30).sent == 1


def test_no_more_than_so_many_an_hour_and_the_rest_later(catalog: Catalog) -> None:
    phone = Phone()
    see(catalog, NOW, *[found(f"c{n}") for n in range(50)], recipients=Recipients(("one",)))
    assert send_due(catalog, lambda _: phone, NOW, 30).sent == 30
    assert send_due(catalog, lambda _: phone, NOW + timedelta(minutes=30), 30).sent == 0
    assert send_due(catalog, lambda _: phone, NOW + timedelta(minutes=61), 30).sent == 20


def test_the_watcher_and_the_controller_do_not_open_the_same_thing_twice(catalog: Catalog) -> None:
    for hour in range(3):
        open_finding(catalog, "project", found("loop", "stalled", NOW + hour * HOUR), NOW + hour * HOUR, OUTBOX)
    assert still_open(catalog) == ["loop"]


def test_the_digest_comes_once_a_day(catalog: Catalog) -> None:
    phone = Phone()
    see(catalog, NOW, found())
    for hour in range(30):
        digest(catalog, "shop", NOW + hour * HOUR, Recipients(("one",)))
    send_due(catalog, lambda _: phone, NOW + 30 * HOUR, 30)
    assert [told.event for told in phone.heard].count("digest") == 2
    assert "1 still open" in next(told.summary for told in phone.heard if told.event == "digest")


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sets(st.sampled_from(["a", "b", "c"])), st.booleans()), max_size=12))
def test_whatever_happens_every_opening_is_told_and_every_incident_ends(
    tmp_path_factory: pytest.TempPathFactory, turns: list[tuple[set[str], bool]]
) -> None:
    catalog = Catalog(tmp_path_factory.mktemp("c") / "catalog.db")
    catalog.take_lease()
    phone, now = Phone(), NOW
    begun = dict.fromkeys("abc", NOW)
    before: set[str] = set()
    for subjects, down in [*turns, (set(), False), (set(), False)]:
        now += 2 * HOUR
        begun |= dict.fromkeys(subjects - before, now)
        phone.down = down
        see(catalog, now, *[found(name, since=begun[name]) for name in sorted(subjects)], recipients=Recipients(("one",)))
        send_due(catalog, lambda _: phone, now, 1000)
        before = subjects
    send_due(catalog, lambda _: phone, now + 2 * HOUR, 1000)
    rows = findings(catalog)
    assert all(f["closed_at"] for f in rows)
    assert len([told for told in phone.heard if told.event == "opened"]) == len(rows)
    ended = [told.incident for told in phone.heard if told.event == "resolved"]
    assert sorted(ended) == sorted({f["incident"] for f in rows})
    catalog.close()
