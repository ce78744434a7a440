"""The catalog: everything the loop knows and has decided, as rows in SQL.

Embedded default: SQLite in WAL mode with `synchronous=FULL`, so that what is committed survives a power cut. All times
are microseconds since 1970-01-01 UTC; all JSON is canonical, so that equal histories are equal bytes.

One controller writes at a time: it takes the catalog's lease, which carries a fencing token. The token is checked inside
every write transaction, because a paused process does not know that its lease has passed to another.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from noria.core.clock import from_epoch, since_epoch
from noria.core.errors import DiskFull, OutsideWorld, UserMistake, is_disk_full
from noria.core.files import hold
from noria.core.ids import canonical_json

metadata = sa.MetaData()

balances = sa.Table(
    "balances",
    metadata,
    sa.Column("stage", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("rows_in", sa.BigInteger, nullable=False),
    sa.Column("rows_out", sa.Text, nullable=False),
)
candidates = sa.Table(
    "candidates",
    metadata,
    sa.Column("decision", sa.Text, primary_key=True),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("bundle", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
)
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("done", sa.Boolean, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_at", sa.BigInteger, nullable=True),
    sa.Column("error", sa.Text, nullable=False, server_default=""),
    sa.Column("failed", sa.Boolean, nullable=False, server_default=sa.false()),
)
releases = sa.Table(
    "releases",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("decision", sa.Text, nullable=False, unique=True),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("champion", sa.Text, nullable=False),
    sa.Column("challenger", sa.Text, nullable=True),
)
windows = sa.Table(
    "windows",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True),
    sa.Column("bundle", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("statistics", sa.Text, nullable=True),
    sa.Column("performance", sa.Text, nullable=True),
    sa.Column("expected", sa.Text, nullable=True),
    sa.Column("traffic", sa.Text, nullable=True),
    sa.Column("metrics", sa.Text, nullable=True),
    sa.Column("paired", sa.Text, nullable=True),
    sa.Column("skew", sa.Text, nullable=True),
)
findings = sa.Table(
    "findings",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("opened_at", sa.BigInteger, nullable=False),
    sa.Column("closed_at", sa.BigInteger, nullable=True),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=True),
    sa.Column("severity", sa.Text, nullable=False, server_default="inform"),
    sa.Column("incident", sa.Text, nullable=False, server_default=""),
    sa.Column("summary", sa.Text, nullable=False, server_default=""),
    sa.Column("acknowledged_at", sa.BigInteger, nullable=True),
    sa.Column("acknowledged_by", sa.Text, nullable=True),
    sa.Column("closed_by", sa.Text, nullable=True),
)
mutes = sa.Table(
    "mutes",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("incident", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", sa.BigInteger, nullable=False),
    sa.Column("sent_at", sa.BigInteger, nullable=True),
    sa.Column("error", sa.Text, nullable=False),
)
known_rows = sa.Table(  # of a table's data file, which never changes; counted: by which columns, in which windows
    "known_rows",
    metadata,
    sa.Column("file", sa.Text, primary_key=True),
    sa.Column("counted", sa.Text, primary_key=True),
    sa.Column("times", sa.Text, nullable=False),
)
progress = sa.Table(
    "progress",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)
lease = sa.Table(
    "lease",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("token", sa.BigInteger, nullable=False),
)

HEAD = "0006"
CONTROLLER = "controller"
LITTLE_ROOM = 65_536  # bytes, less than a transaction may need
PATIENCE_SECONDS = 30.0  # for another process to let go of the file
_AWAY = ("locked", "busy", "disk i/o", "unable to open", "readonly")  # in SQLite's messages: what may be over the next time
_DAMAGED = ("malformed", "not a database")


class CatalogBusy(UserMistake):
    """Another process controls this catalog."""

    code = "NR-401"

    def __init__(self, path: Path, holder: str) -> None:
        self.path, self.holder = path, holder
        super().__init__(
            what="another Noria process is already running here",
            where=f"process {holder or 'unknown'} holds {path}",
            fix="wait for it to finish, or stop it; its progress is kept",
        )


class LeaseLost(OutsideWorld):
    """This process was overtaken by another controller; what it wanted to write was refused."""

    code = "NR-402"

    def __init__(self, mine: int, current: int) -> None:
        self.mine, self.current = mine, current
        super().__init__(
            what="this controller has been replaced by a newer one",
            where=f"its fencing token is {mine}, the catalog's is {current}",
            fix="nothing was written; let the newer controller continue",
        )


class DamagedCatalog(OutsideWorld):
    """The catalog's file can't be read as one."""

    code = "NR-404"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            what="the catalog can't be read",
            where=f"{path}: {reason}",
            fix="restore it from a backup; the tables, bundles and logs beside it are intact",
        )


class CatalogAway(OutsideWorld):
    """The catalog's file can't be read or written just now; nothing of it is lost."""

    code = "NR-409"
    about = "catalog"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            what="the catalog can't be read or written right now",
            where=f"{path}: {reason}",
            fix="it is intact: close what locks it (a backup, a database browser), or free disk space; the loop retries by itself",
        )


class Catalog:
    """One catalog database. Reads are free; writes go through `transaction`, under the lease."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": PATIENCE_SECONDS})
        sa.event.listen(self._engine, "connect", _durable)
        sa.event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        self._token: int | None = None
        self._lock: IO[str] | None = None
        with self._asked():
            _migrate(self._engine)

    # --- the lease ---

    def take_lease(self, patience_seconds: float = 0.0) -> None:
        """Become the one writer. A lock on a file dies with the process; the token outlives it.

        Raises `CatalogBusy` where another process is the writer and stays it for so long.
        """
        lock, holder = hold(self.path.with_suffix(".lock"), patience_seconds)
        if lock is None:
            raise CatalogBusy(self.path, holder)
        self._lock = lock
        with self._asked(), self._engine.begin() as c:
            current = c.scalar(sa.select(lease.c.token).where(lease.c.name == CONTROLLER)) or 0
            self._token = current + 1
            c.execute(sa.delete(lease).where(lease.c.name == CONTROLLER))
            c.execute(sa.insert(lease).values(name=CONTROLLER, token=self._token))

    def release_lease(self) -> None:
        if self._lock is not None:
            self._lock.close()
        self._lock, self._token = None, None

    @property
    def leased(self) -> bool:
        """Whether this process is the writer, as far as it knows."""
        return self._token is not None

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Let others write while this process works on something long; then become the writer again."""
        self.release_lease()
        try:
            yield
        finally:
            self.take_lease(PATIENCE_SECONDS)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Raises `CatalogAway` or `DamagedCatalog` for what the database says of its file."""
        try:
            yield
        except sa.exc.DatabaseError as error:
            reason = str(error.orig)
            if any(word in reason.lower() for word in _DAMAGED):
                raise DamagedCatalog(self.path, reason) from error
            if is_disk_full(reason) or shutil.disk_usage(self.path.parent).free < LITTLE_ROOM:  # a full disk has many faces
                raise DiskFull(f"{self.path}: {reason}") from error
            if any(word in reason.lower() for word in _AWAY):
                raise CatalogAway(self.path, reason) from error
            raise

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One write transaction, all or nothing. Raises `LeaseLost` if another controller has taken over."""
        with self._asked(), self._engine.begin() as c:
            current = c.scalar(sa.select(lease.c.token).where(lease.c.name == CONTROLLER))
            if self._token is None or current != self._token:
                raise LeaseLost(self._token or 0, current or 0)
            yield c

    @contextmanager
    def amending(self) -> Iterator[sa.Connection]:
        """A write transaction without the lease: for what people say of findings, and for what became of alerts. Nothing that the
        controller decides by is written so."""
        with self._asked(), self._engine.begin() as c:
            yield c

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection for reads that belong together."""
        with self._asked(), self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
            yield c

    def rows(self, query: sa.Select[Any]) -> list[Any]:
        """All rows of one query."""
        with self.reading() as c:
            return list(c.execute(query))

    # --- progress and conservation ---

    def progress(self, name: str) -> datetime | None:
        """How far a named walk through time has come."""
        found = self.rows(sa.select(progress.c.at).where(progress.c.name == name))
        return from_epoch(found[0].at) if found else None

    def close(self) -> None:
        self.release_lease()
        self._engine.dispose()


