"""What became of the rows that tables read, and whatever was said of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from noria.data.ingest import Ingested
from noria.workbench.result import Result


def ingested(done: Sequence[Ingested]) -> Result:
    """A row for each table, with what a command would print beside it: quarantine, warnings, files that can't be read, new columns."""
    rows: list[dict[str, Any]] = [
        {
            "table": each.snapshot.table,
            "rows read": each.balance.rows_in,
            **each.balance.rows_out,
            "version": each.snapshot.version,
            "remarks": list(_remarks(each)),
        }
        for each in done
    ]
    read, quarantined = sum(each.balance.rows_in for each in done), sum(sum(each.reasons.values()) for each in done)
    unreadable = sum(len(each.unreadable) for each in done)
    headline = f"{read:,} rows read" + (f", {quarantined:,} in quarantine" if quarantined else "")
    return Result(headline + (f", {unreadable:,} files can't be read" if unreadable else ""), [each.to_dict() for each in done], rows)


def _remarks(done: Ingested) -> Iterator[str]:
    yield from done.changes
    for reason, count in done.reasons.items():
        yield f"{count:,} quarantined: {reason}"
    for warning, count in done.warnings.items():
        yield f"{warning} ({count:,} rows)"
    for file, why in done.unreadable.items():
        yield f"{file}: {why} (it will be retried next time)"
