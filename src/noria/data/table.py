"""Tables and Snapshots: an ingested source with keys, `event_time`, `known_at` and a contract; and one version of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from noria.core.arguments import WrongArgument, require, require_each
from noria.core.clock import since_epoch
from noria.core.declarations import declare
from noria.core.ids import digest
from noria.core.names import BadName, require_name
from noria.data.contract import Contract
from noria.data.sources.frames import IndexColumn, frame, is_frame
from noria.data.sources.port import Source

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

QUARANTINE = "__quarantine"  # what a table's name is followed by in the name of its quarantine
INGESTED = "_ingested_at"  # as `known_at`: ingestion itself writes down when each row came


@dataclass(frozen=True)
class Table:
    """A source of facts, as the project declares it.

    name: as commands and stored versions have it
    source: `nr.files(…)`, `nr.sql(…)`, `nr.stream(…)`, `nr.frame(…)` or a data frame as it is
    key: what one fact is; rows with the same key are versions of it, and the latest version known at a time counts
    event_time: the column that says when a fact happened (a timestamp with a zone)
    known_at: the column that says when we could know it; without one, a fact is known when it happens. `INGESTED` is for sources
        that don't say: a row is known when it was ingested, and what the first ingestion brings, when it happened
    deleted: a boolean column; a version with it set retracts the fact
    contract: rules that rows must keep; those that break one go into quarantine
    """

    name: str
    source: Source
    key: str | tuple[str, ...]
    event_time: str
    known_at: str | None = None
    deleted: str | None = None
    contract: Contract = field(default_factory=Contract)

    def __post_init__(self) -> None:
        require_name("table", self.name)
        if is_frame(self.source):
            object.__setattr__(self, "source", frame(self.source))
        self._check_arguments()
        if self.name.lower().endswith(QUARANTINE):
            raise BadName("table", self.name, f"names that end with {QUARANTINE} are reserved for quarantine tables", "use another")
        declare(self)

    def _check_arguments(self) -> None:
        """Raise `WrongArgument` for what is no source, no columns, or no contract; `IndexColumn` for a column that is a frame's index."""
        call = f"nr.Table({self.name!r})"
        if not callable(getattr(self.source, "read", None)):
            path = self.source if isinstance(self.source, str) else "data/rows.parquet"
            raise WrongArgument(call, "source", self.source, f'write nr.files("{path}"), nr.sql(…) or a data frame')
        if not isinstance(self.key, str):
            require_each(call, "key", self.key, str, '"order_id", or ("shop", "order_id")')
        require(call, "event_time", self.event_time, str, 'event_time="placed_at": the name of a column')
        require(call, "contract", self.contract, Contract, 'contract=nr.Contract(not_null=["price"])')
        for column in (*self.keys, *self.times):
            if column in getattr(self.source, "index", ()):
                raise IndexColumn(column, self.source.describe())

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,) if isinstance(self.key, str) else tuple(self.key)

    @property
    def known(self) -> str:
        """The column that says when a fact was known."""
        return self.known_at or self.event_time

    @property
    def stamped(self) -> bool:
        """Whether ingestion writes down when a row was known, since the source does not say."""
        return self.known_at == INGESTED

    @property
    def times(self) -> tuple[str, ...]:
        """The source's columns of times."""
        return tuple(dict.fromkeys((self.event_time, self.event_time if self.stamped else self.known)))


@dataclass(frozen=True)
class Snapshot:
    """One immutable version of a Table. `digest` names its content: equal digests are equal rows."""

    table: str
    version: int
    digest: str
    rows: int
    weeks: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def digest_before(self, moment: datetime) -> str:
        """A name for all that was known before a moment: it changes only when a batch arrives with something of that time.

        `weeks` has, by the week of a batch's earliest known time, the chained digests of such batches; so whole weeks count.
        """
        last = since_epoch(moment)
        return digest({week: chain for week, chain in self.weeks.items() if int(week) < last})

    def to_dict(self) -> dict[str, str | int]:
        return {"table": self.table, "version": self.version, "digest": self.digest, "rows": self.rows}


class TableRows(Protocol):
    """A Snapshot whose rows are in memory, or can be read: what feature views and labels are computed from."""

    @property
    def table(self) -> Table: ...

    @property
    def snapshot(self) -> Snapshot: ...

    @property
    def schema(self) -> pa.Schema:
        """The columns that the rows have."""

    @property
    def held(self) -> bool:
        """Whether all rows are in memory, or are to be: then less is not asked for."""

    @property
    def whole(self) -> SnapshotRows:
        """All rows."""

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns of all rows, in any order."""

    def extent(self, column: str) -> tuple[Any, Any]:
        """The least and the greatest value of a column; None where there is none."""


@dataclass(frozen=True)
class SnapshotRows:
    """A Snapshot with rows of it in memory.

    order: `(rows,)`, a number for each row that is greater the later it was ingested; None where that is not known
    """

    table: Table
    snapshot: Snapshot
    rows: pa.Table
    order: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)
    held: ClassVar[bool] = True

    @property
    def schema(self) -> pa.Schema:
        return self.rows.schema

    @property
    def whole(self) -> SnapshotRows:
        return self

    def columns(self, names: Sequence[str]) -> pa.Table:
        return self.rows.select(list(names))

    def extent(self, column: str) -> tuple[Any, Any]:
        import pyarrow.compute as pc

        found = pc.min_max(self.rows.column(column)).as_py()
        return found["min"], found["max"]


def microseconds_of(times: pa.ChunkedArray, *, up: bool = True) -> NDArray[np.int64]:
    """A column of UTC timestamps as microseconds since 1970-01-01 UTC.

    up: where a time lies between two microseconds, whether the later is taken: right for what happened or became known, which
        may not count too early; a time that is asked about is rounded down
    """
    import numpy as np
    import pyarrow as pa

    if pa.types.is_timestamp(times.type) and times.type.unit == "ns":
        ns = np.asarray(times.cast(pa.int64()).to_numpy())
        return -(-ns // 1000) if up else ns // 1000
    return np.asarray(times.cast(pa.timestamp("us", tz="UTC"), safe=False).cast(pa.int64()).to_numpy())
