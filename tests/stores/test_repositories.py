"""Releases, walks, sums and what is known of files; and the copy of all that a catalog knows of an endpoint."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from noria.stores.balances import BalanceRow, add_balance, balances_of
from noria.stores.catalog import Catalog
from noria.stores.copying import copy_endpoint
from noria.stores.known_rows import keep_files, known_files
from noria.stores.progress import ProgressRow, progress_of, progress_under, set_progress
from noria.stores.releases import ReleaseRow, add_release, champions_of, releases_of

NOW = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def release(catalog: Catalog, *rows: ReleaseRow) -> None:
    with catalog.transaction() as c:
        for row in rows:
            add_release(c, row)


def test_releases_are_read_newest_first_and_up_to_a_moment(catalog: Catalog) -> None:
    first, second = ReleaseRow("a", "shop", NOW, "b1", None), ReleaseRow("b", "shop", NOW + DAY, "b1", "b2")
    release(catalog, first, second, ReleaseRow("c", "another shop", NOW, "b3", None))
    assert releases_of(catalog, "shop") == [second, first]
    assert releases_of(catalog, "shop", until=NOW) == [first]
    assert champions_of(catalog, "shop") == {"b1"}


def test_a_walk_is_where_it_was_moved_to_last(catalog: Catalog) -> None:
    with catalog.transaction() as c:
        set_progress(c, "health/shop", NOW)
        set_progress(c, "health/shop", NOW + DAY, {"drift": "healthy"})
        set_progress(c, "windows/shop", NOW)
    assert progress_of(catalog, "health/shop") == ProgressRow("health/shop", NOW + DAY, {"drift": "healthy"})
    assert progress_of(catalog, "health") is None
    assert [row.name for row in progress_under(catalog, "health/")] == ["health/shop"]


def test_sums_add_up(catalog: Catalog) -> None:
    with catalog.transaction() as c:
        add_balance(c, "requests", "shop", 3, {"logged": 2, "lost": 1})
        add_balance(c, "requests", "shop", 4, {"logged": 3, "late": 1})
    assert balances_of(catalog) == [BalanceRow("requests", "shop", 7, {"logged": 5, "lost": 1, "late": 1})]


def test_files_that_are_gone_are_forgotten_and_other_tables_are_left_alone(catalog: Catalog) -> None:
    with catalog.transaction() as c:
        keep_files(c, "or_ders", "by day", {"1.parquet": {"first": 1}, "2.parquet": {"first": 2}}, there=["1.parquet", "2.parquet"])
        keep_files(c, "orXders", "by day", {"1.parquet": {"first": 9}}, there=["1.parquet"])
        keep_files(c, "or_ders", "by day", {"3.parquet": {"first": 3}}, there=["2.parquet", "3.parquet"])
    every = ["1.parquet", "2.parquet", "3.parquet"]
    assert known_files(catalog, "or_ders", "by day", every) == {"2.parquet": {"first": 2}, "3.parquet": {"first": 3}}
    assert known_files(catalog, "or_ders", "by day", ["3.parquet"]) == {"3.parquet": {"first": 3}}
    assert known_files(catalog, "orXders", "by day", every) == {"1.parquet": {"first": 9}}
    assert known_files(catalog, "or_ders", "by hour", every) == {}


def test_an_endpoint_is_copied_whole_and_over_what_was_there(catalog: Catalog, tmp_path: Path) -> None:
    source = Catalog(tmp_path / "source.db")
    source.take_lease()
    copied, replaced = ReleaseRow("a", "shop", NOW, "b1", None), ReleaseRow("b", "shop", NOW, "b2", None)
    kept = ReleaseRow("c", "another shop", NOW, "b3", None)
    release(source, ReleaseRow("d", "a third", NOW, "b4", None), copied)
    release(catalog, replaced, kept)
    with source.transaction() as c:
        add_balance(c, "requests", "shop", 1, {"logged": 1})
    for _ in range(2):
        with catalog.transaction() as c:
            copy_endpoint(c, source, "shop")
    assert (releases_of(catalog, "shop"), releases_of(catalog, "another shop"), releases_of(catalog, "a third")) == ([copied], [kept], [])
    assert balances_of(catalog) == [BalanceRow("requests", "shop", 1, {"logged": 1})]
    source.close()
