"""From what monitors say to findings: what is wrong now, since when, what it looks like, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any, NamedTuple

from noria.core.clock import from_epoch
from noria.core.conservation import Balance
from noria.core.ids import short
from noria.loop.attempts import in_trouble
from noria.loop.columns import sources_of
from noria.loop.monitors import Monitors
from noria.loop.releases import current_release
from noria.loop.shadow import Paired
from noria.loop.windows import answered_rows, profiled
from noria.loop.world import World
from noria.monitoring.business import BusinessMetricReading
from noria.monitoring.drift_reading import SHARES_OF_ROWS, DriftReading, FaultGroup, article
from noria.monitoring.expected import RUN, ExpectedReading
from noria.monitoring.findings import Finding, Kind, Observed, Severity, began
from noria.monitoring.performance import PerformanceReading
from noria.monitoring.skew import SkewReading
from noria.monitoring.traffic import ObjectiveReading, Repeated
from noria.monitoring.volume import VolumeReading
from noria.profiles.profile import Profile
from noria.serving.log.segments import Predictions


class Logged(NamedTuple):
    """A champion's window as it was logged, and the profile of what the champion was trained on."""

    profile: Profile
    rows: Predictions


def observed(world: World, monitors: Monitors, now: datetime) -> Observed:
    """Everything that is wrong at `now`, and what could be judged at all."""
    found = [
        *(finding for reading in _told_apart(monitors) for finding in _performance(reading, monitors.drift, now)),
        *_ranking(monitors.performance[:1], now),
        *(finding for reading in monitors.expected for finding in _expected(reading, now)),
        *_drift(world, monitors.drift),
        *_skew(world, monitors.skew, now),
        *(finding for reading in (monitors.volume, *monitors.table_volumes) for finding in _volume(reading, world.grid.tick)),
        *(_repeated(found) for found in monitors.repeated),
        *(_unreleased(bundle, world.grid.floor(now) - world.grid.tick) for bundle in monitors.unreleased_bundles),
        *_shadow(monitors.shadow),
        *(_lost(balance, now) for balance in monitors.lost),
        *(finding for reading in monitors.metrics for finding in _metric(reading)),
        *(finding for reading in monitors.objectives for finding in _objective(reading, now)),
        *(_blind(blind.subject, blind.since, blind.why) for blind in monitors.blind),
        *(_action(world) if world.live else ()),
    ]
    seen: dict[Kind, bool] = {
        "performance": any(len(reading.values) for reading in monitors.performance),
        "drift": monitors.drift is not None and len(monitors.drift.pooled) > 0,
        "data_quality": monitors.drift is not None and len(monitors.drift.pooled) > 0,
        "skew": monitors.skew is not None and monitors.skew.skew is not None,
        "volume": monitors.volume is not None,
        "estimated_performance": bool(monitors.expected),
        "objective": bool(monitors.objectives),
        "metric": bool(monitors.metrics),
        "no_data": True,
        "action": world.live,
    }
    return Observed(tuple(found), frozenset(kind for kind, judged in seen.items() if judged))


def _told_apart(monitors: Monitors) -> Iterator[PerformanceReading]:
    """What is worse as a whole, and the slices of what is not."""
    yield from monitors.performance
    whole = {r.tolerance.metric for r in monitors.performance if began(r.evidence, r.threshold) is not None}
    yield from (r for r in monitors.slices or () if r.tolerance.metric not in whole)


def _performance(reading: PerformanceReading, drift: DriftReading | None, now: datetime) -> Iterator[Finding]:
    start = began(reading.evidence, reading.threshold)
    if start is None:
        return
    metric, since = reading.name, reading.starts[start] if reading.starts else now
    cause = reading.looks_like(inputs_moved=drift is not None and drift.drifting)
    moved = f"{metric} is {reading.recent - reading.baseline:+.3f} from its baseline"
    summary = f"{moved} (tolerance {reading.tolerance.by}); likely cause: {cause}"
    fix = "retrain (`noria train`), or see what changed: `noria monitor report`"
    yield Finding("performance", metric, since, "page", summary, fix, {**reading.to_dict(), "looks_like": cause}, episode=True)


def _ranking(readings: tuple[PerformanceReading, ...], now: datetime) -> Iterator[Finding]:
    for reading in readings:  # all metrics have the same windows
        lost = reading.ranking_lost
        if lost is not None:
            summary = f"scores rank the newest outcomes far worse than before: AUC {lost[1]:.2f} → {lost[0]:.2f}"
            fix = "check that predictions still join to their own outcomes, and that the right model is serving (`noria explain ID`)"
            since = reading.starts[-1] if reading.starts else now
            yield Finding("performance", "ranking", since, "page", summary, fix, {"auc": lost[0], "baseline": lost[1]})


