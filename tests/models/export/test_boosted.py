"""Whatever LightGBM trains is answered by its export as by itself, on any row; or it is refused, and the message says why."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas
import pytest

from noria.models.export import CannotExport, to_onnx
from noria.models.export.lightgbm import boosted
from noria.models.runtimes.onnx import OnnxModel

ALIKE = 1e-5
BASE = {"objective": "binary", "num_leaves": 15, "verbose": -1, "deterministic": True, "num_threads": 1}
FOREST = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}
CODES = {"min_data_per_group": 1, "cat_smooth": 1}
NEXT_TO_ZERO = (1e-45, 1e-38, 9e-36, 1e-35, 2e-35)
NUMBERS = (0, 0.5, 1, 1.5, 2.5, 2.75, 7.2, 13, 99, 256, 1e5, 2.0**24, 3e9, 3.4e38, np.inf)
AWKWARD = np.array([np.nan, *(sign * value for value in (*NEXT_TO_ZERO, *NUMBERS) for sign in (1.0, -1.0))], np.float32)


def matrix(
    seed: int = 0, *, rows: int = 1500, features: int = 5, unknown: float = 0.1, zeros: float = 0.0, codes: tuple[int, ...] = ()
) -> Any:
    """Features `(rows, features)` float32 and labels `(rows,)`; columns of `codes` hold 0 to 11."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features)).astype(np.float32)
    for column in codes:
        x[:, column] = rng.integers(0, 12, rows)
    y = (sum(np.sin((j + 1) * x[:, j]) for j in range(min(features, 4))) + 0.5 * rng.normal(size=rows) > 0).astype(float)
    x[rng.random(x.shape) < unknown] = np.nan
    x[rng.random(x.shape) < zeros] = 0
    return x, y


def adversarial(x: np.ndarray, seed: int) -> np.ndarray:
    """Rows of `x`, of which some, many or most values are awkward, next to what they were, or have got a fraction."""
    rng = np.random.default_rng(seed)
    rows = x[rng.integers(0, len(x), 1000)].copy()
    awkward = rng.random(rows.shape) < rng.choice([0.02, 0.1, 0.5], (len(rows), 1))
    rows[awkward] = rng.choice(AWKWARD, awkward.sum())
    beside = rng.random(rows.shape) < 0.1
    with np.errstate(over="ignore"):
        rows[beside] = np.nextafter(rows[beside], rng.choice(np.array([-np.inf, np.inf], np.float32), beside.sum()))
    rows[rng.random(rows.shape) < 0.02] += np.float32(0.5)
    return np.concatenate([rows, *(np.full((1, x.shape[1]), value, np.float32) for value in AWKWARD)])


def trained(x: np.ndarray, y: np.ndarray, rounds: int = 20, codes: tuple[int, ...] = (), **parameters: Any) -> lightgbm.Booster:
    dataset = lightgbm.Dataset(x, y, categorical_feature=list(codes) or "auto")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lightgbm.train({**BASE, **parameters}, dataset, rounds)


def assert_alike(fitted: Any, x: np.ndarray, *, check: np.ndarray | None = None) -> None:
    exported = OnnxModel(to_onnx(fitted, features=x.shape[1], check=x[:500] if check is None else check))
    booster = getattr(fitted, "booster_", fitted)
    for seed in range(2):
        rows = adversarial(x, seed)
        original = booster.predict(rows).reshape(len(rows), -1)[:, -1]
        apart = np.abs(original - exported.predict(rows))
        assert apart.max() <= ALIKE, rows[apart.argmax()]


def thresholds(model: lightgbm.Booster) -> np.ndarray:
    lines = [line for line in model.model_to_string().splitlines() if line.startswith("threshold=")]
    return np.array([float(v) for line in lines for v in line.partition("=")[2].split()])


PARAMETERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dart": {"boosting": "dart"},
    "goss": {"data_sample_strategy": "goss"},
    "is_unbalance": {"is_unbalance": True},
    "monotone": {"monotone_constraints": [1, 0, -1, 0, 0]},
    "extra_trees": {"extra_trees": True},
    "two bins": {"max_bin": 2},
    "huge steps": {"learning_rate": 5.0, "min_data_in_leaf": 1},
    "stumps": {"num_leaves": 2},
    "one leaf": {"min_data_in_leaf": 5000},
    "use_missing": {"use_missing": False},
    "zero_as_missing": {"zero_as_missing": True},
    "sigmoid": {"sigmoid": 2.5},
    "small sigmoid": {"sigmoid": 0.3},
    "random forest": FOREST,
    "random forest with a sigmoid": {**FOREST, "sigmoid": 3.0},
    "cross_entropy": {"objective": "cross_entropy"},
    "random forest of cross_entropy": {**FOREST, "objective": "cross_entropy"},
    "two classes": {"objective": "multiclass", "num_class": 2},
    "random forest of two classes": {**FOREST, "objective": "multiclass", "num_class": 2},
}
COLUMNS: dict[str, dict[str, Any]] = {
    "zeros": {"zeros": 0.3},
    "nothing unknown": {"unknown": 0.0},
    "zeros and nothing unknown": {"unknown": 0.0, "zeros": 0.3},
    "one feature": {"features": 1},
    "500 features": {"features": 500, "rows": 400},
}


@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
def test_boosters_of_any_parameters_are_answered_alike(parameters: dict[str, Any]) -> None:
    x, y = matrix()
    assert_alike(trained(x, y, **parameters), x)


@pytest.mark.parametrize("zero_as_missing", [False, True])
@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS)
def test_boosters_of_any_columns_are_answered_alike(columns: dict[str, Any], zero_as_missing: bool) -> None:
    x, y = matrix(**columns)
    assert_alike(trained(x, y, zero_as_missing=zero_as_missing), x)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"zero_as_missing": True}, {"use_missing": False}, {"max_cat_to_onehot": 64}, FOREST],
    ids=lambda p: str(next(iter(p), "plain")),
)
@pytest.mark.parametrize("unknown", [0.0, 0.1])
def test_categories_that_are_negative_unseen_or_fractions_are_answered_alike(parameters: dict[str, Any], unknown: float) -> None:
    x, y = matrix(codes=(1, 3), unknown=unknown, zeros=0.05)
    assert_alike(trained(x, y, codes=(1, 3), **CODES, **parameters), x)


def test_categories_trained_on_negative_and_fractional_codes_are_answered_alike() -> None:
    x, y = matrix(codes=(1, 3))
    x[:, 1] -= 3
    x[:, 3] += np.float32(0.5)
    assert_alike(trained(x, y, codes=(1, 3), **CODES), x)


def test_large_columns_with_small_steps_are_answered_alike() -> None:
    rng = np.random.default_rng(0)
    x = 1e5 + np.round(rng.random((1500, 3)), 3)
    y = (np.sin(30 * x[:, 0]) > 0).astype(float)
    assert_alike(trained(x, y), x.astype(np.float32))  # trained on float64
    assert_alike(trained(x.astype(np.float32), y), x.astype(np.float32))


def test_thresholds_beyond_float32_and_infinite_columns_are_answered_alike() -> None:
    rng = np.random.default_rng(0)
    x = rng.choice([-1e300, -1e39, -1, 0, 1, 1e39, 1e300, np.inf, -np.inf], (1500, 3))
    y = ((x[:, 0] > 1e100) ^ (x[:, 1] < -1e100)).astype(float)
    with np.errstate(over="ignore"):
        seen = x.astype(np.float32)
    assert_alike(trained(x, y), seen)


def test_columns_next_to_zero_are_answered_alike() -> None:
    x = (np.random.default_rng(0).normal(size=(1500, 3)) * 1e-35).astype(np.float32)
    assert_alike(trained(x, (x[:, 0] > 0).astype(float)), x)


def test_forced_bins_next_to_zero_are_answered_alike(tmp_path: Path) -> None:
    bins = tmp_path / "bins.json"
    bins.write_text(json.dumps([{"feature": 0, "bin_upper_bound": [-1e-36, 1e-36, 0.3]}]))
    x, y = matrix(unknown=0)
    assert_alike(trained(x, y, forcedbins_filename=str(bins)), x)


