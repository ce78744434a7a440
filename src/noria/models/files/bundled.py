"""From a model file to a bundle: exported, asked its sample, and sealed with a reference profile where there is a sample."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from noria.core.errors import NoriaError
from noria.core.files import Files
from noria.core.signature import FLOATS, INTEGERS, Signature
from noria.data.rows import Rows
from noria.models.bundle import (
    CARD_FILE,
    MODEL_FILE,
    PROFILE_FILE,
    PROJECTION_FILE,
    SAMPLE_FILE,
    Bundle,
    Manifest,
    open_bundle,
    write_bundle,
)
from noria.models.export.port import Exported, Saved, Wanted
from noria.models.files.answering import first_answered, require_answers, settled
from noria.models.files.card import file_card
from noria.models.files.guesses import guessed_rows
from noria.models.files.port import ModelFile, ReadOptions
from noria.models.files.refusals import BrokenModelFile, CannotServe, CarriesCode
from noria.models.lineage import LabelOf, Lineage, environment
from noria.models.profiled import CONFIDENCE, profiled_columns
from noria.models.runtimes.onnx import OnnxModel
from noria.models.runtimes.port import Runtime, RuntimeOptions, UnloadableModel
from noria.profiles.inputs import InputProjections
from noria.profiles.profile import Profile, profile

if TYPE_CHECKING:
    from noria.models.export.refusal import CannotExport

SAMPLE_ROWS = 32
SLOW_ROWS = 256  # of a sample that are taken where each costs time
PARITY_ROWS = 2_000
WINDOWS = 20  # parts of a sample, by whose differences its spread is known
OPTIONS = RuntimeOptions(trust=True, locked=False)  # of what was just read, by the command that trusts it or by a loader of ours
AS_IS = {"name": "none"}  # the task of outputs of which nobody said what they mean
LIBRARIES = (
    "catboost",
    "keras",
    "lightgbm",
    "numpy",
    "onnx",
    "onnxruntime",
    "pyarrow",
    "scikit-learn",
    "skops",
    "torch",
    "transformers",
    "xgboost-cpu",
)


def bundled(found: ModelFile, name: str, digest_of_file: str, asked: ReadOptions, root: Path, files: Files) -> Bundle:
    """The bundle of a model file under `root`, verified. name: of its endpoint; digest_of_file: of its content.

    Raises `CannotServe`, `CarriesCode`, `NotSaid`, `BadSample` or `WrongTask`.
    """
    given = _bounded(asked.sample.rows(found.inputs), found) if asked.sample is not None else None
    if isinstance(found.fitted, bytes):
        found, exported, rows, answers = _graph(found, found.fitted, given)
    else:
        exported, rows, answers = _converted(found, given, asked)
    reference, projections = (None, None) if given is None else _reference(found, rows, answers)
    manifest = _manifest(found, exported, name, digest_of_file)
    contents = {
        **exported.files,
        SAMPLE_FILE: json.dumps(msgspec.to_builtins(_golden(rows, answers))).encode(),
        CARD_FILE: file_card(manifest, found, exported.note, given is not None).encode(),
        **({} if reference is None else {PROFILE_FILE: reference.to_json()}),
        **({} if projections is None else {PROJECTION_FILE: projections.to_json()}),
    }
    return open_bundle(write_bundle(root, manifest, contents, files).path, files)


def _graph(found: ModelFile, model: bytes, given: Rows | None) -> tuple[ModelFile, Exported, Rows, Rows]:
    """A graph as it is, which must answer its sample, row by row."""
    try:
        runtime = OnnxModel(model, signature=found.signature, silent=True)
    except UnloadableModel as error:
        raise BrokenModelFile(found.path, found.kind, error.where, "export the model again") from error
    rows = given if given is not None else first_answered(runtime, _candidates(found, given), found)
    wanted = _wanted(found, rows, trust=False)
    answers = require_answers(runtime, wanted, found)
    outputs = settled(answers, found.inputs)
    if outputs != found.outputs:
        found = replace(found, outputs=outputs)
        answers = require_answers(OnnxModel(model, signature=found.signature, silent=True), _wanted(found, rows, trust=False), found)
    return found, Exported("onnx", {MODEL_FILE: model}), rows, answers


def _converted(found: ModelFile, given: Rows | None, asked: ReadOptions) -> tuple[Exported, Rows, Rows]:
    """A fitted model by the exporters, with its sample and the answers to it."""
    from noria.models.export import CannotExport, export  # converters, which a graph needs none of

    rows = _answered_here(found, given)
    step = max(1, len(rows) // PARITY_ROWS)
    some = rows.take(np.arange(0, len(rows), step))
    try:
        exported = export(found.fitted, _wanted(found, some, trust=asked.trust))
    except CannotExport as error:
        raise _refused(found, error, trust=asked.trust) from error
    if exported.answers is not None and step == 1:
        return exported, rows, exported.answers
    with _opened(exported, found) as model:
        return exported, rows, model.answer(rows)


@contextmanager
def _opened(exported: Exported, found: ModelFile) -> Iterator[Runtime]:
    try:
        with exported.opened(found.signature, OPTIONS) as model:
            yield model
    except NoriaError as error:
        raise CannotServe(found.path, error.where, "correct the model, or give a sample that it answers") from error


def _refused(found: ModelFile, error: CannotExport, *, trust: bool) -> NoriaError:
    if not trust and "without `trust`" in error.reason:
        as_onnx = error.reason.partition("; as ONNX ")[2]
        why = "it has no form but a pickle" + (f", since as ONNX {as_onnx}" if as_onnx else "")
        return CarriesCode(found.path, why)
    return CannotServe(found.path, error.reason, "give a --sample of rows that it answers, or serve a Python file with `load(folder)`")


def _bounded(rows: Rows, found: ModelFile) -> Rows:
    """At most so many rows, evenly taken, as a model answers in seconds: models of tensors and those that Python runs take their time."""
    slow = isinstance(found.fitted, Saved) and found.fitted.fitted is None
    most = SLOW_ROWS if slow or any(field.shape for field in rows.fields) else len(rows)
    return rows if len(rows) <= most else rows.take(np.arange(0, len(rows), -(-len(rows) // most)))


def _candidates(found: ModelFile, given: Rows | None) -> Iterable[Rows]:
    if given is not None:
        return [given]
    return [found.rows] if found.rows is not None and len(found.rows) else guessed_rows(found.inputs)


def _answered_here(found: ModelFile, given: Rows | None) -> Rows:
    """The rows that a fitted model is compared on: the first of the candidates that it answers in this process, if it is in it."""
    from noria.models.runtimes.formats import answering

    candidates = _candidates(found, given)
    fitted = getattr(found.fitted, "fitted", found.fitted)
    if given is not None or fitted is None:
        return next(iter(candidates))
    return first_answered(_Here(answering(fitted), found.signature), candidates, found)


class _Here:
    """A fitted model in this process, as a runtime."""

    def __init__(self, original: Any, signature: Signature) -> None:
        self._original, self.signature = original, signature

    def answer(self, rows: Rows) -> Rows:
        from noria.models.runtimes.columns import Columns, answered
        from noria.models.runtimes.port import ModelFailed

        try:
            return answered(self.signature.outputs, getattr(self._original, "predict", self._original)(Columns(rows)), len(rows))
        except Exception as error:  # of any code
            raise ModelFailed(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Nothing to do."""


