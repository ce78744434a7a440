"""One turn of the controller, live and in replay: observe → decide → act, until there is nothing left to do."""

from __future__ import annotations

from datetime import datetime, timedelta

from noria.alerting.incidents import sync_findings
from noria.core.clock import Clock
from noria.core.errors import NoriaError, OurBug, UserMistake, as_noria
from noria.core.ids import short
from noria.core.progress import Tell, silence
from noria.loop.act import journal, keep_candidate, overtake, unfinished
from noria.loop.attempts import CarryOut, at_once, count_attempt, note_failure
from noria.loop.candidate import make_candidate
from noria.loop.decide import decide
from noria.loop.findings import observed
from noria.loop.history import is_history
from noria.loop.observe import observe
from noria.loop.releases import current_release
from noria.loop.state import Action, State
from noria.loop.trainings import training
from noria.loop.windows import measure_windows
from noria.loop.world import World
from noria.stores.decisions import BY_HAND

MAX_STEPS = 20  # a turn that goes on beyond this runs in a circle


def reconcile(world: World, now: datetime, carry_out: CarryOut = at_once) -> list[Action]:
    """Bring the endpoint to where it should be at `now`; returns what was done.

    Level-triggered: a turn that was missed, repeated or cut short is made good by the next one. It observes first, whatever becomes of
    what was begun before. What is history, and not live, has no turn.
    """
    if world.live and is_history(world, now):
        return []
    measure_windows(world, now)
    done: list[Action] = []
    for _ in range(MAX_STEPS):
        state = look(world, now)
        actions = unfinished(world) or decided(world, state)
        if not actions:
            return done
        for action in actions:
            outcome = carry_out(world, action, now)
            if outcome == "failed":
                look(world, now)  # so that people are told
            if outcome != "done":
                return done
            done.append(action)
    raise OurBug(
        what="the controller does not converge",
        where=f"endpoint {world.endpoint.name!r} at {now:%Y-%m-%d %H:%M} UTC, last action {done[-1].key}",
        fix="please report this with `noria status --json`",
    )


def look(world: World, now: datetime) -> State:
    """Observe the endpoint, and keep what is found wrong with it."""
    state = observe(world, now)
    if world.live:
        world.tell_health(state.monitors.healths(), now)
    champion = "-" if state.champion is None else short(state.champion)
    sync_findings(world.catalog, state.endpoint, champion, observed(world, state.monitors), now, world.recipients)
    return state


def decided(world: World, state: State) -> list[Action]:
    """What is to be done now, written down."""
    actions = decide(state)
    for action in actions:
        journal(world, action)
    return actions


def train_now(world: World, clock: Clock, tell: Tell = silence) -> list[Action]:
    """Train a candidate because a person asks for it, and let the loop decide about it. The lease is lent while it trains, so that a loop
    beside it goes on observing. Raises `TrainingAtWork`, and what the training raises."""
    now = clock.now()
    action = Action("train", world.endpoint.name, now, "by hand", BY_HAND)
    with training(world):
        journal(world, action)
        count_attempt(world, action, now, timedelta())
        release = current_release(world)
        try:
            with world.catalog.lent():
                candidate = make_candidate(world, now, release.champion if release else None, tell)
        except BaseException as error:
            note_failure(world, action, _as_ended(error), now)
            raise
        keep_candidate(world, action, candidate, now)
        overtake(world, action)
    return [action, *reconcile(world, clock.now())]


def _as_ended(error: BaseException) -> NoriaError:
    if isinstance(error, Exception):
        return as_noria(error)
    return UserMistake(what="it was interrupted", where="by the user", fix="run the same command again")
