"""What happens around a loop: a locked catalog, a full disk, a bug, a channel that is down, a second loop, another machine."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from noria.core.clock import ReplayClock, SystemClock
from noria.core.files import LocalFiles
from noria.core.heartbeat import FOLDER, OtherHost, beats, this_host
from noria.loop import live_loop as looping
from noria.loop.context import EndpointContext, Policy
from noria.loop.live import open_supervisor
from noria.loop.live_loop import LOOP, LiveLoop, LoopAtWork
from noria.loop.project import load_project
from noria.loop.replay import answer
from noria.release.releases import current_release
from noria.serving.log.segments import PredictionLog
from noria.stores import catalog as db
from noria.stores.findings import findings_of
from noria.stores.tables import DeltaTables
from noria.stores.windows import newest_windows
from noria.stores.workspace import Workspace
from projects import MODULE, edit, edited, write_project

NOW, MINUTE = datetime(2024, 3, 20, tzinfo=UTC), timedelta(minutes=1)


class Loop:
    """The shop's loop, without a model: what stands around it matters here."""

    def __init__(self, folder: Path) -> None:
        self.project = load_project(folder)
        self.workspace = Workspace.of(folder, self.project.settings)
        self.clock = ReplayClock(NOW)
        self.rounds = self.another(waits=True)

    def another(self, *, waits: bool) -> LiveLoop:
        return LiveLoop(self.project, self.workspace, self.clock, MINUTE, waits=waits)

    def round(self) -> dict[str, str]:
        """The codes of a round's troubles, a minute later."""
        self.clock.advance_to(self.clock.now() + MINUTE)
        return {stage: error.code for stage, error in self.rounds.run().troubles.items()}

    def findings(self, kind: str) -> list[tuple[str, bool]]:
        """(subject, whether it is open) of all findings of a kind that are about the project."""
        with closing(self.workspace.catalog()) as catalog:
            found = sorted((row for row in findings_of(catalog, ["project"]) if row.kind == kind), key=lambda row: row.subject)
            return [(row.subject, row.closed_at is None) for row in found]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose loop has gone round once."""
    folder = write_project(tmp_path_factory.mktemp("trained") / "shop", edited(MODULE, {"num_boost_round=rounds": "num_boost_round=1"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORIA_ALERTS_CHANNELS", "")
        with closing(Loop(folder).rounds) as rounds:
            assert rounds.run().troubles == {}
    return folder


@pytest.fixture
def loop(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    shutil.copytree(trained, tmp_path / "shop")
    monkeypatch.setenv("NORIA_ALERTS_CHANNELS", "")
    monkeypatch.setattr(db, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(looping, "PATIENCE_SECONDS", 0.2)
    logging.disable(logging.CRITICAL)
    found = Loop(tmp_path / "shop")
    with closing(found.rounds):
        assert found.round() == {}
        yield found
    logging.disable(logging.NOTSET)


def test_a_locked_catalog_is_not_called_damaged_and_told_when_it_is_free_again(loop: Loop) -> None:
    with closing(sqlite3.connect(loop.workspace.own / "catalog.db", isolation_level=None)) as browser:
        browser.execute("BEGIN IMMEDIATE")
        assert loop.round() == {"reconcile/returns": "NR-409", "telling": "NR-409"}
    assert loop.round() == {}
    assert loop.findings("no_data") == [("catalog", False)]


def test_a_full_disk_is_one_finding_whichever_stages_meet_it(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("Generic LocalFileSystem error: Unable to copy data: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(looping, "ingest", full)
        assert loop.round() == {f"ingest/{name}": "NR-116" for name in ("orders", "visits", "returns")}
    assert loop.findings("no_data") == [("disk", True)]
    assert loop.round() == {}
    assert loop.findings("no_data") == [("disk", False)]


def test_a_round_reads_a_file_of_a_table_where_it_has_a_newer_version(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, read = DeltaTables.scan_file, list[str]()

    def counted(tables: DeltaTables, name: str, *given: Any) -> Iterator[pa.RecordBatch]:
        read.append(name)
        return usual(tables, name, *given)

    monkeypatch.setattr(DeltaTables, "scan_file", counted)
    assert loop.round() == {}
    assert read == []
    orders = pq.read_table(loop.project.folder / "data" / "orders.parquet")
    later = orders.slice(0, 1).set_column(0, "order_id", pa.array(["new"]))
    pq.write_table(pa.concat_tables([orders, later]), loop.project.folder / "data" / "orders.parquet")
    assert loop.round() == {}
    assert read == ["orders"]
    monkeypatch.setattr(DeltaTables, "scan_file", usual)
    edit(loop.project.folder / "shop.py", {'matures="30h"': 'matures="31h"'})
    before = loop.rounds._remembered["returns"].facts
    assert loop.round() == {}
    assert loop.rounds._remembered["returns"].facts is not before


def test_a_sign_of_life_that_cannot_be_given_ends_nothing(loop: Loop) -> None:
    folder = loop.workspace.root / FOLDER
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("in the way")  # as a full disk: nothing can be written here
    with loop.rounds.pulse():
        assert loop.round() == {}
    folder.unlink()
    assert loop.round() == {}
    assert [b.stage for b in beats(loop.workspace.root, loop.workspace.files)] == [LOOP]


def test_what_nobody_foresaw_is_a_finding_with_its_place_and_stops_no_other_stage(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest = looping.ingest

    def broken(table: object, *given: object) -> object:
        if getattr(table, "name", "") == "visits":
            raise ZeroDivisionError("a bug")
        return ingest(table, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(looping, "ingest", broken)
    assert loop.round() == {"ingest/visits": "NR-003"}
    assert loop.findings("no_data") == [("ingest/visits", True)]
    monkeypatch.undo()
    monkeypatch.setenv("NORIA_ALERTS_CHANNELS", "")
    assert loop.round() == {}
    assert loop.findings("no_data") == [("ingest/visits", False)]


def test_a_project_that_was_broken_meanwhile_is_told_and_watched_as_it_was(loop: Loop) -> None:
    module = loop.project.folder / "shop.py"
    whole = module.read_text()
    module.write_text(whole + "\nraise RuntimeError('half saved')\n")
    assert loop.round() == {"project": "NR-110"}
    module.write_text(whole)
    assert loop.round() == {}


def test_a_channel_that_is_down_is_a_finding_until_it_takes_alerts_again(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORIA_ALERTS_CHANNELS", "webhook")
    monkeypatch.setenv("NORIA_WEBHOOK_URL", "http://127.0.0.1:9/")  # where nobody listens
    (loop.project.folder / "data" / "visits.parquet").rename(loop.project.folder / "away")
    loop.round()
    assert ("alerts/webhook", True) in loop.findings("no_data")
    monkeypatch.setattr(looping, "open_channel", lambda *_: type("Taken", (), {"send": lambda *_: None})())
    for _ in range(4):
        loop.round()
    assert ("alerts/webhook", False) in loop.findings("no_data")


def test_a_second_loop_stands_by_and_takes_over_when_the_first_has_ended(loop: Loop) -> None:
    with closing(loop.another(waits=False)) as second:
        assert second.run().standing_by
        with closing(loop.another(waits=True)) as once, pytest.raises(LoopAtWork, match="another loop is already running"):
            once.run()
        loop.rounds.close()
        assert not second.run().standing_by


def test_a_second_machine_is_refused_while_the_first_lives(loop: Loop) -> None:
    loop.rounds.close()
    path = loop.workspace.root / FOLDER / f"{LOOP}.json"
    name, boot = this_host().split()
    for same in (f"{name} another-boot", f"another {boot}"):  # it was started anew; another container of it
        path.write_text(json.dumps(json.loads(path.read_text()) | {"host": same}))
        with closing(loop.another(waits=False)) as second:
            assert not second.run().standing_by
    path.write_text(json.dumps(json.loads(path.read_text()) | {"host": "another another-boot"}))
    with closing(loop.another(waits=False)) as second:
        with pytest.raises(OtherHost, match="another machine"):
            second.run()
        loop.clock.advance_to(loop.clock.now() + 2 * MINUTE)  # its sign of life is overdue
        assert not second.run().standing_by
    path.write_text(json.dumps(json.loads(path.read_text()) | {"host": "another", "at": SystemClock().now().isoformat()}))
    with pytest.raises(OtherHost):
        open_supervisor(loop.workspace, loop.project.endpoints, loop.project.settings.serving)


def test_a_loop_that_rested_finds_nothing_lost(loop: Loop) -> None:
    """Windows that closed and became due meanwhile are measured and judged in one round."""
    endpoint = loop.project.endpoint()
    context = EndpointContext.open(loop.project, loop.workspace, endpoint, Policy.declared(loop.project, endpoint))
    with closing(context.stores.catalog), closing(PredictionLog(context.stores.log_folder, "server", LocalFiles())) as log:
        release = current_release(context)
        assert release is not None
        log.append(answer(context, release, context.facts.offline.rows(NOW + timedelta(hours=1), NOW + timedelta(hours=20))))
    loop.clock.advance_to(NOW + timedelta(days=8))
    assert loop.round() == {}
    with closing(loop.workspace.catalog()) as catalog:
        [window] = [row for row in newest_windows(catalog, endpoint.name, "champion", 100) if row.rows]
        assert window.performance is not None
        found = [row for row in findings_of(catalog) if row.subject == "due windows"]
    assert found == []
