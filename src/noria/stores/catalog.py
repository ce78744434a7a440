"""The catalog: everything the loop knows and has decided, as rows in SQL.

Embedded default: SQLite in WAL mode with `synchronous=FULL`, so that what is committed survives a power cut. What stands in its tables is
read and written through the repositories beside this file (`decisions`, `windows`, …): they read from a `Catalog`, and write in an open
transaction of one.

One controller writes at a time: it takes the catalog's lease, which carries a fencing token. The token is checked inside
every write transaction, because a paused process does not know that its lease has passed to another.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from noria.core.errors import DiskFull, OutsideWorld, UserMistake, is_disk_full
from noria.core.files import hold
from noria.stores.schema import HEAD, lease

Connection = sa.Connection  # an open transaction, for whoever decides where it begins and ends

CONTROLLER = "controller"
LITTLE_ROOM = 65_536  # bytes, less than a transaction may need
READS = "AUTOCOMMIT"  # the isolation of a connection that only reads
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


class NewerCatalog(UserMistake):
    """A newer version of Noria has migrated the catalog."""

    code = "NR-419"

    def __init__(self, path: str, revision: str) -> None:
        super().__init__(
            what="the catalog is of a newer version of Noria",
            where=f"{path} has revision {revision}, and this version knows {HEAD}",
            fix="install that version again, or restore the backup from before the upgrade; nothing was changed",
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
        sa.event.listen(self._engine, "begin", _begin)
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
    def transaction(self) -> Iterator[Connection]:
        """One write transaction, all or nothing. Raises `LeaseLost` if another controller has taken over."""
        with self._asked(), self._engine.begin() as c:
            current = c.scalar(sa.select(lease.c.token).where(lease.c.name == CONTROLLER))
            if self._token is None or current != self._token:
                raise LeaseLost(self._token or 0, current or 0)
            yield c

    @contextmanager
    def amending(self) -> Iterator[Connection]:
        """A write transaction without the lease: for what people say of findings, and for what became of alerts. Nothing that the
        controller decides by is written so."""
        with self._asked(), self._engine.begin() as c:
            yield c

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that only reads, and waits for no writer: each query sees what is committed by then."""
        with self._asked(), self._engine.connect().execution_options(isolation_level=READS) as c:
            yield c

    def rows(self, query: sa.Select[Any]) -> list[Any]:
        """All rows of one query; for the repositories."""
        with self.reading() as c:
            return list(c.execute(query))

    def close(self) -> None:
        self.release_lease()
        self._engine.dispose()


def _durable(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions itself, as IMMEDIATE, see `Catalog`
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={PATIENCE_SECONDS * 1000:.0f}", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """A write transaction takes the file's lock at its beginning, not at its first write; a read takes none."""
    if connection.get_execution_options().get("isolation_level") != READS:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(engine: sa.Engine) -> None:
    """Bring the schema to `HEAD`. Alembic is only imported when there is something to do. Raises `NewerCatalog`."""
    with engine.connect().execution_options(isolation_level=READS) as c:
        there = sa.inspect(c).has_table("alembic_version")
        revision = c.scalar(sa.text("SELECT version_num FROM alembic_version")) if there else None
    if revision == HEAD:
        return
    if revision is not None and revision > HEAD:
        raise NewerCatalog(str(engine.url.database), revision)
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as c:
        config.attributes["connection"] = c
        command.upgrade(config, HEAD)
