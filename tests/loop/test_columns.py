"""A changed FeatureSet, through real trainings and rounds: every bundle is judged, shadowed, replayed and watched on its own features."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noria.core.files import LocalFiles
from noria.data.ingest import ingest
from noria.evaluation.calibration import Calibration
from noria.evidence.explain import explain
from noria.evidence.skew import endpoint_skew
from noria.features.skew import Skew
from noria.loop.context import EndpointContext, Policy
from noria.loop.controller import reconcile
from noria.loop.history import take_over
from noria.loop.project import load_project
from noria.loop.replay import Span, open_contexts, replay
from noria.models.bundle import CARD_FILE
from noria.serving.log.predictions import Predictions
from noria.serving.log.segments import read_log
from noria.stores.candidates import CandidateDetail, candidates_of
from noria.stores.decisions import decisions_of
from noria.stores.findings import findings_of
from noria.stores.progress import progress_of
from noria.stores.windows import PairedCounts, pairs_by_window, rows_by_window
from noria.stores.workspace import Workspace
from projects import START, write_project

FIRST, CHANGED, LAST = (START + timedelta(days=days) for days in (30, 34, 39))

MODULE = """
import numpy as np
import pyarrow.compute as pc

import noria as nr

orders = nr.Table("orders", nr.files("data/orders.parquet"), key="order_id", event_time="placed_at")
visits = nr.Table("visits", nr.files("data/visits.parquet"), key="visit_id", event_time="at", known_at="known_at")
returns = nr.Table("returns", nr.files("data/returns.parquet"), key="order_id", event_time="settled_at")


@nr.request_transform("price")
def basket(rows):
    return {"price": %(price)s}


@nr.request_transform("twice")
def doubled(rows):
    return {"twice": pc.multiply(rows["price"], 2.0)}


by_city = nr.FeatureView("by_city", visits, entity="city", freshness="10m", aggregate={%(aggregate)s})
features = nr.FeatureSet("orders", spine=orders, views=[by_city], request=[%(request)s])


@nr.trainer
def boosted(train, *, seed, rounds=20, worthless=%(worthless)s):
    import lightgbm

    labels = np.random.default_rng(1).permutation(train.labels) if worthless else train.labels
    parameters = {"objective": "binary", "num_leaves": 7, "min_data_in_leaf": 40, "seed": seed, "deterministic": True,
                  "force_row_wise": True, "verbose": -1, "num_threads": 1}
    return lightgbm.train(parameters, lightgbm.Dataset(train.features, labels), num_boost_round=rounds)


model = nr.Model("returns", features, label=nr.Label(returns, "returned", matures="30h"), trainer=boosted, holdout="7d",
                 gates=[nr.beats_champion("log_loss", by=-0.05)])
