"""`noria status`: what is wrong stands first, with the next command; the rest is a line each."""

from __future__ import annotations

from typing import Any

import pytest

from noria.cli.show_status import show_status
from noria.evidence.problems import incidents

HEALTHY: dict[str, Any] = {"health": "healthy", "evidence": {"windows": 48, "evidence": 98.7, "threshold": 135.185}}


def finding(key: str, **more: Any) -> dict[str, Any]:
    told = {"key": key, "endpoint": "shop", "severity": "inform", "incident": "i1", "acknowledged_by": None, "since": None}
    told |= {
        "kind": "drift",
        "subject": key,
        "closed_at": None,
        "cause": None,
        "strength": "3.2 times the threshold",
        "fix": f"check {key}",
    }
    return {**told, "opened_at": "2024-03-01T06:00:00+00:00", "summary": f"{key} moved", **more}


def project(**more: Any) -> dict[str, Any]:
    endpoint = {"name": "shop", "champion": "a" * 64, "since": "2024-01-01T00:00:00+00:00", "trained_as_of": "2024-01-01T00:00:00+00:00"}
    bad = {"monitor": "table: orders", "health": "unhealthy", "cause": "no rows [since Monday]"}
    endpoint |= {"challenger": None, "reports": [], "history": None, "decisions": [], "monitors": [{"monitor": "drift", **HEALTHY}, bad]}
    return {
        "project": "shop",
        "folder": "/srv/shop",
        "at": "2024-03-02T03:00:00+00:00",
        "health": {"health": "healthy", "evidence": {}},
        "incidents": [],
        "stages": [],
        "endpoints": [endpoint],
        "tables": [{"name": "orders", "version": 3, "rows": 1000, "quarantined": 2, "reasons": ["city is null"]}],
        "conservation": [{"stage": "ingest orders", "rows_in": 10, "rows_out": {"stored": 10}, "holds": True}],
        "next": "noria serve shop",
        **more,
    }


def shown(capsys: pytest.CaptureFixture[str], **more: Any) -> list[str]:
    show_status(project(**more))
    return [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_incidents_are_grouped_the_worst_first_with_the_next_command() -> None:
    price, city = finding("price"), finding("city", severity="page", since="2024-02-28T00:00:00+00:00")
    late = finding("late", incident="i2", severity="page", acknowledged_by="ada")
    found = incidents([price, city, late, price])  # a project's findings stand at each of its endpoints
    assert [(each["summary"], each["findings"], each["since"][:10]) for each in found] == [
        ("city moved", 2, "2024-02-28"),
        ("late moved", 1, "2024-03-01"),
    ]
    assert [each["next"] for each in found] == ["noria findings ack city", "noria findings resolve late"]
    assert incidents([]) == []


def test_what_is_wrong_stands_first(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, incidents=incidents([finding("price"), finding("city", severity="page")]))
    assert lines[1] == "● 1 open incident; right now healthy: 1 endpoints, 1 sums hold"
    assert lines[2] == "page shop: city moved (+ 1 more findings)"
    assert lines[3].strip() == "→ check city"
    assert lines[4].strip() == "since 2024-03-01 06:00, 3.2 times the threshold; noria findings ack city"
    order = [next(i for i, line in enumerate(lines) if each in line) for each in ("orders: unhealthy", "drift")]
    assert order == sorted(order)


def test_a_monitor_says_how_near_it_is_to_its_threshold(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys)
    assert "  ● drift: 73% of the threshold, windows 48" in lines
    assert "  ● table: orders: unhealthy: no rows [since Monday]" in lines
    assert "✓ rows in = rows out, in all 1 sums" in lines


def test_what_runs_is_seen_and_what_is_silent_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert "running: no server and no loop has run here" in shown(capsys)
    stages = [
        {"stage": "loop", "at": "2024-03-02T02:59:45+00:00", "stalled": None},
        {"stage": "serve/8000", "at": "2024-03-01T20:00:00+00:00", "stalled": "no heartbeat"},
    ]
    assert "running: loop 15 s ago, serve/8000 is silent for 7 h" in shown(capsys, stages=stages)


def test_a_sum_that_does_not_hold_is_told_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    broken = {"stage": "requests shop", "rows_in": 10, "rows_out": {"logged": 9}, "holds": False}
    lines = shown(capsys, conservation=[*project()["conservation"], broken])
    assert "✗ rows are missing  requests shop: 10 ≠ 9 logged" in lines
    assert not [line for line in lines if line.startswith("✓")]
