"""CatBoost's own files. They are data, and say which features they read and what they predict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from noria.core.errors import MissingExtra
from noria.core.signature import SCORE, Field
from noria.data.rows import Fields
from noria.evaluation.binary import Binary
from noria.evaluation.regression import Regression
from noria.evaluation.task import Task
from noria.models.files.port import ModelFile, ReadOptions
from noria.models.files.refusals import BadSample, BrokenModelFile, CannotServe, NotSaid, WrongTask
from noria.models.files.tasks import NONE, asked_task, of_classes

KIND = "a CatBoost model"
FIRST_BYTES = b"CBM1"
PROBABILITY, CHANCES = ("Logloss", "CrossEntropy"), ("MultiClass",)
NUMBER = (
    *("RMSE", "MAE", "MAPE", "Quantile", "Expectile", "Huber", "LogCosh", "Lq", "LogLinQuantile", "SMAPE", "MSLE", "MedianAbsoluteError"),
    *("Poisson", "Tweedie"),
)
ORDER = ("YetiRank", "YetiRankPairwise", "PairLogit", "PairLogitPairwise", "QueryRMSE", "QuerySoftMax", "StochasticRank", "LambdaMart")


def read(path: Path, asked: ReadOptions) -> ModelFile:
    """A model from its file. Raises `BrokenModelFile`, `NotSaid`, `BadSample`, `CannotServe` or `WrongTask`."""
    if path.read_bytes()[: len(FIRST_BYTES)] != FIRST_BYTES:
        raise BrokenModelFile(path, KIND, "it does not begin as CatBoost's own format does", "give what `model.save_model(path)` writes")
    try:
        import catboost
    except ImportError as error:
        raise MissingExtra(library="catboost", extra="catboost", needed_for=str(path)) from error
    try:
        model: Any = catboost.CatBoost().load_model(str(path))
    except catboost.CatBoostError as error:
        raise BrokenModelFile(path, KIND, str(error), "save the model again, or copy the whole file") from error
    task, order = _task(path, model, asked)
    return ModelFile(path, KIND, model, _inputs(path, model, asked), (SCORE,) if task is None else task.outputs, task, order)


def _task(path: Path, model: Any, asked: ReadOptions) -> tuple[Task | None, bool]:
    """What its answers mean, by its loss and by what was asked; and whether only their order means anything."""
    loss, given = str(model.get_all_params().get("loss_function", "")).split(":")[0], asked_task(asked)
    known = _of_loss(model, loss, asked)
    if known is not None and known[0] is not None:
        if given is not None and given.definition() != known[0].definition() and given.name != known[0].name:
            raise WrongTask(f"--task {asked.task}", f"it was trained for {loss}", "leave --task out: the file says what it predicts")
        return known
    if given is not None:
        return given, False
    if known is not None or asked.task == NONE:
        return known or (None, False)
    fix = "add --task regression to serve its numbers as they are, or --task multilabel with --classes"
    raise NotSaid(path, "what its answers mean", f"its loss is {loss!r}" if loss else "it has no loss", fix)


def _of_loss(model: Any, loss: str, asked: ReadOptions) -> tuple[Task | None, bool] | None:
    """None for a loss that is not known."""
    if loss in PROBABILITY and not np.size(model.classes_):
        return Binary(), False
    if loss in (*PROBABILITY, *CHANCES):
        return of_classes(np.asarray(model.classes_), asked), False
    if loss in NUMBER:
        return Regression(), False
    return (None, True) if loss in ORDER else None


def _inputs(path: Path, model: Any, asked: ReadOptions) -> Fields:
    """Numbers as float32; categories and texts, of which none may be unknown. The names of a sample, where the file has none of its own."""
    if list(model.get_embedding_feature_indices()):
        raise CannotServe(path, "it reads embeddings", "serve it in a Python file with `load(folder)`")
    names = [str(name) for name in model.feature_names_]
    texts = {*model.get_cat_feature_indices(), *model.get_text_feature_indices()}
    sample = asked.sample
    if sample is not None and any(name not in sample.names for name in names):
        if names != [str(place) for place in range(len(names))]:
            raise BadSample.lacking(sample.path, [name for name in names if name not in sample.names], sample.names)
        if len(sample.names) != len(names):
            reason = f"it has {len(sample.names)} columns, and the model reads {len(names)} without names"
            raise BadSample(sample.path, reason, "give a column for each input, in their order, and no others")
        names = sample.names
    return tuple(Field(name, "string", nullable=False) if place in texts else Field(name) for place, name in enumerate(names))