endpoint = nr.Endpoint("returns", model, release=nr.Rollout(shadow="1d", at_most="6d", margin=0.2))
monitor = nr.Monitor(endpoint, false_alarms_per_year=6, performance=[nr.Tolerance("log_loss", by=0.3)], skew=0.001)
retrain = nr.Retrain(model, when=[nr.stale("5d")], cooldown="5d")
"""

COUNT, MEAN = '"visits_6h": nr.count(window="6h")', '"seconds_6h": nr.mean("seconds", window="6h")'
UNCHANGED = {"aggregate": f"{COUNT}, {MEAN}", "request": "basket, doubled", "worthless": "False", "price": 'rows["price"]'}
CHANGES: Mapping[str, Mapping[str, str]] = {
    "unchanged": {},
    "reordered": {"aggregate": f"{MEAN}, {COUNT}", "request": "doubled, basket"},
    "swapped within a view": {"aggregate": f"{MEAN}, {COUNT}"},
    "replaced": {"aggregate": f'"visits_6h": nr.count(window="12h"), {MEAN}'},
    "added": {"aggregate": f'{COUNT}, "visits_1d": nr.count(window="1d"), {MEAN}'},
    "removed": {"aggregate": COUNT, "request": "basket"},
}
SERVED = {"unchanged", "reordered", "swapped within a view", "removed"}  # the champion's requests have all that the challenger reads


def module(change: Mapping[str, str]) -> str:
    return MODULE % {**UNCHANGED, **change}


def go_on(folder: Path, end: datetime) -> EndpointContext:
    """Turn the declared policy up to a moment, from where it had come to."""
    project = load_project(folder)
    endpoint = project.endpoint()
    [context] = open_contexts(project, Workspace.of(folder, project.settings), endpoint, [Policy.declared(project, endpoint)])
    replay([context], Span(FIRST, end), lambda _: None)
    return context


@dataclass
class Lived:
    """What came of a project that changed its features while a champion answered."""

    context: EndpointContext

    @property
    def decisions(self) -> list[tuple[str, str]]:
        return [(d.action, d.reason) for d in decisions_of(self.context.stores.catalog, "returns")]

    @property
    def candidates(self) -> list[tuple[str, CandidateDetail]]:
        return [(row.bundle, row.detail) for row in candidates_of(self.context.stores.catalog, "returns")]

    @property
    def logged(self) -> Predictions:
        found = read_log(self.context.stores.log_folder, FIRST, LAST, self.context.stores.workspace.files)
        assert found is not None
        return found

    @property
    def windows(self) -> set[datetime]:
        return {start for start, rows in rows_by_window(self.context.stores.catalog, "returns", "champion") if rows}

    def shadowed(self, bundle: str) -> list[PairedCounts]:
        found = pairs_by_window(self.context.stores.catalog, "returns", bundle, "challenger", FIRST)
        return [counts for _, counts in found if counts.gains]

    @property
    def skew(self) -> Skew:
        context = self.context
        return endpoint_skew(context.project, context.stores.workspace, context.endpoint, LAST + timedelta(days=1), timedelta(days=30))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a champion that has answered for four days."""
    folder = write_project(tmp_path_factory.mktemp("before") / "shop", module({}))
    project = load_project(folder)
    workspace = Workspace.of(folder, project.settings)
    for table in project.tables:
        ingest(table, workspace.tables, folder)
    context = go_on(folder, CHANGED)
    home = EndpointContext.open(project, workspace, context.endpoint, context.policy, context)
    take_over(context, home, CHANGED, CHANGED)
    for each in (context, home):
        each.stores.catalog.close()
    return folder


@contextmanager
def changed(before: Path, folder: Path, change: Mapping[str, str], end: datetime = LAST) -> Iterator[Lived]:
    shutil.copytree(before, folder)
    (folder / "shop.py").write_text(module(change))
    context = go_on(folder, end)
    with closing(context.stores.catalog):
        yield Lived(context)


@pytest.fixture(scope="module")
def lived(before: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Lived]]:
    root = tmp_path_factory.mktemp("changed")
    with ExitStack() as stack:
        yield {name: stack.enter_context(changed(before, root / name.replace(" ", "_"), change)) for name, change in CHANGES.items()}


@pytest.mark.parametrize("name", CHANGES)
def test_the_gate_judges_the_champion_on_its_own_features_to_the_last_digit(lived: Mapping[str, Lived], name: str) -> None:
    _, detail = lived[name].candidates[1]
    _, expected = lived["unchanged"].candidates[1]
    assert detail.metrics.champion == expected.metrics.champion
    assert detail.metrics.holdout_rows == expected.metrics.holdout_rows


@pytest.mark.parametrize("name", CHANGES)
def test_the_candidate_shadows_on_its_own_features_and_goes_live(lived: Mapping[str, Lived], name: str) -> None:
    bundle, detail = lived[name].candidates[1]
    assert [action for action, _ in lived[name].decisions][:5] == ["train", "promote", "train", "shadow", "promote"]
    shadow = lived[name].shadowed(bundle)
    assert shadow
    assert all(each.paired == each.asked for each in shadow)
    logged = [(b, v) for b, v in zip(lived[name].logged.bundle, lived[name].logged.variant, strict=True)]
    assert ((bundle, "challenger") in logged) == (name in SERVED)  # the others are scored from the tables
    gained = np.mean([each.gains["log_loss"] for each in shadow])
    assert abs(gained - np.mean(detail.gains["log_loss"])) < 0.05


@pytest.mark.parametrize("name", CHANGES)
def test_every_window_is_measured_and_nothing_was_served_wrongly(lived: Mapping[str, Lived], name: str) -> None:
    days = (LAST - FIRST).days
    assert lived[name].windows == {FIRST + timedelta(days=day) for day in range(days)}
    skew = lived[name].skew
    assert skew.rows > 700
    assert skew.worst is None
    kinds = {f.kind for f in findings_of(lived[name].context.stores.catalog)}
    assert not kinds & {"skew", "no_data", "shadow"}


