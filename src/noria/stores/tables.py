"""Versioned tables on Delta Lake: each append is one atomic version, with its facts in the same commit.

`deltalake` is taken because it writes an open format that Spark and DuckDB read, without a JVM or a server.

    <root>/<table>/            a Delta table
    <root>/<table>/_sums.log   SHA-256 of every data file, log entry and checkpoint, one line each, written after its commit

Parquet as written has no checksums and a flipped bit can read as another number, so every file is checked against its sum
before it is first read by a process. A file without a sum (a kill between commit and sum) gets one then.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.errors import OutsideWorld
from noria.core.files import Files, LocalFiles
from noria.core.ids import digest
from noria.core.old_names import renamed
from noria.core.sql import RESERVED, connect, quoted, reserved

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds
    import pyarrow.fs as pa_fs
    from deltalake import DeltaTable

_FACTS = "noria"
_LOG = "_delta_log"
_SUMS = "_sums.log"
ORDER = f"{RESERVED}order"  # BIGINT: which of several rows was ingested later, where nothing else says it; null where nothing has to
_SETTINGS = {"delta.logRetentionDuration": "interval 36500 days", "delta.enableExpiredLogCleanup": "false"}
DIGEST_ROWS = 1 << 20  # that are digested as one
BATCH_ROWS = 1 << 18  # of a scan
PAGE_ROWS = 1 << 16  # of a scan of one file
MANY_FILES = 100  # small files beyond which an append is followed by a compaction


class DamagedTable(OutsideWorld):
    """A file of a table is not what was written."""

    code = "NR-209"

    def __init__(self, table: str, path: Path, reason: str) -> None:
        self.table, self.path = table, path
        super().__init__(
            what=f"table {table!r} is damaged: {reason}",
            where=str(path),
            fix="restore the file from a backup; none of its data was used",
        )


class DeltaTables:
    """All tables of a project, one Delta table per folder below `root`."""

    def __init__(self, root: Path, files: Files | None = None) -> None:
        self.root = root
        self._files = files or LocalFiles()
        self._checked: dict[Path, tuple[int, int]] = {}
        self._known_sums: dict[str, tuple[int, dict[str, str]]] = {}

    def names(self) -> list[str]:
        return sorted(p.parent.name for p in self.root.glob(f"*/{_LOG}"))

    def latest(self, name: str) -> int | None:
        """The newest version's number, or None if the table was never written."""
        entries = (self.root / name / _LOG).glob("[0-9]*.json")  # a commit is there as a whole, or is not
        newest = max((int(entry.name.partition(".")[0]) for entry in entries), default=None)
        if newest is None and self._open(name) is not None:
            raise DamagedTable(name, self.root / name / _LOG, "it has no log entry")
        return newest

    def version_at(self, name: str, moment: datetime) -> int | None:
        """The version that was the newest at a moment; None if there was none yet."""
        table = self._open(name)
        if table is None:
            return None
        ms = int(moment.timestamp() * 1000)
        return max((int(c["version"]) for c in table.history() if c["timestamp"] <= ms), default=None)

    @contextmanager
    def writing(self, name: str) -> Iterator[None]:
        """While inside, no other process of this machine writes the table: what is read and then appended belongs together."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f".{name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def append(self, name: str, rows: pa.Table | pa.RecordBatchReader, facts: Mapping[str, Any]) -> int:
        """Add rows as the next version, with `facts` (JSON) in the same commit. Returns the version's number.

        Columns that the table lacks are added to it; those that `rows` lack are null in them.
        """
        from deltalake import CommitProperties, write_deltalake

        self.root.mkdir(parents=True, exist_ok=True)
        commit = CommitProperties(custom_metadata={_FACTS: json.dumps(facts, sort_keys=True)})
        new = not (self.root / name / _LOG).is_dir()
        write_deltalake(
            str(self.root / name),
            rows,
            mode="append",
            schema_mode=None if new else "merge",
            configuration=_SETTINGS if new else None,
            commit_properties=commit,
        )
        return self._after_commit(name)

    def replace(self, name: str, rows: pa.Table | pa.RecordBatchReader, facts: Mapping[str, Any]) -> int:
        """Make `rows` the whole content, with their columns, as the next version; earlier versions stay readable as they are."""
        from deltalake import CommitProperties, write_deltalake

        commit = CommitProperties(custom_metadata={_FACTS: json.dumps(facts, sort_keys=True)})
        write_deltalake(str(self.root / name), rows, mode="overwrite", schema_mode="overwrite", commit_properties=commit)
        return self._after_commit(name)

    def read(self, name: str, version: int, *, within: tuple[str, datetime, datetime] | None = None, ordered: bool = False) -> pa.Table:
        """All rows of a version, in a fixed order; with `within` = (time column, first, last), those in that closed range.

        ordered: with `ORDER` as the last column, where the table has it

        Raises `DamagedTable` if a file that it reads is not what was written.
        """
        import pyarrow as pa

        with self.reading(name):
            return in_order(pa.table(self.scan(name, version, within=within).read_all()), ordered=ordered)

    def scan(
        self,
        name: str,
        version: int,
        *,
        within: tuple[str, datetime, datetime] | None = None,
        columns: Sequence[str] | None = None,
        where: ds.Expression | None = None,
    ) -> pa.RecordBatchReader:
        """The rows of a version in no order, a batch at a time, few of which are held at once.

        within: (time column, first, last): those in that closed range; where: those for which this holds

        Raises `DamagedTable` if a file that it reads is not what was written.
        """
        import pyarrow.dataset as ds

        table = self._open(name, version)
        assert table is not None, name
        self._check(name, table)
        chosen = where if within is None else (ds.field(within[0]) >= within[1]) & (ds.field(within[0]) <= within[2])
        rows = table.to_pyarrow_dataset(filesystem=_mapped(self.root / name))
        scanner = rows.scanner(columns=columns, filter=chosen, batch_size=BATCH_ROWS, batch_readahead=1, fragment_readahead=1)
        return scanner.to_reader()

    def scan_file(self, name: str, version: int, path: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Columns of one data file of a version, a few pages at a time. Raises `DamagedTable` if it is not what was written."""
        import pyarrow.parquet as pq

        table = self._open(name, version)
        assert table is not None, name
        self._check(name, table, [path])
        with self.reading(name), pq.ParquetFile(self.root / name / path, pre_buffer=False) as file:
            yield from file.iter_batches(batch_size=PAGE_ROWS, columns=list(columns), use_threads=False)

    @contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """What goes wrong while a scan is read is a `DamagedTable`."""
        import pyarrow as pa

        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise DamagedTable(name, self.root / name, str(error).splitlines()[0]) from error

    def data_files(self, name: str, version: int) -> list[str]:
        """The data files that a version consists of; a file never changes."""
        table = self._open(name, version)
        assert table is not None, name
        return _paths(table)

    def read_or_none(self, name: str) -> pa.Table | None:
        version = self.latest(name)
        return None if version is None else self.read(name, version)

    def schema(self, name: str) -> pa.Schema | None:
        """The columns of the newest version, `ORDER` left out; None if the table was never written."""
        import pyarrow as pa

        table = self._open(name)
        return None if table is None else pa.schema([f for f in table.to_pyarrow_dataset().schema if not reserved(f.name)])

    def stored_schema(self, name: str, version: int) -> pa.Schema:
        """The columns of a version, `ORDER` included."""
        import pyarrow as pa

        table = self._open(name, version)
        assert table is not None, name
        return pa.schema(table.schema().to_arrow())

    def details(self, name: str, version: int | None = None) -> dict[str, Any]:
        """The facts stored with the newest append (up to a version); what maintains a table has none of its own."""
        newest = self.latest(name) if version is None else version
        for entry in range(-1 if newest is None else newest, -1, -1):
            found = self._facts_of(name, entry)
            if found is not None:
                return {**found, "balance": renamed(found["balance"])} if "balance" in found else found
        return {}

    def _facts_of(self, name: str, version: int) -> dict[str, Any] | None:
        """The facts in one log entry, read from the entry itself: a table's history is read from its end, and can be long."""
        path = self.root / name / _LOG / f"{version:020d}.json"
        self._check_entry(name, path)
        try:
            actions = [json.loads(line) for line in self._files.read(path).splitlines() if line]
            commit: dict[str, Any] = next((a["commitInfo"] for a in actions if "commitInfo" in a), {})
            return dict(json.loads(commit[_FACTS])) if _FACTS in commit else None
        except (OSError, ValueError, TypeError) as error:
            raise DamagedTable(name, path, f"its log entry can't be read ({error})") from error

    def count(self, name: str) -> int:
        """Rows in the newest version, from the log alone."""
        table = self._open(name)
        return 0 if table is None else sum(_actions(table)["num_records"].to_pylist())

    # --- maintenance ---

    def compact(self, name: str) -> int:
        """Join small files into large ones, as a version of its own; returns how many files were joined."""
        table = self._open(name)
        if table is None:
            return 0
        self._check(name, table)
        done = table.optimize.compact()
        self._after_commit(name, may_compact=False)
        return int(done["numFilesRemoved"])

    def retain(self, name: str, keep: Sequence[int], younger_than: timedelta) -> int:
        """Remove files that only old versions need; versions in `keep` and all younger ones stay. Returns how many."""
        table = self._open(name)
        if table is None:
            return 0
        there = [v for v in keep if v <= int(table.version())]
        hours = int(younger_than.total_seconds() // 3600)
        return len(table.vacuum(hours, dry_run=False, enforce_retention_duration=False, keep_versions=there or None))

    def _after_commit(self, name: str, *, may_compact: bool = True) -> int:
        table = self._open(name)
        assert table is not None, name
        if int(table.version()) % 100 == 99:
            table.create_checkpoint()
        self._write_sums(name, table)
        if not may_compact or _actions(table).num_rows <= MANY_FILES:
            return int(table.version())
        self.compact(name)
        version = self.latest(name)
        assert version is not None
        return version

    # --- sums ---

    def _check(self, name: str, table: DeltaTable, data: Collection[str] | None = None) -> None:
        """Compare the log of a version, and every data file that it consists of (or these), with their sums."""
        folder = self.root / name
        known = self._sums(name)
        missing = []
        files = [*_log_files(folder, int(table.version())), *(folder / path for path in (_paths(table) if data is None else data))]
        for path in files:
            try:
                found = path.stat()
                mark = (found.st_size, found.st_mtime_ns)
                if self._checked.get(path) == mark:
                    continue
                relative = str(path.relative_to(folder))
                if relative not in known:
                    missing.append(path)
                    continue
                if known[relative] != _sha256(path):
                    raise DamagedTable(name, path, "its content differs from what was written")
            except FileNotFoundError as error:
                raise DamagedTable(name, path, "the file is gone") from error
            self._checked[path] = mark
        if missing:
            self._append_sums(name, missing)

    def _write_sums(self, name: str, table: DeltaTable) -> None:
        """Sums for the files of the newest commit."""
        folder, known = self.root / name, self._sums(name)
        files = [*_log_files(folder, int(table.version())), *(folder / path for path in _paths(table))]
        fresh = [path for path in files if str(path.relative_to(folder)) not in known]
        self._append_sums(name, fresh)

    def _append_sums(self, name: str, paths: Sequence[Path]) -> None:
        folder = self.root / name
        lines = "".join(f"{_sha256(path)} {path.relative_to(folder)}\n" for path in paths)
        if not lines:
            return
        log = self._files.append(folder / _SUMS)
        try:
            log.write(lines.encode())
            log.sync()
        finally:
            log.close()

    def _sums(self, name: str) -> dict[str, str]:
        """Sums by path. Lines that were read already are not read again: the file only grows."""
        path = self.root / name / _SUMS
        if not self._files.exists(path):
            return {}
        data = self._files.read(path)
        done, known = self._known_sums.get(name, (0, {}))
        if len(data) < done:
            done, known = 0, {}
        end = data.rfind(b"\n") + 1  # a line that was torn has no end
        for line in data[done:end].decode("utf-8", "replace").splitlines():
            total, _, relative = line.partition(" ")
            known[relative] = total
        self._known_sums[name] = (end, known)
        return known

    def _open(self, name: str, version: int | None = None) -> DeltaTable | None:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        if not (self.root / name / _LOG).is_dir():
            return None
        try:
            return DeltaTable(str(self.root / name), version=version)
        except (DeltaError, OSError, ValueError) as error:
            self._check_log(name)
            raise DamagedTable(name, self.root / name / _LOG, str(error).splitlines()[0]) from error

    def _check_log(self, name: str) -> None:
        for path in sorted((self.root / name / _LOG).glob("[0-9]*")):
            self._check_entry(name, path)

    def _check_entry(self, name: str, path: Path) -> None:
        known = self._sums(name).get(str(path.relative_to(self.root / name)))
        if known is not None and path.exists() and known != _sha256(path):
            raise DamagedTable(name, path, "its content differs from what was written")


def in_order(rows: pa.Table, *, ordered: bool) -> pa.Table:
    """Rows as they were scanned, in the fixed order of a version; ordered: with `ORDER` as the last column, where they have it.

    Some of a version's rows come in the order in which they stand among all.
    """
    shown = [c for c in rows.column_names if not reserved(c)]
    hidden = [ORDER] if ORDER in rows.column_names else []
    with connect() as con:
        con.register(f"{RESERVED}rows", rows.select([*shown, *hidden]))
        columns = ", ".join(map(quoted, [*shown, *(hidden if ordered else [])]))
        by = ", ".join(map(quoted, [*shown, *hidden]))
        return con.sql(f"SELECT {columns} FROM {RESERVED}rows ORDER BY {by}").to_arrow_table()


def _mapped(folder: Path) -> pa_fs.FileSystem:
    """The files of a folder, which are mapped and not copied where they are read."""
    from pyarrow import fs

    return fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem(use_mmap=True))


