"""Trainers without a function: any estimator, for any task, on columns of any plain types, as ONNX where that answers alike."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from lightgbm import LGBMRanker, LGBMRegressor
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import noria as nr
from noria.core.errors import NoriaError, UserMistake
from noria.core.signature import Field, Signature
from noria.data.rows import Rows
from noria.evaluation.task import Task
from noria.features.training_set import Dataset
from noria.models.export import Exported, Wanted, export
from noria.models.runtimes.port import RuntimeOptions
from noria.training.estimators import EstimatorTrainer
from noria.training.trainer import TrainerFailed

RNG = np.random.default_rng(0)
COUNT = 400
NUMBERS = (Field("a"), Field("b"))
X = RNG.normal(size=(COUNT, 2)).astype(np.float32)
DENSE = Rows.dense(NUMBERS, X)
TYPED = (Field("price", "float64"), Field("city", "string"), Field("n", "int64"), Field("express", "bool"))
CITY = np.array(["Ams", "Köln", None, "Wien"], object)[np.arange(COUNT) % 4]
PLACE = np.arange(COUNT)
MIXED = Rows.of(TYPED, [pa.array(X[:, 0].astype(float)), pa.array(CITY, pa.string()), pa.array(PLACE % 7), pa.array(PLACE % 2 == 0)])
YES = (X[:, 0] + RNG.normal(0, 0.5, COUNT) > 0).astype(float)
NUMBER = 3.0 * X[:, 0] + RNG.normal(0, 1, COUNT)
CLASS = np.digitize(X[:, 0], [-0.5, 0.5]).astype(float)
UNKNOWN = np.where(np.arange(COUNT)[:, None] % 5 == [0, 1], np.nan, np.column_stack([NUMBER, NUMBER * 2]))


def trained(estimator: Any, task: Task, labels: np.ndarray, rows: Rows = DENSE, **more: Any) -> Exported:
    fitted, order = nr.sklearn(estimator)(Dataset(rows, labels, **more), seed=7, task=task), task.grouped_by is not None
    return export(fitted, Wanted(Signature(rows.fields, task.outputs), rows, task.bounds, exclusive=task.exclusive, order=order))


def scores(exported: Exported, task: Task, rows: Rows) -> np.ndarray:
    with exported.opened(Signature(rows.fields, task.outputs), RuntimeOptions()) as model:
        return model.answer(rows).scores(task.outputs)


@pytest.mark.parametrize(
    ("estimator", "task", "labels", "shape"),
    [
        (LogisticRegression(), nr.Binary(), YES, (COUNT,)),
        (HistGradientBoostingRegressor(max_iter=5), nr.Regression(), NUMBER, (COUNT,)),
        (HistGradientBoostingClassifier(max_iter=5), nr.Multiclass(("low", "middle", "high")), CLASS, (COUNT, 3)),
        (LogisticRegression(), nr.Multilabel(("torn", "late")), np.column_stack([YES, 1 - YES]), (COUNT, 2)),
        (Ridge(), nr.Forecast(horizons=("1h", "6h")), UNKNOWN, (COUNT, 2)),
        (HistGradientBoostingRegressor(loss="quantile", max_iter=5), nr.Regression(quantiles=(0.1, 0.9)), NUMBER, (COUNT, 2)),
        (LGBMRegressor(objective="quantile", n_estimators=5, verbose=-1), nr.Regression(quantiles=(0.1, 0.9)), NUMBER, (COUNT, 2)),
        (
            {"minutes": Ridge(), "lost": LogisticRegression()},
            nr.MultiOutput({"minutes": nr.Regression(), "lost": nr.Binary()}),
            np.column_stack([UNKNOWN[:, 0], YES]),
            (COUNT, 2),
        ),
        (Ridge(), nr.MultiOutput({"x": nr.Regression(), "y": nr.Regression()}), UNKNOWN, (COUNT, 2)),
    ],
)
def test_a_task_gets_the_models_that_it_asks_for(estimator: Any, task: Task, labels: np.ndarray, shape: tuple[int, ...]) -> None:
    exported = trained(estimator, task, labels)
    assert (exported.runtime, exported.trust) == ("onnx", False)
    found = scores(exported, task, DENSE)
    assert found.shape == shape
    if getattr(task, "quantiles", ()) and not isinstance(task, nr.Forecast):
        below = (labels[:, None] <= found).mean(axis=0)
        np.testing.assert_allclose(below, task.quantiles, atol=0.06)


def test_a_ranker_gets_the_sizes_of_groups() -> None:
    task = nr.Ranking(group="query_id", at=3)
    exported = trained(LGBMRanker(n_estimators=5, verbose=-1), task, YES, groups=np.arange(COUNT) // 4)
    assert scores(exported, task, DENSE).shape == (COUNT,)


@pytest.mark.parametrize("estimator", [LogisticRegression(max_iter=1000), HistGradientBoostingClassifier(max_iter=5)])
def test_texts_and_unknown_values_are_read(estimator: Any) -> None:
    exported = trained(estimator, nr.Binary(), ((CITY == "Wien") ^ (YES > 0)).astype(float), MIXED)
    assert exported.runtime == "onnx"
    asked = [[None, "Wien", 3, True], [0.1, None, None, None], [0.1, "nowhere", 3, False]]
    found = scores(exported, nr.Binary(), Rows.of_values(TYPED, asked))
    assert np.isfinite(found).all()
    assert found[1] != found[0]


def test_words_of_texts_count_and_so_do_categories() -> None:
    words = np.array([" ".join(["plain"] * 3 + ["gold"] * (i % 9) + [f"w{i % 60}"]) for i in range(COUNT)], object)
    fields = (Field("note", "string"), Field("city", "string"))
    rows = Rows.of(fields, [pa.array(words), pa.array(CITY, pa.string())])
    labels = (np.arange(COUNT) % 9 > 4).astype(float)
    exported = trained(LogisticRegression(), nr.Binary(), labels, rows)
    assert exported.runtime == "onnx"
    assert ((scores(exported, nr.Binary(), rows) > 0.5) == labels).mean() > 0.9
    assert np.isfinite(scores(exported, nr.Binary(), Rows.of_values(fields, [["ÄRGER gold gold", None], ["", "Ams"]]))).all()
    assert np.isnan(scores(exported, nr.Binary(), Rows.of_values(fields, [[None, "Ams"]]))).all()  # as the vectorizer refuses it


def test_of_a_column_with_many_values_the_most_frequent_count() -> None:
    many = np.array([f"c{i % 8}" if i % 2 else f"rare{i}" for i in range(COUNT)], object)
    rows = Rows.of((Field("code", "string"),), [pa.array(many)])
    fitted = nr.sklearn(Ridge())(Dataset(rows, NUMBER), seed=1, task=nr.Regression())
    assert fitted.steps[-1][1].n_features_in_ == 50


def test_a_pipeline_that_chooses_columns_gets_the_frame_as_it_is() -> None:
    parts = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["city"]), (StandardScaler(), ["price", "n"])
    )
    fitted = nr.sklearn(make_pipeline(parts, LogisticRegression()))(Dataset(MIXED, YES), seed=1, task=nr.Binary())
    assert [name for name, _ in fitted.steps] == ["columntransformer", "logisticregression"]
    assert list(fitted.feature_names_in_) == ["price", "city", "n", "express"]


def test_weights_reach_the_estimator() -> None:
    heavy = np.where(YES > 0, 9.0, 1.0)
    task = nr.Binary()
    plain, weighed = (scores(trained(LogisticRegression(), task, YES, weights=w), task, DENSE).mean() for w in (None, heavy))
    assert weighed > plain + 0.1


def test_the_seed_is_the_projects_unless_one_is_given() -> None:
    def split(estimator: Any, seed: int) -> np.ndarray:
        fitted = nr.sklearn(estimator)(Dataset(DENSE, YES), seed=seed, task=nr.Binary())
        return np.asarray(fitted.predict_proba(X)[:, 1])

    free, fixed = (
        DecisionTreeClassifier(splitter="random", max_depth=4),
        DecisionTreeClassifier(splitter="random", max_depth=4, random_state=5),
    )
    assert (split(free, 1) == split(free, 1)).all()
    assert (split(free, 1) != split(free, 2)).any()
    assert (split(fixed, 1) == split(fixed, 2)).all()


def test_a_trainer_is_known_by_its_estimators_and_what_they_are_given() -> None:
    one = nr.sklearn(LogisticRegression(C=2.0))
    assert one.name == "LogisticRegression"
    assert one.parameters()["C"] == 2.0
    assert "random_state" not in one.parameters()
    other = one.with_parameters(C=0.5)
    assert (other.parameters()["C"], one.parameters()["C"]) == (0.5, 2.0)
    assert other(Dataset(DENSE, YES), seed=1, task=nr.Binary()).steps[-1][1].C == 0.5
    with pytest.raises(UserMistake, match="no parameter 'c'"):
        one.with_parameters(c=1)
    same = [nr.sklearn(LogisticRegression(C=2.0)), nr.sklearn(make_pipeline(FunctionTransformer(np.log1p), Ridge()))]
    assert (
        one.code_hash()
        == same[0].code_hash()
        != same[1].code_hash()
        != nr.sklearn(make_pipeline(FunctionTransformer(_own), Ridge())).code_hash()
    )


def _own(x: Any) -> Any:
    return x


def test_the_identity_is_the_same_in_every_process() -> None:
    code = (
        "import noria as nr; from sklearn.pipeline import *; from sklearn.preprocessing import *; from sklearn.linear_model import *; "
        "print(nr.sklearn(make_pipeline(OneHotEncoder(), LogisticRegression(class_weight={0: 1, 1: 2}))).code_hash())"
    )
    assert len({subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in range(2)}) == 1


@pytest.mark.parametrize(
    ("made", "code", "why"),
    [
        (lambda: nr.sklearn(LogisticRegression), "NR-311", "needs an estimator"),
        (lambda: nr.sklearn("LogisticRegression"), "NR-311", "needs an estimator"),
        (lambda: trained(LinearRegression(), nr.Regression(quantiles=(0.1, 0.9)), NUMBER), "NR-312", "no quantile"),
        (lambda: trained(Ridge(), nr.Regression(), NUMBER, Rows.unknown((Field("at", "timestamp"),), COUNT)), "NR-313", "at: timestamp"),
        (
            lambda: trained({"x": Ridge()}, nr.MultiOutput({"x": nr.Regression(), "y": nr.Regression()}), UNKNOWN),
            "NR-311",
            "needs an estimator",
        ),
        (lambda: trained(LogisticRegression(C=-1.0), nr.Binary(), YES), "NR-310", "'C' parameter"),
    ],
)
def test_what_can_not_be_fitted_is_refused_with_what_to_write(made: Any, code: str, why: str) -> None:
    with pytest.raises(NoriaError, match=why) as raised:
        made()
    assert raised.value.code == code
    assert raised.value.fix


def test_a_model_is_declared_with_a_trainer() -> None:
    table = nr.Table("t", nr.files("t.parquet"), key="k", event_time="at")
    features = nr.FeatureSet("f", spine=table, request=[])

    def plain(train: Any) -> Any:
        return train

    for trainer, fix in (
        (plain, "put @nr.trainer above def plain"),
        (Ridge(), r"nr\.sklearn\(Ridge"),
        (Ridge, r"nr\.sklearn\(Ridge"),
        (7, "nr.sklearn"),
    ):
        with pytest.raises(UserMistake, match=fix) as raised:
            nr.Model("m", features, label=nr.Label(table, "y"), trainer=trainer)
        assert raised.value.code == "NR-315"


def test_what_fails_in_fit_is_told_as_the_trainers() -> None:
    with pytest.raises(TrainerFailed):
        EstimatorTrainer(None, {}, {"": Ridge()})(Dataset(DENSE, NUMBER[:10]), seed=1, task=nr.Regression())


def test_a_dataset_is_read_as_people_read_one() -> None:
    dense, mixed = Dataset(DENSE, YES), Dataset(MIXED, YES)
    assert dense.X is dense.features
    assert dense.y is dense.labels
    assert mixed.X.equals(mixed.to_pandas())
    assert mixed.texts == ["city"]
    assert str(mixed.to_pandas(categories=True)["city"].dtype) == "category"
    assert mixed.to_arrow().column_names == ["price", "city", "n", "express"]


def test_columns_with_blanks_in_their_names_become_onnx() -> None:
    """The converter writes `_` for what is no letter: two columns may then have one name, and one that nothing reads is dropped."""
    fields = (Field("item price", "float64"), Field("item_price", "float64"), Field("home town", "string"), Field("not read", "float64"))
    rows = Rows.of(
        fields,
        [
            pa.array(X[:, 0].astype(float)),
            pa.array(X[:, 1].astype(float)),
            pa.array([city or "" for city in CITY], pa.string()),
            pa.array(PLACE / 7),
        ],
    )
    read = make_column_transformer((OneHotEncoder(sparse_output=False), ["home town"]), (StandardScaler(), ["item_price", "item price"]))
    exported = trained(make_pipeline(read, LogisticRegression()), nr.Binary(), YES, rows)
    assert exported.runtime == "onnx"
    whole = scores(exported, nr.Binary(), rows)
    assert np.corrcoef(whole, YES)[0, 1] > 0.5, "the prices are not mistaken for each other"
