"""Judges beside the rounds: one that hangs holds up nothing, one that is done is asked on, and what fails is said in the next round."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from desk import MODULE, write_desk
from noria.core.clock import ReplayClock, SystemClock, since_epoch
from noria.core.errors import NoriaError
from noria.core.files import LocalFiles
from noria.data.rows import Rows
from noria.evaluation.generation import INPUTS, OUTPUTS
from noria.loop.judging import Judging
from noria.loop.project import Project, load_project
from noria.serving.log.predictions import Predictions, Values
from noria.serving.log.segments import PredictionLog
from noria.stores.verdicts import Verdicts
from noria.stores.workspace import Workspace
from projects import edited

WAITING = """
from pathlib import Path


class Waiting:
    "Says nothing until somebody writes to its gate."

    name, needs_reference = "faithfulness", False

    def judge(self, question, answer, chunks, reference=None):
        from noria.llm.evaluation import Judgement
        return Judgement(float(Path("GATE").read_text()))

    def definition(self):
        return {"judge": "waiting"}


monitor = nr.Monitor(endpoint, judged=[llm.sampled(Waiting(), at_least=0.9, a_day=24)])
"""
LONG = timedelta(seconds=60)
Open = tuple[Project, Workspace, Judging]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Open]:
    """A project, never trained, with a judged answer in its log of the hour before."""
    os.mkfifo(tmp_path / "gate")
    declared = {"monitor = nr.Monitor(endpoint, false_alarms_per_year=2)\n": WAITING.replace("GATE", str(tmp_path / "gate"))}
    project = load_project(write_desk(tmp_path, edited(MODULE, declared)))
    workspace, at = Workspace.of(tmp_path, project.settings), SystemClock().now() + timedelta(hours=2)
    inputs = Rows.of_values(INPUTS, [("Which form?", None, None, None, None, None, None)])
    outputs = Rows.of_values(OUTPUTS, [("Number 7.", [], ["c"], ["text"], ["p"], [0.5], 0.9, "answered", 0, 0, None, None, None, None)])
    times = np.array([since_epoch(at - timedelta(hours=1))])
    row = Predictions(["0-w-0"], [None], ["champion"], ["b"], times, np.zeros(1, np.int32), {"b": Values(inputs, outputs)})
    log = PredictionLog(workspace.log("desk"), "w", LocalFiles())
    log.append(row)
    log.close()
    judging = Judging(ReplayClock(at))
    yield project, workspace, judging
    judging.end()


def test_a_judge_that_hangs_holds_nothing_up_and_is_not_asked_twice(desk: Open) -> None:
    project, workspace, judging = desk
    for _ in range(3):
        judging.begin(project, workspace, project.endpoints)  # which returns, though the judge does not
    assert judging.wait(timedelta()) == 0
    (workspace.folder / "gate").write_text("1.0")  # is read by the one judge that waits
    assert judging.wait(LONG) == 1
    [judge] = project.monitors[0].judged
    kept = Verdicts(workspace.verdicts("desk"))
    assert [(each.prediction, each.score) for each in kept.of(judge.key, "b", SystemClock().now() - timedelta(days=1))] == [("0-w-0", 1.0)]
    judging.begin(project, workspace, project.endpoints)
    assert judging.wait(LONG) == 0


def test_verdicts_that_can_not_be_kept_are_told_in_the_next_round(desk: Open) -> None:
    project, workspace, judging = desk
    workspace.verdicts("desk").parent.mkdir(parents=True)
    workspace.verdicts("desk").write_text("this is no database, and too long to be taken for an empty one" * 20)
    judging.begin(project, workspace, project.endpoints)
    with pytest.raises(NoriaError, match="not a database"):
        judging.wait(LONG)
    judging.begin(project, workspace, project.endpoints)
    assert judging._thread is not None
    judging._thread.join(LONG.total_seconds())
    with pytest.raises(NoriaError, match="not a database"):
        judging.begin(project, workspace, project.endpoints)
