"""Exports: fitted models as ONNX that answers as they do, or not at all.

In:  what a trainer returned, and rows on which to compare
Out: the bytes of an ONNX model: one input `[rows, features]` float32, the probability of the outcome last among its outputs
"""

from noria.models.export.convert import to_onnx
from noria.models.export.refusal import CannotExport

__all__ = ["CannotExport", "to_onnx"]
