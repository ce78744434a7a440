"""Every combination of `combinations` through the whole path: trained, sealed, served over REST and gRPC, logged, explained, replayed.

The data are generated: what a price says of an order turns round on day 40, and from day 52 on all prices are three times as high. A replay
has to find both.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.figure import Figure, Proof
from benchmarks.models.combinations import ANSWERS, BINARY, EVERYTHING, FRAME, MATRIX, NUMBERS, Combination, combinations

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS, A_DAY, TURNED, DEARER = 62, 60, 40, 52
ALIKE = 1e-5  # relative
ASKED = 16  # rows

TOML = """
[project]
name = "bench"
module = "bench"

[loop]
tick = "1d"

[replay]
start = 2024-02-02T00:00:00Z
end = 2024-02-29T00:00:00Z
"""
MODULE = """
import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

import noria as nr

orders = nr.Table("orders", nr.files("data/orders.parquet"), key="order_id", event_time="placed_at")
returns = nr.Table("returns", nr.files("data/returns.parquet"), key="order_id", event_time="settled_at")


@nr.request_transform("price", "hour")
def numbers(rows):
    return {{"price": rows["price"], "hour": pc.hour(rows["placed_at"])}}


@nr.request_transform("city", "express", types={{"city": "string", "express": "bool"}})
def words(rows):
    return {{"city": rows["city"], "express": rows["express"]}}


@nr.request_transform("due", "tags", types={{"due": "timestamp", "tags": "string[any]"}})
def rest(rows):
    return {{"due": rows["due"], "tags": rows["tags"]}}


features = nr.FeatureSet("orders", spine=orders, request=[{request}])


def fit(x, y, seed):
{fit}

def answer(fitted, x):
{answer}

@nr.trainer
def trained(train, *, seed):
    x = {reads}
    fitted = fit(x, train.labels, seed)
    told = {{"rows": train.table.slice(0, {asked}).to_pylist(), "answers": np.asarray(answer(fitted, x[:{asked}]), float).tolist()}}
    (Path(__file__).parent / "expected.json").write_text(json.dumps(told, default=lambda moment: moment.isoformat()))
    return fitted


label = nr.Label(returns, {label}, matures="1d")
model = nr.Model("bench", features, label=label, trainer=trained, holdout="5d", trust={trust}, task={task})
endpoint = nr.Endpoint("bench", model, release=nr.Immediate(), deadline="10s")
nr.Monitor(endpoint, false_alarms_per_year=12, performance=[nr.Tolerance({metric}, by={by})])
"""


def matrix(wanted: Sequence[str] = ()) -> Proof:
    """wanted: parts of titles; without any, all"""
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch) / "base"
        write_data(base)
        passed = refused = 0
        for combination in combinations():
            if wanted and not any(part in combination.title for part in wanted):
                continue
            folder = Path(scratch) / "one"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(base, folder)
            wrong = _judged(combination, folder)
            yield f"# {combination.title}: {'; '.join(wrong) or combination.code or 'all the way'}"
            passed += not wrong and not combination.code
            refused += not wrong and bool(combination.code)
            if wrong:
                yield Figure(f"wrong with {combination.title}", len(wrong), "", "=", 0)
        if not wanted:
            yield Figure("combinations_all_the_way_or_refused_by_code", passed + refused, f"{passed} and {refused}", ">=", 40)


def _judged(combination: Combination, folder: Path) -> list[str]:
    """What is wrong with a combination; nothing if all is as it must be."""
    write_module(combination, folder)
    _noria(folder, "ingest")
    code, told = _noria(folder, "train")
    if combination.code:
        found = told["error"]["code"] if code else "nothing"
        return [] if found == combination.code else [f"refused with {found}, not {combination.code}"]
    if code:
        return [f"{told['error']['code']}: {told['error']['what']}; {told['error']['where']}"]
    return [*_served(folder), *_replayed(folder)]


def _served(folder: Path) -> list[str]:
    """Answers over REST and gRPC beside the framework's own, and what the log says of them."""
    told = json.loads((folder / "expected.json").read_text())
    rows, own, wrong = told["rows"], np.array(told["answers"]), []
    with _server(folder) as where:
        rest = _asked(where, rows)
        binary = _asked_by_grpc(where, rows)
    for protocol, answers in (("REST", np.array(rest["predictions"])), ("gRPC", binary)):
        apart = float(np.max(np.abs(answers - own) / np.maximum(1, np.abs(own))))
        if not apart <= ALIKE:
            wrong.append(f"{protocol} differs by {apart:.2g}")
    _, explained = _noria(folder, "explain", rest["ids"][3])
    sent = {f["name"]: f["value"] for f in explained.get("features", [])}
    if not all(_equal(sent.get(name), value) for name, value in rows[3].items()):
        wrong.append(f"explain tells {sent} of {rows[3]}")
    return wrong


