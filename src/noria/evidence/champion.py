"""The bundle that answers an endpoint's requests, and requests that it can be asked, for those who call its server."""

from __future__ import annotations

import json
from contextlib import closing

from noria.core.files import Files
from noria.loop.live import NothingToServe
from noria.models.bundle import Bundle, open_bundle, sample_of
from noria.release.endpoint import Endpoint
from noria.release.releases import latest_release
from noria.stores.workspace import Workspace


def champion_of(workspace: Workspace, endpoint: Endpoint) -> Bundle:
    """The bundle that answers an endpoint's requests. Raises `NothingToServe`."""
    with closing(workspace.catalog()) as catalog:
        release = latest_release(catalog, endpoint.name)
    if release is None:
        raise NothingToServe(endpoint.name)
    return open_bundle(workspace.bundles / release.champion, workspace.files)


def sample_bodies(bundle: Bundle, files: Files) -> list[bytes]:
    """Requests for one row each, from the sample that was sealed with a bundle."""
    rows = sample_of(bundle, files)["inputs"]
    return [json.dumps({"rows": [dict(zip(bundle.features, row, strict=True))]}).encode() for row in rows]
