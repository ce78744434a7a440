"""The pages of gates that ask models: what they saw, for people, kept beside the run of each candidate, released or refused."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from noria.stores.workspace import Workspace

Reports = tuple[tuple[str, str], ...]
"""(title, path from the project's folder)"""


@dataclass(frozen=True)
class Page:
    """An HTML page, and the gate that it is of."""

    title: str
    html: str


def write_reports(workspace: Workspace, run: str, pages: Sequence[Page]) -> Reports:
    """Write the pages of a run's gates. A file is named for its gate, and numbered where two gates have one name."""
    found, folder = list[tuple[str, str]](), workspace.reports(run)
    for page in pages:
        stem = re.sub(r"[^a-z0-9]+", "-", page.title.lower()).strip("-")[:60] or "report"
        path = folder / f"{stem}{'' if page.title not in [title for title, _ in found] else f'-{len(found) + 1}'}.html"
        workspace.files.make_folder(folder)
        workspace.files.write(path, page.html.encode())
        found.append((page.title, os.path.relpath(path, workspace.folder)))
    return tuple(found)