def _actions(table: DeltaTable) -> Any:
    """The files of a version, as Arrow: path, size, number of records, …"""
    return table.get_add_actions(flatten=True)


def _paths(table: DeltaTable) -> list[str]:
    return [str(p) for p in _actions(table)["path"].to_pylist()]


def _log_files(folder: Path, version: int) -> list[Path]:
    """The log entries and the checkpoint that opening a version reads: from the last checkpoint on. They are named, not
    listed, since a table with ten thousand versions has as many entries."""
    log = folder / _LOG
    start = _last_checkpoint(log)
    if start is None or start > version:
        older = [int(p.name[:20]) for p in log.glob("*.checkpoint.parquet")]
        start = max((v for v in older if v <= version), default=None)
    entries = [log / f"{v:020d}.json" for v in range(start or 0, version + 1)]
    return entries if start is None else [log / f"{start:020d}.checkpoint.parquet", *entries]


def _last_checkpoint(log: Path) -> int | None:
    """The version of the newest checkpoint, as the log's own hint says; None where the hint is missing or unreadable."""
    try:
        hint = json.loads((log / "_last_checkpoint").read_bytes())
        version = int(hint["version"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return version if (log / f"{version:020d}.checkpoint.parquet").exists() else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_digest(rows: pa.RecordBatchReader) -> str:
    """SHA-256 of the values and the schema of rows in their order, whatever the batches they come in."""
    import pyarrow as pa

    found = []
    for part in _in_parts(rows):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, part.schema) as writer:
            writer.write_table(part)
        found.append(digest(memoryview(sink.getvalue())))
    return found[0] if len(found) == 1 else digest(found)


def _in_parts(rows: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Rows in tables of `DIGEST_ROWS` each, of one chunk; at least one, which may be empty."""
    import pyarrow as pa

    schema = rows.schema.remove_metadata()
    held, count = list[pa.RecordBatch](), 0
    for batch in rows:
        held.append(batch.replace_schema_metadata(None))
        count += batch.num_rows
        while count >= DIGEST_ROWS:
            whole = pa.Table.from_batches(held, schema)
            yield whole.slice(0, DIGEST_ROWS).combine_chunks()
            held, count = whole.slice(DIGEST_ROWS).to_batches(), count - DIGEST_ROWS
    yield pa.Table.from_batches(held, schema).combine_chunks()
