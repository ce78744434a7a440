"""An A/B test through real rounds: both arms answer, their outcomes are joined, and the difference of their days decides."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

from lived import lived_through
from noria.monitoring.arms import arm_windows
from noria.release.releases import Release
from noria.serving.batching.allowance import drawn
from noria.serving.log.segments import read_log
from noria.stores.decisions import decisions_of
from projects import MODULE, START, edited, write_project

FIRST, LAST = START + timedelta(days=40), START + timedelta(days=53)
PLAN = 'endpoint = nr.Endpoint("returns", model, release=nr.ABTest(share=0.4, at_least="7d", at_most="20d", margin=0.3))\n'
WITHOUT_SLICES = edited(MODULE, {', nr.no_slice_worse("log_loss", over=["city"], by=0.5)': ""})  # of which a few days have too few rows
DECLARED = (
    WITHOUT_SLICES[: WITHOUT_SLICES.index("endpoint = nr.Endpoint")]
    + PLAN
    + 'retrain = nr.Retrain(model, when=[nr.stale("2d")], cooldown="2d")\n'
)


def test_both_arms_answer_and_the_days_of_their_outcomes_decide(tmp_path: Path) -> None:
    with lived_through(write_project(tmp_path / "shop", DECLARED), FIRST, LAST) as lived:
        context = lived.context
        decided = [(d.action, d.at, d.subject, d.reason) for d in decisions_of(context.stores.catalog, "returns")]
        assert [action for action, *_ in decided][:5] == ["train", "promote", "train", "test", "promote"], decided
        (_, _, first, _), (_, began, candidate, _), (_, ended, promoted, why) = decided[1], decided[3], decided[4]
        assert promoted == candidate == lived.champion.id
        assert why.startswith("not worse by 0.3: gain ")
        assert "after 7 days" in why
        assert timedelta(days=7) <= ended - began <= timedelta(days=12)
        logged = read_log(context.stores.log_folder, began, ended, context.stores.workspace.files)
        assert logged is not None
        assert set(zip(logged.variant, logged.bundle, strict=True)) == {("champion", first), ("candidate", candidate)}
        for key, bundle in zip(logged.keys, logged.bundle, strict=True):
            assert bundle == (candidate if drawn(f"{candidate}/{key}", 0.4) else first)
        arms = arm_windows(context, Release(first, FIRST, candidate, began), context.endpoint.task.metric())
        count = Counter({"champion": 0, "candidate": 0})
        for window in arms:
            count.update({"champion": window.champion, "candidate": window.candidate})
        assert 0.3 < count["candidate"] / sum(count.values()) < 0.5
