"""Labels: the truth that a model learns to predict, which becomes known later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import duration, since_epoch
from noria.core.conservation import Balance
from noria.core.sql import connect, quoted
from noria.data.table import Facts, Table
from noria.features.compile import key_sql
from noria.features.versions import versions_of


@dataclass(frozen=True)
class Label:
    """A column of a table with the spine's key: 1 where it equals `positive`, else 0.

    matures: how long after a prediction its outcome is certain to be known; a window is judged only then
    """

    table: Table
    column: str
    positive: int | str = 1
    matures: str = "0s"

    @property
    def maturity(self) -> timedelta:
        return duration(self.matures)


class Outcomes:
    """The outcomes of a label, as they were known at any time."""

    def __init__(self, facts: Facts, label: Label) -> None:
        self.facts = facts
        self._con = connect()
        self._con.register("versions", versions_of(facts, self._con).relation)
        self._con.execute(
            f"CREATE TABLE outcomes AS SELECT {key_sql(label.table.keys)} AS key, "
            f"({quoted(label.column)} = $positive)::INT AS label, _known, _superseded FROM versions",
            {"positive": label.positive},
        )
        self._con.unregister("versions")

    def known_since(self, keys: Sequence[str | None]) -> NDArray[np.float64]:
        """When the outcome of each key (in order, `(keys,)`) first became known, in microseconds since 1970-01-01 UTC; infinite: never."""
        import pyarrow as pa

        self._con.register("wanted", pa.table({"key": pa.array(keys, pa.string()), "place": pa.array(range(len(keys)), pa.int64())}))
        found = self._con.sql(
            "SELECT w.place, min(o._known) AS known FROM wanted w LEFT JOIN outcomes o ON o.key = w.key GROUP BY w.place ORDER BY w.place"
        ).to_arrow_table()
        self._con.unregister("wanted")
        since: NDArray[np.float64] = found.column("known").cast(pa.float64()).to_numpy(zero_copy_only=False)
        return np.where(np.isnan(since), np.inf, since)

    def known_at(self, keys: Sequence[str | None], moment: datetime) -> NDArray[np.float64]:
        """The label of each key (in order, `(keys,)` in {0, 1}) as known at `moment`; NaN where nothing was known."""
        import pyarrow as pa

        wanted = pa.table({"key": pa.array(keys, pa.string()), "place": pa.array(range(len(keys)), pa.int64())})
        self._con.register("wanted", wanted)
        us = since_epoch(moment)
        found = self._con.sql(
            f"SELECT w.place, o.label FROM wanted w LEFT JOIN outcomes o ON o.key = w.key "
            f"AND o._known <= {us} AND o._superseded > {us} ORDER BY w.place"
        ).to_arrow_table()
        self._con.unregister("wanted")
        Balance("outcomes", len(keys), {"looked up": found.num_rows}).checked()
        labels: NDArray[np.float64] = found.column("label").cast(pa.float64()).to_numpy()
        return labels
