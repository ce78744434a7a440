"""The port of exporters: from what a trainer returned to files that a runtime runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from noria.core.signature import Signature
from noria.data.rows import Rows, width
from noria.evaluation.task import Reliability
from noria.models.export.refusal import CannotExport
from noria.models.runtimes import open_files
from noria.models.runtimes.port import Runtime, RuntimeOptions

PROBABILITY = (0.0, 1.0)  # the bounds of one
SUMMED = 1e-3  # by which the chances of classes may miss 1


@dataclass(frozen=True)
class Wanted:
    """What an export is held to.

    signature: what it reads and answers; rows: of its inputs, such as training rows, on which it must answer as its original does
    bounds: of an answer, as the model's task has them; trust: whether code that the bundle carries may run
    refused: what an exporter before said of it; exclusive: whether the scores of a row are the chances of classes, and sum to 1
    order: whether only the order of answers means anything, as in a ranking
    varies: whether the same row may be answered otherwise the next time, as what is sampled is
    """

    signature: Signature
    rows: Rows
    bounds: tuple[float, float] = (float("-inf"), float("inf"))
    trust: bool = False
    refused: CannotExport | None = None
    exclusive: bool = False
    order: bool = False
    varies: bool = False

    @property
    def scores(self) -> int:
        """How many numbers a row is answered with."""
        return sum(width(field) for field in self.signature.outputs)

    def wrong(self, scores: NDArray[np.float64], rounded: float) -> str:
        """What is wrong with finite answers `(rows, scores)`, in words; empty where nothing is. rounded: by how much they may miss"""
        (least, most), count = self.bounds, len(scores)
        outside = ((scores < least - rounded) | (scores > most + rounded)).any(axis=1)
        if outside.any():
            found = f"{scores[outside].min():.6g} to {scores[outside].max():.6g}"
            return f"its answers to {int(outside.sum())} of {count} rows are {found}, and an answer lies between {least:g} and {most:g}"
        if self.exclusive and np.abs(scores.sum(axis=1) - 1).max(initial=0) > max(rounded, SUMMED):
            return f"its {scores.shape[1]} scores for a row add up to {scores.sum(axis=1).min():.4g}, and not to 1, as those of classes do"
        return ""

    @property
    def numbers(self) -> bool:
        """Whether answers are numbers of any size, and not probabilities."""
        return self.bounds != PROBABILITY


@dataclass(frozen=True)
class Exported:
    """A fitted model as files of a bundle.

    runtime: the one that runs it; files: path within the bundle → bytes; trust: whether it runs code that it carries
    note: what people should know of how it runs; empty where it is ONNX
    answers: to the rows that it was held to, where it was asked for them in a process of its own
    """

    runtime: str
    files: Mapping[str, bytes]
    trust: bool = False
    note: str = ""
    answers: Rows | None = None

    @contextmanager
    def opened(self, signature: Signature, options: RuntimeOptions) -> Iterator[Runtime]:
        """The model, before it is in a bundle. Raises what its runtime raises."""
        with TemporaryDirectory(prefix="noria-model-") as name:
            folder = Path(name)
            for path, data in self.files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(data)
            model = open_files(self.runtime, folder, signature, options)
            try:
                yield model
            finally:
                model.close()


@dataclass(frozen=True)
class Saved:
    """A model as it was saved, in a format that a loader of ours reads.

    kind: for people; loader: one of `python_spec`; files: that it reads, name → content; source: modules that it imports, path → text
    fitted: the same model in this process, None where it is not loaded here
    reliability: what was measured of its scores when it was built, where that was
    """

    kind: str
    loader: str
    files: Mapping[str, bytes]
    fitted: Any = None
    source: Mapping[str, bytes] = field(default_factory=dict)
    reliability: Reliability | None = None


class Exporter(Protocol):
    """One way to make a fitted model something that a runtime runs."""

    def export(self, fitted: Any, wanted: Wanted) -> Exported:
        """Raises `CannotExport`; with `elsewhere` where the next exporter may know a way."""


def kind_of(fitted: Any) -> str:
    """What a fitted model is, for people."""
    if isinstance(fitted, Saved):
        return fitted.kind if fitted.fitted is None or root_of(fitted.fitted) == "noria" else kind_of(fitted.fitted)
    return f"{type(fitted).__module__}.{type(fitted).__name__}"


def root_of(fitted: Any) -> str:
    """The package that its class is of."""
    return type(fitted).__module__.split(".")[0]
