"""A model that exists already, as a project begins with it: what it reads, what its answers mean, and where its file is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.errors import UserMistake
from noria.core.signature import Field
from noria.models.files.kinds import located
from noria.start.choices import Task
from noria.start.facts import Facts
from noria.start.mistakes import FlagDoesNotFit
from noria.training.given import OtherInputs, names_of, read_given

if TYPE_CHECKING:
    from noria.models.files.port import ModelFile

MODELS = "models"  # the folder of a project into which a model from elsewhere is copied


@dataclass(frozen=True)
class Existing:
    """A model. file: as the module names it; source: where it is now; kind: in words; task: what it says of its answers, None if nothing

    types: of the inputs that are no float32, where the model insists on them; copied: whether the file is to be copied into the project
    """

    file: str
    source: Path
    kind: str
    inputs: tuple[str, ...]
    task: Task | None = None
    classes: tuple[Any, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    copied: bool = False
    held: ExitStack | None = field(default=None, repr=False, compare=False)  # what was fetched stays as long as this does


@dataclass(frozen=True)
class Opened:
    """A model's file as it was read. given: as it was named; held: keeps what was fetched for it"""

    given: str
    source: Path
    found: ModelFile
    held: ExitStack = field(repr=False, compare=False)

    @property
    def named(self) -> list[str]:
        """The inputs that have names of their own; none of a model that reads a block of numbers."""
        wanted = names_of(self.found, ())
        return [] if len(self.found.inputs) == 1 and self.found.inputs[0].shape else wanted


def opened(given: str) -> Opened:
    """Read what a file, a folder or `mlflow:…` names. Raises what its format raises; nothing that it carries is run."""
    held = ExitStack()
    source = held.enter_context(located(given))
    return Opened(given, source, read_given(source), held)


def existing(model: Opened, folder: Path, facts: Mapping[str, Facts], numbers: Sequence[str]) -> Existing:
    """The model on these data. numbers: the columns that a model can read which has a block of numbers. Raises `OtherInputs`."""
    found = model.found
    wanted = names_of(found, numbers)
    if not model.named and len(wanted) != len(numbers):
        raise FlagDoesNotFit(
            what=f"{model.given} reads {len(wanted)} numbers without names, and the data has {len(numbers)} columns of numbers",
            where=", ".join(numbers[:8]),
            fix="give just these columns, in the model's order, and the label: --sql with --query, or a file that has only them",
        )
    if any(name not in facts for name in wanted):
        raise OtherInputs(model.given, wanted, list(facts))
    if model.named and any(each.shape for each in found.inputs):
        raise UserMistake(
            what=f"{model.given} reads tensors, and `noria init` proposes no transform that makes them",
            where=", ".join(each.described for each in found.inputs),
            fix=f"serve it without a project: `noria serve {model.given}`",
        )
    name, classes = _task_of(found.task)
    source = model.source.resolve()
    inside = source.is_relative_to(folder.resolve())
    file = str(source.relative_to(folder.resolve())) if inside else f"{MODELS}/{source.name}"
    exact = found.kind.startswith("an ONNX") and bool(model.named)
    types = _types(found.inputs, exact=exact)
    return Existing(file, source, found.kind, tuple(wanted), name, classes, types, not inside, model.held)


def _types(inputs: Sequence[Field], *, exact: bool) -> dict[str, str]:
    return {each.name: each.type for each in inputs if each.type == "string" or (exact and each.type != "float32" and not each.shape)}


def _task_of(task: Any) -> tuple[Task | None, tuple[Any, ...]]:
    """The task of a model, as proposals call it, and its classes."""
    match getattr(task, "name", None):
        case "binary":
            return "binary", ()
        case "regression":
            return "regression", ()
        case "multiclass":
            return "multiclass", tuple(task.classes)
    return None, ()
