"""One training, in a process of its own: `python -m noria.loop.training_process FOLDER ENDPOINT AS_OF CHAMPION RESULT PARENT`."""

from __future__ import annotations

import logging
import os
import resource
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

from noria.core.errors import NoriaError, as_noria
from noria.loop.context import EndpointContext, Policy
from noria.loop.project import load_project
from noria.loop.trainings import tell_result, training
from noria.stores.workspace import Workspace
from noria.training.candidate import Candidate, make_candidate

FIRST_TO_GO = 500  # of 1000, by which the kernel raises this process among those that it ends when memory runs out
GIB = 2**30

logger = logging.getLogger("noria.loop")


def train(folder: Path, endpoint: str, as_of: datetime, champion: str | None) -> Candidate | NoriaError:
    """Train a candidate; what goes wrong is returned."""
    try:
        project = load_project(folder)
        _bound_memory(project.settings.loop.training_memory_gb)
        chosen = project.endpoint(endpoint)
        context = EndpointContext.open(project, Workspace.of(folder, project.settings), chosen, Policy.declared(project, chosen))
        with training(context):
            return make_candidate(context, as_of, champion)
    except Exception as error:
        logger.exception("the training failed")  # into the training's log, where people look for the whole of it
        return as_noria(error)


def _bound_memory(gigabytes: float | None) -> None:
    """Beyond its bound an allocation fails in this process, before the machine has none left for others."""
    if gigabytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (int(gigabytes * GIB), int(gigabytes * GIB)))


def _go_first() -> None:
    adjust = Path("/proc/self/oom_score_adj")
    if adjust.exists():
        adjust.write_text(str(FIRST_TO_GO))


def _end_with(parent: int) -> None:
    """A training whose loop has died is of no use: the next loop begins another."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=look, name="parent", daemon=True).start()


if __name__ == "__main__":
    _end_with(int(sys.argv[6]))
    _go_first()
    tell_result(Path(sys.argv[5]), train(Path(sys.argv[1]), sys.argv[2], datetime.fromisoformat(sys.argv[3]), sys.argv[4] or None))
