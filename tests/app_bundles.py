"""Bundles of applications of documents that are given as texts: what a build makes of a project's corpus, without the project."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from applications import SIGNATURE, TASK
from noria.data.table import Table
from noria.evaluation.generation import OUTPUTS
from noria.llm.application.answering import Terms
from noria.llm.application.application import Application
from noria.llm.application.opening import INDEX, SETTINGS, opened_with_secrets, opening
from noria.llm.application.parts import needs_trust
from noria.llm.documents import Document, document_files
from noria.llm.embedding import HashedEmbedder
from noria.llm.index import build
from noria.models.bundle import Bundle
from noria.models.export import Exported
from noria.models.runtimes.python_spec import FILES_FOLDER, PYTHON_FILE, PythonSpec, this_python
from python_bundles import seal_exported

PAGES = {
    "holidays.md": "# Holidays\n\nThe form for holidays is number 71. Ask two weeks before.",
    "travel.md": "# Travel\n\nTravel is booked by the desk on floor three.",
}
QUESTION = "What is the form for holidays?"


def application_bundle(root: Path, application: Application, run: str = "run") -> Bundle:
    """A bundle of an application whose corpus is `PAGES`."""
    settings = application._settings()
    row = dict.fromkeys([field.name for field in SIGNATURE.inputs]) | {"question": QUESTION, "mode": "search"}
    with TemporaryDirectory() as name:
        build([Document(page, text) for page, text in PAGES.items()], application.chunker, application.embedder, Path(name) / INDEX)
        (Path(name) / SETTINGS).write_bytes(msgspec.json.encode(settings))
        answer = opened_with_secrets(Path(name)).answer(row)
        files = {f"{FILES_FOLDER}/{p.relative_to(name)}": p.read_bytes() for p in sorted(Path(name).rglob("*")) if p.is_file()}
    spec = PythonSpec(opening(trusted=needs_trust(settings)), this_python(), {})
    exported = Exported("python", {PYTHON_FILE: msgspec.json.encode(spec), **files}, trust=spec.runs_its_own_code)
    sample = [[row[field.name] for field in SIGNATURE.inputs]], [[answer[field.name] for field in OUTPUTS]]
    return seal_exported(root, exported, SIGNATURE, sample, run, TASK)


def application(**parts: Any) -> Application:
    """One whose corpus is `PAGES`, and that answers whatever it is asked."""
    corpus = Table("docs", document_files("handbook"), key="id", event_time="changed_at", deleted="deleted")
    return Application(corpus, HashedEmbedder(), **{"terms": Terms(count=1, least=0.0), **parts})
