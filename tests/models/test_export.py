"""The export answers as the trained model does, on and beside its thresholds too."""

from __future__ import annotations

import lightgbm
import numpy as np
import onnx
import pytest

from noria.models.export import CannotExport, to_onnx
from noria.models.runtime import OnnxModel


def booster(rows: int = 3000) -> tuple[lightgbm.Booster, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 6)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    y = (np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 1]) ** 2 > 1).astype(float)
    parameters = {"objective": "binary", "num_leaves": 15, "verbose": -1, "deterministic": True, "num_threads": 1}
    return lightgbm.train(parameters, lightgbm.Dataset(x, y), num_boost_round=40), x


def thresholds(model: lightgbm.Booster) -> np.ndarray:
    lines = [line for line in model.model_to_string().splitlines() if line.startswith("threshold=")]
    return np.array([float(v) for line in lines for v in line.partition("=")[2].split()])


def test_rows_on_and_beside_every_threshold_go_the_same_way() -> None:
    model, x = booster()
    near = thresholds(model).astype(np.float32)
    values = np.concatenate([near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))])
    rows = np.tile(values[:, None], (1, 6)).astype(np.float32)
    rows = np.concatenate([rows, x])
    exported = OnnxModel(to_onnx(model, features=6, check=rows))
    assert np.abs(exported.predict(rows) - model.predict(rows)).max() < 1e-6


def test_what_has_no_way_to_onnx_is_refused_by_name() -> None:
    with pytest.raises(CannotExport, match=r"builtins\.dict"):
        to_onnx({}, features=1, check=np.empty((0, 1), np.float32))


def test_rows_answer_the_same_alone_and_in_a_batch() -> None:
    model, x = booster()
    exported = OnnxModel(to_onnx(model, features=6, check=x))
    together = exported.predict(x[:200])
    assert together.tolist() == [exported.predict(row[None])[0] for row in x[:200]]
    assert exported.predict(x[:0]).shape == (0,)


def test_a_model_has_the_same_bytes_in_whatever_order_its_converter_listed_the_operator_sets() -> None:
    """A bundle is named by its bytes, and a converter's order changes from process to process with its hash seed."""
    model, x = booster(500)
    exported = to_onnx(model, features=6, check=x)
    shuffled = onnx.load_from_string(exported)
    operator_sets = list(shuffled.opset_import)[::-1]
    del shuffled.opset_import[:]
    shuffled.opset_import.extend(operator_sets)
    assert len(operator_sets) > 1
    assert shuffled.SerializeToString(deterministic=True) != exported
    assert to_onnx(shuffled, features=6, check=x) == exported
