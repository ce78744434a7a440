"""What to do next, from what is known. Pure: no clock, no disk, no network; the same state gives the same actions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from noria.core.clock import in_words
from noria.core.ids import short
from noria.loop.retrain import Changed, Drift, Regression, Stale, Trigger
from noria.loop.state import Action, State
from noria.monitoring.monitors.drift import InputDrift
from noria.monitoring.monitors.performance import Performance
from noria.release.ab_test import ABTest
from noria.release.rollout import Immediate
from noria.stores.decisions import Verb

REST = timedelta(days=1)  # after an action that was given up, or a first candidate that was refused


def decide(state: State) -> list[Action]:
    """The next step of the endpoint's life: at most one, since every step changes the state.

    A candidate that waits comes first, then a shadow that can be decided, then reasons to train. After an action that was given up,
    nothing for a while: what failed so often would fail again.
    """
    if state.failed_at is not None and state.now - state.failed_at < REST:
        return []
    for policy in (release_candidate, conclude_shadow, train_first, retrain):
        actions = list(policy(state))
        if actions:
            return actions
    return []


def release_candidate(state: State) -> Iterator[Action]:
    """A candidate that passed its gates shadows, answers a share of the requests, or serves at once; one that did not is refused."""
    if state.pending is None:
        return
    bundle, reports = state.pending.bundle, state.pending.reports
    evidence = {"gates": [gate.to_dict() for gate in state.pending.gates], **({"reports": list(reports)} if reports else {})}
    if state.gated and not state.pending.passed:
        blocking = next(g for g in state.pending.gates if g.outcome != "passed")
        seen = f"; side by side: `noria models show {short(bundle)}`" if reports else ""
        yield _action(state, "refuse", bundle, f"gate {blocking.outcome}: {blocking.gate} ({blocking.why}){seen}", evidence)
    elif state.champion is None:
        yield _action(state, "promote", bundle, "the first model", evidence)
    elif isinstance(state.rollout, Immediate):
        yield _action(state, "promote", bundle, "this policy releases immediately", evidence)
    elif isinstance(state.rollout, ABTest):
        yield _action(state, "test", bundle, "all gates passed", evidence)
    else:
        yield _action(state, "shadow", bundle, "all gates passed", evidence)


def conclude_shadow(state: State) -> Iterator[Action]:
    """Promote or refuse the challenger once its shadow says so."""
    if state.challenger is None or state.shadow is None or state.shadow.verdict == "wait":
        return
    yield _action(state, state.shadow.verdict, state.challenger, state.shadow.why, state.shadow.to_dict())


def train_first(state: State) -> Iterator[Action]:
    """Without a champion there is nothing to serve. Where the first candidate was refused, newer data may make a better one."""
    if state.champion is None and (state.tried_at is None or state.now - state.tried_at >= max(REST, _pause(state))):
        yield _action(state, "train", "first", "there is no champion yet", {})


def retrain(state: State) -> Iterator[Action]:
    """The first trigger that speaks, unless a challenger is on its way or the last training is too recent."""
    if state.retrain is None or state.champion is None or state.tried_at is None or state.challenger is not None:
        return
    if state.now - state.tried_at < _pause(state):
        return
    for trigger in state.retrain.when:
        spoken = _speaks(trigger, state)
        if spoken is not None:
            reason, evidence = spoken
            yield _action(state, "train", short(state.champion or "none"), reason, evidence)
            return


def _pause(state: State) -> timedelta:
    """The least time between two trainings: what the project declares, and a tick, within which nothing new was seen."""
    return max(state.retrain.pause if state.retrain is not None else timedelta(), state.tick)


def _speaks(trigger: Trigger, state: State) -> tuple[str, dict[str, Any]] | None:
    """The trigger's reason and evidence if it has one, else None."""
    match trigger:
        case Stale(after=after):
            age = state.now - (state.champion_trained_at or state.now)
            if age >= after:
                return f"stale: trained {in_words(age)} ago", {"age_days": age.total_seconds() / 86_400}
        case Changed(table=table):
            since = state.changed.get(table.name)
            if since is not None:
                return f"changed: {table.name} has what became known at {since:%Y-%m-%d %H:%M} UTC", {"since": since.isoformat()}
        case Regression():
            performance = state.monitors.of(Performance)
            for reading in performance.readings if performance else ():
                if reading.alarming:
                    return f"regression: {reading.metric} moved by {reading.moved}", reading.to_dict()
        case Drift():
            drift = state.monitors.of(InputDrift)
            if drift is not None and drift.reading.alarming:
                return f"drift: {drift.reading.leading(-1)[0][0]} moved most", drift.reading.to_dict(-1)
    return None


def _action(state: State, verb: Verb, subject: str, reason: str, evidence: Mapping[str, Any]) -> Action:
    return Action(verb, state.endpoint, state.now, subject, reason, evidence)
