"""Candidates come back as they were stored, and those of earlier versions with what they lack left empty."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from noria.core.conservation import Balance
from noria.stores import schema
from noria.stores.candidates import (
    CandidateDetail,
    CandidateRow,
    GateResult,
    HoldoutMetrics,
    add_candidate,
    candidate_of,
    candidates_by_decision,
    candidates_of,
    newest_candidate,
)
from noria.stores.catalog import Catalog

NOW = datetime(2024, 3, 1, tzinfo=UTC)
DETAIL = CandidateDetail(
    gates=(GateResult("beats champion", "passed", "there is no champion yet"),),
    gains={"log_loss": [0.1, -0.25]},
    baseline=({"rows": 3, "missing": 0, "positives": 0.5, "prediction": 0.25, "losses": {"log_loss": 0.5}, "auc": None},),
    calibration=(0.5, 1.25),
    metrics=HoldoutMetrics(3, 0.5, candidate={"log_loss": 0.5}, calibration={"units": 7}),
    task={"kind": "binary"},
    rows=Balance("training set", 5, {"training rows": 4, "no outcome": 1}),
    training_set="f00d",
)


def candidate(decision: str, bundle: str, at: datetime, detail: CandidateDetail = DETAIL) -> CandidateRow:
    return CandidateRow(decision, "shop", at, bundle, "run", True, detail, 1.5)


def test_a_candidate_comes_back_as_it_was(catalog: Catalog) -> None:
    row = candidate("a", "b1", NOW)
    with catalog.transaction() as c:
        add_candidate(c, row)
    assert candidates_of(catalog, "shop") == candidates_by_decision(catalog, ["a", "b"]) == [row]
    assert candidate_of(catalog, "shop", "b1") == newest_candidate(catalog, "shop") == row
    assert candidate_of(catalog, "shop", "b2") is newest_candidate(catalog, "another shop") is None


def test_its_detail_is_stored_by_the_keys_of_ever(catalog: Catalog) -> None:
    with catalog.transaction() as c:
        add_candidate(c, candidate("a", "b1", NOW))
        stored = json.loads(c.execute(sa.select(schema.candidates.c.detail)).scalar_one())
    assert set(stored) == {
        "gates",
        "gains",
        "baseline",
        "calibration",
        "metrics",
        "task",
        "rows",
        "training_set",
        "compared",
        "answers",
        "reports",
    }
    assert stored["gates"] == [{"gate": "beats champion", "outcome": "passed", "why": "there is no champion yet"}]
    assert stored["rows"] == {"stage": "training set", "rows_in": 5, "rows_out": {"training rows": 4, "no outcome": 1}, "holds": True}
    assert set(stored["metrics"]) == {"holdout_rows", "holdout_positives", "candidate", "calibration"}
    assert CandidateDetail(metrics=HoldoutMetrics()).to_dict()["metrics"] == {}


def test_a_detail_of_an_earlier_version_is_empty_where_it_lacks_something() -> None:
    found = CandidateDetail.of({"gates": [], "gains": {}, "metrics": {}, "rows": DETAIL.rows.to_dict(), "training_set": "f00d"})
    assert (found.baseline, found.calibration, found.task, found.metrics.holdout_rows) == ((), (), None, 0)
    assert found.rows == DETAIL.rows


def test_of_candidates_with_one_bundle_the_newest_counts(catalog: Catalog) -> None:
    with catalog.transaction() as c:
        add_candidate(c, candidate("a", "b1", NOW + timedelta(days=1)))
        add_candidate(c, candidate("b", "b1", NOW, CandidateDetail()))
    found = candidate_of(catalog, "shop", "b1")
    assert found is not None
    assert found.decision == "a"
    assert [row.decision for row in candidates_of(catalog, "shop")] == ["b", "a"]
