"""One training, in a process of its own: `python -m noria.loop.training_process FOLDER ENDPOINT AS_OF CHAMPION RESULT PARENT`."""

from __future__ import annotations

import logging
import sys
from datetime import datetime
from pathlib import Path

from noria.core.errors import NoriaError, as_noria
from noria.core.processes import bound_memory, end_with, go_first
from noria.loop.context import EndpointContext, Policy
from noria.loop.project import load_project
from noria.loop.trainings import tell_result, training
from noria.stores.workspace import Workspace
from noria.training.candidate import Candidate, make_candidate

logger = logging.getLogger("noria.loop")


def train(folder: Path, endpoint: str, as_of: datetime, champion: str | None) -> Candidate | NoriaError:
    """Train a candidate; what goes wrong is returned."""
    try:
        project = load_project(folder)
        bound_memory(project.settings.loop.training_memory_gb)
        chosen = project.endpoint(endpoint)
        context = EndpointContext.open(project, Workspace.of(folder, project.settings), chosen, Policy.declared(project, chosen))
        with training(context):
            return make_candidate(context, as_of, champion)
    except Exception as error:
        logger.exception("the training failed")  # into the training's log, where people look for the whole of it
        return as_noria(error)


if __name__ == "__main__":
    end_with(int(sys.argv[6]))
    go_first()
    tell_result(Path(sys.argv[5]), train(Path(sys.argv[1]), sys.argv[2], datetime.fromisoformat(sys.argv[3]), sys.argv[4] or None))
