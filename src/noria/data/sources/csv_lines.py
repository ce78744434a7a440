"""CSV files: every value as the text that stands there; lines that are no rows, with their text.

The first line names the columns. The delimiter is found from the first lines, the quote is `"`, and nothing else is guessed: no
comment sign, no line to skip, no type. An empty value is null.
"""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from noria.core.sql import connect, literal, quoted
from noria.data.sources.port import PLACE, Column, Loaded, RawRow, UnreadableData
from noria.data.sources.text import DAY

if TYPE_CHECKING:
    import duckdb

DELIMITERS = (",", ";", "\t", "|")
LINES_TO_SNIFF = 20
MOST = 0.8  # of the first lines, that agree with a delimiter
BLOCK_ROWS = 100_000
MAX_LINE_BYTES = 16 * 1024 * 1024
MAX_SHOWN = 10_000  # bytes of a line that the reader says
NOT_UTF_8 = "not UTF-8: give its encoding to nr.files"
AS_UTF_8 = 'save it as UTF-8, or write its encoding: nr.files(…, encoding="latin-1")'
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class CsvForm:
    """How a CSV file is written; None for what is to be found out."""

    delimiter: str | None = None
    decimal: str = "."
    encoding: str | None = None


def load_csv(con: duckdb.DuckDBPyConnection, name: str, place: str, path: Path, form: CsvForm) -> Loaded:
    """Put the rows of a CSV file into a relation, as text. Raises `UnreadableData`."""
    import duckdb

    if path.is_file() and path.stat().st_size == 0:
        return Loaded((), 0)
    with _in_utf8(path, place, form.encoding) as readable, connect(may_read_files=True) as reading:
        delimiter, names = _head(readable, place, form.delimiter)
        try:
            rows = reading.sql(_statement(readable, delimiter, names)).to_arrow_reader(BLOCK_ROWS)
            con.register("__noria_arrow", rows)
            con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS SELECT *, row_number() OVER () AS {PLACE} FROM __noria_arrow")
            con.unregister("__noria_arrow")
        except duckdb.Error as error:
            raise UnreadableData(place, _reason(str(error))) from error
        raw = _rejected(reading, place)
    [(count,)] = con.sql(f"SELECT count(*) FROM {quoted(name)}").fetchall()
    _refuse_preamble(place, names, int(count), raw)
    comma = form.decimal == ","
    return Loaded(tuple(Column(n, None, decimal_comma=comma) for n in names), int(count), raw)


def _statement(path: Path, delimiter: str, names: Sequence[str]) -> str:
    columns = ", ".join(f"{literal(n)}: 'VARCHAR'" for n in names)
    return (
        f"SELECT * FROM read_csv({literal(str(path))}, auto_detect = false, columns = {{{columns}}}, delim = {literal(delimiter)}, "
        "quote = '\"', escape = '\"', comment = '', header = true, skip = 0, store_rejects = true, strict_mode = true, "
        f"max_line_size = {MAX_LINE_BYTES}, hive_partitioning = false)"
    )


def _head(path: Path, place: str, delimiter: str | None) -> tuple[str, list[str]]:
    """The delimiter, and the names of the columns."""
    lines = _first_lines(path, place)
    if said := re.match(r'"?sep=(.)"?\r?\n', lines):  # what spreadsheets write above the names, and what no row may follow
        raise UnreadableData(place, f"its first line is {said[0].strip()!r}, not column names", "remove that line")
    chosen = delimiter or max(DELIMITERS, key=lambda d: _agreement(lines, d))
    _refuse_one_column(place, lines, chosen)
    names = [n or f"column{i}" for i, n in enumerate(next(iter(_records(lines, chosen)), []))]
    if not names:
        raise UnreadableData(place, "its first line has no column names", "write the names of the columns into the first line")
    twice = [n for n, count in Counter(n.casefold() for n in names).items() if count > 1]
    if twice:
        same = [n for n in names if n.casefold() == twice[0]]
        raise UnreadableData(place, f"its columns {' and '.join(map(repr, same))} have the same name, ignoring case", "rename one of them")
    _refuse_data(place, names)
    return chosen, names


def _refuse_one_column(place: str, lines: str, delimiter: str) -> None:
    """A first line of one name above lines of several fields is a title, or the delimiter is another one."""
    head = next(_records(lines, delimiter), [])
    if len(head) != 1:
        return
    for other in dict.fromkeys((delimiter, *DELIMITERS, ":", " ")):
        records = list(_records(lines, other))
        widths = Counter(map(len, records))
        [(width, often)] = widths.most_common(1) or [(0, 0)]
        if width < (2 if other in DELIMITERS else 3) or often < MOST * len(records):
            continue
        if len(records[0]) == width:
            columns = "its columns are separated by " + ("spaces" if other == " " else f"{other!r}")
            if other not in DELIMITERS:
                raise UnreadableData(
                    place, f"{columns}, not by commas", f'separate them by commas, or write delimiter="{other}" in nr.files'
                )
            raise UnreadableData(place, f"{columns}, not by {delimiter!r}", f'leave out delimiter, or write delimiter="{other}"')
        if len(records[0]) > 1 or other not in DELIMITERS or " " not in head[0].strip():  # a name, above lists in one column
            continue
        name = next(record for record in records if len(record) == width)
        raise UnreadableData(
            place,
            f"its first line is {head[0][:60]!r}, and its columns are named further down: {other.join(name)[:80]}",
            "remove the lines above the names of the columns",
        )


