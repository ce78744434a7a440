"""Attempts: how an action of the live loop is tried, tried again after a growing pause, and given up.

An attempt is counted before it begins, so that one whose process dies counts as well. While an action is unfinished nothing else is
decided about its endpoint; its windows are measured all the same. What was given up is a finding, and nothing is decided for `REST`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

import sqlalchemy as sa

from noria.core.clock import from_epoch, since_epoch
from noria.core.errors import NoriaError, OutsideWorld, as_noria
from noria.core.ids import canonical_json
from noria.loop.act import by_hand, keep_candidate, perform
from noria.loop.releases import current_release
from noria.loop.state import BY_HAND, Action
from noria.loop.trainings import Trainings, at_work
from noria.loop.world import World
from noria.stores import catalog as db

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

    def __call__(self, world: World, action: Action, now: datetime) -> Outcome: ...


def at_once(world: World, action: Action, now: datetime) -> Outcome:  # noqa: ARG001 - a replay's actions have no other time than theirs
    """Carry it out in this process; what it raises is the caller's: in a replay, and where a person waits for it."""
    perform(world, action)
    return "done"


@dataclass(frozen=True)
class Tried:
    """How an action has fared. attempts: begun ones; next_at: before which no other begins; error: of the last one, empty while it runs"""

    attempts: int
    next_at: datetime | None
    error: Mapping[str, Any]


@dataclass(frozen=True)
class Attempts:
    """Carries out actions live: trainings in processes of their own, the rest here.

    retry: the pause after the first failure; limit: how long a training may take
    """

    trainings: Trainings
    retry: timedelta
    limit: timedelta

    def __call__(self, world: World, action: Action, now: datetime) -> Outcome:
        try:
            return self._next(world, action, now)
        except Exception as error:
            logger.error("%s failed: %s", action.key, error, exc_info=logger.isEnabledFor(logging.DEBUG))
            note_failure(world, action, as_noria(error), now)
            return "failed"

    def _next(self, world: World, action: Action, now: datetime) -> Outcome:
        tried = tried_of(world, action)
        if self.trainings.has(action.key):
            return self._ended(world, action)
        if at_work(world):
            return "waits"  # a person trains
        if tried.attempts and not tried.error:
            raise AttemptDied(action.verb)
        if tried.next_at is not None and now < tried.next_at:
            return "waits"
        count_attempt(world, action, now, self.retry)
        if action.verb != "train":
            perform(world, action)
            return "done"
        release = current_release(world)
        self.trainings.start(world, action.key, now, release.champion if release else None)
        return "waits"

    def _ended(self, world: World, action: Action) -> Outcome:
        trained = self.trainings.result(action.key, self.limit)
        if trained is None:
            return "waits"
        keep_candidate(world, action, trained.candidate, trained.as_of)
        return "done"


def tried_of(world: World, action: Action) -> Tried:
    [row] = world.catalog.rows(sa.select(db.decisions).where(db.decisions.c.key == action.key))
    return Tried(row.attempts, None if row.next_at is None else from_epoch(row.next_at), json.loads(row.error or "{}"))


def count_attempt(world: World, action: Action, now: datetime, retry: timedelta) -> None:
    """An attempt begins; durable before anything comes of it."""
    mine = db.decisions.c.key == action.key
    with world.catalog.transaction() as c:
        attempts = c.execute(sa.select(db.decisions.c.attempts).where(mine)).one().attempts + 1
        again = now + min(retry * GROWTH ** (attempts - 1), timedelta(days=1))
        c.execute(sa.update(db.decisions).where(mine).values(attempts=attempts, next_at=since_epoch(again), error=""))


def note_failure(world: World, action: Action, error: NoriaError, now: datetime) -> None:
    """An attempt failed; the last one gives the action up, and so does the only one that a person asked for."""
    mine = db.decisions.c.key == action.key
    values: dict[str, Any] = {"error": canonical_json(error.to_dict())}
    with world.catalog.transaction() as c:
        if by_hand(action) or c.execute(sa.select(db.decisions.c.attempts).where(mine)).one().attempts >= MAX_ATTEMPTS:
            values |= {"failed": True, "next_at": since_epoch(now), "outcome": f"given up: {error.what}"}
        c.execute(sa.update(db.decisions).where(mine).values(**values))


@dataclass(frozen=True)
class InTrouble:
    """An action that failed and is tried again, or was given up."""

    action: Action
    attempts: int
    again_at: datetime | None
    error: Mapping[str, Any]


def in_trouble(world: World) -> InTrouble | None:
    """The endpoint's newest action of the loop's own, if it has failed and nothing has been seen through since."""
    by_others = sa.or_(db.decisions.c.reason != BY_HAND, db.decisions.c.done)
    rows = world.catalog.rows(
        sa.select(db.decisions)
        .where(db.decisions.c.endpoint == world.endpoint.name, by_others)
        .order_by(db.decisions.c.sequence.desc())
        .limit(1)
    )
    row = rows[0] if rows else None
    if row is None or row.done or not (row.error or row.attempts > 1):
        return None
    action = Action(row.action, row.endpoint, from_epoch(row.at), row.subject, row.reason)
    return InTrouble(action, row.attempts, None if row.failed else from_epoch(row.next_at), json.loads(row.error or "{}"))
