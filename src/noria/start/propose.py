"""From a sample of the data, and what the user has decided, to everything that a project declares."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from noria.core.clock import in_words
from noria.core.errors import nearest
from noria.data.contract import Contract
from noria.data.sources.files import files
from noria.data.suggest import suggest
from noria.data.table import Table
from noria.start.choices import TASKS, Inputs, KeyChoice, LabelChoice, LeftOut, Proposal, Task, TaskChoice, TimeChoice
from noria.start.existing import Existing, existing, opened
from noria.start.facts import Facts, facts_of, pixels_of
from noria.start.keys import choose_key
from noria.start.labels import PART_OF_A_DATE, choose_label, require_columns
from noria.start.leakage import suspects
from noria.start.mistakes import FlagDoesNotFit, TooLittleData, Undecided
from noria.start.tasks import choose_task
from noria.start.times import choose_time, later_times, outcome_time

if TYPE_CHECKING:
    import pyarrow as pa

    from noria.start.sample import Sample

MIN_ROWS = 30
HELD_OUT_ROWS = 1_000  # that are enough to compare two models
HOLDOUT = 6  # parts of the time, of which the newest one is held out
WINDOW_ROWS = 20  # of a window, below which it says little
DAY = timedelta(days=1)
SEASONS = 2 * 365 * DAY  # of data, from which on the month may matter
TICKS = (DAY, 7 * DAY, 28 * DAY)


@dataclass(frozen=True)
class InitOptions:
    """What the user has decided; None and () where `noria init` is to propose it. zone: whose clock times without a zone are by

    model: the file of a model to begin with; folder: of the project
    """

    label: str | None = None
    time: str | None = None
    key: Sequence[str] = ()
    task: Task | None = None
    zone: str = "UTC"
    model: str | None = None
    folder: Path = Path()


def propose(name: str, sample: Sample, asked: InitOptions, now: datetime, image: str | None = None) -> Proposal:
    """The proposal for a project. image: the column of pictures, of a folder of them.

    Raises `Undecided` where the data leaves two ways open, and what is wrong with something that was asked for.
    """
    rows, facts = sample.rows, facts_of(sample.rows)
    if rows.num_rows < MIN_ROWS:
        raise TooLittleData(
            what=f"{rows.num_rows} row{'s are' if rows.num_rows != 1 else ' is'} too little to learn from"
            if rows.num_rows
            else f"{name!r} has no rows",
            where=f"its columns are {', '.join(rows.column_names)}" if facts.keys() - {"nothing"} else "there is nothing in it",
            fix=f"give at least {MIN_ROWS} rows; a model worth serving needs some hundreds",
        )
    for flag, names in (
        ("--label", [asked.label] if asked.label else []),
        ("--time", [asked.time] if asked.time else []),
        ("--key", asked.key),
    ):
        require_columns(names, flag, facts)
    time = choose_time(sample, facts, asked.time, asked.zone, now)
    key = choose_key(rows, facts, time.column, asked.key)
    later = later_times(rows, facts, time.column)
    taken = {time.column, *(key.columns if asked.key else _naming(key, facts, time)), *later}
    if asked.label in {time.column, *key.columns} and asked.label is not None:
        raise FlagDoesNotFit(
            what=f"{asked.label!r} is the {'event time' if asked.label == time.column else 'key'}, and can't be predicted",
            where=f"--label {asked.label}",
            fix="name another column to predict, or another key: --key COLUMN",
        )
    given = None if asked.model is None else opened(asked.model)
    label, reason = choose_label(facts, taken | set(given.named if given else ()), asked.label)
    model = None if given is None else existing(given, asked.folder, facts, _numbers(facts, {label, *taken}))
    task = choose_task(rows, facts, time, key, label, asked.task or (model.task if model else None))
    if model is not None and task.name == "forecast":  # which asks for lags that this model does not read
        task = choose_task(rows, facts, time, key, label, "regression")
    if model is not None and model.task is not None and asked.task is None:
        task = replace(task, reason=f"{model.file} says so")
    if model is not None and model.classes:
        task = replace(task, classes=model.classes)
    if time.made and _is_sorted(rows, label, task):
        time = replace(time, reason=f"{time.reason}. They are sorted by {label!r}, so the order is shuffled", shuffled=True)
    known = outcome_time(later, facts) if task.name != "forecast" else None
    chosen = LabelChoice(label, reason, known, _rounded(later[known]) if known else timedelta())
    inputs, left_out = _inputs(sample, facts, time, key, label, task, later, image) if model is None else _given(model, facts, label)
    if task.name != "forecast" and not inputs.all:
        reasons = [f"{one.column}: {one.reason}" for one in left_out]
        if facts[label].kind == "number":
            reasons.append(
                "it is no series to be forecast from its own past, with a time for each row and equal steps (months are not equal)"
            )
        raise Undecided(f"nothing is left to predict {label!r} from", "; ".join(reasons), ["--label COLUMN", "--time COLUMN"])
    return Proposal(
        name,
        rows.num_rows,
        sample.whole,
        facts,
        time,
        key,
        chosen,
        task,
        inputs,
        left_out,
        _contract(sample, time, key, label, task, inputs),
        in_words(_tick(time, rows.num_rows, task)),
        in_words(_holdout(time, rows.num_rows)),
        [*_notes(sample, facts, label), *(_order_of_classes(model, task) if model else ())],
        model,
    )


def _numbers(facts: Mapping[str, Facts], without: Collection[str]) -> list[str]:
    """The columns that a model may read which has a block of numbers."""
    return [fact.name for fact in facts.values() if fact.kind in ("number", "bool") and fact.name not in without]


def _given(model: Existing, facts: Mapping[str, Facts], label: str) -> tuple[Inputs, list[LeftOut]]:
    """The inputs of a model that exists already."""
    texts = tuple(name for name in model.inputs if facts[name].kind == "text")
    others = [name for name in facts if name not in model.inputs and name != label]
    left_out = [LeftOut(name, "the model does not read it") for name in others]
    return Inputs(numbers=tuple(name for name in model.inputs if name not in texts), categories=texts), left_out


def _order_of_classes(model: Existing, task: TaskChoice) -> list[str]:
    if task.name != "multiclass" or model.classes:
        return []
    return [f"{model.file} does not name its classes: check that it answers in the order {', '.join(map(str, task.classes))}"]


def _naming(key: KeyChoice, facts: Mapping[str, Facts], time: TimeChoice) -> list[str]:
    """The key's columns that can't be what is predicted."""
    return [name for name in key.columns if name != time.column and name in facts]


def _is_sorted(rows: pa.Table, label: str, task: TaskChoice) -> bool:
    """Whether rows of one class stand together, so that the newest would all be of the last one."""
    if task.name not in ("binary", "multiclass"):
        return False
    values = rows.column(label).to_pylist()
    changes = sum(one != other for one, other in pairwise(values))
    return bool(changes <= 3 * max(len(set(values)), 2) or changes < 0.05 * len(values) * (1 - 1 / len(set(values))))


def _rounded(span: timedelta) -> timedelta:
    """A span with some room, in whole hours or days."""
    unit = timedelta(days=1) if span > timedelta(days=3) else timedelta(hours=1)
    return (span // unit + 1) * unit


def _inputs(
    sample: Sample,
    facts: Mapping[str, Facts],
    time: TimeChoice,
    key: KeyChoice,
    label: str,
    task: TaskChoice,
    later: Mapping[str, timedelta],
    image: str | None,
) -> tuple[Inputs, list[LeftOut]]:
    left_out = list[LeftOut]()
    numbers, categories, prose = list[str](), list[str](), list[str]()
    for fact in facts.values():
        if fact.name == label or fact.name == time.column or fact.name == image:
            continue
        reason = _no_input(fact, key, later)
        if fact.name in sample.signed and fact.kind == "text":
            reason = f"texts such as {sample.signed[fact.name]!r}: numbers once the signs are removed"
        if reason is not None:
            left_out.append(LeftOut(fact.name, reason, fact.name in later))
        elif fact.kind == "text":
            (prose if fact.prose else categories).append(fact.name)
        else:
            numbers.append(fact.name)
    if task.name == "forecast":
        others = [LeftOut(name, "a forecast starts from the series itself") for name in (*numbers, *categories, *prose)]
        return Inputs(calendar=_calendar(time, task)), [*left_out, *others]
    giving = suspects(sample.rows, dict(facts), label, [*numbers, *categories], classes=task.name in ("binary", "multiclass"))
    left_out += [LeftOut(name, reason, suspect=True) for name, reason in giving.items()]
    numbers, categories = ([name for name in names if name not in giving] for names in (numbers, categories))
    pixels = [name for name in pixels_of({name: facts[name] for name in numbers}) if name in numbers]
    numbers = [name for name in numbers if name not in pixels]
    return Inputs(tuple(numbers), tuple(categories), tuple(prose), tuple(pixels), image, _calendar(time, task)), left_out


def _no_input(fact: Facts, key: KeyChoice, later: Mapping[str, timedelta]) -> str | None:
    """Why a column is no feature; None if it can be one."""
    if fact.name in key.columns:
        return "the key"
    if fact.name in later:
        return f"a time after the event, by up to {in_words(_rounded(later[fact.name]))}: it is known afterwards"
    if fact.kind == "nothing" or fact.constant:
        return "it has no value" if fact.known == 0 else "it always has the same value"
    if fact.kind in ("time", "bytes", "nested"):
        return {"time": "another time", "bytes": "bytes", "nested": "lists or structs"}[fact.kind] + ", of which a first model reads none"
    if fact.identifies and not fact.prose:
        return f"{fact.identifies}, which measures nothing"
    if fact.kind == "text" and not fact.prose and not fact.category:
        return f"{fact.distinct:,} different texts that are no sentences: too many for categories"
    return None


def _calendar(time: TimeChoice, task: TaskChoice) -> tuple[str, ...]:
    """The parts of the calendar that may matter: only where times are real, and say them."""
    if time.made:
        return ()
    step = task.step or (DAY if _dated(time) else timedelta(hours=1))
    parts = {"hour": step < DAY, "weekday": step <= DAY and time.span >= 14 * DAY, "month": time.span >= SEASONS}
    return tuple(name for name, matters in parts.items() if matters)


def _dated(time: TimeChoice) -> bool:
    """Whether times seem to be dates: first and last at midnight of one clock."""
    return time.start.time() == time.end.time() and time.span % timedelta(days=1) == timedelta()


def _contract(sample: Sample, time: TimeChoice, key: KeyChoice, label: str, task: TaskChoice, inputs: Inputs) -> Contract:
    """What inputs have kept so far. The outcome may be unknown, and a series may grow: of them only what can't change is asked."""
    table = Table("sample", files("sample"), tuple(key.columns), time.column)
    found = suggest(table, sample.rows)
    read = set(inputs.all) - set(inputs.prose)
    between = {name: bounds for name, bounds in found.between.items() if name in read and not PART_OF_A_DATE.search(name.lower())}
    if task.name in ("regression", "forecast") and label in found.between:
        low = found.between[label][0]
        if low is not None and low >= 0:
            between[label] = (0, None)
    return Contract(
        not_null=[name for name in found.not_null if name in set(inputs.all)] or (),
        between=between,
        one_of={name: values for name, values in found.one_of.items() if name in read},
    )


