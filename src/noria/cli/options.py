"""What many commands share: the options that all of them have, and how a project is opened."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from noria.loop.context import EndpointContext
    from noria.loop.project import Project
    from noria.stores.workspace import Workspace

Folder = Annotated[Path, typer.Option("--project", "-p", envvar="NORIA_PROJECT", help="The project's folder.")]
Json = Annotated[bool, typer.Option("--json", envvar="NORIA_JSON", help="Print one JSON document.")]
Endpoint = Annotated[str | None, typer.Argument(envvar="NORIA_ENDPOINT", help="The endpoint (default: the only one).")]
By = Annotated[str | None, typer.Option("--by", envvar="NORIA_BY", help="Your name (default: the user name).")]
HERE = Path()


def open_project(folder: Path) -> tuple[Project, Workspace]:
    from noria.loop.project import load_project
    from noria.stores.workspace import Workspace

    project = load_project(folder)
    return project, Workspace.of(folder, project.settings)


def open_context(folder: Path, endpoint: str | None) -> EndpointContext:
    """An endpoint of the project in a folder, the only one if it is not named, under the policy that the project declares."""
    from noria.loop.context import EndpointContext, Policy

    project, workspace = open_project(folder)
    chosen = project.endpoint(endpoint)
    return EndpointContext.open(project, workspace, chosen, Policy.declared(project, chosen))


def who(by: str | None) -> str:
    """The name of whoever acts."""
    return by or getpass.getuser()
