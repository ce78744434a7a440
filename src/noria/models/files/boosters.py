"""Files of LightGBM (text) and XGBoost (JSON and UBJSON). They are data, and say what they predict."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from noria.core.errors import MissingExtra
from noria.core.signature import SCORE, Field
from noria.data.rows import Fields
from noria.evaluation.task import Task
from noria.models.export.port import Saved
from noria.models.files.port import ModelFile, ReadOptions
from noria.models.files.refusals import BadSample, BrokenModelFile, CannotServe, NotSaid, WrongTask
from noria.models.files.tasks import NONE, asked_task, of_objective
from noria.models.runtimes.formats import LIGHTGBM_FILE, XGBOOST_FILE
from noria.models.runtimes.python_spec import FORMATS

LIGHTGBM, XGBOOST = "a LightGBM model", "an XGBoost model"
AGAIN = "save the model again, or copy the whole file"
OBJECTIVE = re.compile(r"^objective=(\S+)", re.MULTILINE)


def read_lightgbm(path: Path, asked: ReadOptions) -> ModelFile:
    """A booster from its text. Raises `BrokenModelFile`, `NotSaid`, `CannotServe` or `WrongTask`."""
    try:
        import lightgbm
    except ImportError as error:
        raise MissingExtra(library="lightgbm", extra="lightgbm", needed_for=str(path)) from error
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise BrokenModelFile(path, LIGHTGBM, "it is not text", "give what `booster.save_model(path)` writes") from error
    if not text.startswith("tree\n"):
        raise BrokenModelFile(path, LIGHTGBM, "its first line is not `tree`", "give what `booster.save_model(path)` writes")
    if "end of trees" not in text:  # LightGBM's own reader ends the process on some files that end early
        raise BrokenModelFile(path, LIGHTGBM, "it ends before the end of its trees", AGAIN)
    try:
        booster = lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as error:
        raise BrokenModelFile(path, LIGHTGBM, str(error), AGAIN) from error
    if any(getattr(booster, "pandas_categorical", None) or []):
        reason = "it was trained on pandas categories, whose positions requests can't send"
        raise CannotServe(path, reason, "train it on numbers, or serve it in a pipeline or a Python file with the encoding in it")
    objective = OBJECTIVE.search(text)
    classes = int(booster.num_model_per_iteration())
    known = of_objective(objective[1] if objective else "", classes, asked)
    own = Saved(LIGHTGBM, f"{FORMATS}:lightgbm_text", {LIGHTGBM_FILE: path.read_bytes()})
    found = _task(path, objective[1] if objective else "", known, asked)
    return _file(path, LIGHTGBM, booster if known else own, booster.feature_name(), found, asked)


def read_xgboost(path: Path, asked: ReadOptions) -> ModelFile:
    """A booster from its JSON or UBJSON. Raises `BrokenModelFile`, `NotSaid`, `CannotServe` or `WrongTask`."""
    try:
        import xgboost
    except ImportError as error:
        raise MissingExtra(library="xgboost", extra="xgboost", needed_for=str(path)) from error
    try:
        booster: Any = xgboost.Booster(model_file=str(path))
        learner = json.loads(booster.save_config())["learner"]
        features = int(booster.num_features())
    except (xgboost.core.XGBoostError, ValueError, KeyError) as error:
        raise BrokenModelFile(path, XGBOOST, _first_words(str(error)), "give what `save_model(path)` writes, whole") from error
    if "c" in (booster.feature_types or []):
        reason = "it was trained on categories, whose positions requests can't send"
        raise CannotServe(path, reason, "train it on numbers, or serve it in a Python file with the encoding in it")
    best = booster.attr("best_iteration")
    if best is not None and booster.attr("scikit_learn") is not None:  # as its classifier and regressor answer
        booster = booster[: int(best) + 1]
    classes = int(learner["learner_model_param"]["num_class"])
    known = of_objective(learner["objective"]["name"], classes, asked)
    own = Saved(XGBOOST, f"{FORMATS}:xgboost_json", {XGBOOST_FILE: bytes(booster.save_raw("json"))})
    found = _task(path, learner["objective"]["name"], known, asked)
    names = booster.feature_names or [f"f{place}" for place in range(features)]
    return _file(path, XGBOOST, booster if known else own, names, found, asked)


def _first_words(reason: str) -> str:
    """What a message of XGBoost says, without its stack."""
    lines = [line.strip() for line in reason.splitlines() if line.strip() and not line.startswith("Stack trace")]
    return lines[0].partition("] ")[2].partition(": ")[2] or lines[0] if lines else reason


def _task(path: Path, objective: str, own: tuple[Task | None, bool] | None, asked: ReadOptions) -> tuple[Task | None, bool]:
    """own: by its objective, if that is a known one; a model of another answers with its library's numbers as they are."""
    given = asked_task(asked)
    if own is None and given is None:
        if asked.task == NONE:
            return None, False
        why = f"its objective is {objective!r}" if objective else "it has no objective"
        fix = "add --task regression to serve its numbers as they are, or --task binary if they are probabilities"
        raise NotSaid(path, "what its answers mean", why, fix)
    if own is not None and own[0] is not None and given is not None and _scores(given) != _scores(own[0]):
        reason = f"its objective {objective!r} gives {_scores(own[0])} number(s) a row, and the task {_scores(given)}"
        raise WrongTask(f"--task {asked.task}", reason, "leave --task out: the file says what it predicts")
    if given is not None:
        return given, False
    assert own is not None
    return own


def _scores(task: Task) -> int:
    return sum(len(field.labels) or 1 for field in task.outputs)


def _file(path: Path, kind: str, booster: Any, names: Sequence[str], found: tuple[Task | None, bool], asked: ReadOptions) -> ModelFile:
    task, order = found
    outputs = (SCORE,) if task is None else task.outputs
    return ModelFile(path, kind, booster, _inputs(list(names), asked), outputs, task, order)


def _inputs(names: list[str], asked: ReadOptions) -> Fields:
    """Numbers by name, float32, as boosters hold them; the names of a sample, where the file has none of its own."""
    sample = asked.sample
    if sample is not None and any(name not in sample.names for name in names):
        own = all(re.fullmatch(r"(f|Column_)\d+", name) for name in names)
        if not own:
            raise BadSample.lacking(sample.path, [name for name in names if name not in sample.names], sample.names)
        if len(sample.names) != len(names):
            reason = f"it has {len(sample.names)} columns, and the model reads {len(names)} without names"
            raise BadSample(sample.path, reason, "give a column for each input, in their order, and no others")
        names = sample.names
    return tuple(Field(name) for name in names)
