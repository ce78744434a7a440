"""Fitted models for the Python runtime: in their framework's own format where it has one, by a loader of the project, or pickled.

Whatever is made is loaded in the process that will run it, and must answer there as the fitted model does here.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from noria.core.errors import NoriaError
from noria.core.signature import all_floats
from noria.data.rows import Rows, stacked
from noria.models.export.catboost_trees import saved
from noria.models.export.lightgbm.boosted import fitted_booster
from noria.models.export.port import Exported, Saved, Wanted, kind_of
from noria.models.export.refusal import RETURNED, CannotExport
from noria.models.export.xgboost_trees import booster_of
from noria.models.python_model import PythonModel
from noria.models.runtimes.arrays import is_jitted, is_keras
from noria.models.runtimes.columns import Columns, answered
from noria.models.runtimes.formats import (
    CATBOOST_FILE,
    KERAS_FILE,
    LIGHTGBM_FILE,
    PICKLE_FILE,
    XGBOOST_FILE,
    Booster,
    XgboostBooster,
    answering,
)
from noria.models.runtimes.port import ModelFailed, Runtime, RuntimeOptions
from noria.models.runtimes.python import PythonRuntime
from noria.models.runtimes.python_spec import (
    FILES_FOLDER,
    FORMATS,
    PICKLED,
    PYTHON_FILE,
    REQUIREMENTS_FILE,
    SAFE,
    SOURCE_FOLDER,
    PythonSpec,
    this_python,
)

TOLERANCE = 1e-9  # the same code computes both
ALONE = 3  # rows that are asked alone as well
ROUNDED = 1e-6  # by which an answer may miss its bounds
TRUST = "declare it with nr.Model(…, trust=True): it is then pickled, and Python runs it in a process of its own"
LOADER = "return an nr.PythonModel with a loader of its own"
IMPUTED = "let the model itself take unknown values: put an imputer before it, in a pipeline; trainer=nr.sklearn(estimator) does so"


@dataclass(frozen=True)
class Form:
    """A model as files. original: what answers here as the files should; None where nothing does"""

    loader: str
    files: Mapping[str, bytes]
    original: Any = None
    source: Mapping[str, bytes] = field(default_factory=dict)


class PythonExporter:
    """Whatever Python can call."""

    def export(self, fitted: Any, wanted: Wanted) -> Exported:
        """Raises `CannotExport` and `BadPythonModel`."""
        kind, form = kind_of(fitted), _form(fitted, wanted)
        spec = PythonSpec(form.loader, this_python(), {})
        options = RuntimeOptions(trust=True, locked=False)  # what was fitted here is as trusted as the trainer is
        try:
            with _files(form, spec).opened(wanted.signature, options) as model:
                answers = _compare(kind, model, form.original, wanted)
                assert isinstance(model, PythonRuntime)
                spec = msgspec.structs.replace(spec, requirements=model.imports())
        except CannotExport:
            raise
        except NoriaError as error:  # of the loader, or of the model in its process
            fix = IMPUTED if "NaN" in error.where or "missing values" in error.where else LOADER
            raise CannotExport(kind, f"Python can't run it either: {error.where}", fix) from error
        note = _note(kind, spec, wanted.refused)
        return replace(_files(form, spec), trust=spec.runs_its_own_code, note=note, answers=answers)


def _form(fitted: Any, wanted: Wanted) -> Form:
    """Raises `CannotExport` where nothing can run it, or where nobody has said that it may run."""
    if isinstance(fitted, Saved):
        return _saved(fitted, wanted)
    kind, root = kind_of(fitted), type(fitted).__module__.split(".")[0]
    if isinstance(fitted, PythonModel):
        _require_trust(kind, "it has a loader of its own", wanted)
        loader, source = fitted.source()
        return Form(loader, fitted.contents(), None, source)
    if root == "lightgbm":
        try:
            booster = fitted_booster(fitted, numbers=wanted.numbers, scores=wanted.scores, order=wanted.order)
        except CannotExport as error:
            if not error.elsewhere:
                raise
        else:
            return Form(f"{FORMATS}:lightgbm_text", {LIGHTGBM_FILE: booster.model_to_string().encode()}, Booster(booster))
    if root == "xgboost" and (found := booster_of(fitted, wanted)) is not None:
        return Form(f"{FORMATS}:xgboost_json", {XGBOOST_FILE: bytes(found.save_raw("json"))}, XgboostBooster(found))
    if root == "catboost":
        return Form(f"{FORMATS}:catboost_cbm", {CATBOOST_FILE: saved(fitted.save_model, CATBOOST_FILE)}, answering(fitted))
    if is_keras(fitted):  # whose format names classes to be made, and has let code through more than once (CVE-2025-1550, CVE-2025-8747)
        _require_trust(kind, "Keras's format can name code to run", wanted)
        return Form(f"{FORMATS}:keras_file", {KERAS_FILE: saved(fitted.save, KERAS_FILE)}, answering(fitted))
    if is_jitted(fitted):
        fitted = answering(fitted)
    try:
        original = answering(fitted)
    except TypeError as error:
        raise wanted.refused or CannotExport(kind, str(error), LOADER) from error
    _require_trust(kind, "it has no format but a pickle", wanted)
    return Form(PICKLED, {PICKLE_FILE: _pickled(kind, fitted)}, original)


def _saved(fitted: Saved, wanted: Wanted) -> Form:
    if fitted.loader not in SAFE:
        _require_trust(kind_of(fitted), "it has code of its own", wanted)
    return Form(fitted.loader, fitted.files, None if fitted.fitted is None else answering(fitted.fitted), fitted.source)


def _require_trust(kind: str, why: str, wanted: Wanted) -> None:
    if not wanted.trust:
        refused = wanted.refused
        reason = f"{why}, and this model is declared without `trust`"
        if refused is not None and refused.reason != RETURNED:
            reason += f"; as ONNX it can't be served: {refused.reason}"
        raise CannotExport(kind, reason, TRUST if refused is None else f"{TRUST}; or {refused.way}")


def _pickled(kind: str, fitted: Any) -> bytes:
    """Its pickle, in which functions and classes of the project stand as a whole: where it is read there is no project."""
    import cloudpickle

    with _by_value(cloudpickle):
        try:
            return bytes(cloudpickle.dumps(fitted))
        except Exception as error:  # what `__reduce__` raises shares no narrower base; raised again with its words
            raise CannotExport(kind, f"it can't be pickled: {type(error).__name__}: {error}", LOADER) from error


@contextmanager
def _by_value(cloudpickle: Any) -> Iterator[None]:
    own = [module for name, module in list(sys.modules.items()) if _is_of_project(name, module)]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def _is_of_project(name: str, module: ModuleType | None) -> bool:
    """Whether a module is neither Python's, nor installed, nor ours."""
    file = getattr(module, "__file__", None)
    if file is None or name.split(".")[0] in ("noria", "__main__") or name != getattr(module, "__name__", None):
        return False
    path = Path(file).resolve()
    return not {"site-packages", "dist-packages"} & set(path.parts) and not any(path.is_relative_to(each) for each in _pythons_own())


