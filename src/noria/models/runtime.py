"""The model runtime: a bundle's ONNX model, in this process."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import OutsideWorld, UserMistake
from noria.models.bundle import MODEL_FILE, Bundle

QUIET = 3  # ONNX Runtime warns per call about shapes of exported trees below this level


class OnnxModel:
    """Scores rows with ONNX Runtime; `(rows, features)` float32 in, `(rows,)` float64 probabilities of the positive class out.

    One thread by default: a worker is single-threaded, and a fixed number keeps digits the same from run to run.
    """

    def __init__(self, model: bytes, *, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = QUIET
        try:
            self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's own exceptions share no narrower base; re-raised with its words
            raise UnloadableModel(str(error)) from error
        if len(self._session.get_inputs()) != 1:
            raise UnloadableModel(f"it has {len(self._session.get_inputs())} inputs; one, of shape [rows, features], is expected")
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[-1].name

    @staticmethod
    def of(bundle: Bundle, *, threads: int = 1) -> OnnxModel:
        return OnnxModel(bundle.file(MODEL_FILE).read_bytes(), threads=threads)

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Scores of rows. Raises `ModelFailed`."""
        if len(features) == 0:
            return np.empty(0)
        scores = self.answers(features)
        return scores if scores.ndim == 1 else scores[:, -1]

    def answers(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """What the model says of rows, one or more: `(rows,)`, or `(rows, classes)`. Raises `ModelFailed`."""
        try:
            (scores,) = self._session.run([self._output], {self._input: features})
        except Exception as error:  # the library's own exceptions share no narrower base; re-raised with its words
            raise ModelFailed(str(error)) from error
        try:
            scores = np.asarray(scores, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ModelFailed(f"it returns values that are not numbers: {error}") from error
        if scores.ndim > 2 or scores.shape[:1] != features.shape[:1]:
            raise ModelFailed(f"it returns shape {scores.shape} for {len(features)} rows")
        return scores


class ModelFailed(OutsideWorld):
    """A model gave no answer."""

    code = "NR-304"
    http_status = 500

    def __init__(self, reason: str) -> None:
        super().__init__(
            what="the model returned no result",
            where=reason.strip().splitlines()[0] if reason.strip() else "no reason was given",
            fix="send the row again; if it fails again, the model can't answer it",
        )


class UnloadableModel(UserMistake):
    """ONNX Runtime refused a model."""

    code = "NR-302"

    def __init__(self, reason: str) -> None:
        super().__init__(
            what="the model could not be loaded",
            where=reason.strip().splitlines()[0],
            fix="export the model again with the installed versions of onnx and onnxruntime",
        )
