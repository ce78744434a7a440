"""The export: what other tools read is what the champion was trained on, and what it answered, row by row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from noria.core.clock import moment
from noria.loop.context import EndpointContext, Policy
from noria.loop.project import load_project
from noria.monitoring.recorded import answered_rows
from noria.release.releases import current_release
from noria.stores.workspace import Workspace
from projects import MODULE, SETTINGS, edited, write_project
from typed_commands import done, typed


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = edited(SETTINGS, {"2024-03-28T00:00:00Z": "2024-02-20T00:00:00Z"})
    folder = write_project(tmp_path_factory.mktemp("export") / "shop", settings=settings)
    for command in ("ingest", "replay"):
        done(folder, command, "--json")
    return folder


def noria(folder: Path, *words: str) -> tuple[int, dict]:  # type: ignore[type-arg]
    ran = typed(folder, *words, "--json")
    return ran.returncode, json.loads(ran.stdout)


def test_every_row_of_the_log_and_of_the_training_set_is_there(replayed: Path, tmp_path: Path) -> None:
    code, told = noria(replayed, "monitor", "export", str(tmp_path))
    assert code == 0
    project = load_project(replayed)
    endpoint = project.endpoint()
    context = EndpointContext.open(project, Workspace.of(replayed, project.settings), endpoint, Policy.declared(project, endpoint))
    release = current_release(context)
    assert release is not None
    spec, reference = json.loads((tmp_path / "columns.json").read_text()), pq.read_table(tmp_path / "reference.parquet")
    assert spec["bundle"] == release.champion
    assert reference.column_names == ["key", "at", *spec["features"], "prediction", "outcome"]
    assert reference.num_rows == told["reference"] == context.stores.candidate_detail(release.champion).rows.rows_out["training rows"]
    assert reference["outcome"].null_count == 0
    assert len(told["windows"]) > 3
    missing = 0
    for start, count in told["windows"].items():
        rows = answered_rows(context, release.champion, moment(start))
        written = pq.read_table(tmp_path / "windows" / f"{moment(start):%Y-%m-%dT%H%M}.parquet")
        assert rows is not None
        assert written.schema == reference.schema
        assert written.num_rows == len(rows) == count
        assert written["key"].to_pylist() == rows.keys
        assert written["prediction"].to_pylist() == rows.prediction.tolist()
        assert written["at"].cast(pa.int64()).to_pylist() == rows.received_us.tolist()
        matrix = np.column_stack([written[name].to_numpy() for name in spec["features"]])
        np.testing.assert_array_equal(matrix, rows.numbers)
        missing += written["outcome"].null_count
    assert 0 < missing < sum(told["windows"].values())  # the newest outcomes have not come


def test_inputs_are_compared_with_a_fixed_period_where_one_is_declared(tmp_path: Path) -> None:
    start, end = "2024-01-05T00:00Z", "2024-01-30T00:00+00:00"
    module = edited(MODULE, {"false_alarms_per_year=6,": f'false_alarms_per_year=6, reference=("{start}", "{end}"),'})
    folder = write_project(tmp_path / "shop", module, edited(SETTINGS, {"2024-03-28T00:00:00Z": "2024-02-13T00:00:00Z"}))
    assert [noria(folder, command)[0] for command in ("ingest", "replay")] == [0, 0]
    code, told = noria(folder, "monitor", "export", str(tmp_path / "out"))
    assert code == 0
    project = load_project(folder)
    context = EndpointContext.open(
        project, Workspace.of(folder, project.settings), project.endpoint(), Policy.declared(project, project.endpoint())
    )
    release = current_release(context)
    assert release is not None
    known = context.stores.profile(release.champion)
    first = context.grid.number(moment(start))
    assert known.numbers.tolist() == list(range(first, first + 25))
    assert told["reference"] == known.rows.sum() < context.stores.candidate_detail(release.champion).rows.rows_out["training rows"]
    at = pq.read_table(tmp_path / "out" / "reference.parquet")["at"].to_pylist()
    assert moment(start) <= min(at) <= max(at) < moment(end)
    assert noria(folder, "monitor", "report", "--out", str(tmp_path / "report.html"))[0] in (0, 1)
    assert (
        "Compared with the training data of the champion from 5 Jan 2024 00:00 UTC to 30 Jan 2024 00:00 UTC"
        in (tmp_path / "report.html").read_text()
    )


def test_a_fixed_period_of_which_nothing_is_known_yet_stops_the_training_and_says_so(tmp_path: Path) -> None:
    module = edited(MODULE, {"false_alarms_per_year=6,": 'false_alarms_per_year=6, reference=("2024-03-01T00:00Z", "2024-03-25T00:00Z"),'})
    folder = write_project(tmp_path / "shop", module)
    assert noria(folder, "ingest")[0] == 0
    code, told = noria(folder, "replay")
    assert code == 2
    assert "reference period" in told["error"]["what"]


def test_a_time_is_asked_for(replayed: Path, tmp_path: Path) -> None:
    code, told = noria(replayed, "monitor", "export", str(tmp_path), "--since", "2024-02-15T00:00:00Z", "--until", "2024-02-17T00:00:00Z")
    assert code == 0
    assert [start[:10] for start in told["windows"]] == ["2024-02-15", "2024-02-16"]


@pytest.mark.parametrize("words", [("--since", "2030-01-01T00:00:00Z"), ("--until", "2020-01-01T00:00:00Z")])
def test_nothing_to_export_writes_nothing(replayed: Path, tmp_path: Path, words: tuple[str, str]) -> None:
    code, told = noria(replayed, "monitor", "export", str(tmp_path / "out"), *words)
    assert code == 2
    assert told["error"]["code"] == "NR-607"
    assert not (tmp_path / "out").exists()


def test_an_endpoint_without_a_champion_has_nothing_to_export(shop: Path, tmp_path: Path) -> None:
    noria(shop, "ingest")
    code, told = noria(shop, "monitor", "export", str(tmp_path / "out"))
    assert code == 2
    assert "no champion yet" in told["error"]["what"]