@cache
def _pythons_own() -> tuple[Path, ...]:
    """Where Python's own modules are."""
    return tuple(Path(sysconfig.get_path(place)).resolve() for place in ("stdlib", "platstdlib"))


def _files(form: Form, spec: PythonSpec) -> Exported:
    files = {PYTHON_FILE: msgspec.json.encode(spec), REQUIREMENTS_FILE: spec.requirements_text().encode()}
    files |= {f"{FILES_FOLDER}/{name}": data for name, data in form.files.items()}
    files |= {f"{SOURCE_FOLDER}/{name}": data for name, data in form.source.items()}
    return Exported("python", files)


def _note(kind: str, spec: PythonSpec, refused: CannotExport | None) -> str:
    how = "from its pickle" if spec.loader == PICKLED else f"by {spec.loader}"
    why = f", since as ONNX it can't be served: {refused.reason}" if refused is not None and refused.reason != RETURNED else ""
    return f"{kind} runs in the Python runtime, loaded {how}{why}"


def _compare(kind: str, model: Runtime, original: Any, wanted: Wanted) -> Rows:
    """Its answers. Raise `CannotExport` unless it answers as its original, each row by itself, with finite numbers within bounds; and
    `ModelFailed`."""
    rows = wanted.rows if len(wanted.rows) else Rows.unknown(wanted.signature.inputs, 1)
    answers = model.answer(rows)
    if not answers.finite():
        raise CannotExport(kind, f"it returns NaN or infinity among {len(rows)} rows", "make it return a finite number for any row")
    if original is not None:
        apart = max(answers.differences(_original(original, rows, wanted)), default=0.0)
        if not apart <= TOLERANCE:
            raise CannotExport(kind, f"loaded in another process it answers differently, by up to {apart:.2g}", LOADER)
    if wanted.varies:
        return answers
    some = range(0, len(rows), -(-len(rows) // ALONE))
    alone = stacked([model.answer(rows.part(place, place + 1)) for place in some])
    apart = max(alone.differences(answers.take(list(some))), default=0.0)
    if not apart <= ROUNDED:
        reason = f"its answer to a row depends on the other rows of the batch (by up to {apart:.2g}), and requests are batched"
        raise CannotExport(kind, reason, "make each answer a function of its own row")
    outputs = wanted.signature.outputs
    if all_floats(outputs):
        wrong = wanted.wrong(answers.scores(outputs).reshape(len(answers), wanted.scores), ROUNDED)
        if wrong:
            raise CannotExport(kind, wrong, "make it return what the model's task asks for, such as a probability")
    return answers


def _original(original: Any, rows: Rows, wanted: Wanted) -> Rows:
    predict = getattr(original, "predict", None)
    try:
        return answered(wanted.signature.outputs, (predict or original)(Columns(rows)), len(rows))
    except Exception as error:  # of any code; the model is asked the same where it is loaded, and raised there too
        raise ModelFailed(f"{type(error).__name__}: {error}") from error
