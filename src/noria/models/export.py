"""Fitted models to ONNX, with a parity check: an export that answers differently is refused, not shipped."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import MissingExtra, OurBug, UserMistake
from noria.models.runtime import OnnxModel

TOLERANCE = 1e-5  # float32 sums of a few hundred trees
OPSET = 15


class CannotExport(UserMistake):
    """A trainer returned something that has no way to ONNX here."""

    code = "NR-303"

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(
            what=f"a {kind} can't be turned into ONNX",
            where="the trainer's return value",
            mend="return a lightgbm.Booster, a lightgbm.LGBMClassifier or an onnx.ModelProto",
        )


def to_onnx(fitted: Any, *, features: int, check: NDArray[np.float32]) -> bytes:
    """The ONNX bytes of a fitted classifier, checked to answer `check` `(rows, features)` as the original does."""
    module = type(fitted).__module__.split(".")[0]
    if module == "lightgbm":
        booster = getattr(fitted, "booster_", fitted)
        model, expected = _from_lightgbm(booster, features), np.asarray(booster.predict(check))
        _check_parity(model, check, expected)
        return model
    if type(fitted).__name__ == "ModelProto":
        return _canonical_bytes(fitted)
    raise CannotExport(f"{type(fitted).__module__}.{type(fitted).__name__}")


def _from_lightgbm(booster: Any, features: int) -> bytes:
    try:
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType
    except ImportError as error:
        raise MissingExtra(library="onnxmltools", extra="lightgbm", needed_for="exporting LightGBM models") from error
    booster = _with_float32_thresholds(booster)
    shape = [("features", FloatTensorType([None, features]))]
    model = convert_lightgbm(booster, initial_types=shape, zipmap=False, target_opset=OPSET, name="model")
    return _canonical_bytes(model)


def _canonical_bytes(model: Any) -> bytes:
    """The bytes of an ONNX model, the same in every process.

    Converters collect operator sets in a Python set, whose order changes from process to process with its hash seed; a
    bundle is named by its bytes, so equal models must have equal ones.
    """
    operator_sets = sorted(model.opset_import, key=lambda s: s.domain)
    del model.opset_import[:]
    model.opset_import.extend(operator_sets)
    return bytes(model.SerializeToString(deterministic=True))


def _with_float32_thresholds(booster: Any) -> Any:
    """The same trees with every threshold rounded down to a float32.

    A float32 x satisfies x <= t exactly when it satisfies x <= the greatest float32 below t. Rounding to the nearest
    instead, as exporters do, sends rows that lie on a threshold down the other branch.
    """
    from lightgbm import Booster

    lines = []
    for line in booster.model_to_string().splitlines():
        name, _, values = line.partition("=")
        if name == "threshold" and values:
            exact = np.array(values.split(), dtype=np.float64)
            near = exact.astype(np.float32)
            down = np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)
            line = "threshold=" + " ".join(repr(float(v)) for v in down)
        lines.append(line)
    return Booster(model_str=_resized("\n".join(lines) + "\n"))


def _resized(text: str) -> str:
    """A LightGBM model text whose `tree_sizes` are those of its trees, as its parser demands."""
    head, *trees = re.split(r"(?m)^(?=Tree=\d+$|end of trees$)", text)
    sizes = " ".join(str(len(tree.encode())) for tree in trees if tree.startswith("Tree="))
    return re.sub(r"(?m)^tree_sizes=.*$", f"tree_sizes={sizes}", head) + "".join(trees)


def _check_parity(model: bytes, check: NDArray[np.float32], expected: NDArray[np.float64]) -> None:
    worst = float(np.max(np.abs(OnnxModel(model).predict(check) - expected), initial=0.0))
    if worst > TOLERANCE:
        raise OurBug(
            what="the exported model does not answer as the trained one does",
            where=f"the largest difference over {len(check)} rows is {worst:.2g} (allowed {TOLERANCE:g})",
            mend="nothing was registered; please report this with the library versions",
        )