def _expected(reading: ExpectedReading, now: datetime) -> Iterator[Finding]:
    if reading.alarming:
        metric = reading.tolerance.metric
        summary = (
            f"{metric} is estimated at {reading.expected[-1] + reading.bias:.3f} (baseline {reading.baseline:.3f}) "
            "from the scores alone: their outcomes have not arrived yet"
        )
        fix = "check the inputs (`noria monitor report`) before the outcomes arrive"
        yield Finding(
            "estimated_performance", metric, reading.starts[-RUN] if reading.starts else now, "inform", summary, fix, reading.to_dict()
        )


def _repeated(found: Repeated) -> Finding:
    summary = f"{found.share:.0%} of the predictions are duplicate requests; the maximum so far was {found.usual:.1%}"
    evidence = {"share": found.share, "usual": found.usual}
    return Finding(
        "data_quality", "predictions: repeated", found.start, "page", summary, "check the callers: they send requests twice", evidence
    )


def _metric(reading: BusinessMetricReading) -> Iterator[Finding]:
    start = began(reading.evidence, reading.threshold)
    if start is not None:
        name = reading.metric.name
        summary = f"{name} is {reading.values[-1]:.4g}; expected about {reading.expected:.4g} (tolerance {reading.metric.by:g})"
        fix = "see what else has changed since then: `noria monitor report`"
        yield Finding("metric", name, reading.starts[start], "page", summary, fix, reading.to_dict(), episode=True)


def _unreleased(bundle: str, since: datetime) -> Finding:
    summary = f"bundle {short(bundle)} is serving but was never released"
    fix = "find the server that uses it and where it was started from: `noria status`, /status"
    return Finding("data_quality", "predictions: another model", since, "page", summary, fix, {"bundle": bundle})


def _shadow(windows: Sequence[Paired]) -> Iterator[Finding]:
    """A broken experiment: the two bundles are not asked the same."""
    if windows and windows[-1].broken:
        last = windows[-1]
        whole = [i for i, window in enumerate(windows) if not window.broken]
        first = windows[whole[-1] + 1 if whole else 0].start
        summary = (
            f"the challenger scored {last.scored:,} rows and the champion {last.asked:,}: only {last.paired:,} belong to the same requests"
        )
        fix = "only complete windows count for the shadow: find out why it misses requests (its errors in /metrics, cached answers)"
        evidence = {"asked": last.asked, "scored": last.scored, "paired": last.paired}
        yield Finding("data_quality", "shadow: other requests", first, "inform", summary, fix, evidence)


def _lost(balance: Balance, now: datetime) -> Finding:
    summary = f"the log is missing rows: {balance.stage}: {balance.rows_in:,} answered, {balance.accounted:,} logged"
    return Finding("data_quality", f"log: {balance.stage}", now, "page", summary, "keep the log as is, and report this", balance.to_dict())


def _objective(reading: ObjectiveReading, now: datetime) -> Iterator[Finding]:
    if reading.alarming:
        promise = reading.objective
        yield Finding("objective", promise.name, reading.since or now, "page", reading.summary, promise.fix, reading.to_dict())


def _drift(world: World, reading: DriftReading | None) -> Iterator[Finding]:
    """What begins to move together in one source is one finding, by the column that leads; what begins later, or in another source, is a
    second: an old one must not hide a new one. What faults tell is not told as drift once more."""
    if reading is None or not len(reading.pooled):
        return
    release = current_release(world)
    sources = world.source_of if release is None else sources_of(world, release.champion)
    if release is not None:
        yield from faults_of(world, reading, release.champion)
    for moved in reading.moved(sources, faults_too=False):
        first, start = moved.columns[0], moved.start
        kind = reading.kind(start, sources, first)
        others = f", then {', '.join(moved.columns[1:3])}" if len(moved.columns) > 1 else ""
        far = reading.how_far(start, first)
        summary = f"{moved.source}: inputs have drifted, led by {first} ({far}){others}; it looks like {article(kind)}"
        evidence = {**reading.to_dict(start), "looks_like": kind}
        severity: Severity = "page" if kind == "upstream fault" else "inform"
        fix = _fix_for(kind, moved.source)
        yield Finding("drift", moved.subject, reading.since(moved), severity, summary, fix, evidence, episode=True)


