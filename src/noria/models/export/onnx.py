"""Fitted models for ONNX Runtime: the first way that is tried, since nothing runs as quickly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noria.core.signature import SCORE, dense_type
from noria.models.bundle import MODEL_FILE
from noria.models.export.catboost_trees import export_catboost
from noria.models.export.convert import to_onnx
from noria.models.export.graphs.canonical import canonical_bytes
from noria.models.export.graphs.several import export_several, export_whole, not_several
from noria.models.export.port import Exported, Saved, Wanted, kind_of, root_of
from noria.models.export.refusal import CannotExport
from noria.models.export.sklearn.estimators import export_estimator
from noria.models.export.torch_modules import export_module
from noria.models.export.xgboost_trees import export_xgboost
from noria.models.runtimes.arrays import is_module
from noria.models.runtimes.formats import is_estimator
from noria.models.runtimes.onnx import OnnxModel

BOOSTERS = ("lightgbm", "xgboost", "catboost")  # estimators that have an exporter of their own, or none
ROUNDED = 1e-3  # by which a probability may miss its bounds


class OnnxExporter:
    """What converts, and answers alike."""

    def export(self, fitted: Any, wanted: Wanted) -> Exported:
        """Raises `CannotExport`, `UnloadableModel`."""
        if isinstance(fitted, Saved):
            if fitted.fitted is None:
                raise CannotExport(fitted.kind, elsewhere=True)
            fitted = fitted.fitted
        return Exported("onnx", {MODEL_FILE: _model(fitted, wanted)})


def _model(fitted: Any, wanted: Wanted) -> bytes:
    """The ONNX bytes, by what was fitted."""
    if isinstance(fitted, Mapping) and wanted.signature.outputs != (SCORE,):
        return _right(export_several(fitted, wanted, _model), fitted, wanted)
    if root_of(fitted) == "xgboost":
        return export_xgboost(fitted, wanted)
    if root_of(fitted) == "catboost":
        return export_catboost(fitted, wanted)
    if is_module(fitted):
        return export_module(fitted, wanted)
    if is_estimator(fitted) and root_of(fitted) not in BOOSTERS:
        return export_estimator(fitted, wanted)
    if dense_type(wanted.signature.inputs) is None:
        if type(fitted).__name__ == "ModelProto":  # which reads each input by its name, as its runtime makes sure
            return canonical_bytes(fitted)
        raise CannotExport(kind_of(fitted), "its inputs are not all numbers of one type", elsewhere=True)
    return _of_a_block(fitted, wanted)


def _of_a_block(fitted: Any, wanted: Wanted) -> bytes:
    """The ONNX bytes of what reads one block of numbers."""
    if wanted.scores > 1 and wanted.numbers:
        if type(fitted).__name__ == "ModelProto":
            return _right(export_whole(fitted, wanted), fitted, wanted)
        raise not_several(fitted, wanted.signature.outputs)
    names = wanted.signature.names
    model = to_onnx(
        fitted,
        features=len(names),
        check=wanted.rows.block,
        names=names,
        numbers=wanted.numbers,
        scores=wanted.scores,
        order=wanted.order,
    )
    return _right(model, fitted, wanted)


def _right(model: bytes, fitted: Any, wanted: Wanted) -> bytes:
    """A model whose several numbers a row are what its task asks for. Raises `CannotExport`."""
    if wanted.scores > 1 and len(wanted.rows):
        answers = OnnxModel(model, signature=wanted.signature).answer(wanted.rows)
        wrong = wanted.wrong(answers.scores(wanted.signature.outputs), ROUNDED)
        if wrong:
            raise CannotExport(kind_of(fitted), wrong, "make it return what the model's task asks for")
    return model
