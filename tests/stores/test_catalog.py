"""The catalog: one writer, checked by the store itself; migrations give the schema that the code expects."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from noria.stores import schema
from noria.stores.balances import add_balance, balances_of
from noria.stores.catalog import Catalog, CatalogBusy, LeaseLost, NewerCatalog


def test_the_migrations_give_the_tables_that_the_code_names(tmp_path: Path) -> None:
    Catalog(tmp_path / "catalog.db").close()
    found = sa.MetaData()
    found.reflect(sa.create_engine(f"sqlite:///{tmp_path / 'catalog.db'}"))
    expected = {name: {(c.name, str(c.type), c.nullable) for c in t.columns} for name, t in schema.metadata.tables.items()}
    there = {name: {(c.name, str(c.type), c.nullable) for c in t.columns} for name, t in found.tables.items() if name in expected}
    assert there == expected


def test_one_that_a_newer_version_has_migrated_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    Catalog(path).close()
    with sqlite3.connect(path) as con:
        con.execute("UPDATE alembic_version SET version_num = '9999'")
    con.close()
    before = path.read_bytes()
    with pytest.raises(NewerCatalog, match=r"a newer version of Noria.*revision 9999"):
        Catalog(path)
    assert path.read_bytes() == before


def test_it_is_durable_by_its_settings(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.db")
    with catalog.reading() as c:
        assert c.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert c.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    catalog.close()


def test_a_read_waits_for_no_writer_and_sees_what_is_committed(tmp_path: Path) -> None:
    catalog, other = Catalog(tmp_path / "catalog.db"), Catalog(tmp_path / "catalog.db")
    catalog.take_lease()
    with catalog.transaction() as c:
        add_balance(c, "ingest", "flights", 1, {"kept": 1})
        assert balances_of(catalog) == balances_of(other) == []
    assert len(balances_of(other)) == 1
    catalog.close()
    other.close()


def test_a_second_controller_is_refused_and_a_dead_one_is_not_waited_for(tmp_path: Path) -> None:
    first = Catalog(tmp_path / "catalog.db")
    first.take_lease()
    second = Catalog(tmp_path / "catalog.db")
    with pytest.raises(CatalogBusy):
        second.take_lease()
    first.close()
    second.take_lease()
    second.close()
    code = (
        "import sys, os, signal; from pathlib import Path; from noria.stores.catalog import Catalog;"
        "c = Catalog(Path(sys.argv[1])); c.take_lease(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "catalog.db")], check=False)
    third = Catalog(tmp_path / "catalog.db")
    third.take_lease()
    third.close()


def test_a_controller_that_was_overtaken_writes_nothing(tmp_path: Path) -> None:
    paused, newer = Catalog(tmp_path / "catalog.db"), Catalog(tmp_path / "catalog.db")
    paused.take_lease()
    lock, paused._lock = paused._lock, None
    assert lock is not None
    lock.close()  # as a lost mount would
    newer.take_lease()
    with pytest.raises(LeaseLost), paused.transaction() as c:
        add_balance(c, "stage", "x", 1, {"done": 1})
    with newer.transaction() as c:
        add_balance(c, "stage", "x", 2, {"done": 2})
    assert [row.rows_in for row in balances_of(newer)] == [2]
    paused.close()
    newer.close()


def test_a_transaction_that_raises_leaves_nothing(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.db")
    catalog.take_lease()

    def fail() -> None:
        with catalog.transaction() as c:
            add_balance(c, "stage", "x", 1, {"done": 1})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert balances_of(catalog) == []
    catalog.close()
