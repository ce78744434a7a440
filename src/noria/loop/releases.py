"""Releases: who answers at an endpoint, who shadows, and who ever did."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from noria.loop.world import World
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


def current_release(world: World) -> Release | None:
    """Who answers now; None before the first promotion."""
    return latest_release(world.catalog, world.endpoint.name)


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


def champion_since(world: World, bundle: str, moment: datetime) -> datetime | None:
    """Since when a bundle had been champion that was so at a moment; None where it was not."""
    since = None
    for row in releases_of(world.catalog, world.endpoint.name, until=moment):
        if row.champion == bundle:
            since = row.at
        elif since is not None:
            break
    return since


def released_champions(world: World) -> set[str]:
    """Every bundle that was ever made champion here."""
    return champions_of(world.catalog, world.endpoint.name)


def set_aliases(world: World, champion: str, challenger: str | None) -> None:
    """Let the registry say what the catalog is about to say, before the action counts as done: else a kill between the two
    would leave it wrong for good. The catalog is the truth."""
    tracking, name = world.workspace.tracking, world.endpoint.model.name
    versions = {v.bundle: v.version for v in tracking.versions(name)}
    tracking.set_alias(name, _alias(world, CHAMPION), versions[champion])
    if challenger is None:
        tracking.drop_alias(name, _alias(world, CHALLENGER))
    else:
        tracking.set_alias(name, _alias(world, CHALLENGER), versions[challenger])
    if _alias(world, CHAMPION) != CHAMPION:  # from when one endpoint alone served the model
        for role in (CHAMPION, CHALLENGER):
            tracking.drop_alias(name, role)


def _alias(world: World, role: str) -> str:
    """The registry's name of a role; where several endpoints serve a model, each has its own, such as `champion-returns`."""
    serving = [e for e in world.project.endpoints if e.model.name == world.endpoint.model.name]
    own = re.sub(r"\W", "-", world.endpoint.name)  # what MLflow allows in an alias
    return role if len(serving) == 1 else f"{role}-{own}"
