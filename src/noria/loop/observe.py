"""Observing: the catalog becomes a State."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from noria.evaluation.gates import Verdict
from noria.loop.monitors.reading import Monitors, read_monitors
from noria.loop.offline_shadow import refused_shadow
from noria.loop.releases import Release, current_release
from noria.loop.shadow import shadow_gains
from noria.loop.state import Pending, State
from noria.loop.world import World
from noria.release.rollout import Rollout, ShadowVerdict, judge_shadow, unit_of
from noria.stores.candidates import newest_candidate
from noria.stores.decisions import newest_decision, training_decided_at, was_decided_about


def observe(world: World, now: datetime) -> State:
    """The endpoint's state at `now`, from the catalog alone."""
    release = current_release(world)
    return State(
        now=now,
        endpoint=world.endpoint.name,
        rollout=world.policy.rollout,
        retrain=world.policy.retrain,
        gated=world.policy.gated,
        champion=release.champion if release else None,
        champion_trained_at=_trained_at(world, release.champion) if release else None,
        tried_at=training_decided_at(world.catalog, world.endpoint.name),
        pending=_pending(world),
        challenger=release.challenger if release else None,
        shadow=_shadow(world, release, now) if release else None,
        monitors=read_monitors(world, release, now) if release else Monitors(),
        failed_at=_failed_at(world),
        tick=world.grid.tick,
    )


def _failed_at(world: World) -> datetime | None:
    newest = newest_decision(world.catalog, world.endpoint.name)
    return newest.next_at if newest is not None and newest.failed else None


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
    before = np.array(world.candidate_detail(release.challenger).gains.get(metric, []), dtype=np.float64)
    lasted = now - release.challenger_since
    waited_out = lasted >= plan.longest + world.endpoint.model.label.maturity + unit_of(world.grid.tick)
    return judge_shadow(plan, gains, before, unit_of(world.grid.tick), waited_out=waited_out)


def _pending(world: World) -> Pending | None:
    """The newest candidate, unless something was already decided about it."""
    newest = newest_candidate(world.catalog, world.endpoint.name)
    if newest is None or was_decided_about(world.catalog, world.endpoint.name, newest.bundle, newest.at):
        return None
    return Pending(newest.bundle, newest.passed, tuple(Verdict(g.gate, g.outcome, g.why) for g in newest.detail.gates))
