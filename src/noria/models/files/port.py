"""What a format says of a model file, and what is asked for beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.signature import SCORE, Signature
from noria.data.rows import Fields, Rows
from noria.models.files.sample import Sample

if TYPE_CHECKING:
    from noria.evaluation.task import Task


@dataclass(frozen=True)
class ReadOptions:
    """What a command says of a model beyond its file.

    task: what its answers mean, by name; classes: their names, in the order of the answers; sample: rows that it can be asked
    trust: whether code that the file carries may run
    """

    task: str | None = None
    classes: Sequence[str] = ()
    trust: bool = False
    sample: Sample | None = None


@dataclass(frozen=True)
class ModelFile:
    """A model as its file has it.

    kind: for people, such as "an ONNX graph"
    fitted: what exporters take: an estimator, a booster, `Saved`, or the bytes of an ONNX graph
    inputs, outputs: its columns; task: what the outputs mean, None where nobody said
    order: whether only the order of answers means anything
    rows: that came with the file and that it answers, None where there are none
    """

    path: Path
    kind: str
    fitted: Any
    inputs: Fields
    outputs: Fields = (SCORE,)
    task: Task | None = None
    order: bool = False
    rows: Rows | None = None

    @property
    def signature(self) -> Signature:
        return Signature(self.inputs, self.outputs)
