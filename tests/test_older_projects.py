"""A project of an earlier version opens, serves, explains and replays as it did.

`fixtures/shop-of-2026-11.tar.xz` is the project of `projects.py` as the version of 28 November 2026 left it (catalog 0004, bundle format 1,
segments of float32 rows): replayed, served for forty requests (`answers.json` has what it answered), and trained once more.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import tarfile
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

CHAMPION, CHALLENGER = "daeb98308ba7", "6fad633d4644"
LOG_LOSS = {"loop": 1.2006870444766897, "calendar": 1.2134157388701008, "static": 1.2134157388701008}
NOTICE = (
    '{"event":"opened","incident":"i","endpoint":"returns","severity":"page","at":"2024-03-01T00:00:00Z","summary":"a fault",'
    '"lines":[],"mend":"look","evidence":{}}'
)
OLD = (  # what the fixture has none of, as the earlier version would have written it
    "INSERT INTO findings (key, endpoint, kind, subject, opened_at, evidence, words, since) VALUES"
    " ('returns/b/blind/predictions/20240301T0000', 'returns', 'blind', 'predictions', 1, '{\"why\":\"no rows\"}', 'no rows came', 1),"
    " ('returns/b/fault/price: outside/20240301T0000', 'returns', 'fault', 'price: outside', 1, '{\"mend\":\"look\"}', 'a fault', 1)",
    "INSERT INTO mutes (endpoint, kind, subject, at, until, by, reason) VALUES ('returns', 'dead', '', 1, 2, 'Ada', '')",
    "INSERT INTO alerts (key, incident, channel, notice, created_at, attempts, next_at, error) VALUES"
    " ('returns/b/fault/price: outside/20240301T0000/opened/log', 'i', 'log', '" + NOTICE + "', 1, 0, 1, '')",
)


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers = json.loads((folder / "answers.json").read_text())

    def noria(self, *arguments: str) -> Any:
        command = [sys.executable, "-m", "noria", *arguments, "--json"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / ".noria" / "catalog.db")) as con, con:
            return con.execute(query).fetchall()


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(Path(__file__).parent / "fixtures" / "shop-of-2026-11.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    found = Project(folder / "shop")
    for statement in OLD:
        found.rows(statement)
    return found


def test_its_findings_decisions_and_sums_are_read_by_todays_names(old: Project) -> None:
    told = old.noria("findings", "list", "--all")["findings"]
    assert {(f["kind"], f["subject"]) for f in told} >= {
        ("no_data", "predictions"),
        ("data_quality", "price: outside"),
        ("performance", "log_loss"),
    }
    assert all(f["summary"] for f in told)
    assert next(f["evidence"] for f in told if f["subject"] == "price: outside") == {"fix": "look"}
    worse = next(f["evidence"] for f in told if f["subject"] == "log_loss")
    assert {"threshold", "baseline"} <= set(worse)
    assert not {"level", "accepted", "words", "mend"} & set(worse)
    assert old.rows("SELECT kind FROM mutes") == [("stalled",)]
    assert old.rows("SELECT key FROM alerts") == [("returns/b/data_quality/price: outside/20240301T0000/opened/log",)]
    assert "baseline" in json.loads(old.rows("SELECT detail FROM candidates")[0][0])


def test_its_status_knows_the_champion_and_accounts_for_every_row(old: Project) -> None:
    status = old.noria("status")
    [endpoint] = status["endpoints"]
    assert endpoint["champion"].startswith(CHAMPION)
    assert endpoint["challenger"].startswith(CHALLENGER)
    assert all(c["holds"] for c in status["conservation"])
    assert ("ingest orders", 7200) in {(c["stage"], c["rows_in"]) for c in status["conservation"]}
    assert [d["action"] for d in endpoint["decisions"]][-2:] == ["train", "shadow"]


def test_its_predictions_are_explained(old: Project) -> None:
    for asked in old.answers[:2]:
        answer = asked["answer"]
        outputs = {o["name"]: o["data"] for o in answer.get("outputs", [])}
        [identity], [prediction] = answer.get("ids") or outputs["prediction_id"], answer.get("predictions") or outputs["prediction"]
        told = old.noria("explain", identity)
        assert told["prediction"]["value"] == prediction
        assert told["bundle"]["id"].startswith(CHAMPION)
        assert told["bundle"]["verified"]
        assert told["run"]["rows"]["rows_out"]["training rows"] == 6481


def test_its_bundles_answer_every_request_as_before(old: Project) -> None:
    command = [sys.executable, "-m", "noria", "serve", "--port", "0", "--json"]
    server = subprocess.Popen(command, cwd=old.folder, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        for asked in old.answers:
            request = urllib.request.Request(url + asked["url"], json.dumps(asked["body"]).encode(), {"content-type": "application/json"})
            answer = json.load(urllib.request.urlopen(request, timeout=30))
            assert _prediction(answer) == _prediction(asked["answer"])
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)


def test_its_replay_is_continued_with_the_same_figures(old: Project) -> None:
    told = old.noria("replay")
    assert {name: policy["log_loss"] for name, policy in told["policies"].items()} == LOG_LOSS
    assert [d["action"] for d in told["decisions"]].count("train") == 4


def _prediction(answer: dict[str, Any]) -> list[float]:
    return answer.get("predictions") or next(o["data"] for o in answer["outputs"] if o["name"] == "prediction")
