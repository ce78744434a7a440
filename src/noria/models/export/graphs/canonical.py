"""ONNX bytes that are the same in every process."""

from __future__ import annotations

from typing import Any


def canonical_bytes(model: Any) -> bytes:
    """The bytes of an `onnx.ModelProto`, the same in every process.

    Converters collect operator sets in a Python set, whose order changes from process to process with its hash seed; a
    bundle is named by its bytes, so equal models must have equal ones.
    """
    operator_sets = sorted(model.opset_import, key=lambda s: s.domain)
    del model.opset_import[:]
    model.opset_import.extend(operator_sets)
    return bytes(model.SerializeToString(deterministic=True))
