"""What a model file is known by: its content, and what was asked for beside it, so that it is converted once."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from noria.core.ids import digest
from noria.models.files.port import ReadOptions
from noria.models.files.refusals import BadSample, NotAModel

CHUNK = 1 << 20
LIBRARIES = (
    "noria",
    "onnxruntime",
    "onnx",
    "numpy",
    "lightgbm",
    "xgboost-cpu",
    "xgboost",
    "catboost",
    "keras",
    "scikit-learn",
    "skl2onnx",
    "onnxmltools",
    "skops",
)
WEIGHTS = (".data", ".bin", ".weight", ".weights")
SKIPPED = ("__pycache__", ".git", ".noria")


@dataclass(frozen=True)
class ContentKey:
    """content: SHA-256 of the file, or of all files of the folder; whole: of that and of all that a bundle depends on beside it"""

    content: str
    whole: str


def content_key(path: Path, name: str, asked: ReadOptions) -> ContentKey:
    """By what a model file is known. Raises `NotAModel` for one that is not there."""
    try:
        content = _content(path)
    except OSError as error:
        raise NotAModel(path, f"it can't be read: {error.strerror or error}", "name a file or folder that is there") from error
    sample = None if asked.sample is None else _content_of_sample(asked.sample.path)
    versions = {"python": platform.python_version()} | {library: _version(library) for library in LIBRARIES}
    facts = [content, name, asked.task, list(asked.classes), asked.trust, sample, versions, path.suffix]
    return ContentKey(content, digest(facts))


def _content_of_sample(path: Path) -> str:
    try:
        return _content(path)
    except OSError as error:
        raise BadSample(path, f"it can't be read: {error.strerror or error}", "name a file of rows that is there") from error


def _content(path: Path) -> str:
    found = hashlib.sha256()
    for each in _files(path):
        found.update(each.relative_to(path if path.is_dir() else path.parent).as_posix().encode() + b"\0")
        with each.open("rb") as file:
            while data := file.read(CHUNK):
                found.update(data)
    return found.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    """The files of a folder; a file, and what may belong to it beside it: the weights of an ONNX graph, the modules of a Python file."""
    if path.is_dir():
        yield from (each for each in sorted(path.rglob("*")) if each.is_file() and not set(SKIPPED) & set(each.relative_to(path).parts))
        return
    yield path
    beside = sorted(each for each in path.parent.iterdir() if each != path and each.is_file())
    if path.suffix == ".onnx":
        yield from (each for each in beside if each.suffix in WEIGHTS or each.name.startswith(f"{path.name}"))
    elif path.suffix == ".py":
        yield from (each for each in beside if each.suffix == ".py")


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
