"""Training sets: spine rows with their features and the outcomes known by then, with lineage and a content hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import in_words
from noria.core.conservation import Balance
from noria.core.errors import MissingExtra, UserMistake, nearest
from noria.core.ids import digest
from noria.data.rows import Fields, Rows
from noria.features.compile import AT, KEY
from noria.features.fields import is_block, table_rows
from noria.features.groups import first_of_group, group_sizes, whole_groups
from noria.features.label import Label, LabelRules
from noria.features.offline import OfflineFeatures
from noria.features.outcomes import Outcomes, known_rows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from noria.data.table import Snapshot


class NothingToTrainOn(UserMistake):
    """No spine row in the period has a known outcome."""

    code = "NR-220"

    def __init__(
        self, label: Label, known: int, balance: Balance, *, start: datetime, as_of: datetime, horizons: Sequence[timedelta] = ()
    ) -> None:
        self.start, self.as_of, self.spine_rows = start, as_of, balance.rows_in
        young = balance.rows_out["too young"]
        if not balance.rows_in:
            why, fix = "the spine has no rows in that period", "ingest rows of the spine, or train at a later time"
        elif young == balance.rows_in:
            why, fix = f"all are younger than matures={label.matures!r}", "train at a later time"
        elif not known:
            why, fix = f"{label.table.name}.{label.target} is null in all rows", "ingest outcomes"
        else:
            why = f"none of their keys has an outcome in {label.table.name} known by then ({known:,} of its rows have one at some time)"
            fix = f"check that {', '.join(label.table.keys)} means the same in both tables, and when outcomes become known"
            if horizons:
                fix += f"; the series needs values {', '.join(map(in_words, horizons))} after occasions of the spine"
        rows = f"{balance.rows_in:,} rows of the spine from {start:%Y-%m-%d} to {as_of:%Y-%m-%d}"
        super().__init__(what="there is nothing to train on", where=f"{rows}: {why}", fix=fix)


class NotOneBlock(UserMistake):
    """A trainer asked for one matrix of numbers where there are columns of other types."""

    code = "NR-261"

    def __init__(self, fields: Fields) -> None:
        others = [field.described for field in fields if not is_block([field])]
        self.columns = others
        super().__init__(
            what="the features are not one matrix of float32",
            where=", ".join(others),
            fix="use train.columns, train.to_arrow() (Arrow) or train.to_pandas() (pandas), which have each column in its own type",
        )


class NoGroups(UserMistake):
    """A trainer asked for groups where rows stand for themselves."""

    code = "NR-249"

    def __init__(self) -> None:
        super().__init__(
            what="the rows are in no groups",
            where="train.group_sizes",
            fix='only a ranking has groups: give the model task=nr.Ranking(group="query_id")',
        )


class BadWeights(UserMistake):
    """A column can't say how much rows count."""

    code = "NR-264"

    def __init__(self, column: str, reason: str) -> None:
        self.column = column
        super().__init__(
            what=f"the column {column!r} can't be the weights of rows",
            where=reason,
            fix="name a column of the spine, or a feature, whose values are all known numbers from 0 up: nr.Model(…, weights=…)",
        )


