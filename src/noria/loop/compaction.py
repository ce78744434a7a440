"""Tidying: the prediction log's past days are sealed into tables; the tables' small files are joined, and files that only old
versions need are removed, but for versions that a bundle or the online store was made from."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from noria.core.clock import duration
from noria.core.signature import Signature
from noria.data.ingest import quarantine_of
from noria.features.online import OnlineFeatures
from noria.loop.project import Project
from noria.models.bundle import open_bundle
from noria.serving.log.seal import Sealed, seal, table_of
from noria.stores.workspace import Workspace


@dataclass(frozen=True)
class Compacted:
    """What compaction did to one table."""

    table: str
    joined: int
    removed: int
    kept_versions: list[int]

    def to_dict(self) -> dict[str, Any]:
        return vars(self)


def seal_logs(project: Project, workspace: Workspace, now: datetime) -> list[Sealed]:
    """Seal the past days of every endpoint's prediction log, and remove what `serving.log_keep` says."""
    keep = workspace.settings.serving.log_keep
    age = None if keep is None else duration(keep)

    @cache
    def signature_of(bundle: str) -> Signature:
        return open_bundle(workspace.bundles / bundle, workspace.files).signature

    return [
        seal(endpoint.name, workspace.log(endpoint.name), workspace.tables, signature_of, workspace.files, now, age)
        for endpoint in project.endpoints
    ]


def compact(project: Project, workspace: Workspace, younger_than: timedelta) -> list[Compacted]:
    """Compact every table, and remove what only versions older than `younger_than` need, unless a bundle or the online store refers
    to them. Raises `OnlineStoreFailed`, before anything is removed, where the online store can't say."""
    referred = _referred_versions(workspace)
    for name, versions in _online_versions(project, workspace).items():
        referred.setdefault(name, set()).update(versions)
    done = []
    for table in project.tables:
        for name in (table.name, quarantine_of(table)):
            done += _compact(workspace, name, sorted(referred.get(name, set())), younger_than)
    for endpoint in project.endpoints:
        done += _compact(workspace, table_of(endpoint.name), [], younger_than)
    return done


def _compact(workspace: Workspace, name: str, keep: list[int], younger_than: timedelta) -> list[Compacted]:
    if workspace.tables.latest(name) is None:
        return []
    with workspace.tables.writing(name):
        return [Compacted(name, workspace.tables.compact(name), workspace.tables.retain(name, keep, younger_than), keep)]


def _referred_versions(workspace: Workspace) -> dict[str, set[int]]:
    """The versions of each table that a bundle's lineage names."""
    found: dict[str, set[int]] = {}
    folders = workspace.files.list(workspace.bundles) if workspace.bundles.is_dir() else []
    for folder in folders:
        if not folder.name.startswith("."):
            for table in open_bundle(folder, workspace.files).manifest.lineage.tables:
                found.setdefault(table.table, set()).add(table.version)
    return found


def _online_versions(project: Project, workspace: Workspace) -> dict[str, set[int]]:
    """The versions of each table that views were materialised from: late rows are found by comparing the next one with it."""
    found: dict[str, set[int]] = {}
    if not project.views:
        return found
    with closing(workspace.online()) as store:
        for view in project.views:
            state = OnlineFeatures(store, [view]).state(view)
            if state is not None and state["version"] is not None:
                found.setdefault(view.table.name, set()).add(int(state["version"]))
    return found
