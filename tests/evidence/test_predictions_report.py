"""The page of judged predictions begins with what is wrong and what to do, stands by itself, and stays small; the command says the same."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import noria as nr
from noria.cli.app import app
from noria.core.errors import UserMistake
from noria.evidence.predictions import JudgedPredictions
from noria.evidence.thinned import mean_bounds, means, places
from pages import stands_alone
from predicted import CHANGED, DAYS, ROWS, columns, day, since, table


@pytest.fixture(scope="module")
def broken() -> dict[str, Any]:
    """Predictions that no longer rank their outcomes."""
    found = columns()
    found["y"][since(found)] = 1 - found["y"][since(found)]
    return found


@pytest.fixture(scope="module")
def judged(broken: dict[str, Any]) -> JudgedPredictions:
    return nr.judge_predictions(table(broken), time="at", prediction="p", outcome="y", name="loans")


@pytest.fixture(scope="module")
def files(broken: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The predictions as Parquet, the outcomes as CSV."""
    folder = tmp_path_factory.mktemp("predictions")
    rows = table(broken)
    pq.write_table(rows.drop_columns(["y"]), folder / "loans.parquet")
    lines = [f"{id},{int(y)}" for id, y in zip(broken["id"], broken["y"], strict=True)]
    (folder / "outcomes.csv").write_text("\n".join(["id,y", *lines]) + "\n")
    return folder


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["monitor", "predictions", *arguments])
    return done.exit_code, done.output


def test_the_page_begins_with_what_to_do_and_stands_by_itself(judged: JudgedPredictions, tmp_path: Path) -> None:
    judged.save_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    told = stands_alone(page).text
    begins = (
        "loans is unhealthy: 3 ongoing findings",
        "log-loss is",
        f"Do: Retrain on rows since {day(CHANGED):%Y-%m-%d}",
        "Performance",
        "Monitors",
    )
    places = [told.index(words) for words in begins]
    assert places == sorted(places)
    assert "at most 2 false alarms a year, over everything on this page" in told
    assert "prefers-color-scheme: dark" in page
    assert page in unescape(judged._repr_html_())


def test_a_page_of_many_windows_columns_and_models_stays_small() -> None:
    rng, count = np.random.default_rng(0), 5000
    at = (np.arange(count) * 3_600_000_000).astype("datetime64[us]")
    columns = {f"x{i}": rng.normal(size=count) for i in range(10)}
    outcome = columns["x0"] + rng.normal(size=count)
    found = pa.table({"at": pa.array(at), **columns, "m": np.resize(["a", "b"], count), "p": columns["x0"], "y": outcome})
    judged = nr.judge_predictions(found, time="at", prediction="p", outcome="y", every=6, reference=30, by="m")
    page = judged.to_html()
    assert [reading.table.reference + len(reading.table.drift.starts) for reading in judged.readings.values()] == [416, 416]
    assert re.findall(r"<h1 style[^>]*>(.*?)</h1>", page) == ["a", "b"]
    stands_alone(page)


def test_a_finding_has_the_same_words_and_figures_wherever_it_is_told(judged: JudgedPredictions, files: Path) -> None:
    (model,) = judged.to_dict()["models"]
    finding = next(f for f in model["findings"] if f["subject"] == "log_loss")
    known = next(f for f in judged.findings if f.subject == "log_loss")
    assert finding["summary"] == known.summary
    assert finding["summary"].endswith(f"likely cause: {finding['cause']}")
    states = {s["monitor"]: s["why"] for s in model["states"]}
    assert states["performance: log-loss"] == known.summary
    assert judged.headline == f"loans: {known.summary} (and 2 more)"
    page = stands_alone(judged.to_html())
    for words in (finding["cause"], finding["strength"], known.summary, known.summary.split(";")[0]):
        assert words in page.text
    (mark,) = (m for m in page.data[0]["marks"] if m["caption"] == "since")
    assert mark == {"at": known.since.timestamp(), "style": "bad", "title": f"12 Feb 2024: {known.summary}", "caption": "since"}
    asked = [str(files / "loans.parquet"), "--time", "at", "--prediction", "p", "--outcome", "y"]
    _, told = run(*asked, "--outcomes", str(files / "outcomes.csv"), "--on", "id")
    assert "".join(told.split()).count("".join(known.summary.split())) == 3  # the headline, the monitor and the finding


def test_figures_are_plain_data_and_frames_have_a_row_for_each_window(judged: JudgedPredictions) -> None:
    figures = json.loads(json.dumps(judged.to_dict(), allow_nan=False))
    (model,) = figures["models"]
    assert [f["summary"] for f in model["findings"]] == [f.summary for f in judged.findings]
    frame = judged.to_frame()
    assert len(frame) == DAYS
    assert (frame["log_loss_lower"] <= frame["log_loss"]).all()
    assert (frame["log_loss"] <= frame["log_loss_upper"]).all()
    assert frame["outcomes"].tolist() == [ROWS] * DAYS
    assert frame["reference"].sum() == DAYS // 2
    assert frame.loc[CHANGED:, "auc"].max() < 0.5 < frame.loc[: CHANGED - 1, "auc"].min()
    assert str(judged).startswith("loans: log-loss is")


