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
from noria.loop.context import EndpointContext
from noria.loop.decide import decide
from noria.loop.findings import observed
from noria.loop.history import is_history
from noria.loop.observe import observe
from noria.loop.state import Action, State
from noria.loop.trainings import training
from noria.monitoring.answers.shadow import score_shadow
from noria.monitoring.measuring import measure_windows
from noria.release.releases import current_release
from noria.stores.decisions import BY_HAND
from noria.training.candidate import make_candidate

MAX_STEPS = 20  # a turn that goes on beyond this runs in a circle


def reconcile(context: EndpointContext, now: datetime, carry_out: CarryOut = at_once) -> list[Action]:
    """Bring the endpoint to where it should be at `now`; returns what was done.

    Level-triggered: a turn that was missed, repeated or cut short is made good by the next one. It observes first, whatever becomes of
    what was begun before. What is history, and not live, has no turn.
    """
    if context.live and is_history(context, now):
        return []
    measure_windows(context, now)
    score_shadow(context, now)
    done: list[Action] = []
    for _ in range(MAX_STEPS):
        state = look(context, now)
        actions = unfinished(context) or decided(context, state)
        if not actions:
            return done
        for action in actions:
            outcome = carry_out(context, action, now)
            if outcome == "failed":
                look(context, now)  # so that people are told
            if outcome != "done":
                return done
            done.append(action)
    raise OurBug(
        what="the controller does not converge",
        where=f"endpoint {context.endpoint.name!r} at {now:%Y-%m-%d %H:%M} UTC, last action {done[-1].key}",
        fix="please report this with `noria status --json`",
    )


def look(context: EndpointContext, now: datetime) -> State:
    """Observe the endpoint, and keep what is found wrong with it."""
    state = observe(context, now)
    if context.live:
        context.stores.tell_health(state.monitors.healths(), now)
    champion = "-" if state.champion is None else short(state.champion)
    sync_findings(context.stores.catalog, state.endpoint, champion, observed(context, state.monitors), now, context.recipients)
    return state


def decided(context: EndpointContext, state: State) -> list[Action]:
    """What is to be done now, written down."""
    actions = decide(state)
    for action in actions:
        journal(context, action)
    return actions


def train_now(context: EndpointContext, clock: Clock, tell: Tell = silence) -> list[Action]:
    """Train a candidate because a person asks for it, and let the loop decide about it. The lease is lent while it trains, so that a loop
    beside it goes on observing. Raises `TrainingAtWork`, and what the training raises."""
    now = clock.now()
    action = Action("train", context.endpoint.name, now, "by hand", BY_HAND)
    with training(context):
        journal(context, action)
        count_attempt(context, action, now, timedelta())
        release = current_release(context)
        try:
            with context.stores.catalog.lent():
                candidate = make_candidate(context, now, release.champion if release else None, tell)
        except BaseException as error:
            note_failure(context, action, _as_ended(error), now)
            raise
        keep_candidate(context, action, candidate, now)
        overtake(context, action)
    return [action, *reconcile(context, clock.now())]


def _as_ended(error: BaseException) -> NoriaError:
    if isinstance(error, Exception):
        return as_noria(error)
    return UserMistake(what="it was interrupted", where="by the user", fix="run the same command again")
