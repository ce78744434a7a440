"""The runtime of ONNX models: ONNX Runtime, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.signature import FLOATS, SCORE, Field, Signature, dense_type
from noria.data.rows import Rows, stacked_tensor
from noria.models.bundle import MODEL_FILE
from noria.models.runtimes.port import ModelFailed, RuntimeOptions, UnloadableModel

QUIET = 3  # ONNX Runtime warns per call about shapes of exported trees below this level


class OnnxModel:
    """A model in ONNX Runtime. It reads one block of numbers `(rows, features)`, or each column of its signature as an input of that name.

    One thread by default: a worker is single-threaded, and a fixed number keeps digits the same from run to run.
    """

    def __init__(self, model: bytes, *, threads: int = 1, signature: Signature | None = None) -> None:
        """signature: what rows are read and answered by; without one, blocks alone."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = QUIET
        try:
            self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's own exceptions share no narrower base; re-raised with its words
            raise UnloadableModel(str(error)) from error
        self._signature = signature
        self._inputs = {each.name: each for each in self._session.get_inputs()}
        self._outputs = [each.name for each in self._session.get_outputs()]
        self._reads_block = signature is None or dense_type(signature.inputs) is not None
        self._one_score = signature is None or signature.outputs == (SCORE,)
        self._require_inputs()

    def _require_inputs(self) -> None:
        names = list(self._inputs)
        if self._reads_block and len(names) != 1:
            raise UnloadableModel(f"it has {len(names)} inputs; one, of shape [rows, features], is expected")
        if not self._reads_block and self._signature is not None and set(names) != set(self._signature.names):
            raise UnloadableModel(f"its inputs are {', '.join(names)}, and its bundle's {', '.join(self._signature.names)}")
        if not self._one_score and self._signature is not None:
            lacking = [field.name for field in self._signature.outputs if field.name not in self._outputs]
            if lacking:
                raise UnloadableModel(f"its outputs are {', '.join(self._outputs)}, and its bundle's include {', '.join(lacking)}")

    @property
    def signature(self) -> Signature:
        """What rows are read and answered by."""
        assert self._signature is not None, "rows are answered by a signature"
        return self._signature

    def answer(self, rows: Rows) -> Rows:
        """The answers to rows of the signature's inputs, as rows of its outputs. Raises `ModelFailed`."""
        assert self._signature is not None, "rows are answered by a signature"
        outputs = self._signature.outputs
        if self._reads_block and self._one_score:
            return Rows.dense(outputs, self.predict(rows.block)[:, None])
        if not len(rows):
            return Rows.unknown(outputs, 0)
        if self._one_score:
            return Rows.dense(outputs, _score(self._run([self._outputs[-1]], rows)[0], len(rows))[:, None])
        found = self._run([field.name for field in outputs], rows)
        try:
            return Rows.of_arrays(outputs, found)
        except (ValueError, TypeError) as error:
            raise ModelFailed(f"it returns values that are not its signature's: {error}") from error

    def _run(self, outputs: list[str], rows: Rows) -> list[Any]:
        block = {next(iter(self._inputs)): rows.block} if self._reads_block else None
        return self._called(outputs, block or {field.name: self._fed(field, rows) for field in rows.fields})

    def _fed(self, field: Field, rows: Rows) -> NDArray[Any]:
        """A column as the graph takes it. Raises `ModelFailed` where a value is unknown that ONNX has no unknown for."""
        column = rows.column(field.name)
        if field.type in FLOATS and not field.shape:
            values = rows.numbers(field.name).astype(field.type)
        elif column.null_count:
            raise ModelFailed(f"{field.described} is null in a row, and an ONNX model has no null of that type")
        else:
            try:
                values = stacked_tensor(field, column)
            except ValueError as error:
                raise ModelFailed(str(error)) from error
        return values[:, None] if values.ndim == 1 and len(self._inputs[field.name].shape) == 2 else values

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """One score a row of a block: of several, the last. Raises `ModelFailed`."""
        return _score(self.answers(features), len(features)) if len(features) else np.empty(0)

    def answers(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """What the model says of rows, one or more: `(rows,)`, or `(rows, classes)`. Raises `ModelFailed`."""
        (scores,) = self._called([self._outputs[-1]], {next(iter(self._inputs)): features})
        return _numbers(scores, len(features))

    def close(self) -> None:
        """Nothing to do: memory is all that it holds."""

    def _called(self, outputs: list[str], inputs: dict[str, Any]) -> list[Any]:
        try:
            found: list[Any] = self._session.run(outputs, inputs)
        except Exception as error:  # the library's own exceptions share no narrower base; re-raised with its words
            raise ModelFailed(str(error)) from error
        return found


def _score(scores: Any, rows: int) -> NDArray[np.float64]:
    found = _numbers(scores, rows)
    return found if found.ndim == 1 else found[:, -1]


def _numbers(scores: Any, rows: int) -> NDArray[np.float64]:
    try:
        found = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelFailed(f"it returns values that are not numbers: {error}") from error
    if found.ndim not in (1, 2) or len(found) != rows:
        raise ModelFailed(f"it returns shape {found.shape} for {rows} rows")
    return found


def open_model(folder: Path, signature: Signature, options: RuntimeOptions) -> OnnxModel:
    """The model of a bundle's folder. Raises `UnloadableModel`."""
    return OnnxModel((folder / MODEL_FILE).read_bytes(), threads=options.threads, signature=signature)
