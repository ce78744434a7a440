"""Observing: the prediction log and the outcomes become windows in the catalog, and the catalog becomes a State."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from noria.core.clock import from_epoch, since_epoch
from noria.core.errors import OutsideWorld, UserMistake
from noria.core.ids import canonical_json
from noria.evaluation.metrics import ROW_LOSSES
from noria.loop.monitors import Monitors, read_monitors, released_champions
from noria.loop.shadow import pairing, shadow_gains
from noria.loop.state import Pending, State
from noria.loop.world import World
from noria.models.registry import CHALLENGER, CHAMPION
from noria.monitoring.expected import expect
from noria.monitoring.windows import measure
from noria.release.rollout import Rollout, ShadowVerdict, judge_shadow
from noria.serving.log.segments import FALLBACK, Predictions, read_log
from noria.stores import catalog as db

logger = logging.getLogger("noria.monitoring")

LATER = ("performance", "expected", "traffic", "metrics", "paired")  # columns of a window that not every row has from the beginning
SLOW = 1000  # microseconds in a millisecond


class ClockWentBack(OutsideWorld):
    """It is earlier than what was already observed."""

    code = "NR-403"

    def __init__(self, now: datetime, measured: datetime) -> None:
        super().__init__(
            what="the clock has gone back",
            where=f"it says {now:%Y-%m-%d %H:%M} UTC, and windows up to {measured:%Y-%m-%d %H:%M} UTC were already observed",
            mend="set this machine's clock; nothing was observed or decided",
        )


@dataclass(frozen=True)
class Release:
    """Who answers and who shadows, since when; and who answered before."""

    champion: str
    champion_since: datetime
    challenger: str | None
    challenger_since: datetime
    previous: str | None = None


def measure_windows(world: World, now: datetime) -> None:
    """Record every window that has closed, and the performance of every window whose outcomes are now due."""
    release = current_release(world)
    if release is None or not world.watched:
        return
    tick, name = world.grid.tick, world.endpoint.name
    measured = world.catalog.progress(f"windows/{name}") or world.grid.floor(release.champion_since)
    if world.grid.floor(now) < measured:
        raise ClockWentBack(now, measured)
    closed = [measured + i * tick for i in range((world.grid.floor(now) - measured) // tick)]
    due = world.catalog.rows(
        sa.select(db.windows.c.start)
        .where(db.windows.c.endpoint == name, db.windows.c.performance.is_(None))
        .where(db.windows.c.start <= since_epoch(now - world.endpoint.model.label.maturity - tick))
        .distinct()
        .order_by(db.windows.c.start)
    )
    fresh = [row for start in closed for row in _closed_window(world, start)]
    matured = [row for found in due for row in _matured_window(world, from_epoch(found.start), now)]
    with world.catalog.transaction() as c:
        if fresh:
            c.execute(sa.insert(db.windows), fresh)
        for start, bundle, told in matured:
            same = sa.and_(db.windows.c.endpoint == name, db.windows.c.start == start, db.windows.c.bundle == bundle)
            c.execute(sa.update(db.windows).where(same).values(**told))
        db.set_progress(c, f"windows/{name}", measured + len(closed) * tick)


def observe(world: World, now: datetime) -> State:
    """The endpoint's state at `now`, from the catalog alone."""
    release = current_release(world)
    tried = world.catalog.rows(
        sa.select(sa.func.max(db.decisions.c.at)).where(db.decisions.c.endpoint == world.endpoint.name, db.decisions.c.action == "train")
    )[0][0]
    return State(
        now=now,
        endpoint=world.endpoint.name,
        rollout=world.policy.rollout,
        retrain=world.policy.retrain,
        gated=world.policy.gated,
        champion=release.champion if release else None,
        champion_trained_at=_trained_at(world, release.champion) if release else None,
        tried_at=None if tried is None else from_epoch(tried),
        pending=_pending(world),
        challenger=release.challenger if release else None,
        shadow=_shadow(world, release, now) if release else None,
        monitors=read_monitors(world, release.champion, release.champion_since, now) if release else Monitors(),
    )


def current_release(world: World) -> Release | None:
    """Who answers now; None before the first promotion."""
    return latest_release(world.catalog, world.endpoint.name)


def latest_release(catalog: db.Catalog, endpoint: str) -> Release | None:
    """The newest release of an endpoint in a catalog; None before the first promotion."""
    rows = catalog.rows(sa.select(db.releases).where(db.releases.c.endpoint == endpoint).order_by(db.releases.c.sequence.desc()))
    if not rows:
        return None
    latest = since = rows[0]
    previous = None
    for row in rows:
        if row.champion != latest.champion:
            previous = row.champion
            break
        since = row
    return Release(latest.champion, from_epoch(since.at), latest.challenger, from_epoch(latest.at), previous)


def _trained_at(world: World, bundle: str) -> datetime:
    return datetime.fromisoformat(world.bundle(bundle).manifest.lineage["as_of"])


def _watched(logged: Predictions) -> Predictions:
    """The predictions that a bundle is judged by: not those in which it stood in for another."""
    return logged.where(np.array([v != FALLBACK for v in logged.variant], dtype=bool))


