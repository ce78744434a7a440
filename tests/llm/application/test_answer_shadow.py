"""A new version of an application answers live questions unseen, and is promoted by both answers, whatever people said of one."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

from desk import MODULE, TOPICS, Desk, served, write_desk
from noria.core.clock import Stopwatch, SystemClock
from noria.core.files import LocalFiles
from noria.core.progress import silence
from noria.data.ingest import ingest
from noria.evidence.status import status
from noria.loop.context import EndpointContext, Policy
from noria.loop.controller import reconcile, train_now
from noria.loop.project import load_project
from noria.loop.state import Action
from noria.models.bundle import CARD_FILE, open_bundle
from noria.stores.candidates import newest_candidate
from noria.stores.workspace import Workspace

RELEASE = 'release=nr.Rollout(shadow="1s", at_most="1d", score="answered", margin=0.2, answers=60)'
PLAN = MODULE.replace('nr.Endpoint("desk", desk)', f'nr.Endpoint("desk", desk, {RELEASE})')
TRIES = 120.0  # seconds


def turn(folder: Path, *, train: bool = False) -> list[Action]:
    """One turn of the loop by what the project declares now, after a training where that is wanted."""
    project = load_project(folder)
    workspace, endpoint = Workspace.of(folder, project.settings), project.endpoint("desk")
    if train:
        for table in project.tables:
            ingest(table, workspace.tables, folder)
    context = EndpointContext.open(project, workspace, endpoint, Policy.declared(project, endpoint), live=True)
    with closing(context.stores.catalog) as catalog:
        catalog.take_lease(5)
        return train_now(context, SystemClock(), silence) if train else reconcile(context, SystemClock().now())


def concluded(folder: Path, desk: Desk, shadow: str) -> Action:
    """Ask until the shadow is decided; each answer of the champion is called bad."""
    watch, number = Stopwatch(), 0
    while watch.seconds < TRIES:
        for _ in range(8):
            number += 1
            body: dict[str, Any] = {
                "model": "desk",
                "messages": [{"role": "user", "content": f"Which form is it for {TOPICS[number % 5]}{'?' * number}"}],
            }
            code, told = desk.post("/v1/chat/completions", body)
            assert code == 200, told
            assert (told["noria"]["bundle"] != shadow, told["noria"]["finish"]) == (True, "answered")
            assert desk.post("/v1/feedback", {"prediction_id": told["id"], "helpful": False})[0] == 200
        done = [action for action in turn(folder) if action.verb != "train"]
        if done:
            return done[0]
        time.sleep(0.1)
    raise AssertionError("the shadow was not decided")


def test_a_shadow_is_decided_by_both_answers_and_not_by_feedback(tmp_path: Path) -> None:
    write_desk(tmp_path, PLAN)
    assert [action.verb for action in turn(tmp_path, train=True)] == ["train", "promote"]
    (tmp_path / "handbook" / "bicycles.md").write_text("# Bicycles\n\nThe key of the bicycles is in drawer 12.")
    *_, shadow = turn(tmp_path, train=True)
    assert shadow.verb == "shadow"
    project = load_project(tmp_path)
    workspace = Workspace.of(tmp_path, project.settings)
    with closing(workspace.catalog()) as catalog:
        candidate = newest_candidate(catalog, "desk")
    assert candidate is not None
    assert candidate.detail.compared.lost == "what people said is of the answers that they were shown"  # a gate on it is unknown
    [told] = status(project, workspace)["endpoints"]
    assert (told["challenger"], told["shadow"]["verdict"]) == (shadow.subject, "wait")
    assert told["shadow"]["why"].startswith("0 questions were answered by both and scored")
    with served(tmp_path) as desk:
        promote = concluded(tmp_path, desk, shadow.subject)
        assert (promote.verb, promote.subject) == ("promote", shadow.subject), promote.reason
        assert promote.reason.startswith("not worse by 0.2: answered +0.000")
        seen = promote.evidence["seen"]
        assert (seen["outcomes"], 20 <= seen["questions"] <= seen["answers"] <= 60) == ("of the champion's answers, and not used", True)
    bundle = open_bundle(workspace.bundles / promote.subject, LocalFiles())
    card = (bundle.path / CARD_FILE).read_text()
    assert "Not calibrated: no questions were given to calibrate it on" in card
