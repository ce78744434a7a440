"""Releases: who answers at an endpoint, who shadows, and who ever did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from noria.release.open_endpoint import OpenEndpoint
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


def current_release(context: OpenEndpoint) -> Release | None:
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


def champion_since(context: OpenEndpoint, bundle: str, moment: datetime) -> datetime | None:
    """Since when a bundle had been champion that was so at a moment; None where it was not."""
    since = None
    for row in releases_of(context.stores.catalog, context.endpoint.name, until=moment):
        if row.champion == bundle:
            since = row.at
        elif since is not None:
            break
    return since


def released_champions(context: OpenEndpoint) -> set[str]:
    """Every bundle that was ever made champion here."""
    return champions_of(context.stores.catalog, context.endpoint.name)
