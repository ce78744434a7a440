"""Training sets: spine rows with their features and the outcomes known by then, with lineage and a content hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.core.conservation import Balance
from noria.core.errors import UserMistake
from noria.core.ids import digest
from noria.features.compile import AT, KEY
from noria.features.label import Label, LabelRules
from noria.features.offline import OfflineFeatures
from noria.features.outcomes import Outcomes

if TYPE_CHECKING:
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


@dataclass(frozen=True)
class Dataset:
    """What a trainer gets: features `(rows, features)` float32 (NaN where unknown), labels `(rows,)` float64, as the task has them."""

    features: NDArray[np.float32]
    labels: NDArray[np.float64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class TrainingSet:
    """A spine joined point-in-time to a feature set and a label, as known at `as_of`. `id` is its content hash; snapshots: of the tables"""

    id: str
    rows: pa.Table
    features: tuple[str, ...]
    labels: NDArray[np.float64]
    at: NDArray[np.datetime64]
    start: datetime
    as_of: datetime
    balance: Balance
    snapshots: Sequence[Snapshot]

    @cached_property
    def matrix(self) -> NDArray[np.float32]:
        """The features of every row, `(rows, features)`."""
        return feature_matrix(self.rows, self.features)

    def dataset(self, keep: NDArray[np.bool_] | None = None) -> Dataset:
        """The rows as arrays, or those rows where `keep` is true."""
        x, y = self.matrix, self.labels
        return Dataset(x, y, self.features) if keep is None else Dataset(x[keep], y[keep], self.features)


def feature_matrix(rows: pa.Table, features: tuple[str, ...]) -> NDArray[np.float32]:
    """Columns of an Arrow table as `(rows, features)` float32, NaN where null."""
    if rows.num_rows == 0:
        return np.empty((0, len(features)), np.float32)
    columns = [rows.column(f).combine_chunks().to_numpy(zero_copy_only=False) for f in features]
    return np.ascontiguousarray(np.column_stack(columns).astype(np.float32, copy=False))


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

    rows = spine.filter(pa.array(kept))
    features = offline.feature_set.features
    x = feature_matrix(rows, features)
    return TrainingSet(
        id=digest([digest(x.tobytes()), digest(labels[kept].tobytes()), list(features)]),
        rows=rows,
        features=features,
        labels=labels[kept],
        at=at[kept],
        start=start,
        as_of=as_of,
        balance=balance,
        snapshots=offline.snapshots,
    )
