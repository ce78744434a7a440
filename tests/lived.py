"""A project that has been replayed over a span, with its endpoint open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from noria.core.clock import ReplayClock
from noria.data.ingest import ingest
from noria.loop.context import EndpointContext, Policy
from noria.loop.project import load_project
from noria.loop.replay import Span, open_contexts, replay
from noria.models.bundle import Bundle
from noria.release.releases import current_release
from noria.stores.workspace import Workspace


@dataclass
class Lived:
    context: EndpointContext
    champion: Bundle


@contextmanager
def lived_through(folder: Path, first: datetime, last: datetime) -> Iterator[Lived]:
    """The project's one endpoint, as it is declared, after [first, last)."""
    project = load_project(folder)
    workspace = Workspace.of(folder, project.settings)
    for table in project.tables:
        ingest(table, workspace.tables, folder, ReplayClock(last))
    endpoint = project.endpoint()
    [context] = open_contexts(project, workspace, endpoint, [Policy.declared(project, endpoint)])
    replay([context], Span(first, last), lambda _: None)
    release = current_release(context)
    assert release is not None
    yield Lived(context, context.stores.bundle(release.champion))
    context.stores.catalog.close()
