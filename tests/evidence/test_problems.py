"""What is wrong is told in one order and in the same words; a page begins with it."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from noria.evidence.problems import incidents, next_command, parted, reasons, said, strength, worst_first
from noria.evidence.to_do import by_fix, by_incident, healthy, unknown
from pages import Page


def finding(subject: str, **more: Any) -> dict[str, Any]:
    evidence = {"evidence": 320.0, "threshold": 100.0, "looks_like": "upstream fault"}
    return {
        "key": f"shop/a1/drift/{subject}",
        "endpoint": "shop",
        "kind": "drift",
        "subject": subject,
        "severity": "inform",
        "incident": "shop/1",
        "since": "2024-03-01T00:00:00+00:00",
        "opened_at": "2024-03-02T00:00:00+00:00",
        "closed_at": None,
        "closed_by": None,
        "acknowledged_by": None,
        "summary": f"{subject} has drifted; it looks like an upstream fault",
        "fix": "check `orders`",
        **reasons(evidence),
        **more,
    }


def test_strength_is_told_against_the_threshold() -> None:
    shares = (0.001, 0.7323, 0.9999, 1.0, 3.21, 18.4, 1e9)
    assert [strength(share * 50, 50) for share in shares] == [
        "under 1% of the threshold",
        "73% of the threshold",
        "99% of the threshold",
        "1.0 times the threshold",
        "3.2 times the threshold",
        "18 times the threshold",
        "over 1,000 times the threshold",
    ]
    assert reasons({"why": "no rows"}) == {"cause": None, "strength": None}


def test_a_cause_stands_once_where_it_stands_apart() -> None:
    assert parted(finding("price")) == ("price has drifted", "upstream fault")
    worse = finding("loss", summary="loss is +1; likely cause: input drift", cause="input drift")
    assert parted(worse) == ("loss is +1", "input drift")
    assert parted(finding("x", summary="x moved", cause=None)) == ("x moved", None)


def test_the_worst_comes_first_by_severity_then_kind_then_time() -> None:
    late = finding("late", since="2024-03-05T00:00:00+00:00")
    found = [late, finding("drift"), finding("rows", severity="page", kind="volume"), finding("loss", severity="page", kind="performance")]
    assert [f["subject"] for f in worst_first(found)] == ["loss", "rows", "drift", "late"]
    (first, second) = incidents([*found, finding("other", incident="shop/2"), finding("over", closed_at="2024-03-03T00:00:00+00:00")])
    assert (first["summary"], first["findings"], first["strength"]) == (found[3]["summary"], 4, "3.2 times the threshold")
    assert second["incident"] == "shop/2"


def test_the_next_command_names_a_finding_as_short_as_it_can() -> None:
    price, spaced = finding("price"), finding("predictions: repeated")
    other = finding("price", key="shop/a1/performance/price", kind="performance")
    assert next_command(price, [price, spaced]) == "noria findings ack price"
    assert next_command(price, [price, other]) == f"noria findings ack {price['key']}"
    assert shlex.split(next_command(spaced, [price, spaced]))[3] == "predictions: repeated"
    shop = finding("shop")  # with which every key begins
    assert next_command(shop, [shop, price]) == f"noria findings ack {shop['key']}"
    assert next_command({**price, "acknowledged_by": "Ada"}, [price]) == "noria findings resolve price"


def test_a_monitor_says_why_it_is_as_it_is() -> None:
    assert said({"health": "unhealthy", "cause": "no rows"}) == "no rows"
    assert said({"health": "unknown", "why": "no outcomes"}) == "no outcomes"
    told = {"health": "healthy", "evidence": {"windows": 28, "up_to": "2024-02-25", "evidence": 50.0, "threshold": 100.0}}
    assert said(told) == "50% of the threshold, windows 28, up to 2024-02-25"


def test_a_page_begins_with_each_incident_its_cause_what_to_do_and_the_next_command() -> None:
    loss = finding("loss", severity="page", kind="performance", summary="loss <b>", cause=None)
    html = by_incident([finding("price"), loss, finding("city", incident="shop/2")])
    text = Page(html).text
    first, second = html.split("<div class='todo ")[1:]
    assert first.startswith("page'><p class='what'>loss &lt;b&gt;</p><p class='dim'>since 1 Mar 2024 · 3.2 times the threshold</p>")
    assert "Do: <b>Check <code>orders</code></b>" in first
    assert "Next: <code>noria findings ack loss</code>" in first
    assert "<li>price has drifted <span class='dim'>since 1 Mar 2024" in first
    assert "Likely cause: <b>upstream fault</b>" in second
    assert "noria findings ack city" in text
    over = by_incident([finding("price", closed_at="2024-03-04T06:00:00+00:00", closed_by="Ada")])
    assert "Resolved at 4 Mar 2024 06:00 UTC, by Ada." in over
    assert "Next:" not in over
    many = by_incident([finding(f"x{i}", incident=str(i)) for i in range(7)])
    assert "and 3 more incidents" in many


def test_rows_that_no_project_keeps_are_told_by_what_to_do() -> None:
    found = [finding("a", fix="retrain", model="m1"), finding("b", fix="retrain", model="m2"), finding("c", fix="check c")]
    html = by_fix(found)
    assert [html.count(words) for words in ("<div class='todo", "m1: a has drifted", "m2: b has drifted", "Do: <b>Retrain</b>")] == [
        2,
        1,
        1,
        1,
    ]
    assert "noria findings" not in html


@pytest.mark.parametrize("html", [healthy("Nothing & well", "2 <monitors>"), unknown("Nothing & well", [("a", "2 <monitors>")])])
def test_what_is_well_or_unknown_is_one_line(html: str) -> None:
    assert "Nothing & well" in Page(html).text
    assert "2 <monitors>" in Page(html).text
