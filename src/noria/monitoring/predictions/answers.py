"""The answers of a model, from the columns of a table: what kind they are, and their scores.

A prediction is one column with a probability, a number or a class label; or several columns, a list or a struct with the probability of
each class. What can't be an answer (null, NaN, a probability outside 0 to 1) has no score: it is counted, and the column's monitors see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.evaluation.binary import Binary
from noria.evaluation.metric import Metric
from noria.evaluation.multiclass import Multiclass
from noria.evaluation.regression import Regression
from noria.evaluation.task import Task
from noria.monitoring.predictions.labels import ClassLabels, accuracies
from noria.monitoring.predictions.values import (
    Column,
    Floats,
    NotPredictions,
    distinct,
    in_short,
    is_list,
    is_number,
    is_text,
    lists,
    numbers,
    places,
    plain,
    texts,
)

if TYPE_CHECKING:
    import pyarrow as pa

TASKS = ("binary", "regression", "multiclass")
MAX_CLASSES = 1000  # above which texts are no class labels
CODES = 20  # distinct whole numbers at most that may be the codes of classes
OUTSIDE = 0.01  # of the reference's answers, above which they are no probabilities
PERCENT = 100.0
SUMS_TO = 0.02  # by which the probabilities of all classes may miss 1


class UndecidedTask(UserMistake):
    """What a table's predictions mean does not follow from its columns."""

    code = "NR-582"

    def __init__(self, why: str, where: str) -> None:
        super().__init__(what=f"the task can't be inferred: {why}", where=where, fix=f"name it: one of {', '.join(TASKS)}")


@dataclass(frozen=True)
class JudgeOptions:
    """What a table's columns are. prediction: one column, or one for each of `classes`

    outcome_time: when each outcome became known; id: of each prediction; positive: the outcome that counts as 1
    """

    time: str
    prediction: tuple[str, ...]
    outcome: str | None = None
    outcome_time: str | None = None
    id: str | None = None
    task: Task | str | None = None
    classes: tuple[str, ...] | None = None
    positive: str | None = None