def test_the_answers_are_those_of_the_best_iteration_where_training_stopped_early() -> None:
    x, y = matrix()
    dataset = lightgbm.Dataset(x[:1000], y[:1000])
    for parameters in ({"learning_rate": 0.5}, FOREST):
        model = lightgbm.train(
            {**BASE, **parameters},
            dataset,
            60,
            valid_sets=[dataset.create_valid(x[1000:], y[1000:])],
            callbacks=[lightgbm.early_stopping(3, verbose=False)],
            keep_training_booster=True,
        )
        assert 0 < model.best_iteration < model.current_iteration()
        assert_alike(model, x)


def test_boosters_that_were_continued_reloaded_refitted_or_edited_are_answered_alike() -> None:
    x, y = matrix()
    model = trained(x, y, sigmoid=2.0)
    assert_alike(lightgbm.Booster(model_str=model.model_to_string()), x)
    assert_alike(lightgbm.train({**BASE, "sigmoid": 2.0}, lightgbm.Dataset(x, y), 5, init_model=model), x)
    assert_alike(model.refit(x, 1 - y), x)
    assert_alike(trained(x, y).set_leaf_output(0, 0, 30.0), x)


def test_feature_names_of_any_characters_are_exported() -> None:
    x, y = matrix()
    names = ["größe", "a b", "x\u2028y", "Tree=1", "end of trees"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = lightgbm.train(BASE, lightgbm.Dataset(x, y, feature_name=names), 5)
    assert_alike(model, x)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (False, True), (1, 7)])
def test_a_classifier_answers_the_probability_of_its_greater_class(low: Any, high: Any) -> None:
    x, y = matrix()
    fitted = lightgbm.LGBMClassifier(n_estimators=10, n_jobs=1, verbose=-1).fit(x, np.where(y > 0, high, low))
    assert_alike(fitted, x)
    rows = adversarial(x, 5)
    exported = OnnxModel(to_onnx(fitted, features=5, check=x[:100]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.abs(fitted.predict_proba(rows)[:, list(fitted.classes_).index(high)] - exported.predict(rows)).max() <= ALIKE


OBJECTIVES = {
    "regression": "its objective is regression",
    "l1": "its objective is regression_l1",
    "quantile": "its objective is quantile",
    "poisson": "its objective is poisson",
    "cross_entropy_lambda": "its objective is cross_entropy_lambda",
}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_boosters_that_answer_no_probability_are_refused_by_their_objective(objective: str) -> None:
    x, y = matrix(rows=300)
    with pytest.raises(CannotExport, match=OBJECTIVES[objective]):
        to_onnx(trained(x, y, 2, objective=objective), features=5, check=x)


@pytest.mark.parametrize("objective", ["multiclass", "multiclassova"])
def test_boosters_of_several_classes_are_refused(objective: str) -> None:
    x, y = matrix(rows=300)
    model = trained(x, y + (x[:, 0] > 1), 2, objective=objective, num_class=3)
    with pytest.raises(CannotExport, match=f"its objective is {objective}, with a score for each of 3 classes"):
        to_onnx(model, features=5, check=x)
    with pytest.raises(CannotExport, match="multiclassova"):  # whose two scores are those of two models
        to_onnx(trained(x, y, 2, objective="multiclassova", num_class=2), features=5, check=x)


@pytest.mark.parametrize("objective", ["lambdarank", "rank_xendcg"])
def test_a_ranker_answers_the_sum_of_its_trees_where_a_ranking_is_wanted(objective: str) -> None:
    x, _ = matrix(rows=1500)
    grades = np.clip(np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 1]) + 2, 0, 4).round()
    parameters = {**BASE, "objective": objective, "seed": 3}
    booster = lightgbm.train(parameters, lightgbm.Dataset(x, grades, group=[20] * 75), 20)
    fitted = lightgbm.LGBMRanker(objective=objective, n_estimators=10, n_jobs=1, verbose=-1).fit(x, grades, group=[20] * 75)
    rows = adversarial(x, 5)
    for model in (booster, fitted):
        exported = OnnxModel(to_onnx(model, features=5, check=x[:100], numbers=True, order=True))
        expected = model.predict(rows)
        assert np.abs(expected - exported.predict(rows)).max() <= ALIKE * max(1.0, np.abs(expected).max())
    with pytest.raises(CannotExport, match="orders the rows of a group, and predicts no number"):
        to_onnx(booster, features=5, check=x, numbers=True)
    with pytest.raises(CannotExport, match="neither a regressor"):
        to_onnx(fitted, features=5, check=x, numbers=True)


def test_rankers_functions_as_objectives_and_linear_trees_are_refused() -> None:
    x, y = matrix(rows=300)
    ranker = lightgbm.train({**BASE, "objective": "lambdarank"}, lightgbm.Dataset(x, y, group=[20] * 15), 2)
    with pytest.raises(CannotExport, match="its objective is lambdarank"):
        to_onnx(ranker, features=5, check=x)
    function = trained(x, y, 2, objective=lambda scores, data: (scores - data.get_label(), np.ones(len(scores))))
    with pytest.raises(CannotExport, match="its objective is a function: it returns raw scores"):
        to_onnx(function, features=5, check=x)
    with pytest.raises(CannotExport, match="linear_tree"):
        to_onnx(trained(x, y, 5, linear_tree=True), features=5, check=x)


def test_what_is_no_fitted_binary_classifier_of_all_features_is_refused() -> None:
    x, y = matrix(rows=300)

    def refused(fitted: Any) -> str:
        with pytest.raises(CannotExport) as caught:
            to_onnx(fitted, features=5, check=x)
        return f"{caught.value.what}: {caught.value.where}"

    def classifier() -> lightgbm.LGBMClassifier:
        return lightgbm.LGBMClassifier(n_estimators=2, n_jobs=1, verbose=-1)

    assert "lightgbm.LGBMRegressor" in refused(lightgbm.LGBMRegressor(n_estimators=2, n_jobs=1, verbose=-1).fit(x, y))
    assert "lightgbm.Dataset" in refused(lightgbm.Dataset(x, y))
    assert "it is not fitted" in refused(classifier())
    assert "its classes are 'bad', 'ok'" in refused(classifier().fit(x, np.where(y > 0, "bad", "ok")))
    assert "its classes are 0, 1, 2" in refused(classifier().fit(x, np.arange(len(y)) % 3))
    assert "its classes are 1.0;" in refused(classifier().fit(x, np.ones(len(y))))
    assert "it was trained on 4 features, and the model has 5" in refused(trained(x[:, :4], y, 2))
    assert "it has no trees" in refused(lightgbm.Booster(BASE, lightgbm.Dataset(x, y)))


def test_pandas_categories_are_refused_unless_their_codes_are_what_they_stand_for() -> None:
    x, y = matrix(codes=(1,))
    frame = pandas.DataFrame(x, columns=list("abcde"))
    frame["b"] = frame["b"].astype("category")
    assert_alike(lightgbm.train({**BASE, **CODES}, lightgbm.Dataset(frame, y), 5), x)
    frame["b"] = frame["b"].cat.rename_categories(lambda code: 10 * code)
    with pytest.raises(CannotExport, match="pandas categories"):
        to_onnx(lightgbm.train({**BASE, **CODES}, lightgbm.Dataset(frame, y), 5), features=5, check=x)


def test_trees_of_different_kinds_in_one_booster_are_refused_by_the_rows_that_differ() -> None:
    x, y = matrix(codes=(1,), zeros=0.1)
    zeros = lightgbm.train(BASE, lightgbm.Dataset(x, y), 5, init_model=trained(x, y, zero_as_missing=True))
    with pytest.raises(CannotExport, match=r"rows with -?0\.0 in feature 'f\d'.*train all trees with the same `zero_as_missing`"):
        to_onnx(zeros, features=5, check=x[:0], names=["f0", "f1", "f2", "f3", "f4"])
    codes = lightgbm.train({**BASE, **CODES}, lightgbm.Dataset(x, y, categorical_feature=[1]), 5, init_model=trained(x, y))
    with pytest.raises(CannotExport, match=r"in feature '1'.*categorical in all trees, or in none"):
        to_onnx(codes, features=5, check=x)


def test_category_codes_that_are_no_float32_are_refused() -> None:
    x = np.random.default_rng(0).choice(2.0**24 + np.arange(4), (500, 1), p=[0.5, 0.2, 0.1, 0.2])
    model = trained(x, (x[:, 0] % 2 == 1).astype(float), 1, codes=(0,), **CODES)
    with pytest.raises(CannotExport, match="codes beyond 16,777,216 are not all float32"):
        to_onnx(model, features=1, check=np.empty((0, 1), np.float32))


