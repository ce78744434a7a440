"""Features without a model: what feature views say of the rows of a data frame, as it was known at each row's time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from noria.core.arguments import require_each
from noria.core.declarations import collecting
from noria.core.errors import UserMistake
from noria.core.files import LocalFiles
from noria.data.ingest import ingest, stored
from noria.data.sources.frames import IndexColumn, arrow_of, frame, index_of
from noria.data.table import Table
from noria.features.feature_set import FeatureSet
from noria.features.offline import OfflineFeatures
from noria.features.view import FeatureView
from noria.stores.tables import DeltaTables

if TYPE_CHECKING:
    import pyarrow as pa

PLACE = "row_of_the_frame"
LATEST = datetime(9999, 1, 1, tzinfo=UTC)


class WhichTime(UserMistake):
    """A data frame has no column of times, or several, and none is named."""

    code = "NR-265"

    def __init__(self, found: Sequence[str], columns: Sequence[str]) -> None:
        super().__init__(
            what=f"{'several columns' if found else 'no column'} of the data frame could be the time of its rows",
            where=", ".join(found or columns),
            fix="name it: nr.features_for(spine, views, time=…)",
        )


class UnusableRows(UserMistake):
    """Rows of a data frame can't be given features: their time or an entity can't be read."""

    code = "NR-266"

    def __init__(self, count: int, reasons: Sequence[str]) -> None:
        super().__init__(
            what=f"{count:,} rows of the data frame can't be given features",
            where="; ".join(reasons) or "their times are unknown",
            fix="give each row a time; drop or fill the others before",
        )


def features_for(spine: Any, views: Sequence[FeatureView], *, time: str | None = None, folder: str | Path = ".") -> pa.Table:
    """The features of `views` for each row of a data frame, in its order, as known at the row's time; null where nothing was known.

    views: whose features are computed
    spine: pandas, polars or Arrow, with the views' entities and a time; time: the column that says as of when, needed where there are
        several of times; folder: where relative paths of the views' sources start

    Returns an Arrow table: the spine's columns, then the features. The views' tables are read from their sources, as ingestion does, and
    nothing is stored. Raises `WhichTime`, `UnusableRows`, and what ingestion raises.
    """
    import pyarrow as pa

    require_each("nr.features_for", "views", views, FeatureView, "views=[by_city], of what nr.FeatureView(…) gave")
    given = arrow_of(spine)
    for name in index_of(spine):
        if name in {time, *(entity for view in views for entity in view.entities)} or (time is None and not _times(given)):
            raise IndexColumn(name, "the rows to give features to")
    column = time or _time_of(given)
    rows = given.append_column(PLACE, pa.array(range(given.num_rows), pa.int64()))
    with collecting(), TemporaryDirectory(prefix="noria-features-") as name:
        store, own = DeltaTables(Path(name) / "tables"), Table("rows_of_the_frame", frame(rows), key=PLACE, event_time=column)
        wanted = FeatureSet("features", spine=own, views=list(views))
        done = {table.name: ingest(table, store, Path(folder).resolve()) for table in wanted.tables}
        lacking = rows.num_rows - done[own.name].snapshot.rows
        if lacking:
            raise UnusableRows(lacking, [f"{count:,} because {reason}" for reason, count in done[own.name].reasons.items()])
        offline = OfflineFeatures(wanted, [stored(table, store) for table in wanted.tables], Path(name) / "cache", LocalFiles())
        found = offline.rows(offline.first(), LATEST).sort_by(PLACE)
    return pa.table({**{n: given.column(n) for n in given.column_names}, **{n: found.column(n) for n in wanted.features}})


def _times(rows: pa.Table) -> list[str]:
    import pyarrow as pa

    return [field.name for field in rows.schema if pa.types.is_timestamp(field.type)]


def _time_of(rows: pa.Table) -> str:
    found = _times(rows)
    if len(found) != 1:
        raise WhichTime(found, rows.column_names)
    return str(found[0])
