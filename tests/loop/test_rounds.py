"""What a round reads: what is new, and neither a table nor a prediction where nothing is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from noria.core.clock import ReplayClock, since_epoch
from noria.core.health import Unknown
from noria.loop.context import EndpointContext, Policy
from noria.loop.live_loop import LiveLoop
from noria.loop.observe import observe
from noria.loop.project import load_project
from noria.models.registry import CHAMPION
from noria.monitoring import measuring
from noria.monitoring.monitors.skew import Skew
from noria.release.releases import latest_release
from noria.serving.log import segments
from noria.serving.log.segments import PredictionLog, Predictions
from noria.stores import schema
from noria.stores.tables import DeltaTables
from noria.stores.windows import newest_windows
from noria.stores.workspace import Workspace
from projects import DAYS, MODULE, START, edited, write_project

DAY = timedelta(days=1)
NOW = START + (DAYS - 5) * DAY
WATCHED = {
    "performance=": "skew=0.01, performance=",
    "margin=0.1))": 'margin=0.1), slo=nr.SLO(freshness={"visits": "2h"}))',
}


class Reads:
    """What is read of tables and of the log: whole versions, and files of them (with their columns)."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.tables, self.columns, self.logged = list[str](), list[tuple[str, ...]](), list[str]()
        scan, scan_file, read_segment = DeltaTables.scan, DeltaTables.scan_file, segments.read_segment

        def scanned(store: DeltaTables, name: str, *given: Any, **more: Any) -> Any:
            self.tables.append(name)
            return scan(store, name, *given, **more)

        def file_scanned(store: DeltaTables, name: str, version: int, path: str, columns: list[str]) -> Any:
            self.columns.append((name, *columns))
            return scan_file(store, name, version, path, columns)

        def segment_read(path: Path, *given: Any) -> Any:
            self.logged.append(path.name)
            return read_segment(path, *given)

        patch.setattr(DeltaTables, "scan", scanned)
        patch.setattr(DeltaTables, "scan_file", file_scanned)
        patch.setattr(segments, "read_segment", segment_read)

    def clear(self) -> None:
        for each in (self.tables, self.columns, self.logged):
            each.clear()


class Shop:
    """A shop with a champion and a day of logged traffic."""

    def __init__(self, folder: Path) -> None:
        self.folder = write_project(folder, edited(MODULE, WATCHED))
        self.project = load_project(folder)
        self.workspace = Workspace.of(folder, self.project.settings)
        self.clock = ReplayClock(NOW)
        self.loop = LiveLoop(self.project, self.workspace, self.clock, DAY, waits=True)

    def round(self) -> None:
        assert not self.loop.run().troubles

    def anew(self) -> None:
        """The loop's process is another one."""
        self.loop.close()
        self.loop = LiveLoop(self.project, Workspace.of(self.folder, self.project.settings), self.clock, DAY, waits=True)

    def answer(self, keys: list[str]) -> None:
        """The champion answers requests about these orders now, with features that are not theirs."""
        with closing(self.workspace.catalog()) as catalog:
            release = latest_release(catalog, "returns")
        assert release is not None
        rows, at = len(keys), since_epoch(self.clock.now() + timedelta(hours=1))
        names = self.project.endpoint().model.features.features
        with closing(PredictionLog(self.workspace.log("returns"), "test", self.workspace.files)) as log:
            received, features = at + np.arange(rows), np.full((rows, len(names)), 7.0, np.float32)
            bundles = [release.champion] * rows
            latency, scores = np.ones(rows, np.int32), np.full(rows, 0.5)
            log.append(
                Predictions.of_block(
                    [f"p{at + i}" for i in range(rows)], list(keys), [CHAMPION] * rows, bundles, received, latency, features, scores, names
                )
            )

    def deliver(self, number: int) -> None:
        """One more visit."""
        path = self.folder / "data" / "visits.parquet"
        visits = pq.read_table(path)
        now = pa.array([self.clock.now()], pa.timestamp("us", tz="UTC"))
        pq.write_table(
            pa.concat_tables(
                [visits, pa.table({"visit_id": [f"n{number}"], "city": ["ams"], "seconds": [1.0], "at": now, "known_at": now})]
            ),
            path,
        )

    def skews(self) -> list[Any]:
        with closing(self.workspace.catalog()) as catalog:
            windows = newest_windows(catalog, "returns", "champion", 100)
            return [row.skew for row in reversed(windows) if row.skew is not None]

    def observed_skew(self) -> Skew:
        endpoint = self.project.endpoint()
        context = EndpointContext.open(self.project, self.workspace, endpoint, Policy.declared(self.project, endpoint), live=True)
        with closing(context.stores.catalog):
            found = observe(context, self.clock.now()).monitors.of(Skew)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One shop for all tests, which run in order."""
    found = Shop(tmp_path_factory.mktemp("rounds") / "shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORIA_ALERTS_CHANNELS", "")
        found.round()
        orders = pq.read_table(found.folder / "data" / "orders.parquet")["order_id"].to_pylist()
        found.answer(orders[-800:-500])
        found.clock.advance_to(found.clock.now() + DAY)
        found.round()
        yield found
        found.loop.close()


def test_a_round_with_nothing_new_reads_no_table_and_no_prediction(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Reads(monkeypatch)
    shop.round()
    assert (reads.tables, reads.columns, reads.logged) == ([], [], [])


def test_so_does_one_of_a_fresh_process(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.anew()
    reads = Reads(monkeypatch)
    shop.round()
    assert (reads.tables, reads.columns, reads.logged) == ([], [], [])


def test_a_catalog_that_knows_nothing_of_the_tables_is_told_by_their_columns_of_times(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(shop.workspace.catalog()) as catalog, catalog.amending() as c:
        c.execute(sa.delete(schema.known_rows))
    shop.anew()
    reads = Reads(monkeypatch)
    shop.round()
    assert (reads.tables, reads.logged) == ([], [])
    assert sorted(set(reads.columns)) == [("orders", "placed_at"), ("returns", "settled_at"), ("visits", "known_at", "at")]


def test_new_rows_cost_the_file_that_they_lie_in(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.deliver(1)
    reads = Reads(monkeypatch)
    shop.round()
    assert reads.columns == [("visits", "known_at", "at")]
    assert set(reads.tables) == {"visits"}  # to tell what is new
    assert reads.logged == []


def test_the_skew_of_a_window_is_measured_once_and_kept(shop: Shop) -> None:
    [told] = shop.skews()
    assert told["rows"] == 300
    assert shop.observed_skew().reading.alarming


def test_a_skew_that_cannot_be_measured_is_unknown_and_a_finding(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("no way")

    monkeypatch.setattr(measuring, "served_skew", fails)
    shop.answer(["o00001"])
    shop.clock.advance_to(shop.clock.now() + DAY)
    shop.round()
    seen = shop.observed_skew()
    assert dict(seen.healths()) == {"skew": Unknown("it failed: RuntimeError: no way")}
    assert [(f.kind, f.subject) for f in seen.findings()] == [("no_data", "skew")]
    assert seen.judged() == ()
