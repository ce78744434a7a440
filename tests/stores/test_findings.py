"""Findings are open until they are closed; what is muted is nobody's concern for as long as that was said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from noria.stores.catalog import Catalog
from noria.stores.findings import (
    FindingRow,
    MuteRow,
    acknowledge_incident,
    add_finding,
    add_mute,
    close_finding,
    findings_of,
    findings_of_incident,
    findings_since,
    first_open,
    is_incident_open,
    is_known_or_open,
    is_muted,
    known_findings,
    open_findings,
    open_of_kinds,
)

NOW = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DRIFT = FindingRow("k1", "shop", "drift", "price", NOW, {"threshold": 3.5}, NOW - DAY, "page", "i1", "price has moved")
OTHER = replace(DRIFT, key="k2", kind="volume", subject="orders", opened_at=NOW + DAY, since=None)


def test_a_finding_comes_back_as_it_was_and_is_open_until_it_is_closed(catalog: Catalog) -> None:
    with catalog.transaction() as c:
        add_finding(c, OTHER)
        add_finding(c, DRIFT)
        assert first_open(c, "shop") == DRIFT
        assert open_of_kinds(c, "shop", ["volume"]) == [OTHER]
        close_finding(c, "k1", NOW + DAY, "ada")
        assert first_open(c, "shop") == OTHER
        assert is_incident_open(c, "i1")
        close_finding(c, "k2", NOW + DAY, "ada")
        assert first_open(c, "shop") is None
        assert not is_incident_open(c, "i1")
    assert open_findings(catalog) == open_findings(catalog, "shop") == []
    closed = [replace(row, closed_at=NOW + DAY, closed_by="ada") for row in (DRIFT, OTHER)]
    assert findings_of(catalog) == findings_of(catalog, ["shop"]) == closed
    assert findings_of(catalog, ["another shop"]) == []


def test_a_finding_is_known_by_its_key_and_while_it_is_open_by_what_it_is_about(catalog: Catalog) -> None:
    with catalog.transaction() as c:
        add_finding(c, DRIFT)
        assert is_known_or_open(c, "shop", "another key", "drift", "price")
        close_finding(c, "k1", NOW, "itself")
        assert not is_known_or_open(c, "shop", "another key", "drift", "price")
        assert is_known_or_open(c, "shop", "k1", "drift", "price")
    assert known_findings(catalog, ["k1", "k2"]) == {"k1"}


def test_acknowledging_reaches_what_is_open_of_an_incident(catalog: Catalog) -> None:
    with catalog.transaction() as c:
        for row in (DRIFT, OTHER):
            add_finding(c, row)
        close_finding(c, "k2", NOW, "itself")
        acknowledge_incident(c, "i1", NOW + DAY, "ada")
    found = {row.key: (row.acknowledged_at, row.acknowledged_by) for row in findings_of_incident(catalog, "i1")}
    assert found == {"k1": (NOW + DAY, "ada"), "k2": (None, None)}


def test_a_day_has_what_opened_closed_or_is_still_open(catalog: Catalog) -> None:
    ended = replace(DRIFT, key="ended", closed_at=NOW + 2 * DAY)
    over = replace(DRIFT, key="over", closed_at=NOW + DAY)
    with catalog.transaction() as c:
        for row in (OTHER, DRIFT, ended, over):
            add_finding(c, row)
    assert {row.key for row in findings_since(catalog, "shop", NOW + DAY)} == {"k1", "k2", "ended"}


def test_a_mute_ends_and_is_of_any_kind_and_subject_where_it_names_none(catalog: Catalog) -> None:
    with catalog.transaction() as c:
        add_mute(c, MuteRow("shop", "drift", "", NOW, NOW + DAY, "ada", "known"))
        assert is_muted(c, "shop", "drift", "price", NOW)
        assert not is_muted(c, "shop", "drift", "price", NOW + DAY)
        assert not is_muted(c, "shop", "volume", "price", NOW)
        assert not is_muted(c, "another shop", "drift", "price", NOW)
