"""Exports: a model as ONNX answers awkward rows as LightGBM does, or it is refused by name."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.edges.inputs import Input, any_of, refused
from noria.models.export import to_onnx
from noria.models.runtimes.onnx import OnnxModel

KIND = "exports"
TOLERANCE = 1e-5
BASE = {"objective": "binary", "verbose": -1, "deterministic": True, "num_threads": 1, "seed": 1, "num_leaves": 7, "min_data_in_leaf": 20}
EXACT = "answers alike"

Rows = NDArray[np.float32]

# Parameters, and what is right besides answers that are alike.
PARAMETERS: dict[str, tuple[Mapping[str, Any], Any]] = {
    "gbdt": ({}, EXACT),
    "zero_as_missing": ({"zero_as_missing": True}, any_of(EXACT, refused("NR-303"))),
    "use_missing off": ({"use_missing": False}, any_of(EXACT, refused("NR-303"))),
    "both of these": ({"use_missing": False, "zero_as_missing": True}, any_of(EXACT, refused("NR-303"))),
    "random forest": ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}, any_of(EXACT, refused("NR-303"))),
    "dart": ({"boosting": "dart"}, any_of(EXACT, refused("NR-303"))),
    "goss": ({"data_sample_strategy": "goss"}, EXACT),
    "linear_tree": ({"linear_tree": True}, refused("NR-303")),
    "a sigmoid's factor": ({"sigmoid": 3.0}, any_of(EXACT, refused("NR-303"))),
    "cross entropy": ({"objective": "cross_entropy"}, any_of(EXACT, refused("NR-303"))),
    "cross entropy, lambda": ({"objective": "cross_entropy_lambda"}, refused("NR-303")),
    "regression": ({"objective": "regression"}, refused("NR-303")),
    "poisson": ({"objective": "poisson"}, refused("NR-303")),
    "two classes": ({"objective": "multiclass", "num_class": 2}, any_of(EXACT, refused("NR-303"))),
    "three classes": ({"objective": "multiclass", "num_class": 3}, refused("NR-303")),
    "one against all": ({"objective": "multiclassova", "num_class": 2}, refused("NR-303")),
    "unbalanced": ({"is_unbalance": True}, EXACT),
    "a positive weight": ({"scale_pos_weight": 5.0}, EXACT),
    "monotone": ({"monotone_constraints": [1, 0, 0, 0]}, EXACT),
    "extra trees": ({"extra_trees": True}, EXACT),
    "a path smoothed": ({"path_smooth": 10.0}, EXACT),
    "one leaf": ({"min_data_in_leaf": 10_000}, any_of(EXACT, refused("NR-303"))),
    "few bins": ({"max_bin": 3}, EXACT),
    "a great learning rate": ({"learning_rate": 50.0}, any_of(EXACT, refused("NR-303"))),
    "no start from the average": ({"boost_from_average": False}, EXACT),
    "many leaves": ({"num_leaves": 200, "min_data_in_leaf": 2}, EXACT),
}


def _numbers(seed: int) -> Rows:
    return np.random.default_rng(seed).normal(size=(1_500, 4)).astype(np.float32)


def _whole(seed: int) -> Rows:
    return np.random.default_rng(seed).integers(-3, 4, size=(1_500, 4)).astype(np.float32)


def _with_nan(seed: int) -> Rows:
    rows = _numbers(seed)
    rows[np.random.default_rng(seed).random(rows.shape) < 0.2] = np.nan
    return rows


def _scaled(factor: float) -> Any:
    return lambda seed: _numbers(seed) * np.float32(factor)


# Training rows without the values that are asked about later, and parameters.
ROWS: dict[str, tuple[Any, Mapping[str, Any], Any]] = {
    "whole numbers": (_whole, {}, EXACT),
    "whole numbers, zeros missing": (_whole, {"zero_as_missing": True}, any_of(EXACT, refused("NR-303"))),
    "NaN among them": (_with_nan, {}, EXACT),
    "NaN among them, zeros missing": (_with_nan, {"zero_as_missing": True}, any_of(EXACT, refused("NR-303"))),
    "tiny numbers": (_scaled(1e-36), {}, any_of(EXACT, refused("NR-303"))),
    "huge numbers": (_scaled(1e36), {}, EXACT),
    "a constant column": (lambda seed: _numbers(seed) * np.array([1, 0, 1, 1], np.float32), {}, EXACT),
}


def _labels(rows: Rows) -> NDArray[np.float64]:
    known = np.nan_to_num(rows.astype(np.float64))
    scale = known.std(axis=0).clip(1e-300)
    x = known / scale
    return (x[:, 0] + x[:, 1] ** 2 - x[:, 2] > 0.5).astype(float)


def awkward_rows(rows: Rows, thresholds: NDArray[np.float32]) -> Rows:
    """Rows with zeros, NaN, infinities, thresholds and their neighbours, one feature at a time and all at once."""
    values = np.unique(
        np.concatenate([thresholds, np.nextafter(thresholds, np.float32(np.inf)), np.nextafter(thresholds, np.float32(-np.inf))])
    )
    odd = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-38, -1e-38, 1e-35, 3.4e38, -1.0, 0.5, 99.0, 3e9], np.float32)
    found = [rows[:300]]
    for value in (*odd, *values[:: -(-len(values) // 60) or 1]):
        for feature in range(rows.shape[1]):
            changed = rows[:5].copy()
            changed[:, feature] = value
            found.append(changed)
    found += [np.full((1, rows.shape[1]), value, np.float32) for value in odd]
    return np.concatenate(found)


def _thresholds(booster: Any) -> NDArray[np.float32]:
    lines = [line.removeprefix("threshold=").split() for line in booster.model_to_string().split("\n") if line.startswith("threshold=")]
    with np.errstate(over="ignore"):
        return np.array([v for line in lines for v in line], np.float64).astype(np.float32)


def _apart(fitted: Any, rows: Rows) -> str:
    """Export with these training rows, and compare on awkward ones."""
    booster = getattr(fitted, "booster_", fitted)
    exported = OnnxModel(to_onnx(fitted, features=rows.shape[1], check=rows))
    asked = awkward_rows(rows, _thresholds(booster))
    wanted = np.asarray(booster.predict(asked)).reshape(len(asked), -1)[:, -1]
    apart = np.abs(wanted - exported.predict(asked))
    worst = int(np.argmax(apart))
    return EXACT if apart[worst] <= TOLERANCE else f"apart by {apart[worst]:.3g} at {asked[worst].tolist()}"


def _trained(rows: Rows, parameters: Mapping[str, Any], *, rounds: int = 12, **of_data: Any) -> str:
    import lightgbm

    labels = _labels(rows)
    if parameters.get("objective") == "multiclass" and parameters.get("num_class") == 3:
        labels[::3] = 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = lightgbm.train(
            {**BASE, **parameters}, lightgbm.Dataset(rows, labels, params={**BASE, **parameters}, **of_data), num_boost_round=rounds
        )
    return _apart(fitted, rows)


def _categorical(codes: int, *, low: int = 0, fractions: bool = False) -> str:
    rows = _numbers(3)
    rows[:, 0] = np.random.default_rng(4).integers(low, low + codes, len(rows))
    if fractions:
        rows[:, 0] += np.float32(0.5)
    labels_from = rows.copy()
    import lightgbm

    labels = ((labels_from[:, 0] % 3 == 0) ^ (rows[:, 1] > 0)).astype(float)
    parameters = {**BASE, "min_data_per_group": 10, "cat_smooth": 1.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = lightgbm.train(parameters, lightgbm.Dataset(rows, labels, categorical_feature=[0], params=parameters), num_boost_round=12)
    return _apart(fitted, rows)


def _classifier(classes: Any, **more: Any) -> str:
    from lightgbm import LGBMClassifier

    rows = _numbers(5)
    labels = np.array(classes)[_labels(rows).astype(int)]
    fitted = LGBMClassifier(n_estimators=8, num_leaves=7, verbose=-1, n_jobs=1, random_state=1, **more).fit(rows, labels)
    return _apart(fitted, rows)


def _own_objective() -> str:
    import lightgbm

    def objective(raw: Any, data: Any) -> Any:
        p = 1 / (1 + np.exp(-raw))
        return p - data.get_label(), p * (1 - p)

    rows = _numbers(6)
    fitted = lightgbm.train({**BASE, "objective": objective}, lightgbm.Dataset(rows, _labels(rows)), num_boost_round=5)
    return _apart(fitted, rows)


def _pandas_categories(values: Any) -> str:
    import lightgbm
    import pandas as pd

    rows = _numbers(7)
    frame = pd.DataFrame(rows)
    frame[0] = pd.Categorical(np.random.default_rng(8).choice(values, len(rows)))
    fitted = lightgbm.train(BASE, lightgbm.Dataset(frame, _labels(rows)), num_boost_round=5)
    rows[:, 0] = frame[0].cat.codes
    return _apart(fitted, rows)


def _other(fitted: Any) -> bytes:
    return to_onnx(fitted, features=4, check=_numbers(1))


@cache
def _linear_model() -> Any:
    from sklearn.linear_model import LogisticRegression

    rows = _numbers(9)
    return LogisticRegression().fit(rows, _labels(rows))


def inputs() -> Iterator[Input]:
    for name, (parameters, right) in PARAMETERS.items():
        yield Input(KIND, name, lambda p=parameters: _trained(_numbers(1), p), right, slow=name == "many leaves")
    for name, (make, parameters, right) in ROWS.items():
        yield Input(KIND, f"trained on {name}", lambda m=make, p=parameters: _trained(m(2), p), right)
    either = any_of(EXACT, refused("NR-303"))
    for name, more in (
        ("few", {"codes": 5}),
        ("many", {"codes": 90}),
        ("from 1", {"codes": 20, "low": 1}),
        ("negative", {"codes": 6, "low": -3}),
        ("with fractions", {"codes": 6, "fractions": True}),
        ("beyond 2^24", {"codes": 9, "low": 2**24}),
    ):
        yield Input(KIND, f"categories: {name}", lambda m=more: _categorical(**m), either, slow=name in ("many", "beyond 2^24"))
    for name, classes, right in (
        ("0 and 1", [0, 1], EXACT),
        ("-1 and 1", [-1, 1], any_of(EXACT, refused("NR-303"))),
        ("texts", ["no", "yes"], refused("NR-303")),
        ("true and false", [False, True], any_of(EXACT, refused("NR-303"))),
    ):
        yield Input(KIND, f"a classifier of {name}", lambda c=classes: _classifier(c), right)
    yield Input(
        KIND, "a random forest's classifier", lambda: _classifier([0, 1], boosting_type="rf", subsample=0.6, subsample_freq=1), either
    )
    yield Input(KIND, "an objective of its own", _own_objective, refused("NR-303"))
    yield Input(KIND, "pandas categories of texts", lambda: _pandas_categories(["a", "b", "c"]), refused("NR-303"))
    yield Input(KIND, "pandas categories 0, 1, 2", lambda: _pandas_categories([0, 1, 2]), either)
    yield Input(KIND, "weights", lambda: _trained(_numbers(1), {}, weight=np.linspace(0, 1, 1_500)), EXACT)
    yield Input(KIND, "an initial score", lambda: _trained(_numbers(1), {}, init_score=np.full(1_500, 2.0)), EXACT)
    yield Input(KIND, "three hundred trees", lambda: _trained(_numbers(1), {}, rounds=300), EXACT, slow=True)
    yield Input(KIND, "a model of scikit-learn", lambda: _other(_linear_model()), refused("NR-303"))
    yield Input(KIND, "nothing", lambda: _other(None), refused("NR-303"))
    yield Input(KIND, "a dict", lambda: _other({"model": 1}), refused("NR-303"))
