"""Outcomes of predictions: joined from another table where they come later, as numbers of the task, and from when each is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.evaluation.binary import Binary
from noria.evaluation.multiclass import Multiclass
from noria.evaluation.task import Task
from noria.features.classes import UNDECLARED
from noria.monitoring.predictions.labels import ClassLabels
from noria.monitoring.predictions.values import (
    Column,
    Floats,
    distinct,
    in_short,
    is_number,
    numbers,
    places,
    require_columns,
    seconds,
    texts,
)

if TYPE_CHECKING:
    import pyarrow as pa

POSITIVE = ("true", "yes", "y", "t", "1", "positive")  # texts that count as 1 where the other one is its opposite
NEGATIVE = ("false", "no", "n", "f", "0", "negative")


class NotOutcomes(UserMistake):
    """Outcomes can't be joined to the predictions, or are not outcomes of their task."""

    code = "NR-581"


@dataclass(frozen=True)
class Outcomes:
    """values: as the task has them `(rows,)`, NaN where unknown; known_at: seconds since 1970-01-01 UTC, NaN where that is not said"""

    values: Floats = field(repr=False)
    known_at: Floats = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.values)

    @property
    def timed(self) -> bool:
        """Whether it is said when outcomes became known."""
        return bool((~np.isnan(self.known_at) & self.known).any())

    def by(self, moment: float) -> Outcomes:
        """What of them is known by a moment, in seconds since 1970-01-01 UTC."""
        late = self.known_at > moment
        return Outcomes(np.where(late, np.nan, self.values), self.known_at, self.notes)


def read_outcomes(column: Column | None, known_at: Column | None, rows: int, task: Task, positive: str | None, where: str) -> Outcomes:
    """Outcomes as numbers of a task; all unknown without a column. Raises `NotOutcomes`."""
    if column is None:
        return Outcomes(np.full(rows, np.nan), np.full(rows, np.nan))
    moments = np.full(rows, np.nan) if known_at is None else seconds(known_at)
    values, notes = _coded(column, task, positive, where)
    return Outcomes(values, moments, notes)


def _coded(column: Column, task: Task, positive: str | None, where: str) -> tuple[Floats, tuple[str, ...]]:
    if isinstance(task, Binary):
        return _yes_or_no(column, positive, where), ()
    if isinstance(task, Multiclass | ClassLabels):
        labels = tuple(map(str, task.classes))
        found = places(column, labels)
        unknown = found == UNDECLARED
        if unknown.any() and unknown.sum() == (~np.isnan(found)).sum():
            raise NotOutcomes(
                what=f"no outcome is one of the classes {in_short(labels)}: they are {in_short(distinct(column))}",
                where=where,
                fix="give `classes` as the outcome column has them, in the order of the probabilities",
            )
        return found, ((f"{int(unknown.sum()):,} outcomes are of a class that is not declared",) if unknown.any() else ())
    if not is_number(column.type):
        raise NotOutcomes(what=f"outcomes are {column.type}, not numbers", where=where, fix="name another column, or another task")
    found = numbers(column)
    infinite = np.isinf(found)
    found[infinite] = np.nan
    return found, ((f"{int(infinite.sum()):,} outcomes are infinite: they are left out",) if infinite.any() else ())


def _yes_or_no(column: Column, positive: str | None, where: str) -> Floats:
    """Outcomes as 1 and 0, NaN where unknown."""
    import pyarrow as pa

    if positive is not None:
        found = places(column, [positive])
        if not (found == 0).any() and (~np.isnan(found)).any():
            raise NotOutcomes(
                what=f"no outcome is {positive!r}: they are {in_short(distinct(column))}", where=where, fix="correct `positive`"
            )
        return np.where(np.isnan(found), np.nan, (found == 0).astype(np.float64))
    if is_number(column.type) or pa.types.is_boolean(column.type):
        found = numbers(column)
        if np.isin(found[~np.isnan(found)], (0.0, 1.0)).all():
            return found
    told = distinct(column)
    yes = [value for value in told if value.strip().lower() in POSITIVE]
    no = [value for value in told if value.strip().lower() in NEGATIVE]
    if len(yes) + len(no) == len(told) <= 2 and len(yes) <= 1 and len(no) <= 1:
        return places(column, [*(no or [""]), *(yes or [""])])
    raise NotOutcomes(
        what=f"it is unknown which outcome counts as 1: they are {in_short(told)}",
        where=where,
        fix="give `positive`, the outcome that counts as 1",
    )


def join_outcomes(rows: pa.Table, outcomes: pa.Table, on: str, outcome: str, outcome_time: str | None) -> tuple[pa.Table, tuple[str, ...]]:
    """A table with the outcomes of another, by an id that both have; what was found on joining, in sentences.

    Of several outcomes of one id, the one that became known last counts; without times, the last row.

    Raises `NotPredictions` and `NotOutcomes`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    require_columns(rows, [on], "the id in the predictions", "predictions")
    require_columns(outcomes, [on, outcome, outcome_time], "the outcomes", "outcomes")
    ids = texts(outcomes.column(on))
    order = np.arange(len(ids))
    if outcome_time is not None:
        order = np.argsort(np.nan_to_num(seconds(outcomes.column(outcome_time)), nan=-np.inf), kind="stable")
    codes = np.asarray(pc.fill_null(ids.combine_chunks().dictionary_encode().indices, -1), np.int64)
    last = np.full(codes.max(initial=-1) + 1, -1, np.int64)
    there = order[codes[order] >= 0]
    last[codes[there]] = there  # of repeated places, the last assignment holds
    values = ids.combine_chunks().dictionary_encode().dictionary
    wanted = texts(rows.column(on))
    place = np.asarray(pc.fill_null(pc.index_in(wanted, value_set=values), -1), np.int64)
    if rows.num_rows and outcomes.num_rows and not (place >= 0).any():
        here, there_too = (in_short(each.drop_null()[:2].to_pylist()) for each in (wanted, ids))
        raise NotOutcomes(
            what="no outcome belongs to any prediction",
            where=f"column {on!r} holds for example {here} in the predictions, and {there_too} in the outcomes",
            fix="name a column with the same ids in both tables (`on`)",
        )
    which = pa.array(np.where(place >= 0, last[place] if len(last) else -1, 0), mask=place < 0)
    for name in (outcome, outcome_time):
        if name is not None:
            found = outcomes.column(name).take(which)
            rows = (
                rows.set_column(rows.column_names.index(name), name, found)
                if name in rows.column_names
                else rows.append_column(name, found)
            )
    return rows, _notes(len(ids), len(there), len(last), len(np.unique(place[place >= 0])))


def _notes(outcomes: int, with_id: int, distinct_ids: int, used: int) -> tuple[str, ...]:
    found = []
    if with_id > distinct_ids:
        found.append(f"{with_id - distinct_ids:,} outcomes repeat an id: the latest counts")
    if distinct_ids > used:
        found.append(f"{distinct_ids - used:,} outcomes belong to no prediction in the table")
    if outcomes > with_id:
        found.append(f"{outcomes - with_id:,} outcomes have no id")
    return tuple(found)
