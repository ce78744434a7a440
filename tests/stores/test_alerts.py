"""The outbox: each alert is written once, sent by one process, and tried again when it was not taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from noria.stores.alerts import (
    add_alert,
    alerts_of_incident,
    claim_alert,
    count_sent,
    count_waiting,
    due_alerts,
    failing_alerts,
    first_held,
    mark_failed,
    mark_sent,
    was_alerted,
)
from noria.stores.catalog import Catalog

NOW = datetime(2024, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def write(catalog: Catalog, *keys: str) -> None:
    with catalog.transaction() as c:
        for key in keys:
            add_alert(c, key, "i1", "log", {"event": key}, NOW)


def test_an_alert_is_written_once_and_due_in_order(catalog: Catalog) -> None:
    write(catalog, "opened", "resolved", "opened")
    assert [row.content["event"] for row in due_alerts(catalog, NOW, 10)] == ["opened", "resolved"]
    assert [row.key for row in due_alerts(catalog, NOW, 1)] == ["opened"]
    assert due_alerts(catalog, NOW - MINUTE, 10) == []
    with catalog.transaction() as c:
        assert was_alerted(c, "i1")
        assert not was_alerted(c, "i2")


def test_one_process_claims_an_alert_and_the_others_leave_it_alone(catalog: Catalog) -> None:
    write(catalog, "opened")
    [row] = due_alerts(catalog, NOW, 10)
    with catalog.amending() as c:
        assert claim_alert(c, row, NOW + MINUTE)
        assert not claim_alert(c, row, NOW + MINUTE)
    assert due_alerts(catalog, NOW, 10) == []
    assert first_held(catalog, NOW) == {("log", "i1"): row.sequence}
    assert [again.attempts for again in due_alerts(catalog, NOW + MINUTE, 10)] == [1]


def test_what_was_not_taken_waits_with_its_reason_until_it_is_sent(catalog: Catalog) -> None:
    write(catalog, "opened", "resolved")
    first, _ = due_alerts(catalog, NOW, 10)
    with catalog.amending() as c:
        claim_alert(c, first, NOW + MINUTE)
        mark_failed(c, first, "nobody picks up", NOW + 2 * MINUTE)
    [failing] = failing_alerts(catalog)
    assert (failing.key, failing.error, failing.next_at, failing.created_at) == ("opened", "nobody picks up", NOW + 2 * MINUTE, NOW)
    with catalog.amending() as c:
        mark_sent(c, first, NOW + 3 * MINUTE)
    assert (failing_alerts(catalog), count_waiting(catalog)) == ([], 1)
    assert [row.sent_at for row in alerts_of_incident(catalog, "i1")] == [NOW + 3 * MINUTE, None]
    assert (count_sent(catalog, "log", NOW), count_sent(catalog, "log", NOW + 3 * MINUTE), count_sent(catalog, "page", NOW)) == (1, 0, 0)
