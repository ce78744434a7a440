"""The arms of an A/B test, as their windows were recorded: what each answered, and by how much the candidate's outcomes are better."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from noria.evaluation.metric import Metric
from noria.evaluation.performance import Performance
from noria.models.registry import CANDIDATE, CHAMPION
from noria.monitoring.offline_shadow import unserved
from noria.monitoring.recorded import windows_of
from noria.monitoring.watched import WatchedEndpoint
from noria.monitoring.windows import Window
from noria.release.ab_test import ABTest, ArmWindow, judge_arms
from noria.release.releases import Release
from noria.release.rollout import ShadowVerdict, unit_of


def arms_verdict(context: WatchedEndpoint, release: Release, plan: ABTest, now: datetime) -> ShadowVerdict:
    """What an A/B test says now, from what is recorded of its windows."""
    missing = unserved(context, release)
    if missing:
        why = f"it can answer nobody: it reads {', '.join(missing)}, which the server does not have; release it with nr.Immediate()"
        return ShadowVerdict("refuse", why, None)
    metric = context.endpoint.task.metric(plan.metric)
    lasted = now - release.challenger_since
    waited_out = lasted >= plan.longest + context.endpoint.model.label.maturity + unit_of(context.grid.tick)
    return judge_arms(plan, arm_windows(context, release, metric), context.grid.tick, waited_out=waited_out)


def arm_windows(context: WatchedEndpoint, release: Release, metric: Metric) -> list[ArmWindow]:
    """The windows in which both arms stood from beginning to end, whose outcomes are due: in the first, the server may not have known."""
    assert release.challenger is not None
    since = context.grid.floor(release.challenger_since) + context.grid.tick
    champion = _by_start(windows_of(context, release.champion, since, statistics=False), CHAMPION)
    candidate = _by_start(windows_of(context, release.challenger, since, statistics=False), CANDIDATE)
    starts = sorted(start for start in champion.keys() | candidate.keys() if _due(champion.get(start)) and _due(candidate.get(start)))
    return [_arms(context.grid.number(start), metric, champion.get(start), candidate.get(start)) for start in starts]


def _by_start(windows: list[Window], role: str) -> Mapping[datetime, Window]:
    return {window.start: window for window in windows if window.role == role}


def _due(window: Window | None) -> bool:
    return window is None or window.rows == 0 or window.performance is not None


def _arms(number: int, metric: Metric, champion: Window | None, candidate: Window | None) -> ArmWindow:
    before, after = (None if window is None else window.performance for window in (champion, candidate))
    judged = _judged(before), _judged(after)
    gain = float("nan")
    if before is not None and after is not None and min(judged):
        gain = float(metric.improvement(before.value(metric), after.value(metric)))
    return ArmWindow(number, 0 if champion is None else champion.rows, 0 if candidate is None else candidate.rows, judged, gain)


def _judged(performance: Performance | None) -> int:
    return 0 if performance is None else performance.rows
