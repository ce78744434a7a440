"""PyTorch modules to ONNX, by PyTorch's own exporter.

The exporter follows one call of the module, so that what it did with these rows is what the graph does with all: a branch that other rows
would take, or a size of the batch that became a constant, is seen only where answers are compared.
"""

from __future__ import annotations

import copy
import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.signature import FLOATS, INTEGERS, dense_type
from noria.data.rows import Rows
from noria.models.export.comparison.alike import Comparison, alike, answers_of, unlike
from noria.models.export.graphs.around import BLOCK, OPSET, Core
from noria.models.export.graphs.canonical import canonical_bytes
from noria.models.export.port import Wanted, kind_of
from noria.models.export.refusal import CannotExport, words_of
from noria.models.runtimes.arrays import Module
from noria.models.runtimes.columns import Columns, answered

ROWS = 3  # that the exporter follows through the module
ROUNDED = 1e-3  # by which an answer may miss its bounds
OTHERWISE = "return an onnx.ModelProto of your own"
LOGITS = "end it with a sigmoid, or with a softmax over the classes, so that it answers with probabilities"
ANSWER = "make it return the number or numbers of a row: (rows,), or (rows, numbers)"


def export_module(fitted: Any, wanted: Wanted) -> bytes:
    """The ONNX bytes of a `torch.nn.Module`. Raises `CannotExport`, with `elsewhere` where Python may run it."""
    kind = kind_of(fitted)
    whole = dense_type(wanted.signature.inputs)
    _refuse_others(wanted, kind, whole)
    module = copy.deepcopy(fitted).eval()
    original = Module(module)
    comparison = Comparison(answers_of(original, wanted), wanted)
    _refuse_answers(comparison.given, wanted, kind, original)
    model = _exported(module, wanted, kind, whole)
    if whole:
        found = alike(Core(model, wanted.signature.names, whole), comparison, wanted)
    else:
        found = unlike(canonical_bytes(model), comparison, wanted)
    if isinstance(found, str):
        raise CannotExport(kind, found, OTHERWISE, elsewhere=True)
    return found


def _refuse_others(wanted: Wanted, kind: str, whole: str | None) -> None:
    for each in wanted.signature.inputs:
        if each.type not in (*FLOATS, *INTEGERS, "bool") or None in each.shape:
            raise CannotExport(kind, f"its input {each.described} is no tensor of a fixed shape", OTHERWISE, elsewhere=True)
    if whole is None and len(wanted.signature.outputs) > 1:
        raise CannotExport(kind, "it has several inputs and several outputs", OTHERWISE, elsewhere=True)


def _refuse_answers(answers: NDArray[np.float64], wanted: Wanted, kind: str, original: Module) -> None:
    """Refuse a module that does not answer as its task asks, with the words of what it raises."""
    if not np.isfinite(answers).all(axis=1).any() and len(wanted.rows):
        try:
            answered(wanted.signature.outputs, original.predict(Columns(wanted.rows)), len(wanted.rows))
        except Exception as error:  # of any code; told with its words
            raise CannotExport(kind, f"asked for the training rows, it raises {words_of(error)}", ANSWER) from error
    unknown = ~np.isfinite(answers).all(axis=1)
    if unknown.any():
        reason = f"it returns NaN or infinity for {int(unknown.sum())} of {len(answers)} training rows"
        raise CannotExport(kind, reason, "make it return a finite number for any row; a missing feature is NaN, to be filled by the model")
    wrong = wanted.wrong(answers, ROUNDED)
    if wrong:
        raise CannotExport(kind, wrong, ANSWER if wanted.numbers else LOGITS)


def _exported(module: Any, wanted: Wanted, kind: str, whole: str | None) -> Any:
    """The graph of a module: of one block, or of a tensor for each column. Raises `CannotExport`."""
    rows = wanted.rows.part(0, ROWS) if len(wanted.rows) >= ROWS else Rows.unknown(wanted.signature.inputs, ROWS)
    try:
        import onnx
    except ImportError as error:
        raise CannotExport(kind, "onnx is not installed", 'run `pip install "noria[torch]"`', elsewhere=True) from error
    names = [BLOCK] if whole else list(wanted.signature.names)
    written = io.BytesIO()
    try:
        tensors = tuple(Module(module).tensors(Columns(rows)).values())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _export(_of_columns(module), tensors, written, names)
    except Exception as error:  # what exporters raise shares no narrower base; raised again with its words
        raise CannotExport(kind, f"its exporter refuses it: {words_of(error)}", OTHERWISE, elsewhere=True) from error
    return onnx.load_from_string(written.getvalue())


def _export(module: Any, tensors: tuple[Any, ...], file: io.BytesIO, names: list[str]) -> None:
    import torch

    free = {name: {0: "rows"} for name in (*names, "scores")}
    with torch.inference_mode():
        torch.onnx.export(
            module, tensors, file, input_names=names, output_names=["scores"], dynamic_axes=free, opset_version=OPSET, dynamo=False
        )


def _of_columns(module: Any) -> Any:
    """A module that answers `(rows, numbers)` with the last of what another returns."""
    import torch

    class Answer(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *tensors: Any) -> Any:
            found = self.inner(*tensors)
            last = found[-1] if isinstance(found, tuple | list) else found
            return last[:, None] if last.dim() == 1 else last

    return Answer().eval()
