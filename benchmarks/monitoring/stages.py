"""Silent failures around the model: a stage that stands still, alerts that never arrive, a platform on which answers change.

Each is tried on a copy of the replayed project, with the parts that would meet it in life: the watcher, the round of the loop, the outbox
and a channel over HTTP, the server and its worker in processes of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.error import HTTPError

from benchmarks.monitoring.changed_platform import CONSTANT_AFTER
from noria.alerting.incidents import Recipients, open_finding
from noria.core.clock import ReplayClock
from noria.core.heartbeat import beat
from noria.evidence.figures import findings
from noria.evidence.status import status
from noria.loop.live_loop import LOOP, PROJECT, WATCH, LiveLoop, tell, watch
from noria.loop.project import load_project
from noria.monitoring.findings import Finding
from noria.release.releases import latest_release
from noria.stores.workspace import Workspace

Told = tuple[str, str, bool, str]
HOUR = timedelta(hours=1)
STILL, NEVER, PLATFORM = "the scheduler or a monitor stands still", "alerts never arrive", "a platform changes answers"
CHANGES = ("a thousandth more", "half precision", "no numbers", "a column of zeros", "a constant after a while")
SECONDS = 15.0


def stages(base: Path, since: datetime, now: datetime) -> list[Told]:
    """What each failure was told as; `since`: the moment up to which the project was replayed."""
    told: list[Told] = []
    for name, failure in {**_still(since, now), **_undelivered(now)}.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "flights"
            shutil.copytree(base, folder)
            told.append((NEVER if name.startswith("a channel") else STILL, name, *failure(folder)))
    with tempfile.TemporaryDirectory() as place:
        told += [(PLATFORM, change, *_changed(base, Path(place), change)) for change in CHANGES]
    return told


# --- a stage that stands still --------------------------------------------------------------------------------------------------

Failure = Callable[[Path], tuple[bool, str]]


def _still(since: datetime, now: datetime) -> dict[str, Failure]:
    def stopped(folder: Path) -> tuple[bool, str]:
        workspace = _workspace(folder)
        beat(workspace.root, LOOP, since, HOUR, {}, workspace.files)
        return _watched(folder, now)

    def stuck(folder: Path) -> tuple[bool, str]:
        workspace = _workspace(folder)
        beat(workspace.root, LOOP, now, HOUR, {"doing": "reconcile/delay", "since": since.isoformat()}, workspace.files)
        return _watched(folder, now)

    def watcher(folder: Path) -> tuple[bool, str]:
        workspace = _workspace(folder)
        beat(workspace.root, WATCH, since, HOUR, {}, workspace.files)
        LiveLoop(load_project(folder), workspace, ReplayClock(now), HOUR, waits=True).run()
        return _dead(workspace, WATCH)

    return {"the loop has stopped": stopped, "the loop is stuck": stuck, "the watcher has stopped": watcher}


def _workspace(folder: Path) -> Workspace:
    return Workspace.of(folder, load_project(folder).settings)


def _watched(folder: Path, now: datetime) -> tuple[bool, str]:
    workspace = _workspace(folder)
    watch(load_project(folder), workspace, now, HOUR)
    return _dead(workspace, LOOP)


def _dead(workspace: Workspace, stage: str) -> tuple[bool, str]:
    with closing(workspace.catalog()) as catalog:
        found = [f["summary"] for f in findings(catalog) if f["kind"] == "stalled" and f["subject"] == stage]
    return (True, found[0]) if found else (False, "nothing")


# --- alerts that never arrive ---------------------------------------------------------------------------------------------------


def _undelivered(now: datetime) -> dict[str, Failure]:
    def over(answer: int | None, secret: bool = True) -> Failure:
        def failure(folder: Path) -> tuple[bool, str]:
            with _receiver(answer) as url:
                return _told(folder, now, url if secret else None)

        return failure

    return {
        "a channel answers 500": over(500),
        "a channel refuses its secret": over(403),
        "a channel does not answer": over(0),
        "a channel is gone": over(None),
        "a channel has no secret": over(200, secret=False),
    }


def _told(folder: Path, now: datetime, url: str | None) -> tuple[bool, str]:
    """Whether the health of the whole says that people are not told."""
    (folder / "noria.toml").write_text((folder / "noria.toml").read_text() + '\n[alerts]\nchannels = ["webhook"]\n')
    os.environ.pop("NORIA_WEBHOOK_URL", None)
    if url is not None:
        os.environ["NORIA_WEBHOOK_URL"] = url
    project, workspace = load_project(folder), _workspace(folder)
    with closing(workspace.catalog()) as catalog:
        finding = Finding("no_data", "arrivals", now, "page", "no outcome came", "look at the feed", {})
        open_finding(catalog, PROJECT, finding, now, Recipients(tuple(project.settings.alerts.channels)))
        tell(catalog, project, now)
    seen = status(project, workspace)
    waiting = seen["undelivered"].get("webhook")
    return waiting is not None and seen["health"]["health"] != "healthy", json.dumps(waiting)


@contextmanager
def _receiver(answer: int | None) -> Iterator[str]:
    """A local receiver that answers with a status; 0: never; None: nobody listens."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if not answer:
                time.sleep(30)
                return
            self.send_response(answer)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}/hook"
    if answer is None:
        server.server_close()
        yield url
        return
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield url
    finally:
        threading.Thread(target=server.shutdown, daemon=True).start()


# --- a platform that changes answers --------------------------------------------------------------------------------------------


def _changed(base: Path, place: Path, change: str) -> tuple[bool, str]:
    """Whether a server on which the runtime answers otherwise says that it is not ready, and why."""
    workspace = _workspace(base)
    with closing(workspace.catalog()) as catalog:
        release = latest_release(catalog, "delay")
    assert release is not None
    bundle = workspace.bundles / release.champion
    own = tempfile.mkdtemp(dir=place)
    worker = f"worker=benchmarks.monitoring.changed_platform {CHANGES.index(change)}"
    command = [sys.executable, "-m", "benchmarks.serving.ours", str(bundle), own, "durability=process", worker]
    with (place / "said").open("w+") as said, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as server:
        try:
            assert server.stdout is not None
            where = server.stdout.readline()
            if not where:
                said.seek(0)
                return "not reproduce the recorded" in (words := said.read().strip().splitlines()[-1]), f"does not start: {words[:150]}"
            return _not_ready_any_more(json.loads(where)["admin_url"])
        finally:
            server.send_signal(signal.SIGTERM)


def _not_ready_any_more(admin_url: str) -> tuple[bool, str]:
    start = time.monotonic()
    code, text = 0, ""
    while time.monotonic() - start < SECONDS:
        code, text = _ready(admin_url)
        if code == 503 and "sample" in text:
            return True, f"{time.monotonic() - start - CONSTANT_AFTER:.1f} s after it began: {text[:150]}"
        time.sleep(0.2)
    return False, f"{code}: {text[:150]}"


def _ready(admin_url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{admin_url}/v2/health/ready", timeout=2) as found:
            return found.status, found.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)
