"""Files of kinds that are not read, or that are of another kind than their name says: what they are, and what to make of them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from noria.data.sources.port import UnreadableData

EXCEL = (".xlsx", ".xls", ".xlsm", ".ods")
DATABASES = (".db", ".sqlite", ".sqlite3")
ARCHIVES = (".zip", ".tar", ".7z")
BEGINNINGS = (  # of files → (what they are, how their name should end)
    (b"PAR1", "a Parquet file", ".parquet"),
    (b"PK\x03\x04", "an Excel file or a zip archive", ".xlsx"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file", ".xls"),
    (b"SQLite format 3", "an SQLite database", ".db"),
)
SHOWN = 40  # characters of a file's beginning


def refused(path: str, ending: str, known: tuple[str, ...]) -> UnreadableData:
    """The refusal of a file whose name ends with none of the `known` endings."""
    if ending in EXCEL + DATABASES + ARCHIVES:
        return UnreadableData(path, f"files ending in {ending!r} are not supported", _converted(path, ending))
    what = f"files ending in {ending!r} are not supported" if ending else "files without an ending are not supported"
    return UnreadableData(
        path, f"{what}; use {', '.join(known)}", f"rename it if it is one of these, such as {PurePosixPath(path).stem}.csv"
    )


def require_kind(local: Path, place: str, *, parquet: bool) -> None:
    """Raise `UnreadableData` for a file whose first bytes are those of another kind than its name says."""
    if not local.is_file() or not local.stat().st_size:
        return
    with local.open("rb") as file:
        start = file.read(SHOWN)
    for begins, what, ending in BEGINNINGS:
        if start.startswith(begins) and (begins != b"PAR1" or not parquet):
            fix = f"rename it to {PurePosixPath(place).stem}.parquet" if begins == b"PAR1" else _converted(place, ending)
            raise UnreadableData(place, f"it is {what}, by its first bytes", fix)
    if parquet and not start.startswith(b"PAR1"):
        text = start.decode("utf-8", "backslashreplace").splitlines()[0]
        fix = f"rename it to {PurePosixPath(place).stem}.csv" if start.isascii() and "\0" not in text else "replace the damaged file"
        raise UnreadableData(place, f"it is no Parquet file: it begins with {text!r}", fix)


def _converted(path: str, ending: str) -> str:
    name = PurePosixPath(path)
    if ending in DATABASES:
        return f"read it as a database: `noria init --sql sqlite:///{path} --table TABLE`, or nr.sql(…) in the module"
    if ending in ARCHIVES:
        return "unpack it first"
    return f'save it as CSV, or in Python: pandas.read_excel("{name.name}").to_parquet("{name.stem}.parquet")'
