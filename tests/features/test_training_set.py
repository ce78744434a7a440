"""What can't be trained on is refused in words that name the reason: labels that answer no question, outcomes that are not there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import noria as nr
from noria.core.errors import UserMistake
from noria.core.files import LocalFiles
from noria.data.table import Snapshot, SnapshotRows
from noria.evaluation.binary import Binary, OneClass
from noria.evaluation.yes_or_no import NotYesOrNo
from noria.features.check import check_keys
from noria.features.offline import OfflineFeatures
from noria.features.outcomes import Outcomes
from noria.features.training_set import NothingToTrainOn, TrainingSet, build_training_set

START = datetime(2024, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=30)
COUNTS = np.random.default_rng(1).poisson(50, 500)


def facts(name: str, rows: dict[str, Any]) -> SnapshotRows:
    count = len(rows["id"])
    at = pa.array([START + timedelta(hours=i % 600) for i in range(count)], pa.timestamp("us", tz="UTC"))
    table = nr.Table(name, nr.files("none"), key="id", event_time="at")
    return SnapshotRows(table, Snapshot(name, 0, "", count), pa.table({**rows, "at": at}))


def trained_on(
    folder: Path, returned: pa.Array, *, spine: int | None = None, key: str = "", now: datetime = NOW, **label: Any
) -> TrainingSet:
    """A training set of spine rows with these outcomes. Raises what `noria check` raises, or else what training does."""
    keys = [f"{i}" for i in range(len(returned))]
    asked = facts("orders", {"id": keys[:spine], "x": pa.array(np.arange(len(keys[:spine])), pa.float64())})
    told = facts("returns", {"id": [key + k for k in keys], "returned": returned})

    @nr.request_transform("x")
    def itself(rows: pa.Table) -> dict[str, Any]:
        return {"x": rows["x"]}

    features = nr.FeatureSet("f", spine=asked.table, request=[itself])
    declared = nr.Label(told.table, "returned", **label)
    offline = OfflineFeatures(features, [asked], folder, LocalFiles())
    return build_training_set(offline, declared, Outcomes(told, declared, asked), Binary(), start=offline.first(), as_of=now)


YES_OR_NO: dict[str, tuple[Any, dict[str, Any]]] = {
    "booleans": (pa.array([True, False, None]), {}),
    "0 and 1": (pa.array([0, 1, None], pa.int8()), {}),
    "0.0 and 1.0": (pa.array([0.0, 1.0, float("nan")]), {}),
    "decimals of 0 and 1": (pa.array([Decimal("0.00"), Decimal("1.00")]), {}),
    "text with a named one": (pa.array(["yes", "no", "maybe"]), {"positive": "yes"}),
    "classes with a named one": (pa.array([1, 2, 3]), {"positive": 2}),
    "categories with a named one": (pa.array(["yes", "no"]).dictionary_encode(), {"positive": "yes"}),
}


@pytest.mark.parametrize("case", YES_OR_NO)
def test_answers_of_yes_and_no_are_trained_on(case: str, tmp_path: Path) -> None:
    returned, label = YES_OR_NO[case]
    assert set(trained_on(tmp_path, returned, **label).labels) == {0, 1}


NO_ANSWERS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "counts": (pa.array(COUNTS), {}, "values, such as"),
    "counts of which one is named": (pa.array(COUNTS), {"positive": 50}, "derive a boolean column"),
    "classes of which none is named": (pa.array([0, 1, 2, None]), {}, "it holds 3 values, such as 0, 1, 2"),
    "two classes that are not 0 and 1": (pa.array([1, 2]), {}, "give `positive=…`, the class that counts as 1"),
    "measurements": (pa.array([0.25, 1.0, 0.5]), {}, "such as 0.25, 1, 0.5"),
    "probabilities of which one is named": (
        pa.array(np.linspace(0, 1, 40)),
        {"positive": 1},
        r"a number is predicted with task=nr\.Regression",
    ),
    "decimals": (pa.array([Decimal("1.25"), Decimal("1.00")]), {}, "1.25"),
}


@pytest.mark.parametrize("case", NO_ANSWERS)
def test_counts_classes_and_measurements_are_refused_by_check_and_by_training(case: str, tmp_path: Path) -> None:
    returned, label, words = NO_ANSWERS[case]
    with pytest.raises(NotYesOrNo, match=words):
        trained_on(tmp_path, returned, **label)
    told = facts("returns", {"id": [f"{i}" for i in range(len(returned))], "returned": returned})
    features = nr.FeatureSet("f", spine=told.table)
    with pytest.raises(NotYesOrNo, match=words):
        check_keys(features, nr.Label(told.table, "returned", **label), {"returns": told.rows}, Binary())


def test_a_label_is_the_same_whether_its_1_is_written_or_not() -> None:
    table = nr.Table("t", nr.files("none"), key="id", event_time="at")
    assert nr.Label(table, "y") == nr.Label(table, "y", positive=1)
    assert repr(nr.Label(table, "y")) == repr(nr.Label(table, "y", positive=1))
    assert type(nr.Label(table, "y").positive) is int


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"returned": pa.array([0] * 30)}, OneClass, "all 30 outcomes are 0"),
        ({"returned": pa.array(["yes", "no"] * 9), "positive": "yse"}, OneClass, "'yes', 'no'"),
        ({"returned": pa.nulls(30, pa.int64())}, NothingToTrainOn, r"returns.returned is null in all rows"),
        ({"returned": pa.array([float("nan")] * 30)}, NothingToTrainOn, "null in all rows"),
        ({"returned": pa.array([0, 1] * 9), "key": "other "}, NothingToTrainOn, "check that id means the same in both tables"),
        ({"returned": pa.array([0, 1] * 9), "matures": "99d"}, NothingToTrainOn, "all are younger than matures='99d'"),
        ({"returned": pa.array([0, 1] * 9), "spine": 0}, UserMistake, "the spine 'orders' has no rows yet"),
    ],
)
def test_what_is_lacking_is_said(given: dict[str, Any], error: type[UserMistake], words: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=words):
        trained_on(tmp_path, **given)