@dataclass(frozen=True)
class Dataset:
    """What a trainer gets: rows of the model's features, and labels `(rows,)` float64, or `(rows, outcomes)`, as the task has them.

    groups: of a ranking, the number of the group of each row `(rows,)`; the rows of a group lie together
    weights: how much each row counts in training `(rows,)`, where the model has `weights`; None where all count alike
    """

    rows: Rows
    labels: NDArray[np.float64]
    groups: NDArray[np.int64] | None = None
    weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in the order in which the model gets them."""
        return self.rows.names

    @property
    def features(self) -> NDArray[Any]:
        """The features `(rows, features)` float32 (float64, where all are that), NaN where unknown. Raises `NotOneBlock` where they are
        of several types."""
        if not self.rows.is_dense:
            raise NotOneBlock(self.rows.fields)
        return self.rows.block

    @property
    def group_sizes(self) -> NDArray[np.int64]:
        """How many rows each group has `(groups,)`, in their order: LightGBM's and XGBoost's `group`. Raises `NoGroups`."""
        if self.groups is None:
            raise NoGroups
        return group_sizes(self.groups)

    @property
    def columns(self) -> dict[str, pa.Array]:
        """Each feature by name, as an Arrow array of its type; null where unknown."""
        return self.rows.columns()

    @property
    def X(self) -> Any:  # noqa: N802 - as scikit-learn calls it
        """The features as most estimators take them: an array where they are one block of numbers, otherwise a data frame."""
        return self.rows.block if self.rows.is_dense else self.to_pandas()

    @property
    def y(self) -> NDArray[np.float64]:
        """The labels `(rows,)` float64, or `(rows, outcomes)`."""
        return self.labels

    @property
    def texts(self) -> list[str]:
        """The features whose values are texts: categories, or words."""
        return [field.name for field in self.rows.fields if field.type == "string" and not field.shape]

    def to_arrow(self) -> pa.Table:
        """The features as an Arrow table."""
        import pyarrow as pa

        return pa.table(self.columns)

    def to_pandas(self, *, categories: bool = False) -> pd.DataFrame:
        """The features as a pandas data frame, as pandas reads Arrow: texts stay texts, and whole numbers of which one is unknown are
        floats with NaN. categories: whether texts are columns of pandas' type `category`. Raises `MissingExtra` without pandas."""
        try:
            return self.to_arrow().to_pandas(categories=self.texts if categories else None)
        except ModuleNotFoundError as error:
            raise MissingExtra(library="pandas", extra="pandas", needed_for="train.to_pandas()") from error


