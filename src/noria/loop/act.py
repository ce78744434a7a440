"""Acting: each action is written down, carried out, and marked done together with what it changed.

Every action is idempotent: its key is unique in the journal, what it makes is named by its content, and what it changes in
the catalog happens in the one transaction that marks it done. So a controller that dies between any two lines goes on by
doing the unfinished action again.
"""

from __future__ import annotations

from datetime import datetime

from noria.alerting.incidents import close
from noria.core.ids import short
from noria.loop.aliases import set_aliases
from noria.loop.context import EndpointContext
from noria.loop.state import Action
from noria.release.releases import current_release
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
from noria.training.candidate import Candidate, make_candidate

ABOUT_THE_CHAMPION = ("performance", "drift", "data_quality", "estimated_performance")


def journal(context: EndpointContext, action: Action) -> None:
    """Write the decision down, durably, before anything comes of it."""
    with context.stores.catalog.transaction() as c:
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


def unfinished(context: EndpointContext) -> list[Action]:
    """Decisions that were written down, and neither seen through nor given up."""
    return [action_of(row) for row in unfinished_decisions(context.stores.catalog, context.endpoint.name)]


def action_of(row: DecisionRow) -> Action:
    """The action that was decided on."""
    return Action(row.action, row.endpoint, row.at, row.subject, row.reason, row.evidence)


def overtake(context: EndpointContext, action: Action) -> None:
    """The loop's own trainings that wait for another attempt are not needed any more: a person has trained."""
    with context.stores.catalog.transaction() as c:
        finish_waiting_trainings(c, action.endpoint, "superseded by a manual training", but=action.key)


def perform(context: EndpointContext, action: Action) -> None:
    """Carry out one journalled action."""
    match action.verb:
        case "train":
            release = current_release(context)
            keep_candidate(context, action, make_candidate(context, action.at, release.champion if release else None), action.at)
        case "shadow":
            champion = _champion(context)
            _release(context, action, champion, action.subject, f"{short(action.subject)} shadows {short(champion)}")
        case "test":
            champion = _champion(context)
            outcome = f"{short(action.subject)} answers a share of the requests beside {short(champion)}"
            _release(context, action, champion, action.subject, outcome)
        case "promote":
            _release(context, action, action.subject, None, f"{short(action.subject)} is the champion")
        case "refuse":
            _refuse(context, action)


def keep_candidate(context: EndpointContext, action: Action, candidate: Candidate, as_of: datetime) -> None:
    """The loop knows a candidate, trained as of a moment that may be later than when that was decided on."""
    detail = candidate.detail
    with context.stores.catalog.transaction() as c:
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


def _release(context: EndpointContext, action: Action, champion: str, challenger: str | None, outcome: str) -> None:
    if context.stores.workspace.replay is None:
        set_aliases(context, champion, challenger)
    with context.stores.catalog.transaction() as c:
        add_release(c, ReleaseRow(action.key, action.endpoint, action.at, champion, challenger))
        if action.verb == "promote":  # a new champion is a new reference: what was found about the old one is over
            for row in open_of_kinds(c, action.endpoint, ABOUT_THE_CHAMPION):
                close(c, row, action.at, "a new champion", context.recipients)
        finish_decision(c, action.key, outcome)


def _refuse(context: EndpointContext, action: Action) -> None:
    release = current_release(context)
    if release is not None and release.challenger == action.subject:
        _release(context, action, release.champion, None, f"{short(action.subject)} is dropped")
        return
    with context.stores.catalog.transaction() as c:
        finish_decision(c, action.key, f"{short(action.subject)} is not released")


def _champion(context: EndpointContext) -> str:
    release = current_release(context)
    assert release is not None, "a shadow needs a champion"
    return release.champion
