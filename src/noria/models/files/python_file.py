"""Python files: a function `load`, or a class with `predict`. They are code, which runs where it is trusted alone."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from noria.core.signature import Field
from noria.data.rows import Fields, Rows
from noria.evaluation.task import Task
from noria.models.export.port import Saved
from noria.models.files.answering import outputs_of
from noria.models.files.port import ModelFile, ReadOptions
from noria.models.files.refusals import BrokenModelFile, CannotServe, CarriesCode, NotAModel, NotSaid
from noria.models.files.tasks import asked_task
from noria.models.python_model import with_imported
from noria.models.runtimes.columns import Columns
from noria.models.runtimes.formats import answering
from noria.models.runtimes.python_spec import PYTHON_OBJECT
from noria.models.runtimes.saved import ENTRY_FILE, made

KIND = "a Python file"
WHAT = "define a function `load(folder)` that returns an object with `predict(columns)`, or one class with `predict`"
SKIPPED = ("__pycache__", ".git", ".noria")


def read(path: Path, asked: ReadOptions) -> ModelFile:
    """What a file defines, with the modules beside it that it imports. Raises `NotAModel`, `CarriesCode`, `NotSaid` and others."""
    name = entry_of(path)
    if name is None:
        raise NotAModel(path, "it defines neither `load` nor a class with `predict`", WHAT)
    return _read(path, path, name, asked, {})


def read_folder(folder: Path, asked: ReadOptions) -> ModelFile:
    """The one Python file of a folder that defines a model, and all other files beside it. Raises as `read` does."""
    found = {path: name for path in sorted(folder.glob("*.py")) if (name := entry_of(path)) is not None}
    if len(found) != 1:
        told = ", ".join(path.name for path in found) or "none"
        raise NotAModel(folder, f"of its Python files, one has to define a model, and {told} does", WHAT)
    ((path, name),) = found.items()
    files = {}
    for file in sorted(folder.rglob("*")):
        relative = file.relative_to(folder)
        if file.is_file() and file.suffix not in (".py", ".pyc") and not set(SKIPPED) & set(relative.parts):
            files[relative.as_posix()] = file.read_bytes()
    return _read(folder, path, name, asked, files)


def entry_of(path: Path) -> str | None:
    """The name of what a file defines: `load`, or its one class with `predict` or `stream`; None where there is neither. Runs nothing.

    Raises `BrokenModelFile`.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise BrokenModelFile(path, KIND, f"line {getattr(error, 'lineno', '?')}: {error}", "correct that line") from error
    if any(isinstance(node, ast.FunctionDef) and node.name == "load" for node in tree.body):
        return "load"
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef) and {"predict", "stream"} & set(_methods(node))]
    if len(classes) > 1:
        raise NotAModel(
            path, f"it has several classes with `predict`: {', '.join(classes)}", "define `load(folder)`, which makes the right one"
        )
    return classes[0] if classes else None


def _methods(node: ast.ClassDef) -> list[str]:
    return [each.name for each in node.body if isinstance(each, ast.FunctionDef)]


def _read(shown: Path, path: Path, name: str, asked: ReadOptions, files: Mapping[str, bytes]) -> ModelFile:
    if not asked.trust:
        raise CarriesCode(shown, "it is Python code, which can do anything")
    entry = json.dumps({"module": path.stem, "name": name}).encode()
    source = with_imported(path.resolve(), path.resolve().parent)
    saved = Saved(f"{KIND} with {name}", PYTHON_OBJECT, {**files, ENTRY_FILE: entry}, None, source)
    module = _imported(path)

    def model() -> Any:
        return answering(made(getattr(module, name), shown if shown.is_dir() else path.parent))

    inputs = _declared(shown, module, "inputs") or _declared(shown, getattr(module, name), "inputs")
    outputs = _declared(shown, module, "outputs") or _declared(shown, getattr(module, name), "outputs")
    return _described(shown, saved.kind, saved, model, asked, inputs, outputs)


def _imported(path: Path) -> Any:
    """The file as a module, which runs it. Raises `BrokenModelFile`."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    before = sys.modules.get(path.stem)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise BrokenModelFile(path, KIND, f"it raised {type(error).__name__}: {error}", "correct it, or install what it imports") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
        if before is not None:
            sys.modules[path.stem] = before
    return module


def _declared(path: Path, holder: Any, name: str) -> Fields:
    """Fields that a module or class declares, such as `inputs = {"age": "int64", "image": "float32[3, 8]"}`."""
    found = getattr(holder, name, None)
    if not isinstance(found, Mapping):
        return ()
    if not all(isinstance(key, str) and isinstance(kind, str) for key, kind in found.items()):
        raise CannotServe(
            path, f"its `{name}` is not a dict of names and types", f'write {name} = {{"age": "float32", "words": "string[any]"}}'
        )
    return tuple(Field.written(key, kind) for key, kind in found.items())


def describe_object(path: Path, kind: str, found: Any, asked: ReadOptions, inputs: Fields = ()) -> ModelFile:
    """An object that is not an estimator, such as one from a pickle. Raises as `read` does."""
    try:
        original = answering(found)
    except TypeError as error:
        raise NotAModel(path, str(error), "save an object with `predict(columns)`") from error
    return _described(path, kind, found, lambda: original, asked, inputs, ())


def _described(
    path: Path, kind: str, fitted: Any, model: Callable[[], Any], asked: ReadOptions, inputs: Fields, outputs: Fields
) -> ModelFile:
    """With its inputs as declared or by the sample, and its outputs by its task, as declared, or as it was seen to answer."""
    if not inputs and asked.sample is None:
        fix = 'add --sample with a file of rows (Parquet, CSV or JSON), or write inputs = {"age": "float32", …} in the Python file'
        raise NotSaid(path, "which inputs it reads", "code has no signature", fix)
    fields = inputs or asked.sample.fields(asked.sample.names, "float64")  # type: ignore[union-attr]  # one of both is there
    task: Task | None = asked_task(asked)
    if task is not None:
        return ModelFile(path, kind, fitted, fields, task.outputs, task)
    return ModelFile(path, kind, fitted, fields, outputs or _seen(path, model, fields, asked))


def _seen(path: Path, model: Callable[[], Any], fields: Fields, asked: ReadOptions) -> Fields:
    from noria.models.files.guesses import guessed_rows

    rows: Rows = asked.sample.rows(fields).part(0, 8) if asked.sample is not None else next(guessed_rows(fields))
    try:
        found = model()
        if callable(getattr(found, "stream", None)) and not callable(getattr(found, "predict", None)):
            return (Field("text", "string", nullable=False),)
        answer = getattr(found, "predict", found)(Columns(rows))
    except Exception as error:  # whatever a user's code raises
        fix = "correct it, give a --sample that it answers, or declare `outputs`"
        raise CannotServe(path, f"`predict` raised {type(error).__name__}: {error}", fix) from error
    return outputs_of(answer, len(rows), path)
