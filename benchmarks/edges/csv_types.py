"""CSV: the type of a column comes from the whole file, and a text never becomes another value."""

# ruff: noqa: DTZ001 - times without a zone are among the inputs
from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from benchmarks.edges.inputs import Held, Input, any_of
from benchmarks.edges.trial import Trial, Z

KIND = "CSV types"
LONG = 30_000  # lines, more than a reader samples

# Three lines of a column, and what they are.
COLUMNS: dict[str, tuple[list[str], Any]] = {
    "whole numbers": (["1", "-2", "30"], [1, -2, 30]),
    "decimals after whole numbers": (["1", "2.5", "3"], [1.0, 2.5, 3.0]),
    "leading zeros": (["0000077", "77", "077"], ["0000077", "77", "077"]),
    "one leading zero": (["10001", "02139", "5"], ["10001", "02139", "5"]),
    "days alone": (["2024-01-01", "2024-02-29", "1899-12-31"], [date(2024, 1, 1), date(2024, 2, 29), date(1899, 12, 31)]),
    "a day that is none": (["2024-01-01", "2024-02-30", "2024-03-01"], ["2024-01-01", "2024-02-30", "2024-03-01"]),
    "days and an hour": (
        ["2024-01-01", "2024-05-05 17:30:00", "2024-05-05"],
        [datetime(2024, 1, 1), datetime(2024, 5, 5, 17, 30), datetime(2024, 5, 5)],
    ),
    "zoned times": (
        ["2024-01-01T00:00:00Z", "2024-01-01T02:00:00+02:00", "2024-01-01T01:00:00.5+01"],
        [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, microsecond=500_000, tzinfo=UTC)],
    ),
    "zoned and naive times": (["2024-01-01T00:00:00Z", "2024-01-01T00:00:00", ""], ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00", None]),
    "a time finer than microseconds": (
        ["2024-01-01T00:00:00.123456789Z", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00.1Z"],
        [datetime(2024, 1, 1, 0, 0, 0, 123_457, UTC), datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 0, 0, 0, 100_000, UTC)],
    ),
    "times of day": (["12:30:00", "07:05", "23:59:59"], ["12:30:00", "07:05", "23:59:59"]),
    "American dates": (["01/02/2024", "12/31/2024", "03/04/2024"], ["01/02/2024", "12/31/2024", "03/04/2024"]),
    "days without dashes": (["20240101", "20240201", "20240301"], [20240101, 20240201, 20240301]),
    "true and false": (["true", "FALSE", "True"], [True, False, True]),
    "t and f": (["t", "f", "t"], ["t", "f", "t"]),
    "yes and no": (["yes", "no", "yes"], ["yes", "no", "yes"]),
    "zeros and ones": (["0", "1", "1"], [0, 1, 1]),
    "truth values, numbers and texts": (["true", "1", "x"], ["true", "1", "x"]),
    "NA among numbers": (["NA", "1", "N/A"], [None, 1, None]),
    "NA among texts": (["NA", "DE", "FR"], ["NA", "DE", "FR"]),
    "NULL among texts": (["NULL", "null", "x"], ["NULL", "null", "x"]),
    "NA alone": (["NA", "NA", "NA"], ["NA", "NA", "NA"]),
    "#N/A among decimals": (["#N/A", "1.5", "2"], [None, 1.5, 2.0]),
    "NA among truth values": (["NA", "true", "false"], [None, True, False]),
    "NA among days": (["NA", "2024-01-01", ""], [None, date(2024, 1, 1), None]),
    "empty among numbers": (["", "1", "2"], [None, 1, 2]),
    "empty among texts": (["", "x", "y"], [None, "x", "y"]),
    "not a number": (["nan", "1.5", "NaN"], [math.nan, 1.5, math.nan]),
    "infinity": (["inf", "-Infinity", "1"], [math.inf, -math.inf, 1.0]),
    "too great for a float": (["1e400", "1", "2"], ["1e400", "1", "2"]),
    "the greatest float": (["1.7976931348623157e308", "1", "2"], [1.7976931348623157e308, 1.0, 2.0]),
    "exponents": (["1e3", "2", "3.5e-2"], [1000.0, 2.0, 0.035]),
    "digits a float has": (["0.30000000000000004", "1.5", "2"], [0.30000000000000004, 1.5, 2.0]),
    "points at the ends": ([".5", "5.", "1"], [0.5, 5.0, 1.0]),
    "negative zero": (["-0", "1", "2"], any_of([-0.0, 1.0, 2.0], ["-0", "1", "2"])),
    "plus signs": (["+1", "2", "3"], ["+1", "2", "3"]),
    "a blank before a number": ([" 1", "2", "3"], [" 1", "2", "3"]),
    "hexadecimals": (["0x10", "1", "2"], ["0x10", "1", "2"]),
    "digits of another alphabet": (["١٢", "1", "2"], ["١٢", "1", "2"]),
    "underscores": (["1_000", "2", "3"], ["1_000", "2", "3"]),
    "thousands": (['"1,000"', "2", "3"], ["1,000", "2", "3"]),
    "decimal commas": (['"1,5"', '"2,5"', '"3,5"'], ["1,5", "2,5", "3,5"]),
    "currencies": (["$5", "6", "7"], ["$5", "6", "7"]),
    "percentages": (["5%", "6", "7"], ["5%", "6", "7"]),
    "one more than a float tells": (["9007199254740993", "1", "2"], [9007199254740993, 1, 2]),
    "that, beside a decimal": (["9007199254740993", "0.5", "2"], [Decimal("9007199254740993.0"), Decimal("0.5"), Decimal("2.0")]),
    "the ends of 64 bits": (["-9223372036854775808", "9223372036854775807", "0"], [-(2**63), 2**63 - 1, 0]),
    "unsigned 64 bits": (["18446744073709551615", "1", "2"], [Decimal(2**64 - 1), Decimal(1), Decimal(2)]),
    "thirty-eight digits": (["9" * 38, "1", "2"], [Decimal("9" * 38), Decimal(1), Decimal(2)]),
    "thirty-nine digits": (["9" * 39, "1", "2"], ["9" * 39, "1", "2"]),
    "money to the cent": (["1.10", "2.20", "3.3"], [1.1, 2.2, 3.3]),
    "more decimals than a float": (["0.12345678901234567890", "1", "2"], [Decimal("0.1234567890123456789"), Decimal(1), Decimal(2)]),
    "identifiers with an e": (["1e5", "12e3", "7a"], ["1e5", "12e3", "7a"]),
    "UUIDs": (["6fa459ea-ee8a-3ca4-894e-db77e160355e"] * 3, ["6fa459ea-ee8a-3ca4-894e-db77e160355e"] * 3),
    "JSON": (['"{""a"":1}"', '"[1,2]"', "{}"], ['{"a":1}', "[1,2]", "{}"]),
    "a delimiter within quotes": (['"a,b"', "c", '"d"'], ["a,b", "c", "d"]),
    "a line end within quotes": (['"a\nb"', "c", "d"], ["a\nb", "c", "d"]),
    "quotes within quotes": (['"say ""hi"""', "c", "d"], ['say "hi"', "c", "d"]),
    "an apostrophe": (["O'Brien", "it's", "'"], ["O'Brien", "it's", "'"]),
    "comments that are none": (["#1", "//x", "--y"], ["#1", "//x", "--y"]),
    "other scripts": (["日本", "Ærø", "🙂"], ["日本", "Ærø", "🙂"]),
    "blanks alone": (["  ", "x", "y"], ["  ", "x", "y"]),
}

