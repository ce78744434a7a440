"""From raw rows to versioned truth: sources, contracts, tables, ingestion, profiles.

In:  rows from files, with the times at which they happened and were known
Out: Snapshots (immutable versions of a Table) and Profiles (summaries of distributions)
"""

from noria.data.contract import Contract
from noria.data.source import FileSource, Source, SqlSource, StreamSource, files, sql, stream
from noria.data.table import INGESTED, Snapshot, Table

__all__ = ["INGESTED", "Contract", "FileSource", "Snapshot", "Source", "SqlSource", "StreamSource", "Table", "files", "sql", "stream"]
