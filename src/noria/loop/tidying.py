"""Tidying the tables: small files are joined, and files that only old versions need are removed, but for versions that a
bundle was made from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from noria.data.ingest import quarantine_of
from noria.loop.project import Project
from noria.loop.workspace import Workspace
from noria.models.bundle import open_bundle


@dataclass(frozen=True)
class Tidied:
    """What tidying did to one table."""

    table: str
    joined: int
    removed: int
    kept_versions: list[int]

    def to_dict(self) -> dict[str, Any]:
        return vars(self)


def tidy(project: Project, workspace: Workspace, younger_than: timedelta) -> list[Tidied]:
    """Compact every table, and remove what only versions older than `younger_than` need, unless a bundle refers to them."""
    referred = _referred_versions(workspace)
    done = []
    for table in project.tables:
        for name in (table.name, quarantine_of(table)):
            if workspace.tables.latest(name) is None:
                continue
            with workspace.tables.writing(name):
                keep = sorted(referred.get(name, set()))
                done.append(Tidied(name, workspace.tables.compact(name), workspace.tables.retain(name, keep, younger_than), keep))
    return done


def _referred_versions(workspace: Workspace) -> dict[str, set[int]]:
    """The versions of each table that a bundle's lineage names."""
    found: dict[str, set[int]] = {}
    folders = workspace.files.list(workspace.bundles) if workspace.bundles.is_dir() else []
    for folder in folders:
        if not folder.name.startswith("."):
            for table in open_bundle(folder, workspace.files).manifest.lineage["tables"]:
                found.setdefault(table["table"], set()).add(int(table["version"]))
    return found
