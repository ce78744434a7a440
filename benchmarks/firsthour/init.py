"""`noria init` on data that it has never seen: six commands, nothing edited, to a prediction, its outcome and a finding.

    init → ingest → train → serve → a request → new data with outcomes, and with a broken column → loop

A forecast reads the online store: there, `loop` ingests and trains, and `materialize` is the third command.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.figure import Figure, Proof
from benchmarks.firsthour.data import Data, data_sets
from noria.core.clock import SystemClock
from noria.loop.project import load_project

MOST_COMMANDS, MOST_SECONDS = 6, 600.0


class Failed(Exception):
    """A step did not do what it must."""


class Hour:
    """One user with one data set."""

    def __init__(self, data: Data, folder: Path) -> None:
        self.data, self.folder = data, folder
        self.commands, self.log, self.since = 0, list[str](), time.perf_counter()

    def run(self) -> list[str]:
        """The whole way; returns what there is to say. Raises `Failed`."""
        source, later = self.data.write(self.folder)
        self.project = self.folder / "project"
        self.since = time.perf_counter()
        self.noria("init", str(source), "--yes", *self.data.flags, "--project", "project", at=self.folder)
        forecast = self.data.task == "forecast"
        for command in (["loop"], ["materialize"]) if forecast else (["ingest"], ["train"]):
            self.noria(*command)
        server, where = self.serve()
        try:
            answer = self.ask(where, later)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=30)
        self.arrive(source, later)
        told = self.noria("loop")
        return self.judge(answer, told)

    def noria(self, *arguments: str, at: Path | None = None) -> str:
        self.commands += 1
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "noria", *arguments], cwd=at or self.project, capture_output=True, text=True, check=False, timeout=900
        )
        self.log.append(f"$ noria {' '.join(arguments)}  ({time.perf_counter() - start:.1f} s)\n{done.stdout}")
        if done.returncode:
            raise Failed(f"noria {arguments[0]}: {done.stderr or done.stdout}")
        return done.stdout + done.stderr

    def serve(self) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        self.commands += 1
        server = subprocess.Popen(
            [sys.executable, "-m", "noria", "serve", "--port", "0", "--json"],
            cwd=self.project,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        started = server.stdout.readline()
        if not started:
            raise Failed(f"noria serve: {server.communicate()[1]}")
        self.log.append(f"$ noria serve  ({time.perf_counter() - self.since:.1f} s since the start)")
        return server, json.loads(started)

    def ask(self, where: dict[str, Any], later: pd.DataFrame) -> dict[str, Any]:
        """Ask for the first row that was held back, as an entity: with its own columns, and nothing computed."""
        self.commands += 1
        self.found = load_project(self.project)
        [endpoint] = self.found.endpoints
        table = endpoint.model.features.spine
        row = self.new_rows(later, 0).iloc[0]
        self.key = key = "|".join(_written(row[name]) for name in table.keys)
        entity = {name: _plain(value) for name, value in row.items()}
        when = entity[table.event_time]
        entity[table.event_time] = when if "+" in when else f"{when}Z"
        url = f"http://{where['host']}:{where['port']}/predict/{endpoint.name}/entities"
        while True:  # columns that nothing reads are refused by name: the API document lists those that are read
            body = {"entities": [entity], "keys": [key]}
            try:
                request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
                with urllib.request.urlopen(request, timeout=30) as response:
                    answer: dict[str, Any] = json.load(response)
                    break
            except urllib.error.HTTPError as error:
                said = error.read().decode()
                wanted = _example(said)
                if wanted is None or set(wanted) == set(entity):
                    raise Failed(f"{url}: {said}") from error
                entity = {name: entity.get(name) for name in wanted}
        short = json.dumps({"entities": [entity], "keys": [key]})
        self.log.append(f"$ curl {url} -d '{short[:300]}{'…' if len(short) > 300 else ''}'\n{json.dumps(answer)}")
        return answer

    def new_rows(self, later: pd.DataFrame, beyond: int) -> pd.DataFrame:
        """The rows held back as they arrive: with a number and a time, where the project's rows have these."""
        [endpoint] = self.found.endpoints
        table, rows = endpoint.model.features.spine, later.copy()
        if "row_id" in table.keys:
            rows["row_id"] = range(10_000_001 + beyond, 10_000_001 + beyond + len(rows))
        if table.event_time == "row_time":
            rows["row_time"] = SystemClock().now()
        return rows

    def arrive(self, source: Path, later: pd.DataFrame) -> None:
        """New data: the rows held back with their outcomes, and as many in which a column is broken."""
        [endpoint] = self.found.endpoints
        table = endpoint.model.features.spine
        good, bad = self.new_rows(later, 0), self.new_rows(later, len(later))
        bad[self.data.broken] = None if self.data.task != "forecast" else -5
        if table.event_time not in ("row_time",):
            bad = bad.assign(**{table.event_time: _moved(bad[table.event_time])})
        where = table.source.pattern  # type: ignore[attr-defined]
        if where.startswith("data/"):
            for name, rows in (("good", good), ("bad", bad)):
                pq.write_table(self.typed(rows, table), self.project / where / f"{name}.parquet")
        else:
            pd.concat([good, bad])[later.columns].to_csv(source, mode="a", header=False, index=False)

    def typed(self, rows: pd.DataFrame, table: Any) -> pa.Table:
        """Rows in the types that the file has that `noria init` wrote: new data comes from where the old came from."""
        schema = pq.read_schema(self.project / table.source.pattern / "rows.parquet")
        columns = []
        for field in schema:
            values = rows[field.name]
            if pa.types.is_timestamp(field.type):
                values = pd.to_datetime(values, utc=True)
            elif pa.types.is_boolean(field.type):
                values = values.map({"True": True, "False": False, True: True, False: False})
            elif not pa.types.is_string(field.type) and not pa.types.is_binary(field.type):
                values = pd.to_numeric(values)
            columns.append(pa.array(values, field.type, from_pandas=True))
        return pa.table(columns, schema=schema)

    def judge(self, answer: dict[str, Any], told: str) -> list[str]:
        """What the loop has found, and the outcome of the prediction. Raises `Failed`."""
        [prediction] = answer["ids"]
        run = [sys.executable, "-m", "noria"]
        found = json.loads(subprocess.run([*run, "findings", "list", "--json"], cwd=self.project, capture_output=True, check=True).stdout)
        about = [f["summary"] for f in found["findings"] if f["kind"] == "data_quality" and self.data.broken in f["summary"]]
        if not about:
            raise Failed(f"no finding names {self.data.broken!r}: {[f['summary'] for f in found['findings']]}; {told}")
        explained = json.loads(
            subprocess.run([*run, "explain", prediction, "--json"], cwd=self.project, capture_output=True, check=True).stdout
        )
        read = explained["prediction"]["read"]
        self.log.append(f"found: {about[0]}\nprediction {prediction}: {read['value']}; outcome: {read['outcome']}")
        if "not known" in read["outcome"] or "unknown" in read["outcome"]:
            raise Failed(f"the prediction has no outcome: {read}")
        return [about[0], f"answered {read['value']}, and the outcome was {read['outcome']}"]


