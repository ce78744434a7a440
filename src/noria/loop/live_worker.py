"""A worker that knows the project: it looks features up in the online store. `python -m noria.loop.live_worker PROJECT SOCKET`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from noria.features.lookup import EntityLookup
from noria.serving.process.worker import run_worker

if TYPE_CHECKING:
    from noria.models.bundle import Bundle
    from noria.stores.online import OnlineStore


PATIENCE_SECONDS = 0.25  # for which a store may hold up a worker, once: see `GuardedLookup`


class ProjectLookups:
    """Opens lookups as the project in a folder declares them at that moment; all share one store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store: OnlineStore | None = None

    def __call__(self, endpoint: str, champion: Bundle) -> EntityLookup:
        """The features of an endpoint's champion, as they were defined when it was sealed."""
        from noria.data.ingest import NotIngested
        from noria.loop.project import load_project
        from noria.models.own_set import own_set
        from noria.stores.workspace import Workspace

        project = load_project(self._folder)
        workspace = Workspace.of(self._folder, project.settings)
        features = own_set(champion, project.endpoint(endpoint).model.features, project.tables, project.transforms)
        spine = workspace.tables.schema(features.spine.name)
        if spine is None:
            raise NotIngested(features.spine.name)
        if self._store is None:
            self._store = workspace.online(PATIENCE_SECONDS)
        return EntityLookup(features, self._store, spine)


if __name__ == "__main__":
    run_worker(int(sys.argv[2]), ProjectLookups(Path(sys.argv[1])))
