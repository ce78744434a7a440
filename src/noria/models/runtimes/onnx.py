"""The runtime of ONNX models: ONNX Runtime, in this process."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.signature import FLOATS, INTEGERS, SCORE, Field, Signature, dense_type
from noria.data.rows import Fields, Rows, stacked
from noria.data.tensors import sizes_of, stacked_tensor
from noria.models.bundle import MODEL_FILE
from noria.models.runtimes.port import ModelFailed, RuntimeOptions, UnloadableModel

NULL_TEXT_KEY = "noria.null_text"  # of a graph's metadata: the text that it reads where one is unknown
NUMBERS = {"tensor(float)": "float32", "tensor(double)": "float64"}
HALF = "tensor(float16)"  # which is float32 outside of the graph
QUIET = 3  # ONNX Runtime warns per call about shapes of exported trees below this level
SILENT = 4  # ONNX Runtime logs what it raises below this level


class OnnxModel:
    """A model in ONNX Runtime. It reads one block of numbers `(rows, features)`, or each column of its signature as an input of that name.
    It answers with its last output, or, where its signature has several, with those of their names.

    One thread by default: a worker is single-threaded, and a fixed number keeps digits the same from run to run.
    """

    def __init__(self, model: bytes, *, threads: int = 1, signature: Signature | None = None, silent: bool = False) -> None:
        """signature: what rows are read and answered by; without one, blocks alone. silent: whether failures are raised and not logged."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = SILENT if silent else QUIET
        try:
            self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's own exceptions share no narrower base; re-raised with its words
            raise UnloadableModel(str(error)) from error
        self._signature = signature
        self._inputs = {each.name: each for each in self._session.get_inputs()}
        self._outputs = [each.name for each in self._session.get_outputs()]
        self._null_text = self._session.get_modelmeta().custom_metadata_map.get(NULL_TEXT_KEY)
        dense = signature is None or dense_type(signature.inputs) is not None
        self._reads_block = dense and (signature is None or [len(each.shape) for each in self._inputs.values()] in ([0], [2]))
        self._batch = _fixed_batch(self._inputs.values())
        self._free = tuple(field for field in (signature.inputs if signature else ()) if None in field.shape)
        self._one_score = signature is None or signature.outputs == (SCORE,)
        several = signature is not None and len(signature.outputs) > 1
        self._answering = [field.name for field in signature.outputs] if signature is not None and several else self._outputs[-1:]
        self._require_inputs()

    def _require_inputs(self) -> None:
        names = list(self._inputs)
        if self._reads_block and len(names) != 1:
            raise UnloadableModel(f"it has {len(names)} inputs; one, of shape [rows, features], is expected")
        if not self._reads_block and self._signature is not None and set(names) != set(self._signature.names):
            raise UnloadableModel(f"its inputs are {', '.join(names)}, and its bundle's {', '.join(self._signature.names)}")
        if self._signature is not None:
            lacking = [name for name in self._answering if name not in self._outputs]
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
        if self._reads_block and self._one_score and self._batch is None:
            return Rows.dense(outputs, self.predict(rows.block)[:, None])
        if not len(rows):
            return Rows.unknown(outputs, 0)
        if self._batch is not None:
            return stacked([self._filled(rows.part(at, at + self._batch), self._batch) for at in range(0, len(rows), self._batch)])
        if self._free:
            shapes = _shapes(self._free, rows)
            if len(shapes) > 1:  # a call takes rows of one shape: those of each go together
                found = [self._answered(rows.take(places)) for places in shapes]
                return stacked(found).take(np.argsort(np.concatenate(shapes)))
        return self._answered(rows)

    def _filled(self, rows: Rows, batch: int) -> Rows:
        """The answers to at most as many rows as a graph of a fixed batch reads: the last row stands in for those that lack."""
        places = np.minimum(np.arange(batch), len(rows) - 1)
        return self._answered(rows.take(places)).part(0, len(rows))

    def _answered(self, rows: Rows) -> Rows:
        """The answers to rows, one or more, of which the columns of free dimensions have one shape each."""
        outputs = self.signature.outputs
        if self._one_score:
            return Rows.dense(outputs, _score(self._run([self._outputs[-1]], rows)[0], len(rows))[:, None])
        found = [_without_halves(each) for each in self._run(self._answering, rows)]
        try:
            return Rows.of_arrays(outputs, found)
        except (ValueError, TypeError) as error:
            raise ModelFailed(f"it returns values that are not its signature's: {error}") from error

    def _run(self, outputs: list[str], rows: Rows) -> list[Any]:
        if self._reads_block:
            return self._called(outputs, {next(iter(self._inputs)): rows.block})
        return self._called(outputs, {field.name: self._fed(field, rows) for field in rows.fields})

    def _fed(self, field: Field, rows: Rows) -> NDArray[Any]:
        """A column as the graph takes it. Raises `ModelFailed` where a value is unknown that ONNX has no unknown for."""
        column = rows.column(field.name)
        kind = NUMBERS.get(self._inputs[field.name].type) if field.type in (*INTEGERS, "bool") else None
        if not field.shape and (field.type in FLOATS or kind is not None):
            values = rows.numbers(field.name).astype(kind or field.type)
        elif field.type == "string" and not field.shape and self._null_text is not None:
            values = stacked_tensor(field, column.fill_null(self._null_text))
        elif column.null_count:
            raise ModelFailed(f"{field.described} is null in a row, and an ONNX model has no null of that type")
        else:
            try:
                values = stacked_tensor(field, column)
            except ValueError as error:
                raise ModelFailed(str(error)) from error
        if self._inputs[field.name].type == HALF:
            values = values.astype(np.float16)
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


def _fixed_batch(inputs: Iterable[Any]) -> int | None:
    """How many rows a call must have, where a graph was exported for so many; None where it reads any number of them."""
    sizes = {each.shape[0] for each in inputs if each.shape and isinstance(each.shape[0], int)}
    return min(sizes) if sizes else None


def _shapes(free: Fields, rows: Rows) -> list[NDArray[np.intp]]:
    """The places of rows that have the same shape in every column of free dimensions, for each such shape."""
    sizes = np.column_stack([sizes_of(field, rows.column(field.name)) for field in free])
    if (sizes == sizes[0]).all():
        return [np.arange(len(rows))]
    _, of = np.unique(sizes, axis=0, return_inverse=True)
    return [np.flatnonzero(of == shape) for shape in range(of.max() + 1)]


def _without_halves(array: Any) -> Any:
    return array.astype(np.float32) if getattr(array, "dtype", None) == np.float16 else array


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