@dataclass(frozen=True)
class Answers:
    """Answers as a task has them. scores: `(rows,)` or `(rows, classes)`, NaN in a row without an answer

    watched: the columns by which answers are monitored; notes: what was found on reading them, in sentences
    inferred: whether the task was
    """

    task: Task
    scores: Floats = field(repr=False)
    watched: dict[str, Any] = field(repr=False)
    notes: tuple[str, ...] = ()
    inferred: bool = False

    @cached_property
    def answered(self) -> NDArray[np.bool_]:
        """Which rows have an answer `(rows,)`."""
        finite = np.isfinite(self.scores)
        return np.asarray(finite if finite.ndim == 1 else finite.all(axis=1))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that are judged of all rows, the default first."""
        if isinstance(self.task, Binary):
            return tuple(self.task.metric(name) for name in ("log_loss", "brier", "auc", "calibration"))
        if isinstance(self.task, Multiclass):
            return tuple(self.task.metric(name) for name in ("log_loss", "error_rate"))
        if isinstance(self.task, Regression):
            coverage = [metric for metric in self.task.metrics if metric.name == "coverage"]
            return (self.task.metric(), *coverage, self.task.bias)
        return (self.task.metric(),)

    @property
    def class_metrics(self) -> tuple[Metric, ...]:
        """Those that are judged of each class."""
        return tuple(metric for metric in self.task.metrics if metric.name.endswith(".accuracy"))


def read_answers(rows: pa.Table, asked: JudgeOptions, reference: int, where: str) -> Answers:
    """The answers of a table in the order of time. reference: so many rows, the first, are what later ones are compared with

    Raises `NotPredictions` and `UndecidedTask`.
    """
    outcome = None if asked.outcome is None else rows.column(asked.outcome)
    columns = [lists(plain(rows.column(name))) for name in asked.prediction]
    if len(columns) == 1 and not (is_list(columns[0].type) or _is_struct(columns[0].type)):
        return _of_one(columns[0], outcome, asked, reference, where)
    return _of_classes(columns, outcome, asked, where)


def _is_struct(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_struct(kind))


def _of_one(column: Column, outcome: Column | None, asked: JudgeOptions, reference: int, where: str) -> Answers:
    """One column: a probability, a number or a class label."""
    import pyarrow as pa

    name = asked.prediction[0]
    where = f"{where}, column {name!r}"
    _require_not_swapped(column, outcome, asked, where)
    if is_text(column.type) and asked.classes is None and asked.task in (None, "binary", "regression"):
        _require_no_number(column, name, where)
    if is_text(column.type) or pa.types.is_boolean(column.type):
        if asked.task not in (None, "binary", "multiclass") and not isinstance(asked.task, Binary | Multiclass):
            raise NotPredictions(
                what=f"predictions are {column.type}, not numbers", where=where, fix="name a column of numbers, or leave out the task"
            )
        return _labels(column, outcome, asked, where)
    if not is_number(column.type):
        raise NotPredictions(
            what=f"{column.type} is no prediction",
            where=where,
            fix="name a column of probabilities, numbers or class labels, or one column for each class",
        )
    values = numbers(column)
    task = _task_of(asked.task) if asked.task is not None else _inferred(values[np.isfinite(values)], outcome, asked, where)
    if task == "labels" or isinstance(task, Multiclass):
        return _labels(column, outcome, asked, where)
    if isinstance(task, Binary):
        if set(np.unique(values[np.isfinite(values)]).tolist()) <= {0.0, 1.0}:
            return _labels(column, outcome, asked, where)
        return _probabilities(values, task, asked, reference, where)
    assert isinstance(task, Regression)
    notes = (*_unanswered(values), *(_percentages(values) if asked.task is None and outcome is None else ()))
    return Answers(task, np.where(np.isfinite(values), values, np.nan), {name: _watched(values)}, notes, asked.task is None)


def _require_no_number(column: Column, name: str, where: str) -> None:
    """Raise `NotPredictions` for texts that are numbers with a sign or a comma: they would be taken for class labels."""
    import pyarrow.compute as pc

    there = column.drop_null()
    written = pc.match_substring_regex(there, r"^\s*-?\d*[.,]?\d+\s*%?\s*$")
    telling = pc.match_substring_regex(there, r"[.,]\d|%")
    if not len(there) or (pc.sum(written).as_py() or 0) < (1 - OUTSIDE) * len(there) or not pc.any(telling).as_py():
        return
    example = there.filter(telling)[0].as_py()
    number = f'df["{name}"].str.rstrip("% ").str.replace(",", ".").astype(float)' + (" / 100" if "%" in example else "")
    raise NotPredictions(what=f"predictions are texts such as {example!r}, not numbers", where=where, fix=f'write df["{name}"] = {number}')


def _require_not_swapped(column: Column, outcome: Column | None, asked: JudgeOptions, where: str) -> None:
    """Raise `NotPredictions` where the predictions are yes or no, and the outcomes are probabilities."""
    if outcome is None or asked.task not in (None, "binary") or not is_number(plain(outcome).type):
        return
    told = numbers(outcome)
    told = told[np.isfinite(told)]
    if not len(told) or not ((told >= 0) & (told <= 1)).all() or np.isin(told, (0.0, 1.0)).mean() > OUTSIDE or not _is_yes_or_no(column):
        return
    raise NotPredictions(
        what="the predictions are yes or no, and the outcomes are numbers between 0 and 1: the two seem to be swapped",
        where=where,
        fix=f"write --prediction {asked.outcome} --outcome {asked.prediction[0]}; or, if they are right, give --task regression",
    )


def _percentages(values: Floats) -> tuple[str, ...]:
    known = values[np.isfinite(values)]
    if not len(known) or known.min() < 0 or not 1 < known.max() <= PERCENT:
        return ()
    return (
        f"the predictions lie between {known.min():g} and {known.max():g} and are read as numbers; if they are percentages, "
        "divide them by 100",
    )


def _task_of(task: Task | str) -> Task | str:
    """A task by its name; the classes of a multiclass model follow from the columns."""
    if isinstance(task, Binary | Regression | Multiclass):
        return task
    named: dict[str, Task | str] = {"binary": Binary(), "regression": Regression(), "multiclass": "labels"}
    if not isinstance(task, str) or task not in named:
        raise NotPredictions(
            what=f"{task!r} is not a task that a table of predictions can be judged by",
            where="task",
            fix=f"use one of {', '.join(TASKS)}, or nr.Binary, nr.Regression or nr.Multiclass",
        )
    return named[task]


def _inferred(values: Floats, outcome: Column | None, asked: JudgeOptions, where: str) -> Task | str:
    """What numbers `(answers,)` mean, by their values and by those of the outcomes."""
    if asked.classes is not None:
        return "labels"
    inside = float(((values >= 0) & (values <= 1)).mean()) if len(values) else 1.0
    yes_or_no = asked.positive is not None or outcome is None or _is_yes_or_no(outcome)
    if yes_or_no and set(np.unique(values[:1000]).tolist()) <= {0.0, 1.0} and np.isin(values, (0.0, 1.0)).all():
        return "labels"
    if outcome is None:
        return Binary() if inside > 1 - OUTSIDE else Regression()
    if yes_or_no:
        return Binary()
    if is_number(outcome.type) and not _may_be_codes(values, outcome):
        return Regression()
    if is_number(outcome.type):
        raise UndecidedTask("predictions and outcomes are the same few whole numbers, which may be numbers or the codes of classes", where)
    raise UndecidedTask(f"predictions are numbers, and outcomes are {in_short(distinct(outcome))}", where)


def _is_yes_or_no(outcome: Column) -> bool:
    """Whether outcomes are two at most: booleans, 0 and 1, or two texts."""
    import pyarrow as pa

    if pa.types.is_boolean(plain(outcome).type):
        return True
    if is_number(outcome.type):
        known = numbers(outcome)
        return bool(np.isin(known[~np.isnan(known)], (0.0, 1.0)).all())
    return len(distinct(outcome)) <= 2


def _may_be_codes(values: Floats, outcome: Column) -> bool:
    """Whether predictions and outcomes are the same few whole numbers."""
    known = numbers(outcome)
    few = [np.unique(each[np.isfinite(each)][:10_000]) for each in (values, known)]
    return all(len(each) <= CODES and bool((each == np.floor(each)).all()) for each in few) and len(few[0]) > 0


def _probabilities(values: Floats, task: Binary, asked: JudgeOptions, reference: int, where: str) -> Answers:
    """The probabilities of yes. What lies outside 0 to 1 is no answer; where much of the reference does, nothing is."""
    known = np.isfinite(values)
    beyond = known & ((values < 0) | (values > 1))
    first = known[:reference].sum()
    if beyond[:reference].sum() > OUTSIDE * max(first, 1):
        least, most = float(values[:reference][known[:reference]].min()), float(values[:reference][known[:reference]].max())
        percent = least >= 0 and 1 < most <= PERCENT
        raise NotPredictions(
            what=f"predictions are no probabilities: they lie between {least:g} and {most:g}"
            + (" and look like percentages" if percent else ""),
            where=where,
            fix="divide the column by 100" if percent else "name the column of probabilities, or give task='regression'",
        )
    notes = list(_unanswered(values))
    if beyond.any():
        at = int(np.flatnonzero(beyond)[0])
        notes.append(
            f"{int(beyond.sum()):,} probabilities lie outside 0 to 1, such as {values[at]:g}: they are left out of the performance metrics"
        )
    if known.any() and np.ptp(values[known]) == 0:
        notes.append(f"all predictions are {values[known][0]:g}")
    scores = np.where(known & ~beyond, values, np.nan)
    return Answers(task, scores, {asked.prediction[0]: _watched(values)}, tuple(notes), asked.task is None)


def _labels(column: Column, outcome: Column | None, asked: JudgeOptions, where: str) -> Answers:
    """Class labels: which class is answered, and nothing of how sure that is."""
    told = set(distinct(column)) | (set() if outcome is None else set(distinct(outcome)))
    classes = asked.classes or (tuple(map(str, asked.task.classes)) if isinstance(asked.task, Multiclass) else tuple(sorted(told)))
    if len(classes) > MAX_CLASSES:
        raise NotPredictions(
            what=f"{len(classes):,} distinct values are too many for class labels", where=where, fix="name the column with the answer"
        )
    text = texts(column)
    notes = [f"{text.null_count:,} rows have no prediction"] if text.null_count else []
    return Answers(ClassLabels(classes), places(column, classes), {asked.prediction[0]: text}, tuple(notes), asked.task is None)


def _of_classes(columns: Sequence[Column], outcome: Column | None, asked: JudgeOptions, where: str) -> Answers:
    """The probability of each class, from several columns, a list or a struct."""
    if isinstance(asked.task, Regression) and asked.task.quantiles:
        scores = np.column_stack([numbers(column) for column in columns])
        middle = scores[:, len(columns) // 2]
        return Answers(asked.task, scores, {asked.prediction[len(columns) // 2]: _watched(middle)}, _unanswered(middle))
    if asked.task not in (None, "multiclass") and not isinstance(asked.task, Multiclass):
        raise NotPredictions(
            what=f"several probabilities for each row are no {asked.task}", where=where, fix="use the task multiclass, or name one column"
        )
    names = asked.prediction if len(columns) > 1 else ()
    if len(columns) == 1 and _is_struct(columns[0].type):
        names = tuple(field.name for field in columns[0].type)
        columns = columns[0].flatten()
    scores = _matrix(columns, where)
    labels = _classes(names, scores.shape[1], outcome, asked, where)
    task = Multiclass(labels, own=accuracies(labels))
    wrong = np.isfinite(scores).all(axis=1) & ((np.abs(scores.sum(axis=1) - 1) > SUMS_TO) | (scores < 0).any(axis=1))
    if wrong.mean() > OUTSIDE:
        at = int(np.flatnonzero(wrong)[0])
        raise NotPredictions(
            what=f"the probabilities of {wrong.mean():.0%} of the rows do not sum to 1: {np.round(scores[at], 4).tolist()}",
            where=f"{where}, columns {', '.join(asked.prediction)}",
            fix="name one column of probabilities for each class, all classes included",
        )
    notes = list(_unanswered(scores.sum(axis=1)))
    if wrong.any():
        notes.append(f"the probabilities of {int(wrong.sum()):,} rows do not sum to 1: they are left out of the performance metrics")
        scores[wrong] = np.nan
    return Answers(task, scores, _watched_classes(scores, labels), tuple(notes), asked.task is None)


def _matrix(columns: Sequence[Column], where: str) -> Floats:
    """Probabilities `(rows, classes)`, NaN in rows that lack some."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(columns) > 1 or not is_list(columns[0].type):
        unfit = next((column.type for column in columns if not is_number(column.type)), None)
        if unfit is not None:
            raise NotPredictions(what=f"{unfit} is no probability", where=where, fix="name a column of numbers for each class")
        return np.column_stack([numbers(column) for column in columns])
    if not is_number(columns[0].type.value_type):
        raise NotPredictions(
            what=f"{columns[0].type} is no list of probabilities", where=where, fix="name a list with the probability of each class"
        )
    listed = columns[0].cast(pa.large_list(pa.float64()), safe=False)
    lengths = np.asarray(pc.fill_null(pc.list_value_length(listed), -1), np.int64)
    width = int(np.bincount(lengths[lengths > 0]).argmax()) if (lengths > 0).any() else 0
    if width < 2:
        raise NotPredictions(
            what="lists of predictions have no two values", where=where, fix="name a list with the probability of each class"
        )
    found = np.full((len(lengths), width), np.nan)
    fits = lengths == width
    found[fits] = np.asarray(pc.list_flatten(listed.filter(pa.array(fits))), np.float64).reshape(-1, width)
    return found