def _closed_window(world: World, start: datetime) -> list[dict[str, Any]]:
    """One row per bundle that answered or shadowed in the window; one with no rows if nothing was logged at all."""
    logged = read_log(world.log_folder, start, start + world.grid.tick, world.workspace.files)
    common = {"endpoint": world.endpoint.name, "start": since_epoch(start), **dict.fromkeys(LATER)}
    if logged is None:
        release = current_release(world)
        assert release is not None
        return [{**common, "bundle": release.champion, "role": CHAMPION, "rows": 0, "statistics": None}]
    found = []
    watched = _watched(logged)
    released = released_champions(world)
    for role, bundle in sorted(set(zip(watched.variant, watched.bundle, strict=True))):
        rows = watched.of(bundle)
        known = role == CHAMPION and world.monitor is not None and bundle in released
        told: dict[str, str | None] = {**_told(world, bundle, rows)} if known else {"statistics": None}
        if role == CHALLENGER:
            told["paired"] = canonical_json(pairing(watched.by(CHAMPION), rows, None))
        found.append({**common, "bundle": bundle, "role": role, "rows": len(rows), **told})
    return found


def _told(world: World, bundle: str, rows: Predictions) -> dict[str, str]:
    """What is kept of a champion's window: its statistics, the losses to be expected of its scores, and what its traffic was like."""
    assert world.monitor is not None
    calibration = tuple(world.candidate_detail(bundle).get("calibration", (0.0, 1.0)))
    metrics = [t.metric for t in world.monitor.performance if t.metric in ROW_LOSSES]
    expected = {metric: vars(expect(metric, rows.prediction, calibration)) for metric in metrics}
    keys = [key for key in rows.keys if key is not None]
    slow = int((rows.latency_us > SLOW * world.endpoint.slo.p99_ms).sum())
    traffic = {"keys": len(keys), "repeated": len(keys) - len(set(keys)), "slow": slow}
    return {
        "statistics": _statistics(world, bundle, rows),
        "expected": canonical_json(expected),
        "traffic": canonical_json(traffic),
        "metrics": _metrics(world, bundle, rows, None),
    }


def _statistics(world: World, bundle: str, rows: Predictions) -> str:
    values = np.column_stack([rows.features, rows.prediction])
    statistics = world.profile(bundle).statistics(values)
    return canonical_json([[None if np.isnan(v) else float(v) for v in column] for column in statistics])


def _matured_window(world: World, start: datetime, now: datetime) -> list[tuple[int, str, dict[str, str]]]:
    logged = read_log(world.log_folder, start, start + world.grid.tick, world.workspace.files)
    if logged is None:
        return []
    found = []
    watched = _watched(logged)
    champions = watched.by(CHAMPION)
    shadows = set(watched.by(CHALLENGER).bundle)
    for bundle in sorted(set(watched.bundle)):
        rows = watched.of(bundle)
        labels = world.outcomes.known_at(rows.keys, now)
        features = world.bundle(bundle).features
        cut_by = {name: rows.features[:, features.index(name)] for name in world.slices if name in features}
        told = {"performance": canonical_json(measure(labels, rows.prediction, cut_by).to_dict())}
        if bundle in shadows:
            told["paired"] = canonical_json(pairing(champions, rows.by(CHALLENGER), world.outcomes.known_at(champions.keys, now)))
        if world.monitor is not None and any(metric.needs_outcomes for metric in world.monitor.metrics):
            told["metrics"] = _metrics(world, bundle, rows, labels)
        found.append((since_epoch(start), bundle, told))
    return found


def _metrics(world: World, bundle: str, rows: Predictions, labels: NDArray[np.float64] | None) -> str:
    """The business metrics of a window: those that need outcomes only once there are labels. What can't be drawn is null."""
    import pyarrow as pa

    assert world.monitor is not None
    found: dict[str, float | None] = {}
    wanted = [m for m in world.monitor.metrics if labels is not None or not m.needs_outcomes]
    if wanted:
        columns = {"key": pa.array(rows.keys, pa.string()), "received_at": pa.array(rows.received_us, pa.timestamp("us", tz="UTC"))}
        columns |= {name: pa.array(rows.features[:, i]) for i, name in enumerate(world.bundle(bundle).features)}
        predictions = pa.table({**columns, "prediction": pa.array(rows.prediction)})
        known = np.full(len(rows), np.nan) if labels is None else labels
        there = ~np.isnan(known)
        keys = [key for key, known_too in zip(rows.keys, there, strict=True) if known_too]
        outcomes = pa.table({"key": pa.array(keys, pa.string()), "outcome": pa.array(known[there])})
        for metric in wanted:
            try:
                found[metric.name] = metric.draw(predictions, outcomes)
            except UserMistake as error:
                logger.error("%s", error)
                found[metric.name] = None
    return canonical_json(found)


def _shadow(world: World, release: Release, now: datetime) -> ShadowVerdict | None:
    plan = world.policy.rollout
    if release.challenger is None or not isinstance(plan, Rollout):
        return None
    gains = shadow_gains(world, release.challenger, release.challenger_since, plan.metric)
    before = np.array(world.candidate_detail(release.challenger).get("gains", {}).get(plan.metric, []), dtype=np.float64)
    lasted = now - release.challenger_since
    waited_out = lasted >= plan.longest + world.endpoint.model.label.maturity + world.grid.tick
    return judge_shadow(plan, gains, before, len(gains) * world.grid.tick, waited_out=waited_out)


def _pending(world: World) -> Pending | None:
    """The newest candidate, unless something was already decided about it."""
    rows = world.catalog.rows(
        sa.select(db.candidates)
        .where(db.candidates.c.endpoint == world.endpoint.name)
        .order_by(db.candidates.c.at.desc(), db.candidates.c.decision.desc())
        .limit(1)
    )
    if not rows:
        return None
    settled = world.catalog.rows(
        sa.select(db.decisions.c.sequence).where(
            db.decisions.c.endpoint == world.endpoint.name,
            db.decisions.c.subject == rows[0].bundle,
            db.decisions.c.at >= rows[0].at,
        )
    )
    if settled:
        return None
    return Pending(rows[0].bundle, rows[0].passed, json.loads(rows[0].detail)["gates"])