def _tick(time: TimeChoice, rows: int, task: TaskChoice) -> timedelta:
    """The shortest window that has enough rows."""
    if task.step is not None:
        return max(TICKS[0], task.step if task.step in TICKS else TICKS[0])
    days = max(time.span / timedelta(days=1), 1.0)
    return next((tick for tick in TICKS if rows / days * (tick / timedelta(days=1)) >= WINDOW_ROWS), TICKS[-1])


def _holdout(time: TimeChoice, rows: int) -> timedelta:
    """The newest sixth of the time, or less of it where that has rows enough."""
    enough = max(timedelta(days=14), time.span * min(HELD_OUT_ROWS / rows, 1.0))
    return max(timedelta(days=1), timedelta(days=min(time.span / HOLDOUT, enough) // timedelta(days=1)))


def _notes(sample: Sample, facts: Mapping[str, Facts], label: str) -> list[str]:
    found = []
    if not sample.whole:
        found.append(f"the data is large: {sample.rows.num_rows:,} rows from all parts of it were looked at")
    if sample.malformed:
        found.append(f"{sample.malformed:,} records are malformed, or do not fit their columns: they become no rows")
    if sample.encoding is not None:
        found.append(f"the data is not UTF-8: it is read as {sample.encoding}, as Windows writes it; see whether its names look right")
    found += [f"{place} can't be read: {reason}" for place, reason in sample.unreadable.items()]
    for name, meant in sample.meant.items():
        if meant.bad:
            what = "times" if meant.kind == "time" else "numbers"
            found.append(f"{name}: {meant.bad:,} of {meant.good + meant.bad:,} values are no {what} and will be quarantined")
    found += [
        f"{name} is left out: it holds texts such as {one!r}; remove the signs to have numbers" for name, one in sample.signed.items()
    ]
    nulls = facts[label].nulls
    if nulls:
        found.append(f"{nulls:,} rows have no {label} yet: they are not trained on")
    return found


def task_named(name: str | None) -> Task | None:
    """The task of a name. Raises `FlagDoesNotFit`."""
    if name is None:
        return None
    for task in TASKS:
        if task == name:
            return task
    raise FlagDoesNotFit(
        what=f"there is no task {name!r}{nearest(name, TASKS)}",
        where="--task",
        fix=f"write --task {', --task '.join(TASKS[:-1])} or --task {TASKS[-1]}",
    )