def faults_of(world: World, reading: DriftReading, champion: str) -> Iterator[Finding]:
    """The faults of a reading's newest window."""
    logged = cache(partial(_logged, world, champion))  # several faults ask for the same window
    for group in reading.faulty(len(reading.pooled) - 1, sources_of(world, champion)):
        since = reading.starts[group.first]
        cut = _slice(logged(reading.starts[-1]), group.columns[0]) if group.statistic == "slices" else None
        first = _first_bad(logged(since), group) if group.statistic in SHARES_OF_ROWS else None  # the others no row shows by itself
        summary = f"{group.summary(f' ({cut})' if cut else '')}, since {since:%Y-%m-%d %H:%M} UTC"
        evidence = {
            "columns": group.columns,
            "statistic": group.statistic,
            "share": group.faults[0].share,
            "source": group.source,
            "slice": cut,
            "first_row": first,
        }
        summary += f"; first in prediction {first['id']}" if first else ""
        yield Finding("data_quality", group.subject, since, "page", summary, _fix_for("upstream fault", group.source), evidence)


def _logged(world: World, champion: str, start: datetime) -> Logged | None:
    """What a champion answered in a window; None where the log can't tell any more."""
    rows = answered_rows(world, champion, start)
    return None if rows is None else Logged(world.profile(champion), rows)


def _slice(logged: Logged | None, column: str) -> str | None:
    """The slice in which a column has moved, such as `origin_code=2`."""
    found = None if logged is None else logged.profile.slice_that_moved(profiled(logged.rows), column)
    return None if found is None else f"{found[0]}={found[1]:g}"


def _first_bad(logged: Logged | None, group: FaultGroup) -> dict[str, Any] | None:
    """The first prediction that shows a fault by itself: for `noria explain`."""
    if logged is None:
        return None
    rows, row = logged.rows, logged.profile.first_bad(profiled(logged.rows), group.columns[0], group.statistic)
    if row is None:
        return None
    return {"id": rows.ids[row], "key": rows.keys[row], "received_at": from_epoch(int(rows.received_us[row])).isoformat()}


def _skew(world: World, reading: SkewReading | None, now: datetime) -> Iterator[Finding]:
    if reading is not None and reading.alarming:
        worst = reading.skew.worst if reading.skew is not None else None
        share = "" if worst is None else f"{worst.share:.1%} of {worst.feature} "
        summary = f"{share}({reading.subject}) were served with values that differ from their definition"
        fix = "bring the online store up to date (`noria materialize`), then run `noria skew`"
        yield Finding("skew", reading.subject, world.grid.floor(now) - world.grid.tick, "page", summary, fix, reading.to_dict())


def _volume(reading: VolumeReading | None, tick: timedelta) -> Iterator[Finding]:
    if reading is None or reading.alarming is None:
        return
    first = reading.alarming.start
    for unusual in reversed(reading.unusual[:-1]):
        if unusual.start != first - tick:
            break
        first = unusual.start
    summary = f"{reading.name}: {reading.alarming.summary}"
    fix = f"check what fills {reading.name}; the next ingestion backfills what was missed"
    yield Finding("volume", reading.name, first, "page", summary, fix, reading.to_dict())


def _action(world: World) -> Iterator[Finding]:
    """What the loop decided and could not do."""
    trouble = in_trouble(world)
    if trouble is not None:
        action, error = trouble.action, trouble.error
        summary = f"{action.verb} failed: {error.get('what', 'its process ended')} ({error.get('where', 'before it finished')})"
        evidence = {"decision": action.key, "reason": action.reason, "attempts": trouble.attempts, **error}
        yield Finding("action", action.verb, action.at, "page", summary, error.get("fix", "it is retried"), evidence)


def _blind(subject: str, since: datetime, why: str) -> Finding:
    fix = "until this is fixed, the health of this endpoint is unknown: see `noria status`"
    return Finding("no_data", subject, since, "page", f"{subject}: {why}", fix, {"why": why})


def _fix_for(kind: str, source: str) -> str:
    origin = f"the table {source}" if source else "their source"
    return {
        "upstream fault": f"check {origin} since then, before anything is retrained on it",
        "changed relation": f"check whether {origin} still means the same; if so, retrain (`noria train`)",
    }.get(kind, "if the change is real, retrain (`noria train`); `noria monitor report` shows before and after")
