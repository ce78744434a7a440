"""Releases: who answers at an endpoint, who shadows, and who ever did."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from noria.core.clock import from_epoch, since_epoch
from noria.loop.world import World
from noria.models.registry import CHALLENGER, CHAMPION
from noria.stores import catalog as db


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


def latest_release(catalog: db.Catalog, endpoint: str) -> Release | None:
    """The newest release of an endpoint in a catalog; None before the first promotion."""
    rows = catalog.rows(sa.select(db.releases).where(db.releases.c.endpoint == endpoint).order_by(db.releases.c.sequence.desc()))
    if not rows:
        return None
    latest = since = rows[0]
    previous = None
    for row in rows:
        if row.champion != latest.champion:
            previous = row.champion
            break
        since = row
    return Release(latest.champion, from_epoch(since.at), latest.challenger, from_epoch(latest.at), previous)


def champion_since(world: World, bundle: str, moment: datetime) -> datetime | None:
    """Since when a bundle had been champion that was so at a moment; None where it was not."""
    releases = sa.select(db.releases).where(db.releases.c.endpoint == world.endpoint.name, db.releases.c.at <= since_epoch(moment))
    since = None
    for row in world.catalog.rows(releases.order_by(db.releases.c.sequence.desc())):
        if row.champion == bundle:
            since = row.at
        elif since is not None:
            break
    return None if since is None else from_epoch(since)


def released_champions(world: World) -> set[str]:
    """Every bundle that was ever made champion here."""
    rows = world.catalog.rows(sa.select(db.releases.c.champion).where(db.releases.c.endpoint == world.endpoint.name).distinct())
    return {row.champion for row in rows}


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
