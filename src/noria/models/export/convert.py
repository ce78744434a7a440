"""From whatever a trainer returned to the bytes of an ONNX model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.models.export.graphs.own import export_proto
from noria.models.export.lightgbm.boosted import export_booster
from noria.models.export.refusal import CannotExport


def to_onnx(
    fitted: Any,
    *,
    features: int,
    check: NDArray[np.float32],
    names: Sequence[str] = (),
    numbers: bool = False,
    scores: int = 1,
    order: bool = False,
) -> bytes:
    """The ONNX bytes of a fitted model: one score a row, the probability of the outcome, or a number; or several.

    check: rows `(rows, features)` such as training rows; the export is compared with its original on these, and on the rows of `parity`
    names: of the features, for messages; numbers: whether scores are numbers of any size, and not probabilities
    scores: how many a row; of probabilities, one for each class; order: whether only the order of scores means anything

    Raises `CannotExport`, `UnloadableModel`.
    """
    kind = f"{type(fitted).__module__}.{type(fitted).__name__}"
    if kind.split(".")[0] == "lightgbm":
        known = tuple(names) or tuple(str(feature) for feature in range(features))
        return export_booster(fitted, check, known, numbers=numbers, scores=scores, order=order)
    if type(fitted).__name__ == "ModelProto":
        return export_proto(fitted, check, features, numbers=numbers, scores=scores)
    raise CannotExport(kind, elsewhere=True)
