"""Attempts: how an action of the live loop is tried, tried again after a growing pause, and given up.

An attempt is counted before it begins, so that one whose process dies counts as well. While an action is unfinished nothing else is
decided about its endpoint; its windows are measured all the same. What was given up is a finding, and nothing is decided for `REST`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from noria.core.errors import NoriaError, OutsideWorld, as_noria
from noria.loop.act import action_of, by_hand, keep_candidate, perform
from noria.loop.context import EndpointContext
from noria.loop.state import Action
from noria.loop.trainings import Trainings, at_work
from noria.release.releases import current_release
from noria.stores.decisions import (
    attempts_of,
    begin_attempt,
    decision_of,
    give_up,
    newest_of_the_loop,
    record_failure,
)

logger = logging.getLogger("noria.loop")

MAX_ATTEMPTS = 5
GROWTH = 4  # times the pause before

Outcome = Literal["done", "waits", "failed"]


class AttemptDied(OutsideWorld):
    """The process that carried out an action ended before the action did."""

    code = "NR-410"

    def __init__(self, verb: str) -> None:
        super().__init__(
            what=f"the process running {verb!r} ended before it finished",
            where="it was killed, or its machine went down",
            fix="partial results are discarded; it is retried",
        )


class CarryOut(Protocol):
    """A way to carry out a journalled action: `done`; `waits` where it is at work, or its time has not come; `failed`."""

    def __call__(self, context: EndpointContext, action: Action, now: datetime) -> Outcome: ...


def at_once(context: EndpointContext, action: Action, now: datetime) -> Outcome:  # noqa: ARG001 - a replay's actions have no other time than theirs
    """Carry it out in this process; what it raises is the caller's: in a replay, and where a person waits for it."""
    perform(context, action)
    return "done"


@dataclass(frozen=True)
class Attempts:
    """Carries out actions live: trainings in processes of their own, the rest here.

    retry: the pause after the first failure; limit: how long a training may take
    """

    trainings: Trainings
    retry: timedelta
    limit: timedelta

    def __call__(self, context: EndpointContext, action: Action, now: datetime) -> Outcome:
        try:
            return self._next(context, action, now)
        except Exception as error:
            logger.error("%s failed: %s", action.key, error, exc_info=logger.isEnabledFor(logging.DEBUG))
            note_failure(context, action, as_noria(error), now)
            return "failed"

    def _next(self, context: EndpointContext, action: Action, now: datetime) -> Outcome:
        tried = decision_of(context.stores.catalog, action.key)
        if self.trainings.has(action.key):
            return self._ended(context, action)
        if at_work(context):
            return "waits"  # a person trains
        if tried.attempts and not tried.error:
            raise AttemptDied(action.verb)
        if tried.next_at is not None and now < tried.next_at:
            return "waits"
        count_attempt(context, action, now, self.retry)
        if action.verb != "train":
            perform(context, action)
            return "done"
        release = current_release(context)
        self.trainings.start(context, action.key, now, release.champion if release else None)
        return "waits"

    def _ended(self, context: EndpointContext, action: Action) -> Outcome:
        trained = self.trainings.result(action.key, self.limit)
        if trained is None:
            return "waits"
        keep_candidate(context, action, trained.candidate, trained.as_of)
        return "done"


def count_attempt(context: EndpointContext, action: Action, now: datetime, retry: timedelta) -> None:
    """An attempt begins; durable before anything comes of it."""
    with context.stores.catalog.transaction() as c:
        attempts = attempts_of(c, action.key) + 1
        begin_attempt(c, action.key, attempts, now + min(retry * GROWTH ** (attempts - 1), timedelta(days=1)))


def note_failure(context: EndpointContext, action: Action, error: NoriaError, now: datetime) -> None:
    """An attempt failed; the last one gives the action up, and so does the only one that a person asked for."""
    with context.stores.catalog.transaction() as c:
        record_failure(c, action.key, error.to_dict())
        if by_hand(action) or attempts_of(c, action.key) >= MAX_ATTEMPTS:
            give_up(c, action.key, f"given up: {error.what}", now)


@dataclass(frozen=True)
class InTrouble:
    """An action that failed and is tried again, or was given up."""

    action: Action
    attempts: int
    again_at: datetime | None
    error: Mapping[str, Any]


def in_trouble(context: EndpointContext) -> InTrouble | None:
    """The endpoint's newest action of the loop's own, if it has failed and nothing has been seen through since."""
    row = newest_of_the_loop(context.stores.catalog, context.endpoint.name)
    if row is None or row.done or not (row.error or row.attempts > 1):
        return None
    return InTrouble(action_of(row), row.attempts, None if row.failed else row.next_at, row.error)