@pytest.mark.parametrize("name", CHANGES)
def test_each_bundle_answers_on_what_it_reads_whatever_the_project_declares(lived: Mapping[str, Lived], name: str) -> None:
    context, logged = lived[name].context, lived[name].logged
    for bundle in set(logged.bundle):
        names = context.stores.bundle(bundle).features
        rows = logged.of(bundle)
        inputs = rows.inputs(context.stores.bundle(bundle).signature).block
        assert np.array_equal(context.stores.model(bundle).predict(inputs), rows.prediction)
        place = {name: i for i, name in enumerate(names)}
        if "twice" in place:
            assert np.array_equal(inputs[:, place["twice"]], 2 * inputs[:, place["price"]])
        told = explain(context.project, context.stores.workspace, rows.ids[0])
        assert told["prediction"]["variant"] == rows.variant[0]


def test_the_first_champion_answers_the_same_before_and_after_a_change(lived: Mapping[str, Lived]) -> None:
    first, _ = lived["unchanged"].candidates[0]
    expected = lived["unchanged"].logged.of(first).by("champion")
    for each in lived.values():
        assert each.candidates[0][0] == first
        found = each.logged.of(first).by("champion")
        count = min(len(found), len(expected))
        assert found.keys[:count] == expected.keys[:count]
        assert np.array_equal(found.prediction[:count], expected.prediction[:count])


def test_a_card_claims_calibration_only_where_it_was_measured(lived: Mapping[str, Lived]) -> None:
    for bundle, detail in lived["unchanged"].candidates:
        opened = lived["unchanged"].context.stores.bundle(bundle)
        card = opened.file(CARD_FILE).read_text()
        measured = Calibration(**opened.manifest.metrics["calibration"])
        assert measured.units >= 7  # the whole holdout, of which the champion may have seen a part
        assert measured.rows >= detail.metrics.holdout_rows
        assert measured.summary in card
        assert ("consistent with calibrated" in card) == measured.holds


def test_a_worthless_candidate_fails_its_gates_after_a_reordering(before: Path, tmp_path: Path) -> None:
    with changed(before, tmp_path / "worthless", {**CHANGES["reordered"], "worthless": "True"}, CHANGED + timedelta(days=4)) as found:
        _, detail = found.candidates[1]
        assert detail.gates[0].outcome == "failed"
        assert [action for action, _ in found.decisions] == ["train", "promote", "train", "refuse"]


# --- a request transform whose code has changed: what it gave before can't be computed any more -------------------------------


def one_round(folder: Path, change: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """One turn of the live controller on a project as it is declared now; returns what was decided in it, and what it recorded."""
    (folder / "shop.py").write_text(module(change))
    project = load_project(folder)
    endpoint = project.endpoint()
    context = EndpointContext.open(project, Workspace.of(folder, project.settings), endpoint, Policy.declared(project, endpoint))
    with closing(context.stores.catalog):
        context.stores.catalog.take_lease()
        reconcile(context, now)
        lived = Lived(context)
        actions = {row.action: row.reason for row in decisions_of(context.stores.catalog, "returns") if row.at == now}
        measured = progress_of(context.stores.catalog, "windows/returns")
        return {"actions": actions, "detail": lived.candidates[-1][1], "measured to": measured and measured.at}


def test_a_champion_whose_transform_was_rewritten_is_judged_by_what_it_answered_and_its_windows_go_on(before: Path, tmp_path: Path) -> None:
    folder, rewritten = tmp_path / "shop", {"price": 'pc.add(rows["price"], 0.0)'}
    shutil.copytree(before, folder)
    now = FIRST + timedelta(days=6)
    found = one_round(folder, rewritten, now)
    assert set(found["actions"]) == {"train", "shadow"}
    logged = read_log(folder / ".noria" / "log" / "returns", FIRST, CHANGED, LocalFiles())
    assert logged is not None
    assert found["detail"].metrics.holdout_rows == len(logged)
    assert found["measured to"] == now

    again = one_round(folder, {"price": 'pc.add(0.0, rows["price"])'}, now + timedelta(days=1))  # and once more, under a shadow
    assert "can't shadow: the server has no price, which it reads" in again["actions"]["refuse"]
    assert "request transform 'basket' has changed since" in again["actions"]["refuse"]
    assert again["measured to"] == now + timedelta(days=1)


def test_a_champion_of_which_nothing_is_left_to_compare_with_opens_no_gate(before: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(before, folder)
    shutil.rmtree(folder / ".noria" / "log")
    found = one_round(folder, {"price": 'pc.add(rows["price"], 0.0)'}, FIRST + timedelta(days=6))
    [gate] = found["detail"].gates
    assert gate.outcome == "unknown"
    assert "request transform 'basket' has changed since" in gate.why
    assert set(found["actions"]) == {"train", "refuse"}
