"""Acting: each action is written down, carried out, and marked done together with what it changed.

Every action is idempotent: its key is unique in the journal, what it makes is named by its content, and what it changes in
the catalog happens in the one transaction that marks it done. So a controller that dies between any two lines goes on by
doing the unfinished action again.
"""

from __future__ import annotations

from datetime import datetime

from noria.alerting.incidents import close
from noria.core.ids import short
from noria.loop.candidate import Candidate, make_candidate
from noria.loop.releases import current_release, set_aliases
from noria.loop.state import Action
from noria.loop.world import World
from noria.stores.balances import add_balance
from noria.stores.candidates import CandidateRow, add_candidate
from noria.stores.decisions import (
    BY_HAND,
    DecisionRow,
    finish_decision,
    finish_waiting_trainings,
    record_decision,
    unfinished_decisions,
)
from noria.stores.findings import open_of_kinds
from noria.stores.releases import ReleaseRow, add_release

ABOUT_THE_CHAMPION = ("performance", "drift", "data_quality", "estimated_performance")


def journal(world: World, action: Action) -> None:
    """Write the decision down, durably, before anything comes of it."""
    with world.catalog.transaction() as c:
        record_decision(
            c,
            key=action.key,
            endpoint=action.endpoint,
            at=action.at,
            action=action.verb,
            subject=action.subject,
            reason=action.reason,
            evidence=action.evidence,
        )


def by_hand(action: Action) -> bool:
    """Whether a person asked for it, and waits for it."""
    return action.reason == BY_HAND


def unfinished(world: World) -> list[Action]:
    """Decisions that were written down, and neither seen through nor given up."""
    return [action_of(row) for row in unfinished_decisions(world.catalog, world.endpoint.name)]


def action_of(row: DecisionRow) -> Action:
    """The action that was decided on."""
    return Action(row.action, row.endpoint, row.at, row.subject, row.reason, row.evidence)


def overtake(world: World, action: Action) -> None:
    """The loop's own trainings that wait for another attempt are not needed any more: a person has trained."""
    with world.catalog.transaction() as c:
        finish_waiting_trainings(c, action.endpoint, "superseded by a manual training", but=action.key)


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
    detail = candidate.detail
    with world.catalog.transaction() as c:
        add_candidate(
            c,
            CandidateRow(
                decision=action.key,
                endpoint=action.endpoint,
                at=as_of,
                bundle=candidate.bundle,
                run=candidate.run,
                passed=candidate.passed,
                detail=detail,
                seconds=candidate.seconds,
            ),
        )
        add_balance(c, "training set", short(detail.training_set), detail.rows.rows_in, detail.rows.rows_out)
        trained_on = detail.rows.rows_out["training rows"]
        finish_decision(c, action.key, f"candidate {short(candidate.bundle)} from {trained_on:,} rows")


def _release(world: World, action: Action, champion: str, challenger: str | None, outcome: str) -> None:
    if world.workspace.replay is None:
        set_aliases(world, champion, challenger)
    with world.catalog.transaction() as c:
        add_release(c, ReleaseRow(action.key, action.endpoint, action.at, champion, challenger))
        if action.verb == "promote":  # a new champion is a new reference: what was found about the old one is over
            for row in open_of_kinds(c, action.endpoint, ABOUT_THE_CHAMPION):
                close(c, row, action.at, "a new champion", world.recipients)
        finish_decision(c, action.key, outcome)


def _refuse(world: World, action: Action) -> None:
    release = current_release(world)
    if release is not None and release.challenger == action.subject:
        _release(world, action, release.champion, None, f"{short(action.subject)} is dropped")
        return
    with world.catalog.transaction() as c:
        finish_decision(c, action.key, f"{short(action.subject)} is not released")


def _champion(world: World) -> str:
    release = current_release(world)
    assert release is not None, "a shadow needs a champion"
    return release.champion
