"""Where a project's stores lie: the one place that knows the folders.

    <project>/.noria/
        tables/                Delta tables
        objects/bundles/<id>/  bundles          objects/runs/<id>.json  what a training gave
                                                objects/runs/<id>/*.html  what its gates saw, for people
        features/              offline features, by content
        online/                the newest values of every entity
        mlflow.db              runs and registry
        catalog.db             what the loop knows     log/<endpoint>/<writer>/  predictions
        judged/<endpoint>.db   what judges said of logged answers
        replays/<policy>/      a catalog and a log of its own for every policy that is replayed

Tables, objects, features and runs are shared by all replays, because they are named by their content.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from noria.core.environment import from_environment
from noria.core.files import Files, LocalFiles
from noria.core.settings import Settings
from noria.stores.tables import DeltaTables

if TYPE_CHECKING:
    from noria.stores.catalog import Catalog
    from noria.stores.online import OnlineStore


@dataclass(frozen=True)
class Workspace:
    """The stores of one project (or of one replay of it)."""

    folder: Path
    settings: Settings
    files: Files
    replay: str | None = None

    @staticmethod
    def of(folder: Path, settings: Settings, files: Files | None = None) -> Workspace:
        return Workspace(folder.resolve(), settings, files or LocalFiles())

    def beside(self, replay: str) -> Workspace:
        """The same project with a catalog and a prediction log of its own."""
        return replace(self, replay=replay)

    @property
    def root(self) -> Path:
        return self.folder / self.settings.stores.folder

    @property
    def own(self) -> Path:
        """Where this workspace's own history lies."""
        return self.root if self.replay is None else self.root / "replays" / self.replay

    @property
    def bundles(self) -> Path:
        return self.root / "objects" / "bundles"

    @property
    def runs(self) -> Path:
        return self.root / "objects" / "runs"

    def reports(self, run: str) -> Path:
        """The folder with the pages of a run's gates."""
        return self.runs / run

    @property
    def features(self) -> Path:
        return self.root / "features"

    @cached_property
    def tables(self) -> DeltaTables:
        return DeltaTables(self.root / "tables", self.files)

    def online(self, patience_seconds: float = 10.0) -> OnlineStore:
        """The online store that the settings name."""
        from noria.stores.online import open_online

        return open_online(from_environment(self.settings.stores.online), self.root / "online", patience_seconds)

    def log(self, endpoint: str) -> Path:
        return self.own / "log" / endpoint

    def verdicts(self, endpoint: str) -> Path:
        """The file of what judges said of an endpoint's logged answers."""
        return self.own / "judged" / f"{endpoint}.db"

    def catalog(self) -> Catalog:
        from noria.stores.catalog import Catalog

        return Catalog(self.own / "catalog.db")
