"""The report: self-contained, small, and in words that fit the figures, with much data and with little."""

from __future__ import annotations

import re
from typing import Any

import pytest

from noria.evidence.report import headline, render_report
from pages import stands_alone


def policy(loss: float, retrainings: int) -> dict[str, Any]:
    return {"log_loss": loss, "auc": 0.7, "predictions": 100, "retrainings": retrainings, "promotions": retrainings, "seconds": 1.0}


DRIFT = {"evidence": 2000.0, "threshold": 1000.0, "windows": 40}
METRICS = {
    "metric": {"name": "log_loss", "title": "log-loss", "best": "lowest"},
    "discrimination": {"name": "auc", "title": "AUC", "best": "highest"},
}
WORSE = {**DRIFT, "metric": "log_loss", "baseline": 0.4, "interval": {"mean": 0.45, "lower": 0.42, "upper": 0.48, "units": 5}}
INTERVAL = {"mean": 0.01, "lower": -0.01, "upper": 0.03, "units": 5}


def figures(weeks: int) -> dict[str, Any]:
    losses = {"static": 0.5, "calendar": 0.45, "loop": 0.46}
    return {
        "span": {"start": "2024-01-01T00:00:00+00:00", "end": "2024-12-30T00:00:00+00:00"},
        "outcome": "churned = yes",
        "observed": "share of churned = yes",
        **METRICS,
        "holdout": "30d",
        "every": "1h",
        "confidence": 0.95,
        "policies": {"loop": policy(0.46, 2), "calendar": policy(0.45, 10), "static": policy(0.5, 0)},
        "weeks": [
            {"week": w, "start": "2024-01-01T00:00:00+00:00", "rows": 10, "base_rate": 0.2, "observed": "0.200", "log_loss": losses}
            for w in range(1, weeks + 1)
        ],
        "decisions": [
            {"time": "2024-03-01T00:00:00+00:00", "action": "train", "reason": "<script>x</script>", "evidence": {}, "outcome": "o"},
            {"time": "2024-03-02T00:00:00+00:00", "action": "promote", "reason": "r", "evidence": {"interval": None}, "outcome": "o"},
            {"time": "2024-03-03T00:00:00+00:00", "action": "train", "reason": "r", "evidence": DRIFT, "outcome": "o"},
            {"time": "2024-03-04T00:00:00+00:00", "action": "promote", "reason": "r", "evidence": {"interval": INTERVAL}, "outcome": "o"},
            {"time": "2024-03-05T00:00:00+00:00", "action": "train", "reason": "r", "evidence": WORSE, "outcome": "o"},
        ],
        "findings": [],
        "serving": {"requests": 1, "mismatches": 0, "requests_per_second": 1.0},
    }


@pytest.mark.parametrize("weeks", [1, 2, 44, 520])
def test_a_report_is_whole_small_and_safe(weeks: int) -> None:
    shift = {"columns": ["a"] * 60, "weeks": ["2024-01-01T00:00:00+00:00"] * weeks, "shift": [[0.1] * (weeks - 1) + [None]] * 60}
    page = render_report("p<q", figures(weeks), shift)
    assert len(stands_alone(page, 300_000 if weeks < 100 else 800_000).data) == 2
    assert "&lt;script&gt;" in page
    assert "gain +0.0100, 95% confidence sequence -0.0100 to +0.0300" in page
    assert "mean 0.4500 since the champion went live, confidence sequence 0.4200 to 0.4800; baseline 0.4000" in page
    assert "NaN" not in page
    assert not re.search(r"\bnan\b", page)


def test_its_words_are_those_of_the_project_and_no_example() -> None:
    page = render_report("p", figures(2), {"columns": [], "weeks": [], "shift": []})
    for words in ("share of churned = yes", "the newest 30d of labelled data", "after 40 windows of 1h", "95% confidence sequence"):
        assert words in page
    read = stands_alone(page).text
    for words in ("late", "two weeks", "storm", "over the year", "daily", "90"):
        assert not re.search(rf"\b{words}\b", read)


@pytest.mark.parametrize(
    ("loop", "words"),
    [(0.46, "achieved 80% of the calendar’s improvement with 2 retrainings instead of 10"), (0.52, "did not help")],
)
def test_the_headline_says_whether_it_helped(loop: float, words: str) -> None:
    policies = {"loop": policy(loop, 2), "calendar": policy(0.45, 10), "static": policy(0.5, 0)}
    assert words in headline({**METRICS, "policies": policies})
    assert "did not help here" in headline({**METRICS, "policies": {**policies, "calendar": policy(0.6, 10)}})
    idle = headline({**METRICS, "policies": {**policies, "loop": policy(0.5, 0)}})
    assert idle == "The loop saw no reason to retrain; retraining every four weeks improved log-loss by 0.0500 (retrainings: 10)."
