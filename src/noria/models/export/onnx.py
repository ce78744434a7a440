"""Fitted models for ONNX Runtime: the first way that is tried, since nothing runs as quickly."""

from __future__ import annotations

from typing import Any

from noria.core.signature import dense_type
from noria.models.bundle import MODEL_FILE
from noria.models.export.canonical import canonical_bytes
from noria.models.export.convert import to_onnx
from noria.models.export.port import Exported, Wanted, kind_of
from noria.models.export.refusal import CannotExport


class OnnxExporter:
    """What converts, and answers alike."""

    def export(self, fitted: Any, wanted: Wanted) -> Exported:
        """Raises `CannotExport`, `UnloadableModel`."""
        names = wanted.signature.names
        if dense_type(wanted.signature.inputs) is None:
            if type(fitted).__name__ == "ModelProto":  # which reads each input by its name, as its runtime makes sure
                return Exported("onnx", {MODEL_FILE: canonical_bytes(fitted)})
            raise CannotExport(kind_of(fitted), "its inputs are not all numbers of one type", elsewhere=True)
        model = to_onnx(fitted, features=len(names), check=wanted.rows.block, names=names, numbers=wanted.numbers)
        return Exported("onnx", {MODEL_FILE: model})
