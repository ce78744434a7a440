"""A model of texts, truth values and whole numbers goes round the loop: trained, sealed, replayed, watched; an unseen category is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from shutil import copytree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lived import Lived, lived_through
from noria.core.clock import ReplayClock
from noria.core.signature import SCORE
from noria.data.ingest import ingest
from noria.evidence.explain import explain
from noria.evidence.monitoring import inputs_of
from noria.loop.context import EndpointContext, Policy
from noria.loop.history import take_over
from noria.loop.project import load_project
from noria.loop.replay import Span, open_contexts, replay
from noria.models.bundle import CARD_FILE
from noria.monitoring.export import export
from noria.monitoring.feature_backtest import backtest
from noria.monitoring.monitors.drift import drift_until
from noria.monitoring.recorded import skew_of, windows_of
from noria.monitoring.served_skew import served_skew
from noria.serving.log.segments import read_log
from noria.stores.decisions import decisions_of
from noria.stores.findings import findings_of
from noria.stores.workspace import Workspace
from projects import START, edited
from typed_project import CHANGING, FIELDS, MODULE, NEW_CITY, NUMBERS, write_typed_project

FIRST, LAST = (START + timedelta(days=days) for days in (40, 67))


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    with lived_through(write_typed_project(tmp_path_factory.mktemp("typed") / "shop"), FIRST, LAST) as found:
        yield found


def test_the_bundle_is_sealed_with_the_features_types(lived: Lived) -> None:
    assert lived.champion.signature.inputs == FIELDS
    assert lived.champion.signature.outputs == (SCORE,)
    assert "channel: string, price: float32" in lived.champion.file(CARD_FILE).read_text()


def test_what_was_asked_is_logged_in_its_types_and_equals_the_definitions(lived: Lived) -> None:
    logged = read_log(lived.context.stores.log_folder, FIRST, FIRST + timedelta(days=1), lived.context.stores.workspace.files)
    assert logged is not None
    first = logged.inputs(lived.champion.signature).dicts()[0]
    assert {name: type(value) for name, value in first.items()} == {
        "visits_6h": int,
        "channel": str,
        "price": float,
        "city": str,
        "express": bool,
    }
    skew = skew_of(lived.context, FIRST)
    assert skew is not None
    assert (skew["rows"], {f["feature"]: f["differing"] for f in skew["features"]}) == (len(logged), dict.fromkeys(first, 0))


def test_a_category_that_was_never_seen_is_told_as_such(lived: Lived) -> None:
    found = [f for f in findings_of(lived.context.stores.catalog, ["returns"]) if f.kind == "data_quality"]
    [told] = [f for f in found if f.subject == "city: outside"]
    assert "unseen" in told.summary
    assert told.since == NEW_CITY
    assert told.evidence["source"] == "orders"
    assert {f.subject for f in found} == {"city: outside"}


def test_before_and_after_are_shown_by_the_categories_names(lived: Lived) -> None:
    reading = drift_until(lived.context, lived.context.monitor, lived.champion.id, FIRST, LAST)
    shown = inputs_of(lived.context, reading, lived.champion.id, newest=True)
    assert shown is not None
    [city] = [column for column in shown["columns"] if column["column"] == "city"]
    assert set(city["labels"]) == {"ams", "ber", "cph", "elsewhere"}


def test_performance_is_measured_in_the_slices_of_a_text(lived: Lived) -> None:
    window = windows_of(lived.context, lived.champion.id, FIRST)[0]
    assert window.performance is not None
    assert set(window.performance.slices) == {"city=ams", "city=ber", "city=cph"}


def test_the_reference_and_windows_are_exported_in_their_types(lived: Lived, tmp_path: Path) -> None:
    export(lived.context, tmp_path, None, FIRST + timedelta(days=1), LAST)
    for path in (tmp_path / "reference.parquet", next((tmp_path / "windows").iterdir())):
        schema = pq.read_schema(path)
        assert (schema.field("city").type, schema.field("express").type) == (pa.string(), pa.bool_())


def test_the_monitor_is_backtested_on_features_that_are_no_numbers(lived: Lived) -> None:
    found = backtest(lived.context, LAST, 30, 6.0, 1.0, [], lambda _: None, suggesting=False)
    assert [alarm.column for alarm in found.alarms if alarm.at > NEW_CITY][:1] == ["city"]


def test_a_logged_prediction_is_explained_in_its_types(lived: Lived) -> None:
    """Through the command's own JSON, on a project whose log is where the command looks."""
    context = lived.context
    logged = read_log(context.stores.log_folder, FIRST, FIRST + timedelta(days=1), context.stores.workspace.files)
    assert logged is not None
    home = context.project.folder / ".noria" / "log" / "returns"
    copytree(context.stores.log_folder, home)
    told = explain(context.project, Workspace.of(context.project.folder, context.project.settings), logged.ids[0])
    assert {f["name"]: f["value"] for f in told["features"]} == logged.inputs(lived.champion.signature).dicts()[0]
    json.dumps(told)


def go_on(folder: Path, end: datetime) -> EndpointContext:
    """Turn the declared policy up to a moment, from where it had come to."""
    project = load_project(folder)
    endpoint = project.endpoint()
    [context] = open_contexts(project, Workspace.of(folder, project.settings), endpoint, [Policy.declared(project, endpoint)])
    replay([context], Span(START + timedelta(days=30), end), lambda _: None)
    return context


@pytest.mark.parametrize(("first", "then"), [(NUMBERS, MODULE), (MODULE, NUMBERS)], ids=["numbers to types", "types to numbers"])
def test_a_champion_of_other_types_is_judged_shadowed_and_followed_on_its_own_features(tmp_path: Path, first: str, then: str) -> None:
    changed, last = START + timedelta(days=34), START + timedelta(days=40)
    folder = write_typed_project(tmp_path / "shop", edited(first, CHANGING))
    project = load_project(folder)
    workspace = Workspace.of(folder, project.settings)
    for table in project.tables:
        ingest(table, workspace.tables, folder, ReplayClock(LAST))
    context = go_on(folder, changed)
    home = EndpointContext.open(project, workspace, context.endpoint, context.policy, context)
    take_over(context, home, changed, changed)
    for each in (context, home):
        each.stores.catalog.close()
    (folder / "shop.py").write_text(edited(then, CHANGING))
    context = go_on(folder, last)
    with closing(context.stores.catalog):
        actions = [d.action for d in decisions_of(context.stores.catalog, "returns")]
        assert actions[:5] == ["train", "promote", "train", "shadow", "promote"]
        logged = read_log(context.stores.log_folder, START, LAST, context.stores.workspace.files)
        assert logged is not None
        assert len(set(logged.bundle)) == 2
        for bundle in set(logged.bundle):
            rows, signature = logged.of(bundle), context.stores.bundle(bundle).signature
            answers = context.stores.model(bundle).answer(rows.inputs(signature)).numbers("prediction")
            assert np.array_equal(answers, rows.prediction)
            assert served_skew(context.own, rows).worst is None
        assert not {f.kind for f in findings_of(context.stores.catalog)} & {"skew", "no_data", "shadow"}
