"""What `noria init` can't go on with, each as one message that says what to type."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from noria.core.errors import OutsideWorld, UserMistake, nearest

SHOWN = 12  # columns in a message


class Undecided(UserMistake):
    """The data does not say what is to be predicted, or by which column."""

    code = "NR-590"

    def __init__(self, what: str, where: str, flags: Sequence[str]) -> None:
        self.flags = list(flags)
        super().__init__(what=what, where=where, fix=f"add {' or '.join(flags)}")


class Ambiguous(UserMistake):
    """Times can be read with the day first and with the month first, and both are possible."""

    code = "NR-556"

    def __init__(self, column: str, written: str, otherwise: str, example: datetime) -> None:
        self.column = column
        text, other = example.strftime(written), example.strptime(example.strftime(written), otherwise)
        super().__init__(
            what=f"{column!r} can be read with the day first and with the month first: {text} is {example:%Y-%m-%d} or {other:%Y-%m-%d}",
            where=f"the column {column!r}, in which no value decides it",
            fix=f'write the year first: df["{column}"] = pandas.to_datetime(df["{column}"], dayfirst=True), or dayfirst=False',
        )


class UnclearOutcome(UserMistake):
    """Some values of a label are written in several ways, or are how other tools write that there is none."""

    code = "NR-557"

    def __init__(self, column: str, what: str, fix: str) -> None:
        self.column = column
        super().__init__(what=what, where=f"the label {column!r}", fix=fix)


class NoData(UserMistake):
    """`noria init` was given no data, and there is none in the folder."""

    code = "NR-591"

    def __init__(self, where: str) -> None:
        super().__init__(
            what="there is no data to start from",
            where=where,
            fix="name a file or a folder: `noria init data.csv`; or a database: `noria init --sql sqlite:///shop.db --table orders`",
        )


class FilesInTheWay(UserMistake):
    """A file that `noria init` would write is there already."""

    code = "NR-592"

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        super().__init__(
            what=f"{', '.join(path.name for path in paths)} already {'exists' if len(paths) == 1 else 'exist'}",
            where=f"{paths[0].parent.resolve()}; `noria init` never overwrites a file",
            fix="choose another folder: --project NAME; or move the file away",
        )


class NoSuchColumn(UserMistake):
    """A flag names a column that the data does not have."""

    code = "NR-593"

    def __init__(self, flag: str, name: str, available: Sequence[str]) -> None:
        self.name, self.available = name, list(available)
        more = f" and {len(available) - SHOWN} more" if len(available) > SHOWN else ""
        super().__init__(
            what=f"the data has no column {name!r}{nearest(name, available)}",
            where=f"{flag}; its columns are {', '.join(available[:SHOWN])}{more}",
            fix=f"name one of them: {flag} COLUMN",
        )


class FlagDoesNotFit(UserMistake):
    """A flag asks for something that the data can't be."""

    code = "NR-594"


class TooLittleData(UserMistake):
    """There is not enough data to learn from."""

    code = "NR-595"


class NobodyToAsk(UserMistake):
    """`noria init` would ask questions, and there is no terminal."""

    code = "NR-596"

    def __init__(self) -> None:
        super().__init__(
            what="`noria init` asks questions, and its input is not a terminal",
            where="standard input",
            fix="add --yes to accept the proposals, or --dry-run to see them",
        )


class UnlikeFiles(UserMistake):
    """The files do not have the same columns."""

    code = "NR-597"

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(
            what="the files are not parts of one table",
            where=f"{place}: {reason}",
            fix="give the file that has the column to predict: `noria init FILE`; add the others to the module as tables of their own",
        )


class CannotWrite(OutsideWorld):
    """The project's folder can't be written to."""

    code = "NR-598"
    exit_code = 2

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            what=f"the project can't be written: {reason}",
            where=str(folder.resolve()),
            fix="choose a folder that you may write to: --project FOLDER",
        )
