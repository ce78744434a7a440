"""The project's views in the online store: brought to a moment, and brought to it at once when an application pushes rows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from noria.core.clock import Clock
from noria.core.progress import Progress, Tell
from noria.data.ingest import Ingested, push, push_piece
from noria.data.sources.files import MissingData, file_piece
from noria.data.table import Table
from noria.features.materialize import Materialized, Materializer
from noria.features.online import OnlineFeatures
from noria.features.view import FeatureView
from noria.loop.project import Project
from noria.loop.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa


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
    project: Project, workspace: Workspace, table: str, path: Path, clock: Clock, tell: Tell
) -> tuple[Ingested, list[Materialized]]:
    """Add a file's rows to a table and bring the views that read it to this moment."""
    if not path.is_file():
        raise MissingData(path.name, str(path.parent.resolve()))
    target = project.table(table)
    return _counted_at_once(project, workspace, target, push_piece(target, workspace.tables, file_piece(path), clock), clock, tell)


def push_rows(
    project: Project, workspace: Workspace, table: str, rows: pa.Table, clock: Clock, tell: Tell
) -> tuple[Ingested, list[Materialized]]:
    """Add rows to a table and bring the views that read it to this moment: those without `freshness` count the rows at once,
    the others from their next tick on, as in training."""
    target = project.table(table)
    return _counted_at_once(project, workspace, target, push(target, workspace.tables, rows, clock), clock, tell)


def _counted_at_once(
    project: Project, workspace: Workspace, table: Table, ingested: Ingested, clock: Clock, tell: Tell
) -> tuple[Ingested, list[Materialized]]:
    views = [view for view in project.views if view.table.name == table.name]
    return ingested, materialize(workspace, views, clock.now(), tell)
