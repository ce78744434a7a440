"""Ranking: what first. A label is how relevant a candidate of a group was, and a score is where it should stand among the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake, nearest
from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import require_own
from noria.evaluation.metrics.ranking import AT, GROUP_RANK_CORRELATION, MAX_RELEVANCE, MRR, ndcg_at, precision_at, recall_at
from noria.evaluation.task import Task
from noria.features.coding import AsNumbers
from noria.features.label import Coding, Label

if TYPE_CHECKING:
    import pyarrow as pa


class NoGroup(UserMistake):
    """The column that says which rows are ranked together is none that a logged row's key could say it by."""

    code = "NR-245"

    def __init__(self, group: str, spine: str, keys: Sequence[str]) -> None:
        self.group, self.spine, self.keys = group, spine, tuple(keys)
        what = f"{group!r} is no key column of the spine {spine!r}{nearest(group, keys)}"
        fix = f'make it a part of the key, such as key=["{group}", "{keys[0]}"], in the spine and in the table of the label'
        if group in keys:
            what = f"{group!r} alone is the key of the spine {spine!r}: every group would be of one row"
            fix = f'add what tells the candidates of a group apart, such as key=["{group}", "item_id"]'
        super().__init__(what=what, where=f"nr.Ranking(group={group!r}); its keys are {', '.join(keys)}", fix=fix)


class NoRelevance(UserMistake):
    """A label's column holds no relevance: texts, negative numbers, or numbers that are none that gains are made of."""

    code = "NR-246"

    def __init__(self, label: Label, why: str) -> None:
        self.label = label
        super().__init__(
            what=f"{label.column!r} holds no relevance: {why}",
            where=f"nr.Label({label.table.name}, {label.column!r}, …), for a ranking",
            fix=f"name a column of booleans or of grades from 0 (not relevant) to at most {MAX_RELEVANCE:g}, or derive one in its source",
        )


class NothingToRank(UserMistake):
    """No group has rows that should stand before others: no order can be learnt, and none would be wrong."""

    code = "NR-247"

    def __init__(self, label: Label, why: str, fix: str, *, rows: int, groups: int) -> None:
        self.label, self.rows, self.groups = label, rows, groups
        super().__init__(
            what=f"there is nothing to rank: {why}",
            where=f"{rows:,} rows in {groups:,} groups with outcomes in {label.table.name}.{label.target}",
            fix=fix,
        )


class BadPlaces(UserMistake):
    """The places at the top that a ranking is judged by are none."""

    code = "NR-248"

    def __init__(self, at: Any) -> None:
        super().__init__(
            what=f"{at!r} is no number of places", where=f"nr.Ranking(at={at!r})", fix="give a whole number from 1 on, such as at=10"
        )


@dataclass(frozen=True)
class AsRelevance(AsNumbers):
    """Grades of relevance as numbers; True is 1."""

    def require_type(self, label: Label, type_: pa.DataType) -> None:
        """Raise `NoRelevance` for a column of another type."""
        import pyarrow as pa

        is_ = pa.types
        if not any(test(type_) for test in (is_.is_integer, is_.is_floating, is_.is_decimal, is_.is_boolean, is_.is_null)):
            raise NoRelevance(label, f"its type is {type_}")
        super().require_type(label, type_)


@dataclass(frozen=True)
class Ranking(Task):
    """What first: a row is a candidate, and the candidates of a group are ranked against each other. A label is how relevant a candidate
    was, from 0 (not at all), or yes or no; a score is any number, and the larger it is, the further ahead its row stands.

    group: the key column of the spine that says which rows belong together, such as a query's or a session's
    at: how many places at the top of a group are judged
    own: metrics of your own, beside those that every ranking has
    """

    group: str
    at: int = AT
    own: Sequence[Metric] = ()

    name: ClassVar[str] = "ranking"
    title: ClassVar[str] = "ranking"
    uncalibrated: ClassVar[str] = "Does not apply: scores order the rows of a group, and mean nothing by themselves."

    def __post_init__(self) -> None:
        if isinstance(self.at, bool) or not isinstance(self.at, int) or self.at < 1:
            raise BadPlaces(self.at)
        require_own(self.own, Ranking.name, among=self._ours, grouped=True)

    @property
    def grouped_by(self) -> str:
        return self.group

    @property
    def coding(self) -> Coding:
        return AsRelevance()

    @property
    def _ours(self) -> tuple[Metric, ...]:
        return (ndcg_at(self.at), MRR, recall_at(self.at), precision_at(self.at), GROUP_RANK_CORRELATION)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (*self._ours, *self.own)

    @property
    def discrimination(self) -> Metric:
        return GROUP_RANK_CORRELATION

    def definition(self) -> dict[str, Any]:
        return {"name": self.name, "group": self.group, **({"at": self.at} if self.at != AT else {})}

    def require_spine(self, spine: str, keys: Sequence[str]) -> None:
        """Raise `NoGroup` unless the group is one of several key columns."""
        if self.group not in keys or len(keys) == 1:
            raise NoGroup(self.group, spine, keys)

    def require_label(self, label: Label, rows: pa.Table) -> None:
        """Raise `NoRelevance` for a number that is negative, or so large that its gain would be no number."""
        import pyarrow as pa
        import pyarrow.compute as pc

        values = label.values(rows)
        numbers = self.coding.coded(label, pa.chunked_array([values]))
        least, most = pc.min_max(numbers).as_py().values() if len(values) else (None, None)
        if least is not None and least < 0:
            raise NoRelevance(label, f"{least:g} is below 0")
        if most is not None and most > MAX_RELEVANCE:
            raise NoRelevance(label, f"{most:g} is above {MAX_RELEVANCE:g}, and what it would gain is 2 to the power of it")

    def require_groups(self, label: Label, outcomes: Floats, groups: NDArray[np.int64]) -> None:
        """Raise `NothingToRank` where no group has two rows, or none that is relevant, or all rows of each are equally so."""
        _, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        counts = {"rows": len(outcomes), "groups": len(sizes)}
        if sizes.max() == 1:
            fix = f"let {self.group!r} be what is equal for all candidates that are ranked together"
            raise NothingToRank(label, "every group is of one row", fix, **counts)
        if not (outcomes > 0).any():
            raise NothingToRank(label, "no row is relevant", "correct the label's column, or train once some have been chosen", **counts)
        greatest, least = np.full(len(sizes), -np.inf), np.full(len(sizes), np.inf)
        np.maximum.at(greatest, place, outcomes)
        np.minimum.at(least, place, outcomes)
        if (greatest == least).all():
            fix = "give the rows that were shown and not chosen an outcome too: a relevance of 0"
            raise NothingToRank(label, "within each group, all rows are equally relevant", fix, **counts)

    def lacking(self, outcomes: Floats) -> str:
        return "" if (outcomes > 0).any() else "have no row that is relevant"

    def same(self, before: Floats, after: Floats) -> NDArray[np.bool_]:
        """Which answers count as equal: by their size, where that is above 1."""
        before, after = np.asarray(before), np.asarray(after)
        return np.asarray(np.abs(after - before) <= self.tolerance * np.maximum(1.0, np.abs(before)))

    def format_score(self, score: float) -> str:
        return f"{score:.4g}"

    def format_rows(self, outcome: float) -> str:
        return f"with a mean relevance of {outcome:.4g}"