# What stands beyond the lines by which a reader would guess, after LONG lines of the first value.
LATE: dict[str, tuple[str, str, Any]] = {
    "a decimal after whole numbers": ("7", "2.5", 2.5),
    "a key with leading zeros": ("77", "0000077", "0000077"),
    "an hour after days": ("2024-01-01", "2024-05-05 17:30:00", datetime(2024, 5, 5, 17, 30)),
    "a word after numbers": ("5", "unknown", "unknown"),
    "a sign for null after numbers": ("5", "NA", None),
    "an exponent after whole numbers": ("5", "1e-3", 0.001),
    "a long number after short ones": ("5", "9007199254740993", 9007199254740993),
    "a number after truth values": ("true", "2", "2"),
    "a naive time after zoned ones": (Z, "2024-05-05T17:30:00", "2024-05-05T17:30:00"),
    "a value after empty ones": ("", "3.5", 3.5),
    "a quoted line end after plain words": ("x", '"a\nb"', "a\nb"),
    "infinity after whole numbers": ("1", "inf", math.inf),
}

# Values of a column that is declared: what they are, or `Held` with their text.
DECLARED: dict[str, dict[str, Any]] = {
    "BIGINT": {
        "007": 7,
        "+5": 5,
        "-0": any_of(0, Held("-0")),
        "3.7": Held("3.7"),
        "x": Held("x"),
        "": None,
        "NA": None,
        "9223372036854775808": Held("9223372036854775808"),
    },
    "DOUBLE": {"007.5": 7.5, "1e3": 1000.0, "1,5": Held("1,5"), "nan": math.nan, "abc": Held("abc"), "": None},
    "DECIMAL(10, 2)": {"1.5": Decimal("1.50"), "1.500": Decimal("1.50"), "1.555": Held("1.555"), "+2": Decimal("2.00"), "x": Held("x")},
    "BOOLEAN": {"true": True, "FALSE": False, "1": any_of(True, Held("1")), "yes": Held("yes"), "": None},
    "DATE": {
        "2024-01-01": date(2024, 1, 1),
        "2024-02-30": Held("2024-02-30"),
        "2024-01-01 10:00:00": Held("2024-01-01 10:00:00"),
        "01/02/2024": Held("01/02/2024"),
    },
    "TIMESTAMP": {"2024-01-01 10:00": datetime(2024, 1, 1, 10), "2024-01-01": datetime(2024, 1, 1), Z: Held(Z), "noon": Held("noon")},
    "TIMESTAMPTZ": {
        "2024-01-01T10:00:00+02:00": datetime(2024, 1, 1, 8, tzinfo=UTC),
        "2024-01-01T10:00:00": Held("2024-01-01T10:00:00"),
        "1704067200": Held("1704067200"),
    },
    "VARCHAR": {"0000077": "0000077", "2.50": "2.50", "NA": "NA", "": None},
}

