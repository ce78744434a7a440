"""The port of exporters: from what a trainer returned to files that a runtime runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from noria.core.signature import Signature
from noria.data.rows import Rows
from noria.models.export.refusal import CannotExport
from noria.models.runtimes import open_files
from noria.models.runtimes.port import Runtime, RuntimeOptions

PROBABILITY = (0.0, 1.0)  # the bounds of one


@dataclass(frozen=True)
class Wanted:
    """What an export is held to.

    signature: what it reads and answers; rows: of its inputs, such as training rows, on which it must answer as its original does
    bounds: of an answer, as the model's task has them; trust: whether code that the bundle carries may run
    refused: what an exporter before said of it
    """

    signature: Signature
    rows: Rows
    bounds: tuple[float, float] = (float("-inf"), float("inf"))
    trust: bool = False
    refused: CannotExport | None = None

    @property
    def numbers(self) -> bool:
        """Whether answers are numbers of any size, and not probabilities."""
        return self.bounds != PROBABILITY


@dataclass(frozen=True)
class Exported:
    """A fitted model as files of a bundle.

    runtime: the one that runs it; files: path within the bundle → bytes; trust: whether it runs code that it carries
    note: what people should know of how it runs; empty where it is ONNX
    """

    runtime: str
    files: Mapping[str, bytes]
    trust: bool = False
    note: str = ""

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


class Exporter(Protocol):
    """One way to make a fitted model something that a runtime runs."""

    def export(self, fitted: Any, wanted: Wanted) -> Exported:
        """Raises `CannotExport`; with `elsewhere` where the next exporter may know a way."""


def kind_of(fitted: Any) -> str:
    """What a fitted model is, for people."""
    return f"{type(fitted).__module__}.{type(fitted).__name__}"
