"""Fitted scikit-learn estimators and pipelines: what they read and what they answer, as far as they say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from noria.core.signature import PREDICTION, SCORE, Field
from noria.data.rows import Fields
from noria.evaluation.regression import Regression
from noria.evaluation.task import Task
from noria.models.files.answering import outputs_of
from noria.models.files.guesses import guessed_rows
from noria.models.files.port import ModelFile, ReadOptions
from noria.models.files.refusals import BadSample, CannotServe, NotSaid, WrongTask
from noria.models.files.tasks import NONE, asked_task, of_classes
from noria.models.runtimes.columns import Columns
from noria.models.runtimes.formats import answering, is_estimator

NUMBER = "float64"  # as scikit-learn computes


def describe(path: Path, kind: str, estimator: Any, asked: ReadOptions, inputs: Fields = (), fitted: Any = None) -> ModelFile:
    """An estimator as a model file. inputs: where something else says them; fitted: what exporters take, if it is not the estimator.

    Raises `NotSaid`, `BadSample`, `WrongTask` or `CannotServe`.
    """
    if not is_estimator(estimator):
        fix = "save a fitted estimator or pipeline with `predict`"
        raise CannotServe(path, f"it holds a {type(estimator).__module__}.{type(estimator).__name__}, which does not predict", fix)
    _require_fitted(path, estimator)
    fields = inputs or _inputs(path, estimator, asked)
    task, outputs = _answers(path, estimator, fields, asked)
    return ModelFile(path, f"{kind} of {type(estimator).__name__}", fitted or estimator, fields, outputs, task)


def _require_fitted(path: Path, estimator: Any) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise CannotServe(path, f"it is not fitted: {type(estimator).__name__}", "save it after `fit`") from error
    except (TypeError, AttributeError):
        pass  # of another library, which says it when it is asked


def _reads_texts(estimator: Any) -> bool:
    """Whether it begins with a vectorizer of texts."""
    steps = getattr(estimator, "steps", None)
    first = steps[0][1] if steps else estimator
    return type(first).__module__.startswith("sklearn.feature_extraction.text")


def _inputs(path: Path, estimator: Any, asked: ReadOptions) -> Fields:
    names = getattr(estimator, "feature_names_in_", None)
    names = None if names is None else [str(name) for name in names]
    count = getattr(estimator, "n_features_in_", None) if names is None else len(names)
    sample = asked.sample
    if sample is not None:
        if names is None and count is not None and len(sample.names) != count:
            reason = f"it has {len(sample.names)} columns, and the model reads {count} without names"
            raise BadSample(sample.path, reason, "give a column for each input, in their order, and no others")
        return sample.fields(names or sample.names, NUMBER)
    if _reads_texts(estimator):
        return (Field("text", "string"),)
    if count is None:
        raise NotSaid(path, "which inputs it reads", "it has neither feature_names_in_ nor n_features_in_", _SAMPLE)
    if _mixed(estimator):
        raise NotSaid(path, "which types its inputs have", "it treats columns differently, such as texts and numbers", _SAMPLE)
    return tuple(Field(name, NUMBER) for name in names or [f"x{place}" for place in range(count)])


_SAMPLE = "add --sample with a file of rows (Parquet, CSV or JSON)"


def _mixed(estimator: Any) -> bool:
    """Whether a part of it takes some columns for texts or categories."""
    from noria.models.export.sklearn.estimators import parts

    return any(any(np.asarray(values).dtype.kind in "OU" for values in getattr(part, "categories_", ())) for part in parts(estimator))


def _answers(path: Path, estimator: Any, inputs: Fields, asked: ReadOptions) -> tuple[Task | None, Fields]:
    given = asked_task(asked)
    known = getattr(estimator, "classes_", None)
    probable = callable(getattr(estimator, "predict_proba", None)) and known is not None and not isinstance(known, list)
    if given is not None:
        if probable and sum(len(field.labels) or 2 for field in given.outputs) != len(np.asarray(known)):
            reason = f"it was fitted on {len(np.asarray(known))} classes"
            raise WrongTask(f"--task {asked.task}", reason, "leave it out: the file says its classes")
        return given, given.outputs
    if probable:
        task = of_classes(np.asarray(known).tolist(), asked)
        return task, task.outputs
    if isinstance(known, list) and callable(getattr(estimator, "predict_proba", None)):
        fix = "add --task multilabel and --classes with a name for each output, in their order"
        raise NotSaid(path, "the names of its outputs", f"it has {len(known)} outputs with classes of their own", fix)
    found = _seen(path, estimator, inputs, asked)
    if known is None and found == (Field(PREDICTION, NUMBER, nullable=False),) and asked.task != NONE:
        return Regression(), (SCORE,)
    return None, found


def _seen(path: Path, estimator: Any, inputs: Fields, asked: ReadOptions) -> Fields:
    """The fields of what it was seen to answer."""
    original = answering(estimator)
    candidates = [asked.sample.rows(inputs).part(0, 8)] if asked.sample is not None else guessed_rows(inputs)
    why = "it has no inputs"
    for rows in candidates:
        try:
            answer = original.predict(Columns(rows))
        except Exception as error:  # noqa: BLE001 - what estimators raise shares no base; the next rows may do, or it is told
            why = f"{type(error).__name__}: {error}"
        else:
            return outputs_of(answer, len(rows), path)
    raise NotSaid(path, "what it answers, and it refuses made-up rows", why, _SAMPLE)
