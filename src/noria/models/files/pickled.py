"""Pickles and joblib files: code, which is read where it is trusted alone."""

from __future__ import annotations

import pickle  # noqa: TID251 - read only where the command says --trust
from pathlib import Path
from typing import Any

from noria.data.rows import Fields
from noria.models.files.estimators import describe
from noria.models.files.port import ModelFile, ReadOptions
from noria.models.files.refusals import BrokenModelFile, CarriesCode
from noria.models.runtimes.formats import is_estimator

KIND = "a pickle"


def read(path: Path, asked: ReadOptions, inputs: Fields = ()) -> ModelFile:
    """An object from a pickle. Raises `CarriesCode`, `BrokenModelFile` and what `describe` raises."""
    return described(path, unpickled(path, asked), asked, inputs)


def unpickled(path: Path, asked: ReadOptions) -> Any:
    """The object in a pickle, or in a joblib file. Raises `CarriesCode` or `BrokenModelFile`."""
    if not asked.trust:
        safer = "if you know who made it, add --trust; or save it with `skops.io.dump(estimator, path)`, which needs none"
        raise CarriesCode(path, "a pickle can do anything when it is loaded", safer)
    try:
        if path.suffix == ".joblib":
            import joblib

            return joblib.load(path)
        with path.open("rb") as file:
            return pickle.load(file)  # noqa: S301 - see above
    except Exception as error:  # whatever the code in it raises
        fix = "install what it imports, in the versions that it was saved with, or save it again"
        raise BrokenModelFile(path, KIND, f"{type(error).__name__}: {error}", fix) from error


def described(path: Path, found: Any, asked: ReadOptions, inputs: Fields = ()) -> ModelFile:
    """An object as a model file: an estimator, or anything with `predict`."""
    if is_estimator(found):
        return describe(path, KIND, found, asked, inputs)
    from noria.models.files.python_file import describe_object

    return describe_object(path, f"{KIND} of {type(found).__name__}", found, asked, inputs)