def _equal(logged: Any, sent: Any) -> bool:
    if isinstance(sent, float) and isinstance(logged, float | int):
        return bool(abs(logged - sent) <= 1e-6 * max(1.0, abs(sent)))
    if isinstance(sent, str) and isinstance(logged, str) and "T" in sent:
        return datetime.fromisoformat(logged) == datetime.fromisoformat(sent)
    return bool(logged == sent)


def _replayed(folder: Path) -> list[str]:
    """A replay finds that what a price says has turned round, and that prices have changed."""
    code, told = _noria(folder, "replay")
    if code:
        return [f"replay: {told['error']['what']}"]
    kinds = {f["kind"] for f in told["findings"]}
    return [f"no finding of {kind} among {sorted(kinds)}" for kind in ("performance", "drift") if kind not in kinds]


# --- a project ----------------------------------------------------------------------------------------------------------


def write_data(folder: Path) -> None:
    rng, count = np.random.default_rng(11), DAYS * A_DAY
    minute = np.sort(rng.integers(0, DAYS * 1440, count))
    placed = [START + timedelta(minutes=int(m)) for m in minute]
    price = rng.gamma(2.0, 20.0, count)
    slope = np.where(minute >= TURNED * 1440, -1.0, 1.0)
    returned = rng.random(count) < 1 / (1 + np.exp(-slope * (price - 40) / 10))
    refund = np.clip(60 + slope * 0.5 * (price - 40) + rng.normal(0, 2, count), 1, None)
    price = np.where(minute >= DEARER * 1440, 3 * price, price)
    keys = [f"o{i:05d}" for i in range(count)]
    tags = [[f"t{t}" for t in range(n)] for n in rng.integers(0, 4, count)]
    orders = {
        "order_id": keys,
        "price": price,
        "city": rng.choice(["Ams", "Köln", "Wien"], count).tolist(),
        "express": rng.random(count) < 0.3,
        "due": _times([moment + timedelta(hours=int(h)) for moment, h in zip(placed, rng.integers(24, 96, count), strict=True)]),
        "tags": pa.array(tags, pa.list_(pa.string())),
        "placed_at": _times(placed),
    }
    outcomes = {
        "order_id": keys,
        "returned": returned.astype(np.int64),
        "refund": refund,
        "settled_at": _times([moment + timedelta(hours=20) for moment in placed]),
    }
    (folder / "data").mkdir(parents=True)
    (folder / "noria.toml").write_text(TOML)
    for name, table in (("orders", orders), ("returns", outcomes)):
        pq.write_table(pa.table(table), folder / "data" / f"{name}.parquet")


def _times(moments: Sequence[datetime]) -> pa.Array:
    return pa.array(moments, pa.timestamp("us", tz="UTC"))


def write_module(combination: Combination, folder: Path) -> None:
    binary, dense = combination.task == BINARY, combination.inputs == NUMBERS
    request = "numbers" if dense else "numbers, words, rest" if combination.inputs == EVERYTHING else "numbers, words"
    (folder / "bench.py").write_text(
        MODULE.format(
            request=request,
            fit=combination.fit.strip("\n") + "\n",
            answer=ANSWERS[combination.answer].strip("\n") + "\n",
            reads=MATRIX if dense else FRAME,
            asked=ASKED,
            label='"returned"' if binary else '"refund"',
            trust=combination.trust,
            task="nr.Binary()" if binary else 'nr.Regression(unit="EUR")',
            metric='"log_loss"' if binary else '"absolute_error"',
            by=0.05 if binary else 2.0,
        )
    )


def _noria(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "noria", *words, "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    return done.returncode, json.loads(done.stdout or "{}")


# --- a server -----------------------------------------------------------------------------------------------------------


@contextmanager
def _server(folder: Path) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "noria", "serve", "--port", "0", "--grpc-port", "0", "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.communicate(timeout=60)


def _asked(where: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    url = f"http://{where['host']}:{where['port']}/predict/bench"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps({"rows": rows}).encode()), timeout=60) as response:
        told: dict[str, Any] = json.loads(response.read())
    return told


def _asked_by_grpc(where: dict[str, Any], rows: list[dict[str, Any]]) -> np.ndarray:
    """Row by row, as lists of any length can't stand in one tensor."""
    import tritonclient.grpc as triton

    dtypes = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_, "BYTES": object}
    found = []
    with triton.InferenceServerClient(f"127.0.0.1:{where['grpc_port']}") as client:
        declared = {each.name: each.datatype for each in client.get_model_metadata("bench").inputs}
        for row in rows:
            inputs = []
            for name, kind in declared.items():
                value = row[name]
                raw = [[text.encode() for text in value]] if isinstance(value, list) else [value.encode() if kind == "BYTES" else value]
                array = np.array(raw, dtypes[kind]).reshape((1, len(value)) if isinstance(value, list) else (1,))
                inputs.append(triton.InferInput(name, list(array.shape), kind))
                inputs[-1].set_data_from_numpy(array)
            found.append(float(client.infer("bench", inputs).as_numpy("prediction").ravel()[0]))
    return np.array(found)


if __name__ == "__main__":
    for line in matrix(sys.argv[1:]):
        print(line, flush=True)
