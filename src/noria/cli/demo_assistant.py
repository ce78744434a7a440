"""`noria demo docs-assistant`: an application, from nothing to a cited answer over HTTP; then a change for the worse, and an update."""

from __future__ import annotations

import csv
import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from noria.cli.demo import copy_example, run_prepare
from noria.core.clock import Stopwatch, SystemClock
from noria.core.errors import OutsideWorld
from noria.core.progress import Progress, Tell
from noria.data.ingest import ingest
from noria.evidence.training import trained
from noria.llm.chunking import Fixed
from noria.loop.context import EndpointContext, Policy
from noria.loop.controller import reconcile, train_now
from noria.loop.project import Project, load_project
from noria.release.endpoint import Endpoint
from noria.release.releases import latest_release
from noria.release.rollout import Rollout
from noria.stores.catalog import PATIENCE_SECONDS
from noria.stores.workspace import Workspace

NAME, ENDPOINT = "docs-assistant", "assistant"
FILES = ("noria.toml", "assistant.py", "prepare.py", "README.md")
Ask = Callable[[str, dict[str, Any]], dict[str, Any]]
ASKED = 60  # questions of users, in the demo's shadow
PATIENCE = 60.0  # seconds
QUESTION = "How do I solve a linear matrix equation?"
NEW_QUESTION = "How do I tell the times of high water at a harbour?"
NEW_PAGE = (
    "# noria.example.tides.high_water\n\nTells the times of high water at a harbour for a day, in UTC, from its harmonic constituents.\n"
)


def run_assistant(folder: Path, tell: Tell) -> dict[str, Any]:
    """Run the demo in `folder`; returns what was answered and decided. Run again, it goes on from there."""
    watch = Stopwatch()
    copy_example(folder, NAME, FILES)
    if not (folder / "data" / "docs").is_dir():
        tell(Progress("prepare", "writing the documentation of NumPy and SciPy as a folder of documents"))
        run_prepare(folder)
    project = load_project(folder)
    workspace, endpoint = Workspace.of(folder, project.settings), project.endpoint(ENDPOINT)
    told: dict[str, Any] = {"documents": _ingest(project, workspace, tell), "first": _train(project, workspace, endpoint, tell)}
    with _served(folder, tell) as ask:
        told["answer"] = ask("/v1/chat/completions", _chat(QUESTION))
        told["answered_after"] = watch.seconds
        tell(Progress("feedback", "saying that the answer helped"))
        told["feedback"] = ask("/v1/feedback", {"prediction_id": told["answer"]["id"], "helpful": True})
    tell(Progress("loop", "a change for the worse: chunks of 60 characters"))
    told["worse"] = _train(project, workspace, _with_small_chunks(endpoint), tell)
    tell(Progress("loop", "an update of the corpus: one document more"))
    (folder / "data" / "docs" / "noria.example.tides.high_water.md").write_text(NEW_PAGE, encoding="utf-8")
    _ingest(project, workspace, tell)
    told["update"] = _train(project, workspace, endpoint, tell)
    with _served(folder, tell) as ask:
        told["shadow"] = _shadowed(project, workspace, endpoint, ask, tell)
        told["new_answer"] = _answered_by(_champion(project, workspace, endpoint), ask)
    return {**told, "seconds": watch.seconds}


def _ingest(project: Project, workspace: Workspace, tell: Tell) -> int:
    """How many documents there are once everything is ingested."""
    rows = dict[str, int]()
    for table in project.tables:
        done = ingest(table, workspace.tables, project.folder)
        rows[table.name] = done.snapshot.rows
        tell(Progress("ingest", f"{table.name}: {done.balance.rows_in:,} rows read, {done.snapshot.rows:,} stored"))
    return rows["docs"]


def _train(project: Project, workspace: Workspace, endpoint: Endpoint, tell: Tell) -> list[dict[str, Any]]:
    """What was decided of a candidate, with its gates."""
    context = EndpointContext.open(project, workspace, endpoint, Policy.declared(project, endpoint), live=True)
    with closing(context.stores.catalog) as catalog:
        catalog.take_lease(PATIENCE_SECONDS)
        done = train_now(context, SystemClock(), tell)
        results = trained(catalog, done)
    return [
        {"action": action.verb, "reason": action.reason, "gates": results[action.key]["gates"] if action.key in results else []}
        for action in done
    ]


