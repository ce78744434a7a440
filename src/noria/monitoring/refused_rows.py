"""Rows that ingestion refused: a broken contract is no statistic, and is a finding at once, which names the column."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from noria.data.ingest import Ingested
from noria.monitoring.findings import Finding, Kind, Severity

DATA_QUALITY: Kind = "data_quality"
PAGED = 0.01  # of a batch's rows, from which on somebody is paged


def subject_of(table: str) -> str:
    """What findings about a table's refused rows are about."""
    return f"rows of {table}"


def refused(ingested: Ingested, now: datetime) -> Iterator[Finding]:
    """One finding for a batch with refused rows or files. The batch after it, without any, ends it."""
    table, rows = ingested.snapshot.table, ingested.balance.rows_out.get("quarantined", 0)
    reasons = sorted(ingested.reasons.items(), key=lambda reason: -reason[1])
    if rows:
        most = "; ".join(f"{reason} ({count:,})" for reason, count in reasons[:3])
        summary = f"{table}: {rows:,} of {ingested.balance.rows_in:,} new rows are in quarantine: {most}"
    elif ingested.unreadable:
        place, reason = next(iter(ingested.unreadable.items()))
        summary = f"{table}: {len(ingested.unreadable):,} files could not be read, such as {place}: {reason}"
    else:
        return
    fix = "correct the source; or, if such rows are right, the contract, and run `noria ingest --replay-quarantine`"
    evidence = {"reasons": dict(reasons), "unreadable": dict(ingested.unreadable), "balance": ingested.balance.to_dict()}
    severity: Severity = "page" if rows >= PAGED * ingested.balance.rows_in else "inform"
    yield Finding(DATA_QUALITY, subject_of(table), now, severity, summary, fix, evidence)
