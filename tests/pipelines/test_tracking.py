"""Runs and registry: whole or not there, whatever kills the process, and the same when written twice."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from noria.core.files import LocalFiles
from noria.core.signature import Signature
from noria.models.bundle import Bundle, Manifest, write_bundle
from noria.models.lineage import LabelOf, Lineage
from noria.pipelines.tracking import MlflowTracking

AT = datetime(2024, 1, 1, tzinfo=UTC)


def tracking(folder: Path) -> MlflowTracking:
    return MlflowTracking(folder / "mlflow.db", folder / "mlflow", "test", LocalFiles())


def log(t: MlflowTracking, run: str = "r" * 64) -> str:
    return t.log_run(run, at=AT, parameters={"rounds": 3}, metrics={"log_loss": 0.5}, tags={"noria.bundle": "b"})


def bundle(folder: Path, name: str) -> Bundle:
    manifest = Manifest(
        name=name,
        runtime="onnx",
        signature=Signature.of_numbers(["f"]),
        task={},
        feature_set="s",
        definition_hash="d",
        run="r" * 64,
        lineage=Lineage(tables=(), label=LabelOf("t", "c"), start=AT, as_of=AT, training_set="", rows={}, trainer_code="", parameters={}),
        metrics={},
        environment={},
        files={},
    )
    return write_bundle(folder / "bundles", manifest, {"model": name.encode()}, LocalFiles())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracking")
    log(tracking(folder), "first")
    return folder


def test_a_run_is_tracked_once_however_often_it_is_written(shared: Path) -> None:
    t = tracking(shared)
    assert log(t) == log(t) == t.find("r" * 64)
    found = t._client.get_run(t.find("r" * 64))
    assert found.info.status == "FINISHED"
    assert found.data.params == {"rounds": "3"}
    assert found.data.metrics == {"log_loss": 0.5}
    assert t.find("another") is None


def test_a_run_that_was_cut_short_is_completed(shared: Path) -> None:
    t = tracking(shared)
    half = t._client.create_run(t._experiment_id, tags={"noria.run": "half"})
    assert log(t, "half") == half.info.run_id
    found = t._client.get_run(half.info.run_id)
    assert (found.info.status, found.data.metrics) == ("FINISHED", {"log_loss": 0.5})


def test_a_bundle_is_one_version_and_an_alias_moves_and_goes(shared: Path) -> None:
    t = tracking(shared)
    log(t)
    one, two = (t.register("m", bundle(shared, name), "r" * 64) for name in ("one", "two"))
    assert t.register("m", bundle(shared, "one"), "r" * 64) == one
    assert t.versions("m") == [one, two]
    assert t.alias("m", "challenger") is None
    for version in (one, two, two):
        t.set_alias("m", "challenger", version.version)
        assert t.alias("m", "challenger") == version
    for _ in range(2):
        t.drop_alias("m", "challenger")
        assert t.alias("m", "challenger") is None


def test_a_kill_while_the_database_is_made_leaves_none_that_cannot_be_opened(tmp_path: Path) -> None:
    """MLflow's first migration is many transactions; one cut short in place could never be opened again."""
    make = "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import test_tracking as t; t.tracking(pathlib.Path(sys.argv[2]))._client"
    command: list[Any] = [sys.executable, "-c", make, Path(__file__).parent, tmp_path]
    cut_short = 0
    for _ in range(5):
        process = subprocess.Popen(command)
        partial = tmp_path / ".mlflow.db.partial"
        before = partial.stat().st_mtime_ns if partial.exists() else 0
        while process.poll() is None and not (partial.exists() and partial.stat().st_mtime_ns > before):
            time.sleep(0.005)
        time.sleep(0.08)  # some of its tables are there by now, not all
        process.kill()
        process.wait()
        cut_short += partial.exists() and not (tmp_path / "mlflow.db").exists()
        if (tmp_path / "mlflow.db").exists():
            break
    assert cut_short > 0
    assert log(tracking(tmp_path))


def test_processes_that_begin_at_once_make_one_database(tmp_path: Path) -> None:
    """The first trainings of two endpoints end at the same moment."""
    make = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import test_tracking as t; "
        "t.log(t.tracking(pathlib.Path(sys.argv[2])), sys.argv[3])"
    )
    command: list[Any] = [sys.executable, "-c", make, Path(__file__).parent, tmp_path]
    processes = [subprocess.Popen([*command, f"run {i}"], stderr=subprocess.PIPE, text=True) for i in range(3)]
    assert [(p.communicate()[1], p.returncode) for p in processes] == [("", 0)] * 3
    t = tracking(tmp_path)
    assert all(t.find(f"run {i}") for i in range(3))
    assert len(t._client.search_experiments(filter_string="name = 'test'")) == 1