def _shadowed(project: Project, workspace: Workspace, endpoint: Endpoint, ask: Ask, tell: Tell) -> list[dict[str, Any]]:
    """What is decided of a candidate by the questions of live traffic, which it answers unseen. The project's shadow lasts a day; here the
    questions of that day are asked at once."""
    assert isinstance(endpoint.release, Rollout)
    quick = replace(endpoint, release=replace(endpoint.release, shadow="1s"))
    with (project.folder / "data" / "asked.csv").open(encoding="utf-8") as file:
        questions = [row["question"] for row in csv.DictReader(file)][:ASKED]
    tell(Progress("shadow", f"{len(questions)} questions of users, which the champion answers, and the candidate unseen"))
    for question in questions:
        ask("/v1/chat/completions", _chat(question))
    watch = Stopwatch()
    while not (decided := _decided(project, workspace, quick)) and watch.seconds < PATIENCE:
        time.sleep(0.5)  # its answers come after the champion's
    return decided or [{"action": "wait", "reason": f"not decided within {PATIENCE:g} s", "seen": {}}]


def _decided(project: Project, workspace: Workspace, endpoint: Endpoint) -> list[dict[str, Any]]:
    context = EndpointContext.open(project, workspace, endpoint, Policy("loop", None, endpoint.release), live=True)
    with closing(context.stores.catalog) as catalog:
        catalog.take_lease(PATIENCE_SECONDS)
        done = reconcile(context, SystemClock().now())
    return [{"action": action.verb, "reason": action.reason, "seen": action.evidence.get("seen", {})} for action in done]


def _champion(project: Project, workspace: Workspace, endpoint: Endpoint) -> str:
    with closing(workspace.catalog()) as catalog:
        release = latest_release(catalog, endpoint.name)
    assert release is not None, f"{project.settings.project.name} has a champion by now"
    return release.champion


def _answered_by(bundle: str, ask: Ask) -> dict[str, Any]:
    """The answer to the question about the new document, once the running server has the bundle."""
    watch = Stopwatch()
    while True:
        found = ask("/v1/chat/completions", _chat(NEW_QUESTION))
        if found["noria"]["bundle"] == bundle or watch.seconds > PATIENCE:
            return found
        time.sleep(0.2)


def _chat(question: str) -> dict[str, Any]:
    return {"model": ENDPOINT, "messages": [{"role": "user", "content": question}]}


def _with_small_chunks(endpoint: Endpoint) -> Endpoint:
    """The endpoint with a chunker that somebody might have tried."""
    trainer = replace(endpoint.model.trainer, chunker=Fixed(size=60, overlap=0))  # type: ignore[type-var]
    return replace(endpoint, model=replace(endpoint.model, trainer=trainer))


@contextmanager
def _served(folder: Path, tell: Tell) -> Iterator[Ask]:
    """A real server of the champion, in processes of its own, and what asks it."""
    tell(Progress("serve", "the champion, in a separate process, queried over HTTP"))
    start = [sys.executable, "-m", "noria", "serve", ENDPOINT, "--project", str(folder), "--port", "0", "--json"]
    with subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stderr is not None
            line = server.stdout.readline()
            if not line:
                raise OutsideWorld(what="the server did not start", where=server.stderr.read().strip()[-500:], fix="see the message above")
            where = json.loads(line)

            def ask(path: str, body: dict[str, Any]) -> dict[str, Any]:
                with closing(http.client.HTTPConnection(where["host"], where["port"], timeout=60)) as connection:
                    connection.request("POST", path, json.dumps(body))
                    response = connection.getresponse()
                    found: dict[str, Any] = json.loads(response.read())
                if response.status >= 300:
                    raise OutsideWorld(what=f"{path} answered {response.status}", where=str(found), fix="see the message above")
                return found

            yield ask
        finally:
            server.send_signal(signal.SIGTERM)
