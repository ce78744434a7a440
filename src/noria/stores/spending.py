"""What was spent on answers of language models, by day and tenant: in SQLite, so that several processes spend from one budget.

A crash between reserving and settling leaves what was reserved: more than was spent, never less.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

PATIENCE = 10.0  # seconds that others' writes are waited for
TABLE = (
    "CREATE TABLE IF NOT EXISTS spent (day TEXT, tenant TEXT, tokens INTEGER NOT NULL, dollars REAL NOT NULL, answers INTEGER NOT NULL, "
    "PRIMARY KEY (day, tenant)) WITHOUT ROWID"
)
ADD = (
    "INSERT INTO spent VALUES (:day, :tenant, max(:tokens, 0), max(:dollars, 0), :answers) ON CONFLICT (day, tenant) DO UPDATE SET "
    "tokens = max(tokens + :tokens, 0), dollars = max(dollars + :dollars, 0), answers = answers + :answers"
)


class Amount(NamedTuple):
    """Tokens and US dollars."""

    tokens: int = 0
    dollars: float = 0.0


class Spent(NamedTuple):
    """What a tenant spent on a day."""

    amount: Amount
    answers: int


class SpendingLedger:
    """The ledger in a file. It may be used by any number of threads and processes. Raises `sqlite3.Error`, `OSError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._writing() as writing:
            writing.execute(TABLE)

    def reserve(self, day: str, tenant: str, amount: Amount, limits: Mapping[str | None, tuple[int | None, float | None]]) -> str | None:
        """Spend so much for now, where it is left of every limit. limits: of tokens and dollars, by tenant, None: of all together

        Returns None, or what is left of the first limit that it would break, in words; then nothing was spent.
        """
        with self._writing() as writing:
            spent = _spent(writing, day)
            for whose, (tokens, dollars) in limits.items():
                rows = spent.values() if whose is None else [spent[whose]] if whose in spent else []
                used, paid = sum(row.amount.tokens for row in rows), sum(row.amount.dollars for row in rows)
                if tokens is not None and used + amount.tokens > tokens:
                    return f"{max(tokens - used, 0):,} tokens"
                if dollars is not None and paid + amount.dollars > dollars + 1e-12:
                    return f"${max(dollars - paid, 0.0):.4f}"
            writing.execute(ADD, {"day": day, "tenant": tenant, "tokens": amount.tokens, "dollars": amount.dollars, "answers": 1})
        return None

    def settle(self, day: str, tenant: str, reserved: Amount, spent: Amount) -> None:
        """Put what was spent in the place of what was reserved."""
        more = {"tokens": spent.tokens - reserved.tokens, "dollars": spent.dollars - reserved.dollars}
        with self._writing() as writing:
            writing.execute(ADD, {"day": day, "tenant": tenant, "answers": 0, **more})

    def spent(self, day: str) -> dict[str, Spent]:
        """What was spent on a day, by tenant."""
        with self._writing() as reading:
            return _spent(reading, day)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=PATIENCE, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


def _spent(reading: sqlite3.Connection, day: str) -> dict[str, Spent]:
    rows = reading.execute("SELECT tenant, tokens, dollars, answers FROM spent WHERE day = ?", (day,))
    return {tenant: Spent(Amount(tokens, dollars), answers) for tenant, tokens, dollars, answers in rows}