@dataclass(frozen=True)
class TrainingSet:
    """A spine joined point-in-time to a feature set and a label, as known at `as_of`. `id` is its content hash; snapshots: of the tables

    rows: the spine's columns and the features; fields: of the features, in the order in which the model gets them
    groups: of a ranking, the number of each row's group `(rows,)`, whose rows lie together
    """

    id: str
    rows: pa.Table
    fields: Fields
    labels: NDArray[np.float64]
    at: NDArray[np.datetime64]
    start: datetime
    as_of: datetime
    balance: Balance
    snapshots: Sequence[Snapshot]
    groups: NDArray[np.int64] | None = None

    @cached_property
    def moments(self) -> NDArray[np.datetime64]:
        """By when each row `(rows,)` is seen or held out: by its time, or by its group's first, since a group stays whole."""
        return self.at if self.groups is None else first_of_group(self.at, self.groups)

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names."""
        return tuple(field.name for field in self.fields)

    @cached_property
    def features(self) -> Rows:
        """The features of every row."""
        return table_rows(self.fields, self.rows)

    def dataset(self, keep: NDArray[np.bool_] | None = None, *, weights: str | None = None) -> Dataset:
        """The rows as a trainer gets them, or those rows where `keep` is true. weights: the column that says how much a row counts. Raises
        `BadWeights`."""
        x, y, groups = self.features, self.labels, self.groups
        weighed = None if weights is None else self.weights(weights)
        if keep is None:
            return Dataset(x, y, groups, weighed)
        return Dataset(x.where(keep), y[keep], None if groups is None else groups[keep], None if weighed is None else weighed[keep])

    def weights(self, column: str) -> NDArray[np.float64]:
        """How much each row counts, by a column of the spine or a feature `(rows,)`. Raises `BadWeights`."""
        import pyarrow as pa

        if column not in self.rows.column_names:
            raise BadWeights(column, f"neither the spine nor the features have such a column{nearest(column, self.rows.column_names)}")
        values = self.rows.column(column)
        if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type) or pa.types.is_decimal(values.type)):
            raise BadWeights(column, f"it is of type {values.type}")
        found = values.cast(pa.float64()).to_numpy()
        wrong = ~(np.isfinite(found) & (found >= 0))
        if wrong.any():
            raise BadWeights(column, f"{int(wrong.sum()):,} of {len(found):,} values are negative, infinite or unknown")
        return np.asarray(found)


def build_training_set(
    offline: OfflineFeatures, label: Label, outcomes: Outcomes, rules: LabelRules, *, start: datetime, as_of: datetime
) -> TrainingSet:
    """Every spine row predicted in [start, as_of − maturity) whose outcome was known at `as_of`.

    Rows younger than the label's maturity are left out whole: of them only the quick outcomes are known, and a model
    trained on those learns that everything ends well. Where the task has groups, a group with such a row is left out whole, and the rows of
    the others lie together. rules: the model's task. Raises `NothingToTrainOn`, and what the rules raise.
    """
    facts = outcomes.facts.columns(label.columns)
    rules.require_label(label, facts)
    spine = offline.rows(start, as_of)
    cut = np.datetime64((as_of - label.maturity).replace(tzinfo=None), "us")
    at = spine.column(AT).to_numpy().astype("datetime64[us]")
    keys = spine.column(KEY).to_pylist()
    labels, groups = outcomes.known_at(keys, as_of), rules.groups_of(keys, offline.feature_set.spine.keys)
    young, unlabelled = at >= cut, ~known_rows(labels)
    if not rules.learns:
        young, unlabelled = np.zeros_like(young), np.zeros_like(unlabelled)
    if groups is not None:
        young = ~whole_groups(~young, groups)
    kept = ~young & ~unlabelled
    balance = Balance(
        "training set",
        spine.num_rows,
        {"training rows": int(kept.sum()), "too young": int(young.sum()), "no outcome": int((unlabelled & ~young).sum())},
    ).checked()
    if not kept.any():
        raise NothingToTrainOn(label, label.known(facts), balance, start=start, as_of=as_of, horizons=outcomes.coding.horizons)
    rules.require_outcomes(label, labels[kept], facts)
    import pyarrow as pa

    rows, fields, place = spine.filter(pa.array(kept)), offline.fields, np.flatnonzero(kept)
    if groups is not None:
        rules.require_groups(label, labels[kept], groups[kept])
        together = np.argsort(groups[kept], kind="stable")
        rows, place = rows.take(pa.array(together)), place[together]
    features = table_rows(fields, rows)
    return TrainingSet(
        id=digest([content_hash(features), digest(labels[place].tobytes()), list(features.names), *_hashed_groups(groups, place)]),
        rows=rows,
        fields=fields,
        labels=labels[place],
        at=at[place],
        start=start,
        as_of=as_of,
        balance=balance,
        snapshots=offline.snapshots,
        groups=None if groups is None else groups[place],
    )


def _hashed_groups(groups: NDArray[np.int64] | None, place: NDArray[np.intp]) -> list[str]:
    """A part of the id only where there are groups: sets without them keep theirs."""
    return [] if groups is None else [digest(group_sizes(groups[place]).tobytes())]


def content_hash(rows: Rows) -> str:
    """A hash of values: of the block's bytes, or of every column with its type, however Arrow has laid it out in memory."""
    if is_block(rows.fields):
        return digest(rows.block.tobytes())
    return digest([[field.described, *_hashes(rows.column(field.name))] for field in rows.fields])


def _hashes(column: pa.Array) -> list[str]:
    """Of where a column is null, of its values there, and, where these have lengths, of those."""
    import pyarrow as pa
    import pyarrow.compute as pc

    there = pa.concat_arrays([column.drop_null()])
    found = [digest(np.packbits(np.asarray(column.is_null())).tobytes() + str(len(column)).encode())]
    if pa.types.is_struct(there.type):  # a tensor of free dimensions: its shape and its values
        return [*found, *(told for part in there.flatten() for told in _hashes(part))]
    if pa.types.is_nested(there.type):
        lengths = pc.list_value_length(there).to_numpy(zero_copy_only=False)
        return [*found, digest(np.asarray(lengths, np.int64).tobytes()), *_hashes(there.flatten())]
    if pa.types.is_string(there.type) or pa.types.is_binary(there.type):
        lengths = pc.binary_length(there).to_numpy(zero_copy_only=False)
        return [*found, digest(np.asarray(lengths, np.int64).tobytes()), digest(b"".join(there.cast(pa.binary()).to_pylist()))]
    if pa.types.is_timestamp(there.type):
        there = there.cast(pa.int64())
    return [*found, digest(there.to_numpy(zero_copy_only=False).tobytes())]
