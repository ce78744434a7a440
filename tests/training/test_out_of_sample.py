"""A model that remembers its training rows: its answers to them are no reference for those to others."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

import noria as nr
from noria.core.conservation import Balance
from noria.core.randomness import Randomness
from noria.core.signature import Field
from noria.data.rows import Rows
from noria.features.training_set import TrainingSet
from noria.training.fit import Fitted, fit_candidate
from noria.training.out_of_sample import Probed, answers_out_of_sample, remembered

NAMES = ("a", "b", "c")
FIELDS = tuple(Field(name, "float32") for name in NAMES)
START = datetime(2025, 1, 1, tzinfo=UTC)
END = datetime(2025, 2, 10, tzinfo=UTC)


def training_set(count: int = 4_000, *, kinds: int = 2, moments: int = 4_000) -> TrainingSet:
    """Rows whose class hangs on two of three numbers and mostly on chance."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(count, len(NAMES))).astype(np.float32)
    score = values[:, 0] - 0.5 * values[:, 1] + rng.logistic(size=count)
    labels = np.digitize(score, np.quantile(score, np.linspace(0, 1, kinds + 1)[1:-1])).astype(np.float64)
    steps = np.sort(rng.integers(moments, size=count)) * (np.timedelta64(END - START, "s") // moments)
    return TrainingSet(
        id="rows",
        rows=pa.table({name: values[:, i] for i, name in enumerate(NAMES)}),
        fields=FIELDS,
        labels=labels,
        at=np.datetime64(START.replace(tzinfo=None), "us") + steps,
        start=START,
        as_of=END,
        balance=Balance("training set", count, {"training rows": count}),
        snapshots=(),
    )


def fitted(estimator: object, found: TrainingSet, folder: Path) -> Fitted:
    deals = nr.Table("deals", nr.files(str(folder / "deals.csv")), key="id", event_time="at")
    features = nr.FeatureSet("deals", spine=deals, request=[])
    model = nr.Model("deals", features, label=nr.Label(deals, "won"), trainer=nr.sklearn(estimator), holdout="10d")
    return fit_candidate(model, found, Randomness(1), with_probe=True)


def test_a_forest_is_compared_with_answers_to_rows_that_it_did_not_learn_from(tmp_path: Path) -> None:
    found = training_set()
    forest = fitted(RandomForestClassifier(30, random_state=0), found, tmp_path)
    assert forest.remembered is not None
    assert forest.remembered.told_apart
    assert "two models of the same configuration" in forest.remembered.summary
    own, unseen = (rows.numbers(rows.names[0]) for rows in (forest.proof[1], forest.answers))
    live = RandomForestClassifier(30, random_state=0).fit(found.features.block, found.labels).predict_proba(training_set_later())[:, 1]
    assert np.std(own) > 1.3 * np.std(live)
    assert np.std(unseen) == pytest.approx(np.std(live), rel=0.1)


def training_set_later() -> NDArray[np.float32]:
    return np.random.default_rng(2).normal(size=(4_000, len(NAMES))).astype(np.float32)


def test_boosted_trees_are_compared_with_their_own_answers(tmp_path: Path) -> None:
    boosted = fitted(HistGradientBoostingClassifier(max_iter=20), training_set(), tmp_path)
    assert boosted.remembered is None
    assert not boosted.answers.unequal(boosted.proof[1]).any()


def answers_of(rows: Rows) -> Rows:
    return Rows.of_arrays((Field("prediction", "float64"),), [rows.block[:, 0].astype(np.float64)])


def test_each_row_is_answered_once_by_a_model_that_did_not_learn_from_its_moment() -> None:
    found, asked = training_set(1_000, moments=300), list[NDArray[np.bool_]]()

    def answered_by(learnt: NDArray[np.bool_], rows: Rows) -> Rows:
        asked.append(learnt)
        assert len(rows) == int((~learnt).sum())
        return answers_of(rows)

    answers = answers_out_of_sample(found, answered_by)
    assert answers is not None
    assert np.array_equal(answers.numbers("prediction"), found.features.block[:, 0])
    assert np.array_equal(asked[0], ~asked[1])
    assert 300 < asked[0].sum() < 700
    assert not set(found.at[asked[0]]) & set(found.at[asked[1]])


@pytest.mark.parametrize("missing", ["moments", "a class"])
def test_halves_that_cannot_teach_are_not_asked(missing: str) -> None:
    found = training_set(200, kinds=3, moments=1 if missing == "moments" else 200)
    if missing == "a class":
        found.labels[:] = 0.0
        found.labels[0] = 2.0
    assert answers_out_of_sample(found, lambda *_: pytest.fail("asked")) is None


def of(low: float, high: float) -> Rows:
    return Rows.of_scores(nr.Regression().outputs, np.linspace(low, high, 200)[:, None])


def test_only_memory_moves_both_pairs_of_answers() -> None:
    task, sure, usual = nr.Regression(), of(0, 10), of(4, 6)
    assert remembered(task, Probed(sure, usual), sure) is not None
    assert remembered(task, Probed(usual, usual), sure) is None  # the final model has learnt what is new in the holdout
    assert remembered(task, Probed(sure, usual), usual) is None  # the rows have changed, and both models say so
    assert remembered(task, Probed(sure.take([]), usual.take([])), usual.take([])) is None


def test_unknown_answers_are_apart_from_known_ones() -> None:
    unknown = Rows.of_scores(nr.Regression().outputs, np.full((50, 1), np.nan))
    found = remembered(nr.Regression(), Probed(of(0, 1), unknown), of(0, 1))
    assert found is not None
    assert found.apart == 1.0
