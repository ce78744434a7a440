"""Model files on the command line: the options that say what a file does not, and the commands that read a folder of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli.options import open_project
from noria.core.errors import UserMistake
from noria.core.settings import FILE_NAME, StoreSettings

if TYPE_CHECKING:
    from noria.models.bundle import Bundle
    from noria.models.files.port import ReadOptions
    from noria.serving.model_files import ModelFiles
    from noria.stores.workspace import Workspace

Name = Annotated[
    str | None, typer.Option("--name", envvar="NORIA_NAME", help="Of a model file: its endpoint's name (default: the file's).")
]
TaskName = Annotated[
    str | None,
    typer.Option(
        "--task",
        envvar="NORIA_TASK",
        help="Of a model file: what its answers are: binary, regression, multiclass or multilabel; none: its outputs as they are.",
    ),
]
Classes = Annotated[
    str | None, typer.Option("--classes", envvar="NORIA_CLASSES", help="Of a model file: the names of its classes, in order, with commas.")
]
SampleFile = Annotated[
    Path | None,
    typer.Option(
        "--sample",
        envvar="NORIA_SAMPLE",
        help="Of a model file: rows of its inputs (Parquet, CSV, JSON), and what traffic is compared with.",
    ),
]
Trust = Annotated[bool, typer.Option("--trust", envvar="NORIA_TRUST", help="Of a model file: run the code that it carries.")]


class ForModelFiles(UserMistake):
    """An option of model files was given for something else."""

    code = "NR-578"

    def __init__(self, options: list[str], given: str | None) -> None:
        self.options = options
        super().__init__(
            what=f"{', '.join(options)} {'is an option' if len(options) == 1 else 'are options'} of model files",
            where=f"{given!r} is neither a file or folder that exists nor has a model's ending" if given else "no model file is named",
            fix="name a model file, such as `noria serve model.onnx`; a project's endpoints say these things in its module",
        )


def names_model(given: str | None, folder: Path) -> bool:
    """Whether an argument names a model file and not an endpoint: in a project, a bare word is an endpoint."""
    from noria.models.files.kinds import is_model_path

    if given is None or not is_model_path(given):
        return False
    bare = not Path(given).suffix and "/" not in given and ":" not in given
    return not (bare and (folder / FILE_NAME).exists())


def asked_of(task: str | None, classes: str | None, sample: Path | None, *, trust: bool) -> ReadOptions:
    """What the options say of a model file."""
    from noria.models.files.port import ReadOptions
    from noria.models.files.sample import Sample

    names = tuple(part.strip() for part in (classes or "").split(",") if part.strip())
    return ReadOptions(task, names, trust, None if sample is None else Sample(sample))


def open_file(
    given: str | None, folder: Path, name: str | None, task: str | None, classes: str | None, sample: Path | None, *, trust: bool
) -> tuple[ModelFiles, tuple[str, Bundle], bool]:
    """A model file as a bundle, with the folder that keeps it; and whether its code may run."""
    from noria.serving.model_files import ModelFiles

    assert given is not None
    served = ModelFiles.of(folder)
    return served, served.open(given, name, asked_of(task, classes, sample, trust=trust)), trust


def open_again(given: str | None, served: ModelFiles, *, trust: bool) -> tuple[str, Bundle]:
    """A bundle that a model file became before, by its endpoint's name. Raises `UnknownName`, `WhichEndpoint` or `CarriesCode`."""
    from noria.evidence.model_files import chosen_file

    name = chosen_file(served, given)
    return name, served.again(name, trust=trust)


def refuse_model_options(given: str | None, **options: Any) -> None:
    """Raise `ForModelFiles` where options of model files are given without one."""
    set_ = [f"--{name}" for name, value in options.items() if value]
    if set_:
        raise ForModelFiles(set_, given)


def files_of(folder: Path) -> ModelFiles | None:
    """The model files that were served from a folder that is no project; None where there are none."""
    stores = os.environ.get("NORIA_STORES_FOLDER", StoreSettings().folder)
    if (folder / FILE_NAME).exists() or not (folder / stores / "model-files.json").exists():
        return None  # without importing what reads them: every command asks
    from noria.serving.model_files import ModelFiles

    return ModelFiles.there(folder)


def champion_or_file(folder: Path, endpoint: str | None) -> tuple[str, Bundle, Workspace]:
    """The name and bundle of an endpoint of a project, or of a folder of model files, the only one if it is not named."""
    served = files_of(folder)
    if served is not None:
        from noria.evidence.model_files import chosen_file

        name = chosen_file(served, endpoint)
        return name, served.bundle(name), served.workspace
    from noria.evidence.champion import champion_of

    found, workspace = open_project(folder)
    chosen = found.endpoint(endpoint)
    return chosen.name, champion_of(workspace, chosen), workspace
