"""Bundles whose model is Python code of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from noria.core.files import LocalFiles
from noria.core.signature import Signature
from noria.data.rows import Rows
from noria.models.bundle import CARD_FILE, PROFILE_FILE, SAMPLE_FILE, Bundle, Manifest, write_bundle
from noria.models.export import Exported
from noria.models.runtimes.port import Runtime
from noria.models.runtimes.python_spec import FILES_FOLDER, PYTHON_FILE, SOURCE_FOLDER, PythonSpec, this_python
from servers import FEATURES, lineage_of

NUMBERS = Signature.of_numbers(FEATURES)
SAMPLE = [[1.0, 2.0], [-3.5, 0.25]], [[1.0], [-3.5]]


def scores(model: Runtime, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """One score a row `(rows,)` of a block of the model's inputs `(rows, inputs)`: its last output."""
    signature = model.signature
    return model.answer(Rows.dense(signature.inputs, features)).numbers(signature.outputs[-1].name)


# Answers its first feature. A row whose second feature is one of these does what it says, whatever else is in its batch.
BAD = """
import os, signal, sys, time
import numpy as np

LEAKED = []


class Model:
    def predict(self, columns):
        what = set(np.asarray(columns["b"]).tolist())
        first = np.array(columns["a"], float)
        if 101 in what:
            raise ValueError("this row is bad")
        if 102 in what:
            while True:
                pass
        if 103 in what:
            sys.exit(3)
        if 104 in what:
            os.kill(os.getpid(), signal.SIGSEGV)
        if 105 in what:
            print("what a model prints", '{"type":"answered","size":0}')
            sys.stderr.write("and what it complains of\\n")
            os.write(1, b"past Python\\n" * 1000)
        if 106 in what:
            return first[:-1]
        if 107 in what:
            first[0] = np.nan
        if 108 in what:
            return ["one"] * len(first)
        if 109 in what:
            while True:
                LEAKED.append(np.zeros(2**25))
        if 110 in what:
            time.sleep(0.5)
        if 111 in what:
            return None
        if 112 in what:
            return {"score": first}
        return first


def load(folder):
    return Model()
"""


def python_bundle(
    root: Path,
    source: str = BAD,
    *,
    signature: Signature = NUMBERS,
    sample: tuple[Any, Any] = SAMPLE,
    files: Mapping[str, bytes] | None = None,
    modules: Mapping[str, str] | None = None,
    spec: PythonSpec | None = None,
    run: str = "run",
    task: dict[str, Any] | None = None,
) -> Bundle:
    """A bundle whose loader is `load` of a module `mine`. files: what it reads; modules: more of them, name → source"""
    contents = {
        PYTHON_FILE: msgspec.json.encode(spec or PythonSpec("mine:load", this_python(), {})),
        **{f"{SOURCE_FOLDER}/{name}.py": text.encode() for name, text in {"mine": source, **(modules or {})}.items()},
        **{f"{FILES_FOLDER}/{name}": data for name, data in (files or {}).items()},
    }
    return seal_exported(root, Exported("python", contents, trust=True), signature, sample, run, task)


def seal_exported(
    root: Path, exported: Exported, signature: Signature, sample: tuple[Any, Any], run: str = "run", task: dict[str, Any] | None = None
) -> Bundle:
    """A bundle of what an exporter made."""
    inputs, outputs = sample
    contents = {
        **exported.files,
        SAMPLE_FILE: msgspec.json.encode({"inputs": inputs, "outputs": outputs}),
        PROFILE_FILE: b"{}",
        CARD_FILE: b"",
    }
    manifest = Manifest(
        name="small",
        runtime=exported.runtime,
        signature=signature,
        task=task or {},
        feature_set="small",
        definition_hash="",
        run=run,
        lineage=lineage_of(),
        metrics={},
        environment={},
        files={},
        trust=exported.trust,
    )
    root.mkdir(parents=True, exist_ok=True)
    return write_bundle(root, manifest, contents, LocalFiles())
