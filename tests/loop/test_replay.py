"""Replay on a small project: the loop acts, leaks nothing, gives the same digits twice, and survives being killed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from noria.core.progress import silence
from noria.data.ingest import ingest
from noria.evidence.figures import replay_figures
from noria.loop.comparison import Replayed, run_replay
from noria.loop.project import load_project
from noria.loop.replay import Span
from noria.serving.log.predictions import Predictions
from noria.serving.log.segments import read_log
from noria.stores.workspace import Workspace

CUT = datetime(2024, 3, 5, tzinfo=UTC)
KNOWN_AT = {"orders": "placed_at", "visits": "known_at", "returns": "settled_at"}


def run(folder: Path) -> Replayed:
    project = load_project(folder)
    workspace = Workspace.of(folder, project.settings)
    for table in project.tables:
        ingest(table, workspace.tables, folder)
    replayed = run_replay(project, workspace, project.endpoint(), silence)
    for context in replayed.contexts:
        context.stores.catalog.close()
    return replayed


def predictions(replayed: Replayed, span: Span) -> list[Predictions]:
    found = [read_log(w.stores.log_folder, span.start, span.end, w.stores.workspace.files) for w in replayed.contexts]
    assert all(f is not None for f in found)
    return [f for f in found if f is not None]


def without_costs(replayed: Replayed) -> str:
    """The figures but for wall-clock seconds, as text: equal means equal to the last digit."""
    plain = json.loads(json.dumps(figures_of(replayed)))
    for policy in plain["policies"].values():
        del policy["seconds"]
    return json.dumps(plain, sort_keys=True)


def figures_of(replayed: Replayed) -> dict[str, Any]:
    return replay_figures(replayed.contexts, replayed.span)


def inputs(rows: Predictions) -> list[bytes]:
    """What each bundle read, in the order in which they first answered."""
    return [rows.values[bundle].inputs.block.tobytes() for bundle in dict.fromkeys(rows.bundle)]


def same(a: Predictions, b: Predictions, *, bundles: bool = True) -> bool:
    """Equal to the last byte. A bundle's id also names the tables it was made from, future rows included."""
    return (
        (a.ids, a.keys, a.variant) == (b.ids, b.keys, b.variant)
        and (a.bundle == b.bundle or not bundles)
        and inputs(a) == inputs(b)
        and a.prediction.tobytes() == b.prediction.tobytes()
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    from projects import write_project

    return run(write_project(tmp_path_factory.mktemp("undisturbed") / "shop"))


def test_the_loop_sees_the_change_and_ends_better_than_a_model_that_is_never_retrained(undisturbed: Replayed) -> None:
    figures = figures_of(undisturbed)
    policies = figures["policies"]
    reasons = [d["reason"] for d in figures["decisions"] if d["action"] == "train"]
    assert any(r.startswith("regression: log_loss") for r in reasons)
    assert policies["loop"]["log_loss"] < policies["static"]["log_loss"] - 0.02
    assert policies["static"]["retrainings"] == 0
    assert all(d["done"] and d["outcome"] for d in figures["decisions"])


def test_the_same_history_gives_the_same_decisions_and_digits(undisturbed: Replayed, shop: Path) -> None:
    again = run(shop)
    assert without_costs(again) == without_costs(undisturbed)
    for a, b in zip(predictions(again, again.span), predictions(undisturbed, again.span), strict=True):
        assert same(a, b)


def poison(folder: Path) -> None:
    """Replace every value of every fact that is not known at the cut, invent some, and lose some."""
    rng = np.random.default_rng(1)
    for name, known in KNOWN_AT.items():
        path = folder / "data" / f"{name}.parquet"
        table = pq.read_table(path)
        future = pc.greater(table.column(known), pa.scalar(CUT, table.schema.field(known).type))
        kept, garbage = table.filter(pc.invert(future)), table.filter(future)
        for column in garbage.column_names:
            if column in ("order_id", "visit_id", known, "at"):
                continue
            values = garbage.column(column).to_pylist()
            rng.shuffle(values)
            if isinstance(values[0], float):
                values = [v * 1000 - 7 for v in values]
            garbage = garbage.set_column(garbage.column_names.index(column), column, pa.array(values, garbage.schema.field(column).type))
        garbage = garbage.filter(pa.array(rng.random(garbage.num_rows) < 0.8))
        pq.write_table(pa.concat_tables([kept, garbage]), path)


def test_no_prediction_before_a_cut_depends_on_what_was_not_known_by_then(undisturbed: Replayed, shop: Path) -> None:
    poison(shop)
    poisoned = run(shop)
    before = Span(undisturbed.span.start, CUT)
    for a, b in zip(predictions(poisoned, before), predictions(undisturbed, before), strict=True):
        assert len(a) > 1000
        assert same(a, b, bundles=False)
    after = Span(CUT + timedelta(days=3), undisturbed.span.end)
    assert not same(predictions(poisoned, after)[0], predictions(undisturbed, after)[0], bundles=False)


def test_a_killed_replay_goes_on_where_it_was_and_ends_the_same(undisturbed: Replayed, shop: Path) -> None:
    project = load_project(shop)
    workspace = Workspace.of(shop, project.settings)
    for table in project.tables:
        ingest(table, workspace.tables, shop)
    kills = 0
    for delay in (4.0, 5.0, 6.0, 4.5):
        process = subprocess.Popen([sys.executable, "-m", "noria", "replay", "--json", "--project", str(shop)], stdout=subprocess.DEVNULL)
        time.sleep(delay)
        kills += process.poll() is None
        process.kill()
        process.wait()
    finished = run(shop)
    assert kills > 0
    assert without_costs(finished) == without_costs(undisturbed)
    for a, b in zip(predictions(finished, finished.span), predictions(undisturbed, finished.span), strict=True):
        assert same(a, b)


def test_replaying_again_changes_nothing(undisturbed: Replayed, tmp_path: Path) -> None:
    copy = tmp_path / "again"
    shutil.copytree(undisturbed.contexts[0].project.folder, copy)
    assert without_costs(run(copy)) == without_costs(undisturbed)
