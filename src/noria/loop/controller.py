"""One turn of the controller, live and in replay: observe → decide → act, until there is nothing left to do."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from noria.core.clock import since_epoch
from noria.core.errors import OurBug
from noria.core.ids import canonical_json, short
from noria.loop.act import journal, note_findings, perform, unfinished
from noria.loop.decide import decide
from noria.loop.observe import measure_windows, observe
from noria.loop.state import Action, State
from noria.loop.world import World

MOST_STEPS = 20  # a turn that goes on beyond this runs in a circle


def turn(world: World, now: datetime) -> list[Action]:
    """Bring the endpoint to where it should be at `now`; returns what was done.

    Level-triggered: a turn that was missed, repeated or cut short is made good by the next one.
    """
    done = []
    for action in unfinished(world):
        perform(world, action)
        done.append(action)
    measure_windows(world, now)
    for _ in range(MOST_STEPS):
        state = observe(world, now)
        note_findings(world, findings(state))
        actions = decide(state)
        if not actions:
            return done
        for action in actions:
            journal(world, action)
            perform(world, action)
            done.append(action)
    raise OurBug(
        what="the controller does not come to rest",
        where=f"endpoint {world.endpoint.name!r} at {now:%Y-%m-%d %H:%M} UTC, last action {done[-1].key}",
        mend="please report this with `noria status --json`",
    )


def train_now(world: World, now: datetime) -> list[Action]:
    """Train a candidate because a person asks for it, and let the loop decide about it."""
    if observe(world, now).champion is None:
        return turn(world, now)
    action = Action("train", world.endpoint.name, now, "by hand", "asked for by hand")
    journal(world, action)
    perform(world, action)
    return [action, *turn(world, now)]


def findings(state: State) -> list[dict[str, Any]]:
    """What the monitors report at this moment, as rows; the key makes one cause one finding for one champion."""
    found = []
    for reading in state.performance:
        if reading.alarmed_at is not None:
            found.append(_finding(state, "performance", reading.tolerance.metric, reading.to_dict()))
    if state.drift is not None and state.drift.alarmed_at is not None:
        at = state.drift.alarmed_at
        found.append(_finding(state, "drift", state.drift.leading(at)[0][0], state.drift.to_dict(at)))
    if state.skew is not None and state.skew.alarming:
        found.append(_finding(state, "skew", state.skew.subject, state.skew.to_dict()))
    return found


def _finding(state: State, kind: str, subject: str, evidence: dict[str, Any]) -> dict[str, Any]:
    return {
        "key": f"{state.endpoint}/{short(state.champion or 'none')}/{kind}/{subject}",
        "endpoint": state.endpoint,
        "kind": kind,
        "subject": subject,
        "opened_at": since_epoch(state.now),
        "closed_at": None,
        "evidence": canonical_json(evidence),
    }
