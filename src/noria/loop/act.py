"""Acting: each action is written down, carried out, and marked done together with what it changed.

Every action is idempotent: its key is unique in the journal, what it makes is named by its content, and what it changes in
the catalog happens in the one transaction that marks it done. So a controller that dies between any two lines goes on by
doing the unfinished action again.
"""

from __future__ import annotations

import json
from datetime import datetime

import sqlalchemy as sa

from noria.alerting.incidents import close
from noria.core.clock import from_epoch, since_epoch
from noria.core.ids import canonical_json, finite, short
from noria.loop.candidate import Candidate, make_candidate
from noria.loop.releases import current_release, set_aliases
from noria.loop.state import BY_HAND, Action
from noria.loop.world import World
from noria.stores import catalog as db

ABOUT_THE_CHAMPION = ("performance", "drift", "data_quality", "estimated_performance")


def journal(world: World, action: Action) -> None:
    """Write the decision down, durably, before anything comes of it."""
    with world.catalog.transaction() as c:
        if c.scalar(sa.select(db.decisions.c.sequence).where(db.decisions.c.key == action.key)) is None:
            c.execute(
                sa.insert(db.decisions).values(
                    key=action.key,
                    endpoint=action.endpoint,
                    at=since_epoch(action.at),
                    action=action.verb,
                    subject=action.subject,
                    reason=action.reason,
                    evidence=canonical_json(finite(action.evidence)),
                    done=False,
                    outcome="",
                )
            )


def by_hand(action: Action) -> bool:
    """Whether a person asked for it, and waits for it."""
    return action.reason == BY_HAND


def unfinished(world: World) -> list[Action]:
    """Decisions that were written down, and neither seen through nor given up."""
    rows = world.catalog.rows(
        sa.select(db.decisions)
        .where(db.decisions.c.endpoint == world.endpoint.name, db.decisions.c.done.is_(False), db.decisions.c.failed.is_(False))
        .order_by(db.decisions.c.sequence)
    )
    return [Action(r.action, r.endpoint, from_epoch(r.at), r.subject, r.reason, json.loads(r.evidence)) for r in rows]


def overtake(world: World, action: Action) -> None:
    """The loop's own trainings that wait for another attempt are not needed any more: a person has trained."""
    waiting = sa.and_(db.decisions.c.endpoint == action.endpoint, db.decisions.c.action == "train", db.decisions.c.key != action.key)
    still = sa.and_(waiting, db.decisions.c.done.is_(False), db.decisions.c.failed.is_(False))
    with world.catalog.transaction() as c:
        c.execute(sa.update(db.decisions).where(still).values(done=True, outcome="superseded by a manual training"))


def perform(world: World, action: Action) -> None:
    """Carry out one journalled action."""
    match action.verb:
        case "train":
            release = current_release(world)
            keep_candidate(world, action, make_candidate(world, action.at, release.champion if release else None), action.at)
        case "shadow":
            champion = _champion(world)
            _release(world, action, champion, action.subject, f"{short(action.subject)} shadows {short(champion)}")
        case "promote":
            _release(world, action, action.subject, None, f"{short(action.subject)} is the champion")
        case "refuse":
            _refuse(world, action)


def keep_candidate(world: World, action: Action, candidate: Candidate, as_of: datetime) -> None:
    """The loop knows a candidate, trained as of a moment that may be later than when that was decided on."""
    rows = candidate.detail["rows"]
    with world.catalog.transaction() as c:
        c.execute(
            sa.insert(db.candidates).values(
                decision=action.key,
                endpoint=action.endpoint,
                at=since_epoch(as_of),
                bundle=candidate.bundle,
                run=candidate.run,
                passed=candidate.passed,
                detail=canonical_json(candidate.detail),
                seconds=candidate.seconds,
            )
        )
        db.add_balance(c, "training set", short(candidate.detail["training_set"]), rows["rows_in"], rows["rows_out"])
        _done(c, action, f"candidate {short(candidate.bundle)} from {rows['rows_out']['training rows']:,} rows")


def _release(world: World, action: Action, champion: str, challenger: str | None, outcome: str) -> None:
    if world.workspace.replay is None:
        set_aliases(world, champion, challenger)
    with world.catalog.transaction() as c:
        c.execute(
            sa.insert(db.releases).values(
                decision=action.key,
                endpoint=action.endpoint,
                at=since_epoch(action.at),
                champion=champion,
                challenger=challenger,
            )
        )
        if action.verb == "promote":  # a new champion is a new reference: what was found about the old one is over
            still_open = sa.and_(db.findings.c.endpoint == action.endpoint, db.findings.c.closed_at.is_(None))
            for row in c.execute(sa.select(db.findings).where(still_open, db.findings.c.kind.in_(ABOUT_THE_CHAMPION))).all():
                close(c, row, action.at, "a new champion", world.recipients)
        _done(c, action, outcome)


def _refuse(world: World, action: Action) -> None:
    release = current_release(world)
    if release is not None and release.challenger == action.subject:
        _release(world, action, release.champion, None, f"{short(action.subject)} is dropped")
        return
    with world.catalog.transaction() as c:
        _done(c, action, f"{short(action.subject)} is not released")


def _champion(world: World) -> str:
    release = current_release(world)
    assert release is not None, "a shadow needs a champion"
    return release.champion


def _done(c: sa.Connection, action: Action, outcome: str) -> None:
    c.execute(sa.update(db.decisions).where(db.decisions.c.key == action.key).values(done=True, outcome=outcome))
