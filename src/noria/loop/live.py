"""From the catalog to a live server: the champion of an endpoint, opened, verified and ready to be served."""

from __future__ import annotations

import msgspec

from noria.core.clock import SystemClock
from noria.core.errors import UserMistake
from noria.core.settings import ServingSettings
from noria.loop.observe import latest_release
from noria.loop.project import Project
from noria.loop.workspace import Workspace
from noria.models.bundle import open_bundle
from noria.release.endpoint import Endpoint
from noria.serving.server import Server


class NothingToServe(UserMistake):
    """An endpoint has no champion yet."""

    code = "NR-420"

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        super().__init__(
            what=f"endpoint {endpoint!r} has no champion yet",
            where="no model was ever promoted here",
            mend="run `noria ingest` and `noria train`, or `noria replay`",
        )


def open_server(project: Project, workspace: Workspace, endpoint: Endpoint, *, host: str | None, port: int | None) -> Server:
    """A server for the endpoint's champion, not started yet. Raises `NothingToServe` or `DamagedBundle`."""
    catalog = workspace.catalog()
    release = latest_release(catalog, endpoint.name)
    catalog.close()
    if release is None:
        raise NothingToServe(endpoint.name)
    bundle = open_bundle(workspace.bundles / release.champion, workspace.files)
    settings = with_overrides(project.settings.serving, host, port)
    return Server(endpoint.name, bundle, workspace.log(endpoint.name), settings, SystemClock(), workspace.files)


def with_overrides(settings: ServingSettings, host: str | None, port: int | None) -> ServingSettings:
    """Settings with what the command line says in place."""
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    return msgspec.structs.replace(settings, **given)