def test_the_command_joins_outcomes_writes_a_page_and_exits_with_1(files: Path) -> None:
    asked = [str(files / "loans.parquet"), "--time", "at", "--prediction", "p", "--outcome", "y"]
    outcomes = ["--outcomes", str(files / "outcomes.csv"), "--on", "id"]
    report = files / "report.html"
    code, told = run(*asked, *outcomes, "--html", str(report), "--json")
    assert code == 1
    found = json.loads(told)
    assert found["report"] == str(report)
    assert "Retrain on rows since" in report.read_text()
    assert {f["since"][:10] for f in found["models"][0]["findings"] if f["subject"] == "log_loss"} == {f"{day(CHANGED):%Y-%m-%d}"}
    code, told = run(*asked, *outcomes, "--until", f"{day(40).isoformat()}", "--tolerance", "log_loss=0.05", "--leave-out", "place")
    assert code == 0
    assert "loans.parquet is healthy: no problems in the newest window" in told
    assert "performance: log-loss" in told
    assert "AUC" not in told


def test_the_command_says_what_is_wrong_with_what_it_was_given(files: Path) -> None:
    (files / "empty.csv").write_text("at,p\n")
    for path, asked, code in (
        ("loans.parquet", ["--prediction", "score"], "NR-580"),
        ("loans.parquet", ["--prediction", "p", "--tolerance", "log_loss"], "NR-001"),
        ("loans.parquet", ["--prediction", "p", "--format", "sagemakr"], "NR-583"),
        ("empty.csv", ["--prediction", "p"], "NR-580"),
        ("nothing.csv", ["--prediction", "p"], "NR-201"),
    ):
        out = ["--html", str(files / "page.html")]
        done = CliRunner().invoke(app, ["monitor", "predictions", str(files / path), "--time", "at", *asked, *out])
        assert isinstance(done.exception, UserMistake), done.output
        assert (done.exception.code, done.exception.exit_code) == (code, 2)
        assert not (files / "page.html").exists()
        if path == "empty.csv":
            assert done.exception.what == "there are no rows"


def test_a_query_is_read_as_files_are(tmp_path: Path, broken: dict[str, Any]) -> None:
    with closing(sqlite3.connect(tmp_path / "log.db")) as con, con:
        con.execute("CREATE TABLE log (at TEXT, p REAL, y REAL)")
        told = zip(map(str, broken["at"]), broken["p"].tolist(), broken["y"].tolist(), strict=True)
        con.executemany("INSERT INTO log VALUES (?, ?, ?)", told)
    url = f"sqlite:///{tmp_path}/log.db"
    code, told_json = run("SELECT at, p, y FROM log", "--url", url, "--time", "at", "--prediction", "p", "--outcome", "y", "--json")
    assert code == 1
    assert json.loads(told_json)["table"] == "query"


def test_series_are_thinned_by_their_means() -> None:
    groups = places(5, 2)
    assert groups == [[0, 1, 2], [3, 4]]
    assert means([1.0, None, 3.0, None, None], groups) == [2.0, None]
    (first, second) = mean_bounds([1.0, 1.0, None, 2.0, None], [(0.0, 2.0), (0.0, 2.0), None, (1.0, 4.0), None], groups)
    assert first == pytest.approx((1 - 2**0.5 / 2, 1 + 2**0.5 / 2))
    assert second == (1.0, 4.0)


def test_the_logs_of_another_server_are_judged_with_outcomes_from_a_file(tmp_path: Path) -> None:
    rng, start, lines, outcomes = np.random.default_rng(0), day(0), list[str](), ["id,late"]
    for number in range(48 * 40):
        x = float(rng.normal())
        p = 1 / (1 + np.exp(-2 * x))
        late = rng.random() < (p if number < 36 * 40 else 1 - p)
        outcomes.append(f"r{number},{'yes' if late else 'no'}")
        at = (start + timedelta(minutes=36 * number)).isoformat()
        bodies = {
            "endpointInput": {"observedContentType": "application/json", "encoding": "JSON", "data": json.dumps({"x": x})},
            "endpointOutput": {"observedContentType": "text/csv", "encoding": "CSV", "data": f"{p:.6f}"},
        }
        lines.append(json.dumps({"captureData": bodies, "eventMetadata": {"inferenceId": f"r{number}", "inferenceTime": at}}))
    (tmp_path / "a.jsonl").write_text("\n".join([*lines[:1000], "{broken"]))
    (tmp_path / "b.jsonl").write_text("\n".join(lines[1000:]))
    (tmp_path / "outcomes.csv").write_text("\n".join(outcomes))
    asked = ["--time", "at", "--prediction", "prediction", "--outcome", "late", "--outcomes", str(tmp_path / "outcomes.csv"), "--on", "id"]
    code, told = run(str(tmp_path / "[ab].jsonl"), "--format", "sagemaker", *asked, "--json")
    assert code == 1
    found = json.loads(told)
    (model,) = found["models"]
    assert found["not_rows"] == 1
    assert model["rows"] == 48 * 40
    assert model["columns"] == ["x", "prediction", "(ids that came before)", "(rows that came before)"]
    assert {f["since"][:10] for f in model["findings"] if f["kind"] == "performance" and f["over"] is None} == {f"{day(36):%Y-%m-%d}"}
