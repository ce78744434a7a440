"""ONNX models that a trainer made itself.

There is no original to compare with. So they are checked to be what is served: one input of rows, one probability for each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.data.rows import Rows, width
from noria.models.export.graphs.canonical import canonical_bytes
from noria.models.export.lightgbm.parity import TOLERANCE
from noria.models.export.port import Wanted
from noria.models.export.refusal import CannotExport
from noria.models.runtimes.onnx import OnnxModel
from noria.models.runtimes.port import ModelFailed

KIND = "onnx.ModelProto"
ALONE = 3  # rows that are asked alone as well
ROUNDED = 1e-3  # by which two complementary probabilities may miss 1, and a probability its bounds
SEVERAL = "let its last output be the {0} numbers of a row, in the order of the task's classes or outputs: [rows, {0}]"
ONE_NUMBER = "let its last output be the answer, one number for each row"
ONE_SCORE = "let its last output be the probability of the outcome, one number for each row, or one for each of two classes"


def export_proto(model: Any, check: NDArray[np.float32], features: int, *, numbers: bool = False, scores: int = 1) -> bytes:
    """The bytes of an `onnx.ModelProto` of so many features. numbers: whether it answers with numbers of any size, and not with
    probabilities; scores: how many a row. Raises `CannotExport`, `UnloadableModel`."""
    answer = SEVERAL.format(scores) if scores > 1 else ONE_NUMBER if numbers else ONE_SCORE
    wanted = f"give it one input of float32 and shape [rows, {features}], with any number of rows"
    _refuse_other_inputs(model, features, wanted)
    _refuse_other_outputs(model, answer)
    exported = canonical_bytes(model)
    scorer, rows = OnnxModel(exported), check if len(check) else np.zeros((1, features), np.float32)
    some = slice(None, None, -(-len(rows) // ALONE))
    try:
        found = scorer.answers(rows)
        alone = np.concatenate([scorer.answers(row[None]) for row in rows[some]])
    except ModelFailed as error:
        raise CannotExport(KIND, f"it returns no result for {len(rows)} rows: {error.where}", f"{wanted}; {answer}") from error
    _refuse_unknown_scores(found, rows)
    if scores > 1 or numbers:
        _refuse_other_numbers(found, scores, answer)
    else:
        _refuse_other_scores(found)
    _refuse_dependence(found[some], alone, found)
    return exported


def export_answers(model: Any, wanted: Wanted) -> bytes:
    """The bytes of an `onnx.ModelProto` with all outputs of a signature, which may be of several numbers. Raises `CannotExport`,
    `UnloadableModel`."""
    features, fields = len(wanted.signature.names), wanted.signature.outputs
    told = f"let its last output be the {sum(width(field) for field in fields)} numbers of each row"
    _refuse_other_inputs(model, features, f"give it one input of float32 and shape [rows, {features}], with any number of rows")
    exported = canonical_bytes(model)
    scorer = OnnxModel(exported, signature=wanted.signature)
    rows = wanted.rows if len(wanted.rows) else Rows.dense(wanted.signature.inputs, np.zeros((1, features), np.float32))
    places = list(range(0, len(rows), -(-len(rows) // ALONE)))
    try:
        scores = scorer.answer(rows).scores(fields)
        alone = np.concatenate([scorer.answer(rows.part(place, place + 1)).scores(fields) for place in places])
    except ModelFailed as error:
        raise CannotExport(KIND, f"it returns no result for {len(rows)} rows: {error.where}", told) from error
    _refuse_unknown_scores(scores, rows.block)
    _refuse_dependence(scores[places], alone, scores)
    return exported


def _refuse_dependence(among: NDArray[np.float64], alone: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
    """Refuse a model whose answers to some rows, in a batch and alone, are not the same; scores: of all rows, for their size."""
    apart = float(np.abs(among - alone).max())
    if apart > TOLERANCE * max(1.0, float(np.abs(scores).max())):
        reason = f"its score of a row depends on the other rows of the batch (by up to {apart:.2g}), and requests are batched"
        raise CannotExport(KIND, reason, "export it for inference, not for training")


def _refuse_other_inputs(model: Any, features: int, wanted: str) -> None:
    from onnx import TensorProto

    constants = {constant.name for constant in model.graph.initializer}
    inputs = [given for given in model.graph.input if given.name not in constants]
    if len(inputs) != 1:
        raise CannotExport(KIND, f"it has {len(inputs)} inputs ({', '.join(given.name for given in inputs)})", wanted)
    tensor = inputs[0].type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT:
        raise CannotExport(KIND, f"its input {inputs[0].name!r} is not a tensor of float32", wanted)
    sizes = [size.dim_value for size in tensor.shape.dim]  # 0 is any
    if tensor.HasField("shape") and (len(sizes) != 2 or sizes[0] != 0 or sizes[1] not in (0, features)):
        raise CannotExport(KIND, f"its input {inputs[0].name!r} has the shape [{', '.join(str(s or 'any') for s in sizes)}]", wanted)


def _refuse_other_outputs(model: Any, answer: str) -> None:
    from onnx import TensorProto

    numbers = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
    outputs = list(model.graph.output)
    if not outputs:
        raise CannotExport(KIND, "it has no output", answer)
    scores = [output.name for output in outputs if output.type.tensor_type.elem_type in numbers]
    if any(output.type.WhichOneof("value") == "sequence_type" for output in outputs):
        raise CannotExport(KIND, "it returns a map of classes for each row", "convert it with `zipmap=False`")
    if len(scores) > 1:
        raise CannotExport(KIND, f"it has {len(scores)} outputs of scores: {', '.join(scores)}", "give it one")
    if not scores or outputs[-1].name != scores[0]:
        raise CannotExport(KIND, f"its last output, {outputs[-1].name!r}, contains no scores", answer)


def _refuse_unknown_scores(scores: NDArray[np.float64], rows: NDArray[np.float32]) -> None:
    """`scores` are `(rows,)` or `(rows, classes)`, as the model answers `rows` `(rows, features)`."""
    columns, total = scores.reshape(len(scores), -1), f"of {len(scores)} rows"
    nothing = ~np.isfinite(columns).all(axis=1)
    if nothing.any():
        known = int((nothing & np.isfinite(rows).all(axis=1)).sum())
        reason = f"it returns NaN or infinity for {int(nothing.sum())} {total}, {known} of them with all features known"
        raise CannotExport(KIND, reason, "make it return a finite number for any row; a missing feature is NaN, to be imputed by the model")


def _refuse_other_numbers(found: NDArray[np.float64], scores: int, answer: str) -> None:
    columns = 1 if found.ndim == 1 else found.shape[1]
    if columns != scores:
        raise CannotExport(KIND, f"it returns {columns} numbers per row", answer)


def _refuse_other_scores(scores: NDArray[np.float64]) -> None:
    """Refuse what are no probabilities: `scores` are `(rows,)`, or `(rows, classes)`."""
    columns, total = scores.reshape(len(scores), -1), f"of {len(scores)} rows"
    if columns.shape[1] not in (1, 2):
        raise CannotExport(KIND, f"it returns {columns.shape[1]} scores per row", ONE_SCORE)
    outside = ((columns < -ROUNDED) | (columns > 1 + ROUNDED)).any(axis=1)
    if outside.any():
        reason = f"its scores of {int(outside.sum())} {total} are not within 0 and 1, such as {columns[outside][0, -1]:.6g}"
        raise CannotExport(KIND, reason, ONE_SCORE)
    if columns.shape[1] == 2 and np.abs(columns.sum(axis=1) - 1).max() > ROUNDED:
        raise CannotExport(KIND, "its two scores for a row don't add up to 1, as those of two classes would", ONE_SCORE)
