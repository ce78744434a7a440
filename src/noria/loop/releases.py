"""Releases: who answers at an endpoint, who shadows, and who ever did."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from noria.loop.context import EndpointContext
from noria.models.registry import CHALLENGER, CHAMPION
from noria.stores.catalog import Catalog
from noria.stores.releases import champions_of, releases_of


@dataclass(frozen=True)
class Release:
    """Who answers and who shadows, since when; and who answered before."""

    champion: str
    champion_since: datetime
    challenger: str | None
    challenger_since: datetime
    previous: str | None = None


def current_release(context: EndpointContext) -> Release | None:
    """Who answers now; None before the first promotion."""
    return latest_release(context.stores.catalog, context.endpoint.name)


def latest_release(catalog: Catalog, endpoint: str) -> Release | None:
    """The newest release of an endpoint in a catalog; None before the first promotion."""
    rows = releases_of(catalog, endpoint)
    if not rows:
        return None
    latest = since = rows[0]
    previous = None
    for row in rows:
        if row.champion != latest.champion:
            previous = row.champion
            break
        since = row
    return Release(latest.champion, since.at, latest.challenger, latest.at, previous)


def champion_since(context: EndpointContext, bundle: str, moment: datetime) -> datetime | None:
    """Since when a bundle had been champion that was so at a moment; None where it was not."""
    since = None
    for row in releases_of(context.stores.catalog, context.endpoint.name, until=moment):
        if row.champion == bundle:
            since = row.at
        elif since is not None:
            break
    return since


def released_champions(context: EndpointContext) -> set[str]:
    """Every bundle that was ever made champion here."""
    return champions_of(context.stores.catalog, context.endpoint.name)


def set_aliases(context: EndpointContext, champion: str, challenger: str | None) -> None:
    """Let the registry say what the catalog is about to say, before the action counts as done: else a kill between the two
    would leave it wrong for good. The catalog is the truth."""
    tracking, name = context.stores.workspace.tracking, context.endpoint.model.name
    versions = {v.bundle: v.version for v in tracking.versions(name)}
    tracking.set_alias(name, _alias(context, CHAMPION), versions[champion])
    if challenger is None:
        tracking.drop_alias(name, _alias(context, CHALLENGER))
    else:
        tracking.set_alias(name, _alias(context, CHALLENGER), versions[challenger])
    if _alias(context, CHAMPION) != CHAMPION:  # from when one endpoint alone served the model
        for role in (CHAMPION, CHALLENGER):
            tracking.drop_alias(name, role)


def _alias(context: EndpointContext, role: str) -> str:
    """The registry's name of a role; where several endpoints serve a model, each has its own, such as `champion-returns`."""
    serving = [e for e in context.project.endpoints if e.model.name == context.endpoint.model.name]
    own = re.sub(r"\W", "-", context.endpoint.name)  # what MLflow allows in an alias
    return role if len(serving) == 1 else f"{role}-{own}"
