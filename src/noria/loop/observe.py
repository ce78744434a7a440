"""Observing: the catalog becomes a State."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from noria.core.clock import from_epoch, since_epoch
from noria.data.table import microseconds_of
from noria.evaluation.gates import Verdict
from noria.loop.context import EndpointContext
from noria.loop.state import Pending, State
from noria.monitoring.answers.shadow import answer_shadow, compares_answers
from noria.monitoring.arms import arms_verdict
from noria.monitoring.monitors.reading import Monitors, read_monitors
from noria.monitoring.offline_shadow import refused_shadow
from noria.monitoring.shadow import shadow_gains
from noria.release.ab_test import ABTest
from noria.release.releases import Release, current_release
from noria.release.rollout import Immediate, ShadowVerdict, judge_shadow, unit_of
from noria.stores.candidates import newest_candidate
from noria.stores.decisions import newest_decision, training_decided_at, was_decided_about


def observe(context: EndpointContext, now: datetime) -> State:
    """The endpoint's state at `now`, from the catalog alone."""
    release = current_release(context)
    return State(
        now=now,
        endpoint=context.endpoint.name,
        rollout=context.policy.rollout,
        retrain=context.policy.retrain,
        gated=context.policy.gated,
        champion=release.champion if release else None,
        champion_trained_at=_trained_at(context, release.champion) if release else None,
        tried_at=training_decided_at(context.stores.catalog, context.endpoint.name),
        pending=_pending(context),
        challenger=release.challenger if release else None,
        shadow=_shadow(context, release, now) if release else None,
        monitors=read_monitors(context, release, now) if release else Monitors(),
        failed_at=_failed_at(context),
        tick=context.grid.tick,
        changed=_changed(context, release.champion, now) if release else {},
    )


def _failed_at(context: EndpointContext) -> datetime | None:
    newest = newest_decision(context.stores.catalog, context.endpoint.name)
    return newest.next_at if newest is not None and newest.failed else None


def _trained_at(context: EndpointContext, bundle: str) -> datetime:
    return context.stores.bundle(bundle).manifest.lineage.as_of


def _changed(context: EndpointContext, champion: str, now: datetime) -> dict[str, datetime]:
    """The tables that the model is built from of which something became known since it was last built, and when the last of it did. A
    candidate that was refused was built as well: it would be refused again."""
    newest = newest_candidate(context.stores.catalog, context.endpoint.name)
    known_to = _trained_at(context, champion)
    found, built = dict[str, datetime](), since_epoch(known_to if newest is None else max(known_to, newest.at))
    for table in context.endpoint.model.built_from:
        known = microseconds_of(context.facts.tables[table.name].columns([table.known]).column(table.known))
        fresh = known[(known > built) & (known <= since_epoch(now))]
        if len(fresh):
            found[table.name] = from_epoch(int(fresh.max()))
    return found


def _shadow(context: EndpointContext, release: Release, now: datetime) -> ShadowVerdict | None:
    plan = context.policy.rollout
    if release.challenger is None or isinstance(plan, Immediate):
        return None
    if isinstance(plan, ABTest):
        return arms_verdict(context, release, plan, now)
    refused = refused_shadow(context, release)
    if refused is not None:
        return ShadowVerdict("refuse", f"{refused.what}; {refused.where}; {refused.fix}", None)
    if compares_answers(context):
        return answer_shadow(context, release, plan, now)
    metric = context.endpoint.task.metric(plan.metric).name
    gains = shadow_gains(context, release.challenger, release.challenger_since, metric)
    before = np.array(context.stores.candidate_detail(release.challenger).gains.get(metric, []), dtype=np.float64)
    lasted = now - release.challenger_since
    waited_out = lasted >= plan.longest + context.endpoint.model.label.maturity + unit_of(context.grid.tick)
    return judge_shadow(plan, gains, before, unit_of(context.grid.tick), waited_out=waited_out)


def _pending(context: EndpointContext) -> Pending | None:
    """The newest candidate, unless something was already decided about it."""
    newest = newest_candidate(context.stores.catalog, context.endpoint.name)
    if newest is None or was_decided_about(context.stores.catalog, context.endpoint.name, newest.bundle, newest.at):
        return None
    verdicts = tuple(Verdict(g.gate, g.outcome, g.why) for g in newest.detail.gates)
    return Pending(newest.bundle, newest.passed, verdicts, tuple(path for _, path in newest.detail.reports))
