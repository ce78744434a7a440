"""One way in: what has an export is exported to the same bytes each time, and everything else is refused by name."""

from __future__ import annotations

import lightgbm
import numpy as np
import onnx
import pytest

from noria.models.export import CannotExport, to_onnx


def test_what_has_no_way_to_onnx_is_refused_by_name() -> None:
    with pytest.raises(CannotExport, match=r"builtins\.dict"):
        to_onnx({}, features=1, check=np.empty((0, 1), np.float32))


def test_a_model_has_the_same_bytes_in_whatever_order_its_converter_listed_the_operator_sets() -> None:
    """A bundle is named by its bytes, and a converter's order changes from process to process with its hash seed."""
    x = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
    parameters = {"objective": "binary", "verbose": -1, "deterministic": True, "num_threads": 1}
    model = lightgbm.train(parameters, lightgbm.Dataset(x, (x[:, 0] > 0).astype(float)), 5)
    exported = to_onnx(model, features=6, check=x)
    shuffled = onnx.load_from_string(exported)
    operator_sets = list(shuffled.opset_import)[::-1]
    del shuffled.opset_import[:]
    shuffled.opset_import.extend(operator_sets)
    assert len(operator_sets) > 1
    assert shuffled.SerializeToString(deterministic=True) != exported
    assert to_onnx(shuffled, features=6, check=x) == exported
