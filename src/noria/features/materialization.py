"""The project's views in the online store: brought to a moment, and brought to it at once when an application pushes rows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from noria.core.clock import Clock
from noria.core.progress import Progress, Tell
from noria.data.ingest import Ingested, push_piece
from noria.data.sources.files import MissingData, file_piece
from noria.data.table import Table
from noria.features.materialize import Materialized, Materializer
from noria.features.online import OnlineFeatures
from noria.features.view import FeatureView
from noria.stores.workspace import Workspace

if TYPE_CHECKING:
    pass


def materialize(workspace: Workspace, views: Sequence[FeatureView], at: datetime, tell: Tell, *, fresh: bool = False) -> list[Materialized]:
    """Bring views to a moment in the online store; `fresh` makes them anew. Raises `NotIngested` or `OnlineStoreFailed`."""
    with closing(workspace.online()) as store:
        materializer = Materializer(store, workspace.tables)
        done = []
        for i, view in enumerate(views):
            if fresh:
                materializer.forget(view)
            online = OnlineFeatures(store, [view])
            if online.state(view) is not None:
                online.verify()
            done.append(materializer.run(view, at))
            tell(
                Progress(
                    "materialize",
                    f"{view.name}: {done[-1].changed:,} changed, {done[-1].recomputed:,} recomputed",
                    share=(i + 1) / len(views),
                )
            )
        return done


def push_file(
    table: Table, views: Sequence[FeatureView], workspace: Workspace, path: Path, clock: Clock, tell: Tell
) -> tuple[Ingested, list[Materialized]]:
    """Add a file's rows to a table and bring the views that read it to this moment: those without `freshness` count the rows at once,
    the others from their next tick on, as in training."""
    if not path.is_file():
        raise MissingData(path.name, str(path.parent.resolve()))
    return _counted_at_once(table, views, workspace, push_piece(table, workspace.tables, file_piece(path), clock), clock, tell)


def _counted_at_once(
    table: Table, views: Sequence[FeatureView], workspace: Workspace, ingested: Ingested, clock: Clock, tell: Tell
) -> tuple[Ingested, list[Materialized]]:
    readers = [view for view in views if view.table.name == table.name]
    return ingested, materialize(workspace, readers, clock.now(), tell)
