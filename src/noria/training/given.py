"""A trainer that trains nothing: `nr.model_file("model.onnx")` gives the model of a file, as it is.

A project that begins with a model from elsewhere is served, watched and judged by its outcomes like any other. Once it is to learn from
new data, another trainer takes this one's place.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.errors import MissingExtra, UserMistake
from noria.core.signature import FLOATS
from noria.features.training_set import Dataset
from noria.training.trainer import Trainer

if TYPE_CHECKING:
    from noria.evaluation.task import Task
    from noria.models.files.port import ModelFile

SHOWN = 8


class OtherInputs(UserMistake):
    """A model file reads other columns than there are."""

    code = "NR-599"

    def __init__(self, path: Path | str, wanted: Sequence[str], there: Sequence[str]) -> None:
        self.path, self.wanted, self.there = path, list(wanted), list(there)
        lacking = [name for name in wanted if name not in there]
        what = f"{', '.join(map(repr, lacking[:SHOWN]))}, which it reads, is not there" if lacking else "it reads other columns"
        super().__init__(
            what=f"{path} does not fit the data: {what}",
            where=f"it reads {', '.join(wanted[:SHOWN])}; the data has {', '.join(there[:SHOWN])}",
            fix="name the columns of the data as the model's inputs, in a query or where the file is written",
        )


@dataclass(frozen=True)
class GivenModel(Trainer):
    """The model of a file. path: of the file, or of a folder"""

    fit: Any = None
    overrides: dict[str, Any] = field(default_factory=dict)
    path: Path = Path()

    @property
    def name(self) -> str:
        return self.path.name

    def parameters(self) -> dict[str, Any]:
        return {}

    def with_parameters(self, **parameters: Any) -> GivenModel:
        """Raises for any parameter: there is none."""
        if parameters:
            raise UserMistake(what="a model of a file has no parameters", where=f"nr.model_file({str(self.path)!r})", fix="leave them out")
        return self

    def code_hash(self) -> str:
        from noria.models.files.content import content_key
        from noria.models.files.port import ReadOptions

        return content_key(self.path, self.path.name, ReadOptions()).content

    def __call__(self, train: Dataset, *, seed: int, task: Task | None = None) -> Any:  # noqa: ARG002 - nothing is trained
        """The model. Raises `OtherInputs`, and what its format raises for a file that can't be read."""
        found = read_given(self.path)
        wanted = names_of(found, train.names)
        if sorted(wanted) != sorted(train.names):
            raise OtherInputs(self.path, wanted, train.names)
        return _graph(found.fitted) if isinstance(found.fitted, bytes) else found.fitted


def model_file(path: str | Path) -> GivenModel:
    """A trainer that gives the model of a file as it is: `nr.Model(…, trainer=nr.model_file("model.onnx"))`.

    path: of an ONNX, skops, LightGBM, XGBoost or scikit-learn file, or a folder that MLflow wrote; a relative one begins where the module
        stands. Files that carry code are refused: the model of such a file is returned by a function (`@nr.trainer`)
    """
    beside = Path(sys._getframe(1).f_globals.get("__file__", "")).parent
    return GivenModel(path=path if (path := Path(path)).is_absolute() else beside / path)


def read_given(path: Path) -> ModelFile:
    """The model of a file that carries no code."""
    from noria.models.files.kinds import read_model
    from noria.models.files.port import ReadOptions

    return read_model(path, ReadOptions())


def names_of(found: ModelFile, numbers: Sequence[str]) -> list[str]:
    """The columns that a model reads. A block of unnamed numbers is all `numbers`, in their order, if there are as many."""
    [first, *more] = found.inputs
    if not more and first.type in FLOATS and len(first.shape) == 1:
        return list(numbers) if first.shape[0] in (None, len(numbers)) else [f"{first.name}[{i}]" for i in range(first.shape[0] or 0)]
    return [each.name for each in found.inputs]


def _graph(model: bytes) -> Any:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra(library="onnx", extra="onnx", needed_for="nr.model_file of an ONNX file") from error
    return onnx.load_model_from_string(model)