def _classes(names: Sequence[str], count: int, outcome: Column | None, asked: JudgeOptions, where: str) -> tuple[str, ...]:
    """What the classes are called: as asked, or as the columns are named, without what all names have in common."""
    declared = asked.classes or (tuple(map(str, asked.task.classes)) if isinstance(asked.task, Multiclass) else None)
    if declared is not None:
        if len(declared) != count:
            raise NotPredictions(
                what=f"there are {count} probabilities a row and {len(declared)} classes",
                where=where,
                fix="name a class for each probability",
            )
        return declared
    known = set() if outcome is None else set(distinct(outcome))
    common = 0
    while names and all(name[: common + 1] == names[0][: common + 1] and len(name) > common + 1 for name in names):
        common += 1
    for candidate in (tuple(names), tuple(name[common:] for name in names), tuple(map(str, range(count)))):
        if len(candidate) == count and (known <= set(candidate) if known else candidate == tuple(names)):
            return candidate
    if known:
        raise NotPredictions(
            what=f"the classes of the probabilities are unknown; outcomes are {in_short(sorted(known))}",
            where=where,
            fix="give `classes`, in the order of the probabilities",
        )
    return tuple(map(str, range(count)))


def _watched_classes(scores: Floats, labels: Sequence[str]) -> dict[str, Any]:
    """The class that is answered, and how likely it is called."""
    import pyarrow as pa

    known = np.isfinite(scores).all(axis=1)
    place = np.where(known, np.nan_to_num(scores, nan=-1.0).argmax(axis=1), 0)
    answered = pa.array(list(labels), pa.string()).take(pa.array(place, mask=~known))
    confidence = np.where(known, scores.max(axis=1, initial=-np.inf), np.nan)
    return {"predicted class": answered, "confidence": _watched(confidence)}


def _watched(values: Floats) -> Any:
    """Numbers as a column to monitor, null where they are none."""
    import pyarrow as pa

    return pa.array(values, pa.float64(), mask=~np.isfinite(values))


def _unanswered(values: Floats) -> tuple[str, ...]:
    count = int((~np.isfinite(values)).sum())
    return (f"{count:,} rows have no prediction (null, NaN or infinite)",) if count else ()
