"""What kind of answer a label asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from noria.core.clock import in_words
from noria.data.columns import ABSENT
from noria.start.choices import KeyChoice, Task, TaskChoice, TimeChoice
from noria.start.facts import Facts, numbers_of
from noria.start.mistakes import FlagDoesNotFit, UnclearOutcome

if TYPE_CHECKING:
    import pyarrow as pa

YES = re.compile(
    r"^(1|true|yes|y|t|positive|pos|spam|fraud|bad|malignant|churned|late|returned|ja|j|oui|o|s[ií]|s|sim|da|да|tak|evet|wahr|vrai|是|はい|예)$",
    re.IGNORECASE,
)
ABSENT_WORDS = {*(word.lower() for word in ABSENT), "nan", "nil", "missing", "unknown", "?", "-", "."}  # "" is null already
REGULAR = 0.9  # of the steps from one time to the next, that are equal
MIN_STEPS = 100
AHEAD = {timedelta(hours=1): (1, 6, 24), timedelta(days=1): (1, 7), timedelta(days=7): (1, 4)}


def choose_task(rows: pa.Table, facts: Mapping[str, Facts], time: TimeChoice, key: KeyChoice, label: str, asked: Task | None) -> TaskChoice:
    """The task. Raises `FlagDoesNotFit` for one that the label can't have."""
    fact, step = facts[label], step_of(rows, time, key)
    if asked is None and fact.kind == "text":
        _require_clear(fact)
    reason = "asked for by --task" if asked else ""
    if asked == "forecast" or (asked is None and step is not None and fact.kind == "number" and not fact.classes):
        return _forecast(rows, fact, step, time, reason)
    if asked == "regression" or (asked is None and not fact.classes and fact.kind == "number"):
        return _regression(rows, fact, reason)
    if asked == "binary" or (asked is None and fact.distinct == 2):
        return _binary(fact, reason)
    if not fact.classes and not (fact.values and asked):
        raise FlagDoesNotFit(
            what=f"{label!r} has {fact.distinct:,} different values: too many for classes",
            where=f"--label {label}" + (f" --task {asked}" if asked else ""),
            fix="name a column with at most 50 classes, or one of numbers with --task regression",
        )
    classes = tuple(sorted(fact.values))
    return TaskChoice("multiclass", reason or f"{len(classes)} different values, each often", classes=classes)


def _require_clear(fact: Facts) -> None:
    """Raise `UnclearOutcome` for a label with a class that is a sign for no value, or two that are one written in two ways."""
    counted = dict(zip(map(str, fact.values), fact.counts, strict=True))
    absent = [value for value in counted if value.strip().lower() in ABSENT_WORDS]
    if absent:
        raise UnclearOutcome(
            fact.name,
            f"{fact.name!r} is {absent[0]!r} in {counted[absent[0]]:,} rows, which would be a class of its own",
            "leave it empty where the outcome is not known; or, if it is a class, add --task multiclass",
        )
    seen: dict[str, str] = {}
    for value in counted:
        other = seen.setdefault(" ".join(value.lower().split()), value)
        if other != value:
            raise UnclearOutcome(
                fact.name,
                f"{fact.name!r} has the values {other!r} and {value!r}, which would be two classes",
                "write each outcome in one way; or, if they are different classes, add --task multiclass",
            )


def step_of(rows: pa.Table, time: TimeChoice, key: KeyChoice) -> timedelta | None:
    """The step of a regular series: the key is its time, alone or with what the series is of. None for other rows."""
    if time.made or time.column not in key.columns or rows.num_rows < MIN_STEPS:
        return None
    moments = np.unique(numbers_of(rows.column(time.column)))
    steps = np.diff(moments[np.isfinite(moments)])
    if len(steps) < MIN_STEPS:
        return None
    usual = float(np.median(steps))
    return timedelta(microseconds=usual) if usual > 0 and (steps == usual).mean() >= REGULAR else None


def _forecast(rows: pa.Table, fact: Facts, step: timedelta | None, time: TimeChoice, reason: str) -> TaskChoice:
    if step is None or fact.kind != "number":
        why = "it holds no numbers" if fact.kind != "number" else f"the rows are no series with one step in {time.column!r}"
        raise FlagDoesNotFit(
            what=f"{fact.name!r} can't be forecast: {why}",
            where="--task forecast",
            fix="give one row for each time, at equal steps: --time COLUMN; and --key COLUMN for what the series are of",
        )
    ahead = next((n for least, n in sorted(AHEAD.items(), reverse=True) if step >= least), (1, 6, 24))
    horizons = tuple(step * n for n in ahead)
    values = numbers_of(rows.column(fact.name))
    return TaskChoice(
        "forecast",
        reason or f"a number for every {in_words(step)}: a series",
        step=step,
        horizons=horizons,
        spread=float(np.nanstd(values)),
    )


def _regression(rows: pa.Table, fact: Facts, reason: str) -> TaskChoice:
    if fact.kind not in ("number", "bool"):
        raise FlagDoesNotFit(
            what=f"{fact.name!r} holds no numbers",
            where="--task regression",
            fix="name a column of numbers: --label COLUMN; or leave --task out",
        )
    spread = float(np.nanstd(numbers_of(rows.column(fact.name))))
    return TaskChoice("regression", reason or f"a number with {fact.distinct:,} different values", spread=spread)


def _binary(fact: Facts, reason: str) -> TaskChoice:
    if fact.distinct != 2:
        raise FlagDoesNotFit(
            what=f"{fact.name!r} has {fact.distinct:,} different values, not two",
            where="--task binary",
            fix="name a column with two values: --label COLUMN; or leave --task out",
        )
    positive, why = _positive(fact)
    return TaskChoice("binary", reason or f"two values; {positive!r} counts as 1 {why}", positive=positive)


def _positive(fact: Facts) -> tuple[Any, str]:
    if fact.kind == "bool":
        return True, "(true)"
    yes = [value for value in fact.values if YES.match(str(value).removesuffix(".0"))]
    if len(yes) == 1:
        return yes[0], "by its meaning"
    if fact.kind == "number":
        return max(fact.values), "(the greater one)"
    return fact.values[-1], "(the rarer one)"
