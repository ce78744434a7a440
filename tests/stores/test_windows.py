"""Windows come back as they were recorded and completed, to the last digit."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import sqlalchemy as sa

from noria.stores import schema
from noria.stores.catalog import Catalog
from noria.stores.windows import (
    ExpectedLoss,
    MaturedWindow,
    PairedCounts,
    TrafficCounts,
    WindowRow,
    add_windows,
    bundles_at,
    complete_window,
    metrics_by_window,
    newest_bundles,
    newest_traffic,
    newest_windows,
    pairs_by_window,
    rows_by_window,
    skew_at,
    window_span,
    windows_at,
    windows_due,
    windows_of_bundle,
)

NOW = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PERFORMANCE = {"rows": 2, "missing": 1, "positives": 0.5, "prediction": 1 / 3, "losses": {"log_loss": 0.1 + 0.2}, "auc": None}
FULL = WindowRow(
    "shop",
    NOW,
    "b1",
    "champion",
    3,
    statistics=np.array([[1 / 3, np.nan], [0.0, -1e-300]]),
    performance=PERFORMANCE,
    expected={"log_loss": ExpectedLoss(0.1 + 0.2, 1 / 3)},
    traffic=TrafficCounts(3, 2, 1, 0, fallbacks=1, failed=None, stale={"visits": 2}),
    metrics={"revenue": 1.5, "not drawn": None},
    paired=PairedCounts(3, 2, 2, {"log_loss": 1e-17}),
    skew={"failed": "OSError: gone"},
)


def add(catalog: Catalog, *rows: WindowRow) -> None:
    with catalog.transaction() as c:
        add_windows(c, rows)


def test_a_window_comes_back_as_it_was(catalog: Catalog) -> None:
    add(catalog, FULL, WindowRow("shop", NOW, "b2", "challenger", 0))
    [full], [bare] = (windows_of_bundle(catalog, "shop", bundle, NOW) for bundle in ("b1", "b2"))
    for name in (field.name for field in fields(WindowRow)):
        assert name == "statistics" or getattr(full, name) == getattr(FULL, name), name
    assert full.statistics is not None
    np.testing.assert_array_equal(full.statistics, FULL.statistics)
    assert bare == WindowRow("shop", NOW, "b2", "challenger", 0)
    [without] = windows_of_bundle(catalog, "shop", "b1", NOW, statistics=False)
    assert (without.statistics, without.performance) == (None, PERFORMANCE)


def test_pairs_without_gains_are_stored_without_them(catalog: Catalog) -> None:
    add(catalog, WindowRow("shop", NOW, "b2", "challenger", 2, paired=PairedCounts(3, 2, 2)))
    with catalog.reading() as c:
        assert json.loads(c.execute(sa.select(schema.windows.c.paired)).scalar_one()) == {"asked": 3, "scored": 2, "paired": 2}
    assert pairs_by_window(catalog, "shop", "b2", "challenger", NOW) == [(NOW, PairedCounts(3, 2, 2))]


def test_outcomes_complete_a_window_and_leave_the_rest_of_it(catalog: Catalog) -> None:
    early = replace(FULL, performance=None)
    add(catalog, early, replace(early, start=NOW + DAY), replace(early, bundle="empty", rows=0))
    assert windows_due(catalog, "shop", NOW) == [NOW]
    assert windows_due(catalog, "shop", NOW + DAY) == [NOW, NOW + DAY]
    with catalog.transaction() as c:
        complete_window(c, "shop", MaturedWindow(NOW, "b1", PERFORMANCE, metrics={"revenue": 2.5}))
    [found] = windows_of_bundle(catalog, "shop", "b1", NOW, NOW + DAY)
    assert (found.performance, found.metrics, found.paired) == (PERFORMANCE, {"revenue": 2.5}, FULL.paired)
    assert windows_due(catalog, "shop", NOW + DAY) == [NOW + DAY]
    assert [due for _, _, due in metrics_by_window(catalog, "shop", "champion")] == [True, False]


def test_traffic_of_an_earlier_version_lacks_what_was_not_counted(catalog: Catalog) -> None:
    add(catalog, FULL, replace(FULL, start=NOW + DAY))
    with catalog.transaction() as c:
        older = sa.update(schema.windows).where(schema.windows.c.rows == 3)
        c.execute(older.values(traffic='{"keys":2,"repeated":1,"slow":0}'))
    assert newest_traffic(catalog, "shop", 1) == [(NOW + DAY, TrafficCounts(3, 2, 1, 0))]


def test_windows_are_found_by_role_and_time(catalog: Catalog) -> None:
    more, later = replace(FULL, bundle="b2", rows=5), replace(FULL, start=NOW + DAY, rows=7, skew=None)
    shadow = WindowRow("shop", NOW, "b3", "challenger", 9)
    add(catalog, FULL, more, later, shadow)
    assert [row.bundle for row in windows_at(catalog, "shop", NOW, "champion")] == ["b2", "b1"]
    assert [row.start for row in newest_windows(catalog, "shop", "champion", 1)] == [NOW + DAY]
    assert rows_by_window(catalog, "shop", "champion") == [(NOW, 8), (NOW + DAY, 7)]
    assert rows_by_window(catalog, "shop", "champion", after=NOW) == [(NOW + DAY, 7)]
    assert (bundles_at(catalog, "shop", NOW, "challenger"), newest_bundles(catalog, "shop", "champion")) == ({"b3"}, {"b1"})
    assert (skew_at(catalog, "shop", NOW), skew_at(catalog, "shop", NOW + DAY)) == (FULL.skew, None)
    assert (window_span(catalog, "shop"), window_span(catalog, "another shop")) == ((NOW, NOW + DAY), None)
