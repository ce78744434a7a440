"""Training sets: spine rows with their features and the outcomes known by then, with lineage and a content hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.conservation import Balance
from noria.core.errors import MissingExtra, UserMistake
from noria.core.ids import digest
from noria.data.rows import Fields, Rows
from noria.features.compile import AT, KEY
from noria.features.fields import is_block, table_rows
from noria.features.label import Label, LabelRules
from noria.features.offline import OfflineFeatures
from noria.features.outcomes import Outcomes

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from noria.data.table import Snapshot


class NothingToTrainOn(UserMistake):
    """No spine row in the period has a known outcome."""

    code = "NR-220"

    def __init__(self, label: Label, known: int, balance: Balance, *, start: datetime, as_of: datetime) -> None:
        self.start, self.as_of, self.spine_rows = start, as_of, balance.rows_in
        young = balance.rows_out["too young"]
        if not balance.rows_in:
            why, fix = "the spine has no rows in that period", "ingest rows of the spine, or train at a later time"
        elif young == balance.rows_in:
            why, fix = f"all are younger than matures={label.matures!r}", "train at a later time"
        elif not known:
            why, fix = f"{label.table.name}.{label.column} is null in all rows", "ingest outcomes"
        else:
            why = f"none of their keys has an outcome in {label.table.name} known by then ({known:,} of its rows have one at some time)"
            fix = f"check that {', '.join(label.table.keys)} means the same in both tables, and when outcomes become known"
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
            fix="use train.columns, train.table (Arrow) or train.frame() (pandas), which have each column in its own type",
        )


@dataclass(frozen=True)
class Dataset:
    """What a trainer gets: rows of the model's features, and labels `(rows,)` float64, as the task has them."""

    rows: Rows
    labels: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def names(self) -> tuple[str, ...]:
        return self.rows.names

    @property
    def features(self) -> NDArray[Any]:
        """The features `(rows, features)` float32 (float64, where all are that), NaN where unknown. Raises `NotOneBlock` where they are
        of several types."""
        if not self.rows.is_dense:
            raise NotOneBlock(self.rows.fields)
        return self.rows.block

    @property
    def columns(self) -> dict[str, pa.Array]:
        """Each feature by name, as an Arrow array of its type; null where unknown."""
        return self.rows.columns()

    @property
    def table(self) -> pa.Table:
        """The features as an Arrow table."""
        import pyarrow as pa

        return pa.table(self.columns)

    def frame(self) -> pd.DataFrame:
        """The features as a pandas data frame, as pandas reads Arrow: texts stay texts, and whole numbers of which one is unknown are
        floats with NaN. Raises `MissingExtra` without pandas."""
        try:
            return self.table.to_pandas()
        except ModuleNotFoundError as error:
            raise MissingExtra(library="pandas", extra="pandas", needed_for="train.frame()") from error


@dataclass(frozen=True)
class TrainingSet:
    """A spine joined point-in-time to a feature set and a label, as known at `as_of`. `id` is its content hash; snapshots: of the tables

    rows: the spine's columns and the features; fields: of the features, in the order in which the model gets them
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

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names."""
        return tuple(field.name for field in self.fields)

    @cached_property
    def features(self) -> Rows:
        """The features of every row."""
        return table_rows(self.fields, self.rows)

    def dataset(self, keep: NDArray[np.bool_] | None = None) -> Dataset:
        """The rows as a trainer gets them, or those rows where `keep` is true."""
        x, y = self.features, self.labels
        return Dataset(x, y) if keep is None else Dataset(x.where(keep), y[keep])


def build_training_set(
    offline: OfflineFeatures, label: Label, outcomes: Outcomes, rules: LabelRules, *, start: datetime, as_of: datetime
) -> TrainingSet:
    """Every spine row predicted in [start, as_of − maturity) whose outcome was known at `as_of`.

    Rows younger than the label's maturity are left out whole: of them only the quick outcomes are known, and a model
    trained on those learns that everything ends well. rules: the model's task. Raises `NothingToTrainOn`, and what the rules raise.
    """
    facts = outcomes.facts.columns([label.column])
    rules.require_label(label, facts)
    spine = offline.rows(start, as_of)
    cut = np.datetime64((as_of - label.maturity).replace(tzinfo=None), "us")
    at = spine.column(AT).to_numpy().astype("datetime64[us]")
    labels = outcomes.known_at(spine.column(KEY).to_pylist(), as_of)
    young, unlabelled = at >= cut, np.isnan(labels)
    kept = ~young & ~unlabelled
    balance = Balance(
        "training set",
        spine.num_rows,
        {"training rows": int(kept.sum()), "too young": int(young.sum()), "no outcome": int((unlabelled & ~young).sum())},
    ).checked()
    if not kept.any():
        raise NothingToTrainOn(label, label.known(facts), balance, start=start, as_of=as_of)
    rules.require_outcomes(label, labels[kept], facts)
    import pyarrow as pa

    rows, fields = spine.filter(pa.array(kept)), offline.fields
    features = table_rows(fields, rows)
    return TrainingSet(
        id=digest([content_hash(features), digest(labels[kept].tobytes()), list(features.names)]),
        rows=rows,
        fields=fields,
        labels=labels[kept],
        at=at[kept],
        start=start,
        as_of=as_of,
        balance=balance,
        snapshots=offline.snapshots,
    )


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
    if pa.types.is_nested(there.type):
        lengths = pc.list_value_length(there).to_numpy(zero_copy_only=False)
        return [*found, digest(np.asarray(lengths, np.int64).tobytes()), *_hashes(there.flatten())]
    if pa.types.is_string(there.type) or pa.types.is_binary(there.type):
        lengths = pc.binary_length(there).to_numpy(zero_copy_only=False)
        return [*found, digest(np.asarray(lengths, np.int64).tobytes()), digest(b"".join(there.cast(pa.binary()).to_pylist()))]
    if pa.types.is_timestamp(there.type):
        there = there.cast(pa.int64())
    return [*found, digest(there.to_numpy(zero_copy_only=False).tobytes())]
