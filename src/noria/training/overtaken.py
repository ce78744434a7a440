"""Training sets that late rows have overtaken: would training on the same period, as of the same moment, read the same today?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from noria.data.ingest import current
from noria.features.facts import Facts
from noria.features.training_set import build_training_set
from noria.models.bundle import Bundle, open_bundle
from noria.models.lineage import Lineage
from noria.release.endpoint import Endpoint
from noria.stores.workspace import Workspace


@dataclass(frozen=True)
class MadeFrom:
    """A bundle's training set, and whether it would differ if it were made from the tables as they are now."""

    endpoint: str
    bundle: str
    training_set: str
    as_of: str
    changed: bool

    def to_dict(self) -> dict[str, Any]:
        return vars(self)


def training_sets(endpoints: Sequence[Endpoint], workspace: Workspace) -> list[MadeFrom]:
    """Every bundle's training set, oldest first. One that no batch could have reached is not made again to find out."""
    found = [_made_from(workspace, endpoint, bundle) for endpoint in endpoints for bundle in _bundles(workspace, endpoint)]
    return sorted(found, key=lambda made: (made.endpoint, made.as_of, made.bundle))


def _bundles(workspace: Workspace, endpoint: Endpoint) -> list[Bundle]:
    folders = workspace.files.list(workspace.bundles) if workspace.bundles.is_dir() else []
    opened = [open_bundle(folder, workspace.files) for folder in folders if not folder.name.startswith(".")]
    definition = endpoint.model.features.definition_hash()
    return [b for b in opened if b.manifest.name == endpoint.model.name and b.manifest.definition_hash == definition]


def _made_from(workspace: Workspace, endpoint: Endpoint, bundle: Bundle) -> MadeFrom:
    lineage = bundle.manifest.lineage
    changed = False
    if _reached(workspace, endpoint, lineage):
        model = endpoint.model
        facts = Facts.read(workspace, model.features, model.label, model.task.coding, others=model.built_from)
        again = build_training_set(facts.offline, model.label, facts.outcomes, model.task, start=lineage.start, as_of=lineage.as_of)
        changed = again.id != lineage.training_set
    return MadeFrom(endpoint.name, bundle.id, lineage.training_set, lineage.as_of.isoformat(), changed)


def _reached(workspace: Workspace, endpoint: Endpoint, lineage: Lineage) -> bool:
    """Whether a batch has come since that says something of a time before `as_of`."""
    tables = {t.name: t for t in endpoint.model.features.tables}
    for then in lineage.tables:
        table = tables[then.table]
        before = current(table, workspace.tables, then.version).digest_before(lineage.as_of)
        if current(table, workspace.tables).digest_before(lineage.as_of) != before:
            return True
    return False
