"""From raw rows to versioned truth: sources, contracts, tables, ingestion, profiles.

In:  rows from files, with the times at which they happened and were known
Out: Snapshots (immutable versions of a Table) and Profiles (summaries of distributions)
"""

from noria.data.contract import Contract
from noria.data.source import FileSource, FrameSource, Source, SqlSource, StreamSource, feedback, files, frame, sql, stream
from noria.data.table import INGESTED, Snapshot, Table

__all__ = [
    "INGESTED",
    "Contract",
    "FileSource",
    "FrameSource",
    "Snapshot",
    "Source",
    "SqlSource",
    "StreamSource",
    "Table",
    "feedback",
    "files",
    "frame",
    "sql",
    "stream",
]
