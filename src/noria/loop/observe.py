"""Observing: the catalog becomes a State."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import sqlalchemy as sa

from noria.core.clock import from_epoch
from noria.loop.monitors.reading import Monitors, read_monitors
from noria.loop.offline_shadow import refused_shadow
from noria.loop.releases import Release, current_release
from noria.loop.shadow import shadow_gains
from noria.loop.state import BY_HAND, Pending, State
from noria.loop.world import World
from noria.release.rollout import Rollout, ShadowVerdict, judge_shadow, unit_of
from noria.stores import catalog as db


def observe(world: World, now: datetime) -> State:
    """The endpoint's state at `now`, from the catalog alone."""
    release = current_release(world)
    tried = world.catalog.rows(sa.select(sa.func.max(db.decisions.c.at)).where(_own(world), db.decisions.c.action == "train"))[0][0]
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
        monitors=read_monitors(world, release, now) if release else Monitors(),
        failed_at=_failed_at(world),
        tick=world.grid.tick,
    )


def _own(world: World) -> sa.ColumnElement[bool]:
    """The endpoint's decisions, but for what a person asked for in vain."""
    in_vain = sa.and_(db.decisions.c.failed, db.decisions.c.reason == BY_HAND)
    return sa.and_(db.decisions.c.endpoint == world.endpoint.name, sa.not_(in_vain))


def _failed_at(world: World) -> datetime | None:
    rows = world.catalog.rows(sa.select(db.decisions).where(_own(world)).order_by(db.decisions.c.sequence.desc()).limit(1))
    return from_epoch(rows[0].next_at) if rows and rows[0].failed else None


def _trained_at(world: World, bundle: str) -> datetime:
    return world.bundle(bundle).manifest.lineage.as_of


def _shadow(world: World, release: Release, now: datetime) -> ShadowVerdict | None:
    plan = world.policy.rollout
    if release.challenger is None or not isinstance(plan, Rollout):
        return None
    refused = refused_shadow(world, release)
    if refused is not None:
        return ShadowVerdict("refuse", f"{refused.what}; {refused.where}; {refused.fix}", None)
    metric = world.endpoint.task.metric(plan.metric).name
    gains = shadow_gains(world, release.challenger, release.challenger_since, metric)
    before = np.array(world.candidate_detail(release.challenger).get("gains", {}).get(metric, []), dtype=np.float64)
    lasted = now - release.challenger_since
    waited_out = lasted >= plan.longest + world.endpoint.model.label.maturity + unit_of(world.grid.tick)
    return judge_shadow(plan, gains, before, unit_of(world.grid.tick), waited_out=waited_out)


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
