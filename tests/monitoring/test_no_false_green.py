"""No false green: whatever goes wrong in the monitoring itself, nothing says that the endpoint is well, and something says what to do.

A shop is replayed once, until all is well; then each fault is put into a copy of its own.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.projects import MODULE, SETTINGS, edit, edited, write_project

from noria.core.clock import SystemClock, since_epoch
from noria.core.files import LocalFiles
from noria.core.heartbeat import FOLDER, beat
from noria.evidence.status import status
from noria.loop.project import load_project
from noria.serving.log.segments import SUMS_FILE
from noria.stores.workspace import Workspace
from typed_commands import done, typed

QUIET = edited(MODULE, {'nr.Tolerance("log_loss", by=0.05)': 'nr.Tolerance("log_loss", by=0.3)'})
UNTIL = edited(SETTINGS, {"2024-03-28T00:00:00Z": "2024-02-29T00:00:00Z"})  # the change in the middle comes after it


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_project(tmp_path_factory.mktemp("well") / "shop", QUIET, UNTIL)
    for command in ("ingest", "replay"):
        done(folder, command, "--json")
    return folder


def seen(folder: Path) -> dict[str, Any]:
    project = load_project(folder)
    return status(project, Workspace.of(folder, project.settings))


def sql(folder: Path, statement: str, *values: Any) -> None:
    with sqlite3.connect(folder / ".noria" / "catalog.db") as con:
        con.execute(statement, values)


def newest(folder: Path) -> int:
    with sqlite3.connect(folder / ".noria" / "catalog.db") as con:
        return int(con.execute("SELECT max(start) FROM windows WHERE role = 'champion'").fetchone()[0])


def on_newest(column: str, value: Any, windows: int = 1) -> Callable[[Path], None]:
    def fault(folder: Path) -> None:
        day = 86_400_000_000
        sql(folder, f"UPDATE windows SET {column} = ? WHERE role = 'champion' AND start > ?", value, newest(folder) - windows * day)

    return fault


def remove(*parts: str) -> Callable[[Path], None]:
    def fault(folder: Path) -> None:
        for path in folder.glob("/".join(parts)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return fault


def spoil(*parts: str) -> Callable[[Path], None]:
    def fault(folder: Path) -> None:
        paths = [path for path in folder.glob("/".join(parts)) if path.is_file()]
        assert paths
        for path in paths:
            data = path.read_bytes()
            path.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 0xFF]) + data[len(data) // 2 + 1 :])

    return fault


def statistics(change: Callable[[np.ndarray], Any], windows: int = 1) -> Callable[[Path], None]:
    def fault(folder: Path) -> None:
        with sqlite3.connect(folder / ".noria" / "catalog.db") as con:
            rows = con.execute(
                "SELECT rowid, statistics FROM windows WHERE statistics IS NOT NULL ORDER BY start DESC LIMIT ?", (windows,)
            ).fetchall()
            for rowid, text in rows:
                changed = change(np.array(json.loads(text), float))
                plain = [[None if v is None or np.isnan(v) else v for v in row] for row in np.asarray(changed, float).tolist()]
                con.execute("UPDATE windows SET statistics = ? WHERE rowid = ?", (json.dumps(plain), rowid))

    return fault


def all_null(values: np.ndarray) -> np.ndarray:
    values[0] = [np.nan] * 5 + [1.0] + [np.nan] * 4
    return values


def half_null(values: np.ndarray) -> np.ndarray:
    values[0, 5] = 0.5
    return values


def outcomes(rows: int, missing: int, windows: int) -> Callable[[Path], None]:
    nothing = {"rows": rows, "missing": missing, "positives": None, "prediction": None, "losses": {}, "auc": None}

    def fault(folder: Path) -> None:
        matured = "SELECT start FROM windows WHERE performance IS NOT NULL ORDER BY start DESC LIMIT ?"
        sql(folder, f"UPDATE windows SET performance = ? WHERE start IN ({matured})", json.dumps(nothing), windows)

    return fault


def dead(stage: str, saw: dict[str, Any] | None = None, age_hours: float = 5) -> Callable[[Path], None]:
    def fault(folder: Path) -> None:
        from noria.core.clock import SystemClock

        at = SystemClock().now() - timedelta(hours=age_hours)
        beat(folder / ".noria", stage, at, timedelta(minutes=1 if age_hours else 60), saw or {}, LocalFiles())

    return fault


def waiting_alert(folder: Path) -> None:
    sql(
        folder,
        "INSERT INTO alerts (key, incident, channel, content, created_at, attempts, next_at, error) "
        "VALUES ('k', 'i', 'slack', '{}', 0, 3, 0, ?)",
        "the alert channel slack did not accept an alert: it answered 403 invalid_token",
    )


def sums(answered: int, logged: int) -> Callable[[Path], None]:
    def fault(folder: Path) -> None:
        [writer] = (folder / ".noria" / "log" / "returns").glob("*")
        (writer / SUMS_FILE).write_text(json.dumps({"writer": "w", "answered": answered, "logged": logged}))

    return fault


def stranger(folder: Path) -> None:
    sql(folder, "UPDATE windows SET bundle = ? WHERE role = 'champion' AND start = ?", "f" * 64, newest(folder))


def reference_of_ten(folder: Path) -> None:
    edit(folder / "shop.py", {"false_alarms_per_year=6": "false_alarms_per_year=6, sensitivity=0.5"})


def no_monitor(folder: Path) -> None:
    edit(
        folder / "shop.py",
        {'monitor = nr.Monitor(endpoint, false_alarms_per_year=6, performance=[nr.Tolerance("log_loss", by=0.3)])\n': ""},
    )


FAULTS: dict[str, Callable[[Path], None]] = {
    "the newest window has no rows": on_newest("rows", 0),
    "three windows have no rows": on_newest("rows", 0, 3),
    "half of the usual rows are logged": on_newest("rows", 8),
    "nothing was kept of the newest window": on_newest("statistics", None),
    "the newest window has other columns": statistics(lambda v: v[:-1]),
    "statistics of an older version": statistics(lambda v: v[:, :3]),
    "statistics that are no JSON": on_newest("statistics", "{"),
    "a feature is no longer logged": statistics(all_null),
    "half of a feature is null": statistics(half_null),
    "a column moved for a week": statistics(lambda v: np.where(np.arange(10) == 0, np.clip(v + 0.3, 0, 1), v), 7),
    "no window was ever recorded": lambda f: sql(f, "DELETE FROM windows"),
    "outcomes stopped": outcomes(0, 80, 3),
    "most outcomes are missing": outcomes(20, 60, 3),
    "no outcome was ever judged": lambda f: sql(f, "UPDATE windows SET performance = NULL"),
    "performance that is no JSON": lambda f: sql(f, "UPDATE windows SET performance = '[' WHERE performance IS NOT NULL"),
    "the champion's bundle is gone": remove(".noria/objects/bundles/*"),
    "the champion's bundle is damaged": spoil(".noria/objects/bundles/*/profile/*"),
    "the catalog is gone": remove(".noria/catalog.db*"),
    "the catalog is damaged": lambda f: (f / ".noria" / "catalog.db").write_bytes(b"no database" * 500),
    "releases are gone": lambda f: sql(f, "DELETE FROM releases"),
    "how it was accepted is gone": lambda f: sql(f, "DELETE FROM candidates"),
    "a table was never ingested": remove(".noria/tables/visits"),
    "a table's journal is damaged": spoil(".noria/tables/returns/_delta_log/*.json"),
    "a channel refuses its secret": waiting_alert,
    "a server's failures can't be read": on_newest(
        "traffic", '{"rows": 80, "keys": 80, "repeated": 0, "slow": 0, "fallbacks": 0, "failed": null, "stale": {}}'
    ),
    "traffic that is no JSON": on_newest("traffic", "{"),
    "the loop stands still": dead("loop"),
    "the watcher stands still": dead("watch"),
    "no worker answers": dead("serve/8080", {"workers": 2, "ready": 0}, 0),
    "a stage is stuck": dead("loop", {"doing": "reconcile/returns", "since": "2024-01-01T00:00:00+00:00"}, 0),
    "a sign of life is torn": lambda f: ((f / ".noria" / FOLDER).mkdir(), (f / ".noria" / FOLDER / "loop.json").write_text("{"))[0],
    "the log lost rows": sums(100, 99),
    "the log has rows that nobody asked for": sums(100, 101),
    "the sums are torn": lambda f: next((f / ".noria" / "log" / "returns").glob("*")).joinpath(SUMS_FILE).write_text("{"),
    "a sum does not add up": lambda f: sql(f, "UPDATE balances SET rows_in = rows_in + 1 WHERE stage = 'requests'"),
    "a bundle that was never released answers": stranger,
    "a monitor that promises too much": reference_of_ten,
    "nothing watches": no_monitor,
    "the project's module is broken": lambda f: (f / "shop.py").write_text("import nothing_of_that_name"),
    "a channel has no secret": lambda f: (f / "noria.toml").write_text((f / "noria.toml").read_text() + '[alerts]\nchannels = ["slack"]\n'),
    "a channel that there is not": lambda f: (f / "noria.toml").write_text(
        (f / "noria.toml").read_text() + '[alerts]\nchannels = ["slak"]\n'
    ),
}


def test_while_nothing_is_wrong_it_is_well(well: Path) -> None:
    told = seen(well)
    [endpoint] = told["endpoints"]
    assert [m for m in endpoint["monitors"] if m["health"] == "unhealthy"] == []
    assert told["undelivered"] == {}


@pytest.mark.parametrize("name", FAULTS)
def test_no_fault_in_the_monitoring_ends_green(well: Path, tmp_path: Path, name: str) -> None:
    before = {m["monitor"]: m["health"] for m in seen(well)["endpoints"][0]["monitors"]}
    folder = tmp_path / "shop"
    shutil.copytree(well, folder)
    FAULTS[name](folder)
    ran = typed(folder, "status", "--json")
    assert "Traceback" not in ran.stderr, ran.stderr
    told = json.loads(ran.stdout)
    if "error" in told:
        assert all(told["error"][part] for part in ("what", "where", "fix"))
        return
    assert told["health"]["health"] != "healthy"
    assert told["health"].get("why") or told["health"].get("cause")
    now = {m["monitor"]: m["health"] for e in told["endpoints"] for m in e["monitors"]}
    others = [s for s in told["stages"] if s["stalled"]] or told["undelivered"] or [c for c in told["conservation"] if not c["holds"]]
    worse = [m for m in now if now[m] != "healthy" and before.get(m) != now[m]]
    gone = [m for m in before if m not in now]
    assert worse or gone or others, now


def test_a_clock_that_goes_back_is_refused(well: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(well, folder)
    ahead = since_epoch(datetime(2199, 1, 1, tzinfo=UTC))
    sql(folder, "UPDATE progress SET at = ? WHERE name = 'windows/returns'", ahead)
    sql(folder, "DELETE FROM progress WHERE name = 'history/returns'")  # as if it had been live
    ran = typed(folder, "loop", "--json")
    assert json.loads(ran.stdout)["error"]["code"] == "NR-403"


def test_windows_go_on_with_a_longer_tick_than_before(well: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(well, folder)
    measured = since_epoch(SystemClock().now() - timedelta(seconds=1))  # by ticks of a second; they are days now
    sql(folder, "UPDATE progress SET at = ? WHERE name = 'windows/returns'", measured)
    sql(folder, "DELETE FROM progress WHERE name = 'history/returns'")
    told = json.loads(typed(folder, "loop", "--json").stdout)
    assert "NR-403" not in json.dumps(told)
    with closing(sqlite3.connect(folder / ".noria" / "catalog.db")) as catalog:
        assert catalog.execute("SELECT at FROM progress WHERE name = 'windows/returns'").fetchone() == (measured,)


def test_a_report_of_a_null_column_is_json_as_well(well: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(well, folder)
    FAULTS["a feature is no longer logged"](folder)
    told = json.loads(done(folder, "monitor", "report", "--json"))
    assert None in [path[-1] for path in told["drift"]["shift"].values()]


def test_a_report_says_what_windows_say_that_still_wait_for_outcomes(well: Path) -> None:
    early = json.loads(done(well, "monitor", "report", "--json"))["early"]
    assert early
    for one in early:
        assert (one["value"] is None) == (one["missing"] == 1)
        assert one["value"] is None or one["least"] <= one["value"] + 1e-9 <= one["most"] + 2e-9
        if one["missing"] == 0:  # then all three are the window's loss
            assert one["value"] == pytest.approx(one["plain"])
            assert one["most"] == pytest.approx(one["least"])


def test_slices_that_none_could_judge_are_not_well(well: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(well, folder)
    edit(folder / "shop.py", {"false_alarms_per_year=6": 'false_alarms_per_year=6, slices=["twice"]'})
    [slices] = [m for m in seen(folder)["endpoints"][0]["monitors"] if m["monitor"] == "performance by slice"]
    assert slices["health"] == "unknown"  # the champion was accepted before they were declared
