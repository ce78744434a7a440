"""What judges said of logged answers: in SQLite, one row for each answer and judge, for any number of threads and processes.

No text of an answer is kept here, nor what a judge says about one: the prediction log has them, and forgets them when it is told to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from noria.core.clock import from_epoch, since_epoch

PATIENCE = 10.0  # seconds that others' writes are waited for
TABLES = (
    "CREATE TABLE IF NOT EXISTS verdicts (judge TEXT, prediction TEXT, bundle TEXT NOT NULL, received INTEGER NOT NULL, "
    "judged INTEGER NOT NULL, score REAL, missing TEXT NOT NULL, tokens INTEGER NOT NULL, dollars REAL, "
    "PRIMARY KEY (judge, prediction)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS by_time ON verdicts (judge, received)",
    "CREATE TABLE IF NOT EXISTS walks (judge TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID",
)


class AnswerVerdict(NamedTuple):
    """What a judge said of one logged answer. received, judged: when it was asked for, and judged

    score: 0 to 1, None where the judge could not say, and `missing` says why not; dollars: None where no price is known
    """

    prediction: str
    bundle: str
    received: datetime
    judged: datetime
    score: float | None
    missing: str = ""
    tokens: int = 0
    dollars: float | None = None


class JudgedSpending(NamedTuple):
    """What a judge took in a stretch of time. unpriced: judgements that took tokens and have no price"""

    answers: int
    dollars: float
    unpriced: int


class Verdicts:
    """The verdicts of one endpoint, in a file. Raises `sqlite3.Error`, `OSError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as writing:
            for table in TABLES:
                writing.execute(table)

    @staticmethod
    def there(path: Path) -> Verdicts | None:
        """The verdicts that a file has; None where there is none yet."""
        return Verdicts(path) if path.is_file() else None

    def add(self, judge: str, verdict: AnswerVerdict) -> None:
        """Keep a verdict. That of an answer which was judged before stays as it is."""
        row = (judge, *verdict[:2], since_epoch(verdict.received), since_epoch(verdict.judged), *verdict[4:])
        with self._open() as writing:
            writing.execute("INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def of(self, judge: str, bundle: str, since: datetime) -> list[AnswerVerdict]:
        """What a judge said of a bundle's answers that were asked for since a moment, in their order."""
        query = "SELECT * FROM verdicts WHERE judge = ? AND bundle = ? AND received >= ? ORDER BY received, prediction"
        with self._open() as reading:
            rows = reading.execute(query, (judge, bundle, since_epoch(since))).fetchall()
        return [AnswerVerdict(row[1], row[2], from_epoch(row[3]), from_epoch(row[4]), *row[5:]) for row in rows]

    def known(self, judge: str, since: datetime, until: datetime) -> set[str]:
        """The predictions received in [since, until) that a judge was asked about."""
        query = "SELECT prediction FROM verdicts WHERE judge = ? AND received >= ? AND received < ?"
        with self._open() as reading:
            return {row[0] for row in reading.execute(query, (judge, since_epoch(since), since_epoch(until)))}

    def spent(self, judge: str, since: datetime, until: datetime) -> JudgedSpending:
        """What a judge took in [since, until), by when it judged."""
        query = (
            "SELECT count(*), coalesce(sum(dollars), 0.0), coalesce(sum(dollars IS NULL AND tokens > 0), 0) "
            "FROM verdicts WHERE judge = ? AND judged >= ? AND judged < ?"
        )
        with self._open() as reading:
            return JudgedSpending(*reading.execute(query, (judge, since_epoch(since), since_epoch(until))).fetchone())

    def until(self, judge: str) -> datetime | None:
        """Up to when answers were looked at; None where none were."""
        with self._open() as reading:
            found = reading.execute("SELECT until FROM walks WHERE judge = ?", (judge,)).fetchone()
        return None if found is None else from_epoch(found[0])

    def walked(self, judge: str, until: datetime) -> None:
        """Say up to when answers were looked at."""
        with self._open() as writing:
            writing.execute("INSERT OR REPLACE INTO walks VALUES (?, ?)", (judge, since_epoch(until)))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=PATIENCE, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection
