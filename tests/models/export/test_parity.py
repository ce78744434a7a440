"""The rows on which an export is compared hold what it may read differently, whatever rows are given; and they are not too many."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest

from noria.models.export.lightgbm.parity import TOLERANCE, ParityRows, difference, parity_rows
from noria.models.export.lightgbm.trees import read_trees


def booster(features: int = 4, rounds: int = 10, codes: tuple[int, ...] = (), rows: int = 1000) -> tuple[lightgbm.Booster, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, features)).astype(np.float32)
    x[:, list(codes)] = rng.integers(0, 9, (rows, len(codes)))
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_per_group": 1, "cat_smooth": 1}
    y = (np.sin(3 * x[:, 0]) + x[:, -1] % 2 > 0.5).astype(float)
    return lightgbm.train(parameters, lightgbm.Dataset(x, y, categorical_feature=list(codes) or "auto"), rounds), x


def rows_of(model: lightgbm.Booster, given: np.ndarray) -> ParityRows:
    return parity_rows(read_trees(model.model_to_string()), given)


@pytest.mark.parametrize("given", [0, 300])
def test_every_feature_that_is_read_has_each_edge_value(given: int) -> None:
    model, x = booster()
    rows = rows_of(model, x[:given]).values
    assert rows.dtype == np.float32
    edges = [np.inf, -np.inf, 1e-38, -1e-38, 1e-35, -1e-35, np.finfo(np.float32).max, np.finfo(np.float32).min]
    for column in read_trees(model.model_to_string()).used:
        values = rows[given:, column]
        assert set(np.signbit(values[values == 0])) == {True, False}
        assert np.isnan(values).any()
        assert np.isin(np.array(edges, np.float32), values).all()
    assert (rows == 0).all(axis=1).any()
    assert np.isnan(rows).all(axis=1).any()


def test_every_split_is_reached_with_values_on_above_and_below_its_threshold() -> None:
    model, x = booster()
    rows = rows_of(model, x[:10])
    leaves = model.predict(rows.values, pred_leaf=True)
    trees = read_trees(model.model_to_string())
    for number, tree in enumerate(trees.trees):
        assert set(leaves[:, number]) == set(range(len(tree.leaves)))
        for feature, limit in zip(tree.feature, tree.limit, strict=True):
            around = [np.nextafter(limit, np.float32(-np.inf)), limit, np.nextafter(limit, np.float32(np.inf))]
            assert np.isin(around, rows.values[:, feature]).all()


def test_categorical_features_have_codes_that_are_negative_unseen_and_fractions() -> None:
    model, x = booster(codes=(3,))
    codes = read_trees(model.model_to_string()).categories[3]
    values = rows_of(model, x[:10]).values[10:, 3]
    assert np.isin([-1, codes[-1] + 1, codes[0] + 0.5, -0.5], values).all()


def test_equal_models_have_equal_rows() -> None:
    model, x = booster()
    assert rows_of(model, x).values.tobytes() == rows_of(model, x).values.tobytes()


def test_the_rows_are_some_thousands_however_wide_and_deep_the_model() -> None:
    model, x = booster(features=700, rounds=80, rows=300)
    assert len(rows_of(model, x[:100]).values) < 100 + 9_000
    wide = read_trees(model.model_to_string()).used
    assert len(wide) > 300  # more features than may have rows of their own
    zero = rows_of(model, x[:1] + 100)
    assert all((zero.values[zero.kinds == "0.0"][:, column] == 0).any() for column in wide)


def test_the_difference_names_the_kind_of_row_that_differs_most_often() -> None:
    rows = ParityRows(np.arange(12, dtype=np.float32).reshape(6, 2), np.array(["a", "a", "b", "b", "b", "b"]), np.array([0, 0, 1, 1, 1, 1]))
    original = np.full(6, 0.5)
    assert difference(rows, original, original + 9e-6, TOLERANCE) is None
    found = difference(rows, original, original + np.array([0.1, 0, 0.01, 0.03, 0.02, 0]), TOLERANCE)
    assert found is not None
    assert (found.kind, found.feature, found.rows, found.differing, found.row) == ("b", 1, 4, 3, (6.0, 7.0))
    assert (found.original, found.exported) == (0.5, 0.53)


def test_an_answer_that_is_no_number_differs() -> None:
    rows = ParityRows(np.zeros((1, 1), np.float32), np.array(["a"]), np.array([0]))
    for original, exported in ((0.5, np.nan), (np.nan, 0.5), (np.nan, np.nan)):
        assert difference(rows, np.array([original]), np.array([exported]), TOLERANCE) is not None
