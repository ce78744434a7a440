"""The rows of a training set, for people: with their features, outcomes, keys and times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from noria.features.compile import AT, KEY
from noria.features.training_set import Dataset, TrainingSet
from noria.models.model import Model
from noria.workbench.result import Result

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SHOWN = 5  # rows in a notebook


@dataclass(frozen=True)
class TrainingRows:
    """What a training learns from. `id` is the hash of its content: the same rows and features have the same."""

    model: Model
    found: TrainingSet

    @property
    def id(self) -> str:
        """The hash of its content."""
        return self.found.id

    @property
    def dataset(self) -> Dataset:
        """What a trainer would get."""
        return self.found.dataset(weights=self.model.weights)

    @property
    def X(self) -> Any:  # noqa: N802 - as scikit-learn calls it
        """The features, as `fit` of most libraries takes them."""
        return self.dataset.X

    @property
    def y(self) -> Any:
        """The outcomes, as a trainer gets them: `(rows,)` float64, or `(rows, outcomes)`."""
        return self.dataset.y

    def to_arrow(self) -> pa.Table:
        """Key, time, features and outcomes; the outcomes' columns are named as the task has them."""
        import pyarrow as pa

        rows, features = self.found.rows, self.found.features.columns()
        outcomes = self.model.task.outcome_columns(self.found.labels)
        return pa.table({"key": rows.column(KEY), "at": rows.column(AT), **features, **outcomes})

    def to_pandas(self) -> pd.DataFrame:
        """The same as a pandas data frame."""
        return self.to_arrow().to_pandas()

    def to_dict(self) -> dict[str, Any]:
        """Where the rows come from: versions of tables, and what was left out and why."""
        return {
            "id": self.id,
            "model": self.model.name,
            "as_of": self.found.as_of.isoformat(),
            "rows": self.found.balance.to_dict(),
            "features": list(self.found.names),
            "snapshots": [each.to_dict() for each in self.found.snapshots],
        }

    def __len__(self) -> int:
        return len(self.found.labels)

    @property
    def _shown(self) -> Result:
        out = ", ".join(f"{count:,} {what}" for what, count in self.found.balance.rows_out.items() if what != "training rows" and count)
        headline = f"{len(self):,} rows for {self.model.name} as of {self.found.as_of:%Y-%m-%d %H:%M} UTC" + (
            f"; left out: {out}" if out else ""
        )
        return Result(headline, self.to_dict(), self.to_arrow().slice(0, SHOWN).to_pylist())

    def _repr_html_(self) -> str:
        return self._shown._repr_html_()

    def __repr__(self) -> str:
        return repr(self._shown)
