"""Exports: fitted models as files that a runtime runs, answering as they do, or not at all.

In:  what a trainer returned, and what it is held to (`Wanted`)
Out: the files of a bundle and the runtime that runs them: as ONNX, otherwise for the Python runtime
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from noria.core.progress import Progress, Tell, silence
from noria.models.export.convert import to_onnx
from noria.models.export.onnx import OnnxExporter
from noria.models.export.port import Exported, Exporter, Wanted, kind_of
from noria.models.export.python import PythonExporter
from noria.models.export.refusal import CannotExport

__all__ = ["CannotExport", "Exported", "Exporter", "Wanted", "export", "to_onnx"]

EXPORTERS: tuple[Exporter, ...] = (OnnxExporter(), PythonExporter())  # in the order in which they are tried


def export(fitted: Any, wanted: Wanted, tell: Tell = silence) -> Exported:
    """A fitted model by the first exporter that has a way. Raises `CannotExport`, and what an exporter raises of a model that is broken."""
    refused: CannotExport | None = None
    for exporter in EXPORTERS:
        try:
            found = exporter.export(fitted, replace(wanted, refused=refused))
        except CannotExport as error:
            if not error.elsewhere:
                raise
            refused = refused or error
        else:
            if found.note:
                tell(Progress("train", found.note))
            return found
    raise refused or CannotExport(kind_of(fitted))
