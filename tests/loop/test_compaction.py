"""Tidying removes what nobody needs any more, and nothing that somebody refers to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

import noria as nr
from noria.core.settings import ProjectSettings, Settings
from noria.data.ingest import push
from noria.features.materialize import Materializer
from noria.loop.compaction import compact
from noria.loop.project import Project
from noria.stores.online import OnlineStoreFailed
from noria.stores.workspace import Workspace

START = datetime(2024, 1, 1, tzinfo=UTC)
VISITS = nr.Table("visits", nr.files("none"), key="id", event_time="at")
VIEW = nr.FeatureView("v", VISITS, entity="city", aggregate={"n": nr.count(window="1h")})
NEVER_MADE = nr.FeatureView("w", VISITS, entity="city", aggregate={"n": nr.count(window="2h")})


def visit(workspace: Workspace, minute: int) -> None:
    at = pa.array([START + timedelta(minutes=minute)], pa.timestamp("us", tz="UTC"))
    push(VISITS, workspace.tables, pa.table({"id": [f"v{minute}"], "city": ["ams"], "at": at}))


def materialize(workspace: Workspace, minute: int) -> None:
    store = workspace.online()
    Materializer(store, workspace.tables).run(VIEW, START + timedelta(minutes=minute))
    store.close()


def of(tmp_path: Path, views: tuple[nr.FeatureView, ...]) -> tuple[Project, Workspace]:
    settings = Settings(ProjectSettings("shop", "shop"))
    return Project(tmp_path, settings, (VISITS,), views), Workspace.of(tmp_path, settings)


def files(workspace: Workspace) -> set[str]:
    return {path.name for path in (workspace.root / "tables" / "visits").glob("*.parquet")}


def test_the_version_that_the_online_store_was_made_from_stays_until_it_has_moved_on(tmp_path: Path) -> None:
    project, workspace = of(tmp_path, (VIEW, NEVER_MADE))
    visit(workspace, 1)
    materialize(workspace, 5)
    visit(workspace, 6)
    [done] = compact(project, workspace, timedelta(0))
    assert (done.table, done.kept_versions) == ("visits", [0])
    assert workspace.tables.read("visits", 0).num_rows == 1
    materialize(workspace, 10)
    made_from = workspace.tables.latest("visits")
    [done] = compact(project, workspace, timedelta(0))
    assert done.kept_versions == [made_from]
    assert len(files(workspace)) == 1


def test_a_project_without_views_is_tidied_without_an_online_store(tmp_path: Path) -> None:
    project, workspace = of(tmp_path, ())
    visit(workspace, 1)
    visit(workspace, 2)
    [done] = compact(project, workspace, timedelta(0))
    assert (done.kept_versions, len(files(workspace))) == ([], 1)
    assert not (workspace.root / "online").exists()


def test_nothing_is_removed_where_the_online_store_cannot_say_what_it_needs(tmp_path: Path) -> None:
    project, workspace = of(tmp_path, (VIEW,))
    visit(workspace, 1)
    materialize(workspace, 5)
    visit(workspace, 6)
    before = files(workspace)
    (workspace.root / "online" / "data.mdb").write_bytes(b"not a store" * 1000)
    with pytest.raises(OnlineStoreFailed):
        compact(project, workspace, timedelta(0))
    assert files(workspace) == before
