"""One turn of the controller, live and in replay: observe → decide → act, until there is nothing left to do."""

from __future__ import annotations

from datetime import datetime

from noria.core.errors import OurBug
from noria.core.ids import short
from noria.loop.act import journal, perform, unfinished
from noria.loop.decide import decide
from noria.loop.findings import observed
from noria.loop.incidents import note
from noria.loop.monitors import healths
from noria.loop.observe import observe
from noria.loop.state import Action
from noria.loop.windows import measure_windows
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
        if state.champion is not None:
            if world.live:
                world.tell_health(healths(state.monitors), now)
            note(world.catalog, state.endpoint, short(state.champion), observed(world, state.monitors, now), now, world.outbox)
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