def _first_lines(path: Path, place: str) -> str:
    import pyarrow as pa

    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            start = bytes(stream.read(1 << 20))
    except OSError as error:
        raise UnreadableData(place, str(error)) from error
    try:  # names that are replaced by marks would be those of no column
        re.split(rb"[\r\n]", start, maxsplit=1)[0].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableData(place, "the names of its columns are not UTF-8", AS_UTF_8, not_utf8=True) from error
    return start.decode("utf-8-sig", "replace")


def _records(text: str, delimiter: str) -> Iterator[list[str]]:
    try:
        for i, record in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)):
            if i > LINES_TO_SNIFF:
                return
            if record:
                yield record
    except csv.Error:  # a quote that does not end within what was read
        return


def _agreement(text: str, delimiter: str) -> tuple[float, int]:
    """How well the first lines agree with a delimiter: the share that have as many fields as the head, and how many."""
    records = list(_records(text, delimiter))
    fields = len(records[0]) if records else 0
    if fields < 2:
        return 0.0, 0
    return sum(len(r) == fields for r in records) / len(records), fields


def _refuse_data(place: str, names: Sequence[str]) -> None:
    """A first line of values is a row that would be lost."""

    def value(name: str) -> bool:
        return bool(re.match(DAY[:-1], name) or re.fullmatch(r"-?\d+[.,]\d+", name))

    if any(map(value, names)) or all(re.fullmatch(r"-?\d+", n) for n in names):
        raise UnreadableData(
            place,
            f"its first line holds values ({', '.join(names)[:100]}) instead of column names",
            "write the names of the columns into a first line of their own",
        )


def _refuse_preamble(place: str, names: Sequence[str], rows: int, raw: Sequence[RawRow]) -> None:
    """A file in which most lines are no rows does not begin with the names of its columns, or is written otherwise than it was read."""
    if len(raw) > rows:
        [(reason, _)] = Counter(r.reason for r in raw).most_common(1)
        head = f"the columns {', '.join(names)[:100]} of its first line"
        why = f"most of its lines do not match {head} ({raw[0].place}: {reason})"
        raise UnreadableData(place, why, AS_UTF_8 if reason == NOT_UTF_8 else "correct these lines", not_utf8=reason == NOT_UTF_8)


def _rejected(reading: duckdb.DuckDBPyConnection, place: str) -> tuple[RawRow, ...]:
    """The lines that the reader could not make rows of. Raises `UnreadableData` where it does not say all of them."""
    found = reading.sql(
        "SELECT line, any_value(csv_line), any_value(error_message), bool_or(error_type = 'UNQUOTED VALUE') FROM reject_errors "
        "GROUP BY line ORDER BY line"
    ).fetchall()
    raw = []
    for line, text, why, quote in found:
        reason = NOT_UTF_8 if "unicode" in why else str(why).splitlines()[0]
        if quote and len(text) >= MAX_SHOWN:
            raise UnreadableData(place, f"the quote opened in line {line} is not closed at the end of its field")
        lines = text.strip("\r\n").splitlines() if quote else [text.strip("\r\n")]  # those within a quote that does not end
        shown = [t if len(text) < MAX_SHOWN else f"{t} … (cut)" for t in lines]
        raw += [RawRow(f"{Path(place).name}, line {line + i}", t, reason) for i, t in enumerate(shown)]
    return tuple(raw)


def _reason(words: str) -> str:
    if "invalid state" in words:
        return "it mixes line endings (LF, CR LF, CR), or has an unquoted line break in a field: use one line ending"
    return words


@contextmanager
def _in_utf8(path: Path, place: str, encoding: str | None) -> Iterator[Path]:
    """The file itself, or a copy of it in UTF-8."""
    import tempfile

    import pyarrow as pa

    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            marked = bytes(stream.read(2)) in UTF_16
    except OSError as error:  # what is compressed is damaged
        raise UnreadableData(place, str(error)) from error
    if encoding is None and not marked and not re.search(r"[*?\[]", str(path)):
        yield path
        return
    with tempfile.TemporaryDirectory() as scratch:
        if encoding is None and not marked:  # the reader would take its name for a pattern
            link = Path(scratch) / f"link{path.suffix}"
            link.symlink_to(path.absolute())
            yield link
            return
        copy = Path(scratch) / "utf8.csv"
        try:
            with _text(path, encoding or "utf-16") as read, copy.open("w", encoding="utf-8", newline="") as written:
                while block := read.read(1 << 20):
                    written.write(block)
        except (UnicodeError, LookupError) as error:
            raise UnreadableData(place, f"it is not {encoding or 'utf-16'}: {error}") from error
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableData(place, str(error)) from error
        yield copy


@contextmanager
def _text(path: Path, encoding: str) -> Iterator[io.TextIOWrapper]:
    """A file's text, of a plain or compressed file."""
    import gzip

    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as opened:
        yield io.TextIOWrapper(opened, encoding=encoding, newline="")