def _wanted(found: ModelFile, rows: Rows, *, trust: bool) -> Wanted:
    task = found.task
    bounds = (float("-inf"), float("inf")) if task is None else task.bounds
    return Wanted(found.signature, rows, bounds, trust, exclusive=task is not None and task.exclusive, order=found.order)


# --- what is sealed with it ----------------------------------------------------------------------------------------------


def _golden(rows: Rows, answers: Rows) -> dict[str, Any]:
    """A few rows with their answers, by which a server proves that it has the model."""
    count = min(SAMPLE_ROWS, 4 if rows.nbytes > len(rows) * 2**14 else SAMPLE_ROWS)
    places = np.arange(0, len(rows), max(1, len(rows) // count))[:count]
    return {
        "inputs": [list(row) for row in rows.take(places).values()],
        "outputs": [list(row) for row in answers.take(places).values()],
    }


def _reference(found: ModelFile, rows: Rows, answers: Rows) -> tuple[Profile | None, InputProjections | None]:
    """The profile of the sample: what traffic is compared with."""
    block = rows.is_dense
    projections = None if block else InputProjections.fit(rows)
    names = rows.names if projections is None else projections.names
    watched = _watched(found)
    if not names and not watched:
        return None, projections
    at = np.full(len(rows), int(found.path.stat().st_mtime * 1e6), np.int64)
    columns = profiled_columns(projections, (*names, *watched), rows, answers, at)
    window_of = np.arange(len(rows)) * min(WINDOWS, len(rows)) // max(1, len(rows))
    return profile((*names, *watched), columns, window_of, np.zeros(len(names) + len(watched))), projections


def _watched(found: ModelFile) -> tuple[str, ...]:
    """The columns that answers are watched by."""
    if found.task is not None:
        return tuple(found.task.monitored)
    names: list[str] = []
    for field in found.outputs:
        if field.labels:
            names += [field.name, f"{field.name}.{CONFIDENCE}"]
        elif not field.shape and field.type in (*FLOATS, *INTEGERS, "bool"):
            names.append(field.name)
    return tuple(names)


def _manifest(found: ModelFile, exported: Exported, name: str, digest_of_file: str) -> Manifest:
    saved = datetime.fromtimestamp(found.path.stat().st_mtime, UTC)
    return Manifest(
        name=name,
        runtime=exported.runtime,
        signature=found.signature,
        task=AS_IS if found.task is None else found.task.definition(),
        feature_set="",
        definition_hash="",
        run="",
        lineage=Lineage(
            tables=(),
            label=LabelOf("", ""),
            start=saved,
            as_of=saved,
            training_set="",
            rows={},
            trainer_code="",
            parameters={"file": found.path.name, "sha256": digest_of_file, "kind": found.kind},
        ),
        metrics={},
        environment=environment(LIBRARIES),
        files={},
        trust=exported.trust,
    )
