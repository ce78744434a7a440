"""What a bundle says of a model that Python runs: who loads it, and with which versions of what.

model/python.json        this
model/requirements.txt   the same versions, as pip reads them
model/files/             what the loader reads
model/source/            the project's modules that the loader is in, or that it imports
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

import msgspec

from noria.core.errors import UserMistake
from noria.core.ids import short
from noria.models.bundle import MODEL_FOLDER

PYTHON_FILE = f"{MODEL_FOLDER}/python.json"
REQUIREMENTS_FILE = f"{MODEL_FOLDER}/requirements.txt"
FILES_FOLDER = f"{MODEL_FOLDER}/files"
SOURCE_FOLDER = f"{MODEL_FOLDER}/source"
FORMATS = "noria.models.runtimes.formats"
SAVED = "noria.models.runtimes.saved"
SKOPS, SKOPS_TRUSTED = f"{SAVED}:skops_file", f"{SAVED}:skops_trusted"
TRANSFORMERS = "noria.models.runtimes.transformers_folder:load"
KERAS, KERAS_TRUSTED = (f"noria.models.runtimes.keras_files:{name}" for name in ("keras_checked", "keras_trusted"))
MLFLOW, PYTHON_OBJECT = f"{SAVED}:mlflow_folder", f"{SAVED}:python_object"
APPLICATION, APPLICATION_TRUSTED = (f"noria.llm.application.opening:{name}" for name in ("opened", "opened_with_secrets"))
# loaders of ours that read data, and run none of it
SAFE = (f"{FORMATS}:lightgbm_text", f"{FORMATS}:xgboost_json", f"{FORMATS}:catboost_cbm", SKOPS, TRANSFORMERS, KERAS, APPLICATION)
PICKLED = f"{FORMATS}:pickled"


class PythonSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`python.json`. loader: `module:function`, called with the folder of files; python: the version, without its last part

    requirements: the installed version of each distribution that the model's objects import
    """

    loader: str
    python: str
    requirements: dict[str, str]

    @property
    def runs_its_own_code(self) -> bool:
        """Whether loading it runs code that came with the bundle. Decided by who reads it, not by what the bundle says of itself."""
        return self.loader not in SAFE

    def requirements_text(self) -> str:
        return "".join(f"{name}=={found}\n" for name, found in sorted(self.requirements.items()))


class NotTrusted(UserMistake):
    """A bundle runs code of its own, and nobody has said that it may."""

    code = "NR-333"

    def __init__(self, bundle: str) -> None:
        self.bundle = bundle
        super().__init__(
            what=f"bundle {short(bundle)} runs code that it carries, and this project does not trust it",
            where="its model is pickled, or has a loader of its own: whoever made it can do anything here",
            fix="if you know who made it, declare its model with nr.Model(…, trust=True)",
        )


class OtherVersions(UserMistake):
    """The installed versions are not those that a model was made with."""

    code = "NR-332"

    def __init__(self, bundle: str, differing: Mapping[str, tuple[str, str | None]]) -> None:
        self.bundle, self.differing = bundle, dict(differing)
        told = [f"{name} is {found or 'not installed'} instead of {wanted}" for name, (wanted, found) in sorted(differing.items())]
        super().__init__(
            what=f"bundle {short(bundle)} was made with other versions than those installed here",
            where=", ".join(told),
            fix=f'run `pip install -r {REQUIREMENTS_FILE}` of the bundle, train again, or allow it: serving.model_versions = "any"',
        )


def this_python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def read_spec(folder: Path) -> PythonSpec:
    """What a bundle's folder says. Raises `OSError` or `msgspec.DecodeError`."""
    return msgspec.json.decode((folder / PYTHON_FILE).read_bytes(), type=PythonSpec)


def differing(spec: PythonSpec) -> dict[str, tuple[str, str | None]]:
    """What is installed here in another version than a model was made with: name → the version it wants, and the one there is."""
    found = {name: (wanted, _installed(name)) for name, wanted in spec.requirements.items()}
    found["python"] = spec.python, this_python()
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def distributions(modules: Iterable[str]) -> dict[str, str]:
    """The distributions that modules come from, with their installed versions; Noria itself and the standard library are none."""
    tops = {module.split(".")[0] for module in modules} - sys.stdlib_module_names - {"noria"}
    known = packages_distributions()
    named = {name for top in tops for name in known.get(top, ()) if len(known[top]) == 1}
    return {name: version(name) for name in sorted(named)}
