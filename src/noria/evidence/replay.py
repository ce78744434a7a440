"""The report of a finished replay: the declared policy beside never retraining and retraining every four weeks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noria.core.clock import Stopwatch
from noria.core.ids import canonical_json, finite
from noria.evidence.figures import feature_shift
from noria.evidence.report import render_report
from noria.loop.comparison import Replayed
from noria.loop.project import Project
from noria.stores.workspace import Workspace


def write_report(
    project: Project, workspace: Workspace, replayed: Replayed, figures: Mapping[str, Any], watch: Stopwatch
) -> dict[str, Any]:
    """Write `report.html` and `report.json` into the project's folder (of several endpoints, `report-<endpoint>.…`), from `replay_figures`;
    returns the figures with their place and cost."""
    endpoint = replayed.home.endpoint.name
    name = "report" if len(project.endpoints) == 1 else f"report-{endpoint}"
    report = workspace.folder / f"{name}.html"
    found = {**figures, "report": str(report), "seconds": watch.seconds}
    title = project.settings.project.name if len(project.endpoints) == 1 else f"{project.settings.project.name}: {endpoint}"
    page = render_report(title, found, feature_shift(replayed.contexts[0], replayed.span))
    workspace.files.write(report, page.encode())
    workspace.files.write(workspace.folder / f"{name}.json", canonical_json(finite(found)).encode())  # no outcome may be known yet
    return found