COMMAS: dict[str, Any] = {"1,5": 1.5, "-2,25": -2.25, "7": 7.0, "": None}  # with decimal=","

RAGGED = "id,v,at\nr0,1,{z}\nr1,2\nr2,3,{z},extra\nr3,4,{z}\nr4,5,{z}\nr5,6,{z}\n"


@cache
def _columns() -> dict[str, list[Any]]:
    """All of COLUMNS in one file."""
    names = [f"c{i}" for i in range(len(COLUMNS))]
    lines = [",".join(["id", "at", *names])]
    lines += [",".join([f"r{i}", Z, *(texts[i] for texts, _ in COLUMNS.values())]) for i in range(3)]
    trial = Trial().write("a.csv", "\n".join(lines) + "\n")
    trial.ingest()
    found = trial.columns(names, ["r0", "r1", "r2"])
    return dict(zip(COLUMNS, found.values(), strict=True))


@cache
def _late() -> dict[str, Any]:
    """All of LATE in one file, of which the last line is looked at."""
    names = [f"c{i}" for i in range(len(LATE))]
    usual = "," + Z + "," + ",".join(first for first, _, _ in LATE.values())
    lines = [",".join(["id", "at", *names]), *(f"r{i}{usual}" for i in range(LONG))]
    lines.append("last," + Z + "," + ",".join(late for _, late, _ in LATE.values()))
    trial = Trial().write("a.csv", "\n".join(lines) + "\n")
    trial.ingest()
    rows = {row["id"]: row for row in trial.rows() if row["id"] in ("last", "r0")}
    return {name: rows["last"][column] for name, column in zip(LATE, names, strict=True)}


@cache
def _declared(kind: str) -> dict[str, Any]:
    texts = DECLARED[kind]
    lines = ["id,v,at", *(f'r{i},"{text}",{Z}' if text else f"r{i},,{Z}" for i, text in enumerate(texts))]
    trial = Trial(types={"v": kind}).write("a.csv", "\n".join(lines) + "\n")
    trial.ingest()
    return dict(zip(texts, trial.values([f"r{i}" for i in range(len(texts))]), strict=True))


@cache
def _commas() -> dict[str, Any]:
    lines = ["id;v;at", *(f"r{i};{text};{Z}" for i, text in enumerate(COMMAS))]
    trial = Trial(decimal=",").write("a.csv", "\n".join(lines) + "\n")
    trial.ingest()
    return dict(zip(COMMAS, trial.values([f"r{i}" for i in range(len(COMMAS))]), strict=True))


def _ragged() -> list[Any]:
    trial = Trial().write("a.csv", RAGGED.format(z=Z))
    trial.ingest()
    return trial.values([f"r{i}" for i in range(6)])


def inputs() -> Iterator[Input]:
    for name, (_, right) in COLUMNS.items():
        yield Input(KIND, name, lambda name=name: _columns()[name], right)
    for name, (_, _, right) in LATE.items():
        yield Input(KIND, f"{name}, late in the file", lambda name=name: _late()[name], right)
    for kind, texts in DECLARED.items():
        for text, right in texts.items():
            yield Input(KIND, f"{text!r} declared as {kind}", lambda kind=kind, text=text: _declared(kind)[text], right)
    for text, right in COMMAS.items():
        yield Input(KIND, f"{text!r} with decimal commas", lambda text=text: _commas()[text], right)
    yield Input(KIND, "a ragged file", _ragged, [1, Held("r1,2"), Held(f"r2,3,{Z},extra"), 4, 5, 6])
