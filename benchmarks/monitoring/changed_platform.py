"""A worker on a platform whose model runtime answers otherwise, without an error: python changed_platform.py CHANGE SOCKET."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from noria.models.runtimes.onnx import OnnxModel
from noria.serving.process.worker import run_worker

BEGAN = time.monotonic()
CONSTANT_AFTER = 3.0  # seconds


def changed(change: int) -> None:
    usual = OnnxModel.predict

    def predict(self: OnnxModel, features: Any) -> Any:
        if change == 3:
            features = features.copy()
            features[:, np.flatnonzero(np.nan_to_num(features).any(axis=0))[0]] = 0
        scores = usual(self, features)
        if change == 0:
            return scores * 1.001
        if change == 1:
            return scores.astype(np.float16).astype(np.float64)
        if change == 2:
            return np.full_like(scores, np.nan)
        if change == 4 and time.monotonic() - BEGAN > CONSTANT_AFTER:
            return np.full_like(scores, 0.2)
        return scores

    OnnxModel.predict = predict  # type: ignore[method-assign]


if __name__ == "__main__":
    changed(int(sys.argv[1]))
    run_worker(int(sys.argv[2]))