def set_progress(c: sa.Connection, name: str, at: datetime, detail: Mapping[str, Any] | None = None) -> None:
    """Move a named walk forward, in the same transaction as what it did."""
    c.execute(sa.delete(progress).where(progress.c.name == name))
    c.execute(sa.insert(progress).values(name=name, at=since_epoch(at), detail=canonical_json(dict(detail or {}))))


def add_balance(c: sa.Connection, stage: str, subject: str, rows_in: int, rows_out: Mapping[str, int]) -> None:
    """Add to the running sum of a stage, in the same transaction as the rows it counts."""
    same = sa.and_(balances.c.stage == stage, balances.c.subject == subject)
    before = c.execute(sa.select(balances).where(same)).first()
    total = dict(json.loads(before.rows_out)) if before else {}
    for name, rows in rows_out.items():
        total[name] = total.get(name, 0) + rows
    c.execute(sa.delete(balances).where(same))
    sum_in = rows_in + (before.rows_in if before else 0)
    c.execute(sa.insert(balances).values(stage=stage, subject=subject, rows_in=sum_in, rows_out=canonical_json(total)))


def _durable(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions itself, as IMMEDIATE, see `Catalog`
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={PATIENCE_SECONDS * 1000:.0f}", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _migrate(engine: sa.Engine) -> None:
    """Bring the schema to `HEAD`. Alembic is only imported when there is something to do."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
        there = sa.inspect(c).has_table("alembic_version")
        if there and c.scalar(sa.text("SELECT version_num FROM alembic_version")) == HEAD:
            return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as c:
        config.attributes["connection"] = c
        command.upgrade(config, HEAD)
