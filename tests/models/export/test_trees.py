"""A model text is read as LightGBM reads it."""

from __future__ import annotations

import lightgbm
import numpy as np

from noria.models.export.lightgbm.trees import float32_thresholds, read_trees


def test_trees_are_those_that_lightgbm_dumps() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3))
    x[:, 2] = rng.integers(0, 40, 500)
    parameters = {"objective": "binary", "sigmoid": 2.5, "verbose": -1, "min_data_per_group": 1, "cat_smooth": 1, "zero_as_missing": True}
    model = lightgbm.train(parameters, lightgbm.Dataset(x, (x[:, 0] + x[:, 2] % 3 > 1).astype(float), categorical_feature=[2]), 4)
    trees = read_trees(model.model_to_string())
    assert (trees.objective, trees.sigmoid, trees.outputs, trees.iterations, trees.features) == ("binary", 2.5, 1, 4, 3)
    kinds = set()
    for tree, dumped in zip(trees.trees, model.dump_model()["tree_info"], strict=True):
        waiting = [dumped["tree_structure"]]
        while waiting:
            node = waiting.pop()
            if "leaf_index" in node:
                assert tree.leaves[node["leaf_index"]] == node["leaf_value"]
                continue
            split = node["split_index"]
            kinds.add(node["decision_type"])
            assert tree.feature[split] == node["split_feature"]
            assert tree.categorical[split] == (node["decision_type"] == "==")
            if tree.categorical[split]:
                assert "||".join(map(str, tree.categories[split])) == node["threshold"]
            else:
                assert tree.threshold[split] == node["threshold"]
                assert node["missing_type"] == "Zero"
                assert tree.diverts_zeros[split] == (node["default_left"] != (node["threshold"] >= 0))
            waiting += [node["left_child"], node["right_child"]]
    assert kinds == {"<=", "=="}


def test_a_float32_passes_a_threshold_exactly_when_it_passes_the_threshold_in_float64() -> None:
    rng = np.random.default_rng(0)
    thresholds = np.concatenate(
        [rng.normal(size=500), 1e5 + rng.random(500), rng.normal(size=500) * 1e38 * 10, [np.inf, -np.inf, 1e300, -1e300]]
    )
    limits = float32_thresholds(thresholds)
    with np.errstate(over="ignore"):
        near = np.concatenate([limits, *(np.nextafter(limits, np.float32(side)) for side in (np.inf, -np.inf))])
    assert ((near[:, None].astype(float) <= thresholds) == (near[:, None] <= limits)).all()


def test_a_threshold_next_to_zero_is_passed_as_by_the_zero_that_values_next_to_it_are_read_as() -> None:
    thresholds = np.array([1e-36, -1e-36, 0.0, -0.0, 1e-35, -1.0000000180025095e-35])
    values = np.array([1e-35, -1e-35, 1e-40, -1e-40, 0.0, 2e-35, -2e-35], np.float32)
    read = np.where(np.abs(values) <= np.float32(1e-35), 0, values.astype(float))
    assert ((read[:, None] <= thresholds) == (values[:, None] <= float32_thresholds(thresholds))).all()