def test_an_export_that_differs_is_refused_though_no_training_row_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows given have no zero; the message says what differs, by how much and where."""
    x, y = matrix(unknown=0)
    model = trained(x, y, zero_as_missing=True)
    monkeypatch.setattr(boosted, "_read_first", lambda *_: None)
    with pytest.raises(CannotExport) as caught:
        to_onnx(model, features=5, check=x, names=["age", "income", "visits", "calls", "days"])
    assert caught.value.code == "NR-303"
    assert re.search(r"differently, by up to 0\.\d+ .*instead of", caught.value.where)
    assert re.search("rows with -?0.0 in feature '(age|income|visits|calls|days)'", caught.value.where)
    assert "report" not in str(caught.value)
    assert "nothing was registered" in caught.value.fix


def test_rows_on_and_beside_every_threshold_go_the_same_way() -> None:
    x, y = matrix(features=6)
    model = trained(x, y)
    near = thresholds(model).astype(np.float32)
    values = np.concatenate([near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))])
    rows = np.concatenate([np.tile(values[:, None], (1, 6)), x])
    exported = OnnxModel(to_onnx(model, features=6, check=x[:0]))
    assert np.abs(exported.predict(rows) - model.predict(rows)).max() < 1e-6


def test_rows_answer_the_same_alone_and_in_a_batch() -> None:
    x, y = matrix()
    exported = OnnxModel(to_onnx(trained(x, y), features=5, check=x))
    together = exported.predict(x[:200])
    assert together.tolist() == [exported.predict(row[None])[0] for row in x[:200]]
    assert exported.predict(x[:0]).shape == (0,)


def test_nothing_stands_before_the_trees_of_a_model_that_needs_no_reading() -> None:
    """What is read first costs time in every request."""
    x, y = matrix()
    plain = onnx.load_from_string(to_onnx(trained(x, y), features=5, check=x))
    reading = onnx.load_from_string(to_onnx(trained(x, y, zero_as_missing=True), features=5, check=x))
    assert plain.graph.node[0].op_type == "TreeEnsembleClassifier"
    assert reading.graph.node[0].op_type == "Abs"


NUMBERS_OF = ("regression", "regression_l1", "huber", "fair", "quantile", "mape", "poisson", "gamma", "tweedie")


SIZED = ("huber", "fair")  # whose loss knows sizes near 1 alone


@pytest.mark.parametrize(("objective", "size"), [(o, size) for o in NUMBERS_OF for size in (1.0, 1e6) if o not in SIZED or size == 1.0])
def test_a_number_is_answered_as_by_lightgbm(objective: str, size: float) -> None:
    x, y = matrix(3)
    numbers = size * (1 + y + np.abs(np.nan_to_num(x[:, 0])))
    booster = trained(x, numbers, objective=objective)
    model = OnnxModel(to_onnx(booster, features=x.shape[1], check=x, numbers=True))
    original = np.asarray(booster.predict(x))
    assert np.ptp(original) > 0.1 * size
    np.testing.assert_allclose(model.predict(x), original, rtol=1e-5, atol=1e-5 * size)


def test_a_regressor_of_the_scikit_learn_kind_is_exported_for_a_number_alone() -> None:
    x, y = matrix(3)
    fitted = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(x, y + np.nan_to_num(x[:, 0]))
    with pytest.raises(CannotExport, match="not a binary classifier"):
        to_onnx(fitted, features=x.shape[1], check=x)
    model = OnnxModel(to_onnx(fitted, features=x.shape[1], check=x, numbers=True))
    np.testing.assert_allclose(model.predict(x), fitted.predict(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"objective": "regression", "reg_sqrt": True}, "reg_sqrt"),
        ({"objective": "multiclass", "num_class": 3}, "3 classes"),
        ({"objective": "cross_entropy_lambda"}, "does not return one number"),
    ],
)
def test_what_is_no_single_number_is_refused(parameters: dict[str, Any], why: str) -> None:
    x, y = matrix(3)
    with pytest.raises(CannotExport, match=why):
        to_onnx(trained(x, y, **parameters), features=x.shape[1], check=x, numbers=True)