def prove() -> Proof:
    """Every data set; what can't be had here is said, and not counted."""
    for data in data_sets():
        yield from one(data)


def one(data: Data, log: list[str] | None = None) -> Proof:
    folder = Path(tempfile.mkdtemp(prefix="firsthour-"))
    hour = Hour(data, folder)
    try:
        said = hour.run()
    except (subprocess.CalledProcessError, ModuleNotFoundError, StopIteration) as error:
        yield f"# {data.name}: its data can't be had here ({error})"
        return
    except Exception as error:  # noqa: BLE001 - one data set that fails in whatever way hides no other
        yield f"# {data.name}: {type(error).__name__}: {error}"
        said = []
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)
    if log is not None:
        log += hour.log
    seconds = time.perf_counter() - hour.since
    for line in said:
        yield f"# {data.name} ({data.task}): {line}"
    yield Figure(f"firsthour_{data.name}_seconds", seconds if said else float("inf"), "s to a finding", "<=", MOST_SECONDS)
    yield Figure(f"firsthour_{data.name}_commands", hour.commands if said else float("inf"), "commands", "<=", MOST_COMMANDS)


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    import base64

    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | pd.Timestamp):
        return value.isoformat()
    if value is None or (isinstance(value, float) and value != value) or value is pd.NA:
        return None
    return value.item() if hasattr(value, "item") else value


def _written(value: Any) -> str:
    """A part of a key as Noria writes it."""
    if isinstance(value, str) and value[:4].isdigit() and value[4:5] == "-":
        return f"{value}+00"
    return str(value)


def _moved(times: pd.Series) -> pd.Series:
    """Times after those that are there."""
    moments = pd.to_datetime(times)
    return (moments + (moments.max() - moments.min()) + pd.Timedelta(hours=1)).dt.strftime("%Y-%m-%d %H:%M:%S")


def _example(said: str) -> list[str] | None:
    """The columns of the entity that an error shows as an example."""
    import re

    fix = json.loads(said).get("fix", "") if said.startswith("{") else ""
    found = re.findall(r'"([^"]+)": [a-z]', fix.removeprefix('send {"entities": [{'))
    return found or None


if __name__ == "__main__":
    for wanted in data_sets():
        if len(sys.argv) < 2 or wanted.name in sys.argv[1:]:
            lines: list[str] = []
            for told in one(wanted, lines):
                print(told, flush=True)
            print("\n".join(lines), flush=True)
