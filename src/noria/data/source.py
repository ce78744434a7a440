"""Sources: where raw rows come from. A `Source` is anything that can be read into an Arrow table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from noria.core.errors import OutsideWorld, UserMistake
from noria.core.sql import connect

if TYPE_CHECKING:
    import pyarrow as pa

READERS = {".parquet": "read_parquet", ".csv": "read_csv", ".jsonl": "read_json"}


class MissingData(UserMistake):
    """A source names files that are not there."""

    code = "NR-201"

    def __init__(self, pattern: str, folder: Path) -> None:
        self.pattern, self.folder = pattern, folder
        super().__init__(
            what=f"no file matches {pattern!r}",
            where=f"looked in {folder.resolve()}",
            mend="put the data there, or correct the path in the table's source",
        )


class UnreadableData(OutsideWorld):
    """A file is there and can't be read as what its name says."""

    code = "NR-202"
    exit_code = 2

    def __init__(self, pattern: str, reason: str) -> None:
        self.pattern = pattern
        super().__init__(
            what=f"{pattern!r} could not be read",
            where=reason.strip().splitlines()[0],
            mend="replace the damaged file; nothing of it was stored",
        )


class Source(Protocol):
    """Where a Table's raw rows come from."""

    def read(self, folder: Path) -> pa.Table:
        """Every row there is now, with relative paths taken from the project's `folder`."""

    def describe(self) -> str: ...


@dataclass(frozen=True)
class FileSource:
    """Parquet, CSV or JSON-lines files, named by a path or a glob, relative to the project's folder."""

    pattern: str

    def describe(self) -> str:
        return self.pattern

    def read(self, folder: Path) -> pa.Table:
        import duckdb

        base = Path(self.pattern) if Path(self.pattern).is_absolute() else folder / self.pattern
        found = sorted(base.parent.glob(base.name))
        if not found:
            raise MissingData(self.pattern, folder)
        reader = READERS.get(base.suffix)
        if reader is None:
            raise UserMistake(
                what=f"files ending in {base.suffix!r} are not understood",
                where=f"source {self.pattern!r}",
                mend="use " + ", ".join(READERS),
            )
        with connect(may_read_files=True) as con:
            try:
                return con.sql(f"SELECT * FROM {reader}($paths)", params={"paths": [str(p) for p in found]}).to_arrow_table()
            except duckdb.Error as error:
                raise UnreadableData(self.pattern, str(error)) from error


def files(pattern: str) -> FileSource:
    """Rows from Parquet, CSV or JSON-lines files: `nr.files("data/flights/*.parquet")`."""
    return FileSource(pattern)
