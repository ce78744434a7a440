"""What a person does instead of the loop: a bundle is promoted, the champion before is brought back. The loop goes on from there."""

from __future__ import annotations

from collections.abc import Sequence

from noria.core.clock import Clock
from noria.core.errors import UserMistake
from noria.core.ids import short
from noria.loop.act import journal, perform
from noria.loop.context import EndpointContext
from noria.loop.state import Action
from noria.models.bundle import open_bundle
from noria.release.releases import current_release
from noria.stores.candidates import CandidateRow, candidates_of
from noria.stores.decisions import BY_HAND


class UnknownBundle(UserMistake):
    """No bundle of an endpoint has such an id, or several begin with it."""

    code = "NR-417"

    def __init__(self, endpoint: str, wanted: str, found: Sequence[str]) -> None:
        super().__init__(
            what=f"{'several bundles' if found else 'no bundle'} of {endpoint!r} begin{'' if found else 's'} with {wanted!r}",
            where=", ".join(short(each) for each in found) or "its candidates",
            fix="`noria models list` shows them; give more of the id" if found else "`noria models list` shows them",
        )


class NotPromoted(UserMistake):
    """A bundle can't be made champion."""

    code = "NR-418"

    def __init__(self, endpoint: str, reason: str, fix: str) -> None:
        super().__init__(what=f"the champion of {endpoint!r} stays as it is", where=reason, fix=fix)


def promote_now(context: EndpointContext, clock: Clock, bundle: str, *, by: str, why: str = "") -> Action:
    """Make a candidate champion, whatever its gates and its shadow said; who did so, and why, is recorded with the decision.

    bundle: its id, or the beginning of it. Raises `UnknownBundle`, `NotPromoted`, and what opening the bundle raises
    """
    release, name = current_release(context), context.endpoint.name
    chosen = candidate_named(context, bundle).bundle
    if release is not None and release.champion == chosen:
        raise NotPromoted(name, f"{short(chosen)} is the champion already", "name another bundle: `noria models list`")
    return _promote(context, clock, chosen, {"by": by, **({"why": why} if why else {})})


def rollback_now(context: EndpointContext, clock: Clock, *, by: str, why: str = "") -> Action:
    """Bring the champion before the present one back. Raises `NotPromoted`."""
    release, name = current_release(context), context.endpoint.name
    if release is None or release.previous is None:
        raise NotPromoted(name, "there is no champion before it", "train and promote a model first")
    return _promote(context, clock, release.previous, {"by": by, "instead_of": release.champion, **({"why": why} if why else {})})


def candidate_named(context: EndpointContext, wanted: str) -> CandidateRow:
    """The newest candidate whose bundle's id begins so. Raises `UnknownBundle`."""
    rows = {row.bundle: row for row in candidates_of(context.stores.catalog, context.endpoint.name)}
    found = [bundle for bundle in rows if wanted and bundle.startswith(wanted.lower())]
    if len(found) != 1:
        raise UnknownBundle(context.endpoint.name, wanted, found)
    return rows[found[0]]


def _promote(context: EndpointContext, clock: Clock, bundle: str, evidence: dict[str, str]) -> Action:
    open_bundle(context.stores.workspace.bundles / bundle, context.stores.workspace.files)  # a damaged one is no champion
    action = Action("promote", context.endpoint.name, clock.now(), bundle, BY_HAND, evidence)
    journal(context, action)
    perform(context, action)
    return action
