"""skops files: scikit-learn estimators as data, of types that skops knows to be safe."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from noria.core.errors import MissingExtra
from noria.models.export.port import Saved
from noria.models.files.estimators import describe
from noria.models.files.port import ModelFile, ReadOptions
from noria.models.files.refusals import BrokenModelFile, CarriesCode
from noria.models.runtimes.python_spec import SKOPS, SKOPS_TRUSTED
from noria.models.runtimes.saved import SKOPS_FILE

KIND = "a skops file"
AGAIN = "save it with `skops.io.dump(estimator, path)`"


def read(path: Path, asked: ReadOptions) -> ModelFile:
    """An estimator from a skops file. Raises `BrokenModelFile`, `CarriesCode` and what `describe` raises."""
    data = path.read_bytes()
    if not zipfile.is_zipfile(path):
        told = "it is a Python pickle" if data[:1] == b"\x80" else "it is no zip archive, or it is cut off"
        raise BrokenModelFile(path, KIND, told, AGAIN if data[:1] == b"\x80" else "copy the whole file")
    try:
        import skops.io
        from skops.io.exceptions import UntrustedTypesFoundException
    except ImportError as error:
        raise MissingExtra(library="skops", extra="skops", needed_for=str(path)) from error
    try:
        unknown = skops.io.get_untrusted_types(data=data)
        if unknown and not asked.trust:
            raise CarriesCode(path, f"it has objects of types that skops does not know to be safe: {', '.join(unknown[:6])}")
        estimator: Any = skops.io.loads(data, trusted=unknown)
    except (CarriesCode, MissingExtra):
        raise
    except UntrustedTypesFoundException as error:
        raise CarriesCode(path, str(error)) from error
    except Exception as error:  # what a damaged archive makes skops raise shares no base
        raise BrokenModelFile(path, KIND, f"{type(error).__name__}: {error}", AGAIN) from error
    saved = Saved(KIND, SKOPS_TRUSTED if unknown else SKOPS, {SKOPS_FILE: data}, estimator)
    return describe(path, KIND, estimator, asked, fitted=saved)
