"""Predictions of a model that runs elsewhere: NannyML's car loans, quiet years, a million rows, and NannyML itself on the same rows.

Car loans are 100,000 requests with the answers of a model and what became of them; from 2019-03-31 about 4 o'clock on, cars are worth more.
The data ships inside the `nannyml` wheel, which is fetched and only unpacked. NannyML runs in an environment of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import noria as nr
from benchmarks.figure import Figure, Proof, most_a_year
from benchmarks.peers import peer_python
from noria.evidence.predictions import JudgedPredictions
from noria.monitoring.findings import Finding

CHANGED = datetime(2019, 3, 31, tzinfo=UTC)
REFERENCE = "2018-10-30T00:00Z"  # whole days of what NannyML calls the reference
DATA = "nannyml/datasets/data/synthetic_car_loan"
NANNYML = ("nannyml", "statsmodels", "pandas<3")
TABLE_YEARS = int(os.environ.get("TABLE_YEARS", "24"))
BUDGET = 2.0
COPIES = 10  # of the 100,000 rows, seconds apart: a million
HERE = Path(__file__).parent


def prove() -> Proof:
    """The figures; what NannyML says stands beside them and is not judged."""
    with tempfile.TemporaryDirectory() as folder:
        loans = car_loans(Path(folder))
        if loans is None:
            yield "# the nannyml wheel can't be had here: no car loans are judged"
        else:
            yield from _car_loans(loans)
            yield from _speed(loans)
            yield from _beside_nannyml(loans, Path(folder))
    yield from _quiet()


def car_loans(folder: Path) -> pd.DataFrame | None:
    """All requests in the order of time, with their outcomes; None where they can't be had."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check", "-d", str(folder), "nannyml"]
    if subprocess.run(command, capture_output=True, check=False, timeout=600).returncode:
        return None
    with zipfile.ZipFile(next(folder.glob("nannyml-*.whl"))) as wheel:
        reference, analysis, target = (
            pd.read_csv(wheel.open(f"{DATA}_{part}.csv")) for part in ("reference", "analysis", "analysis_target")
        )
    rows = pd.concat([reference, analysis.merge(target, on="id")], ignore_index=True)
    return rows.assign(timestamp=pd.to_datetime(rows["timestamp"]))


def judged(rows: pd.DataFrame | pa.Table) -> JudgedPredictions:
    """The car loans as somebody would have them judged."""
    return nr.judge_predictions(
        rows,
        time="timestamp",
        prediction="y_pred_proba",
        outcome="repaid",
        id="id",
        reference=REFERENCE,
        leave_out=["y_pred"],
        name="car loans",
    )


def _car_loans(loans: pd.DataFrame) -> Proof:
    """The change is found to the day, in inputs and in performance, and nothing before it."""
    found = judged(loans)
    for finding in found.findings:
        yield f"# car loans, {finding.since:%Y-%m-%d}, {finding.kind}: {finding.summary}"
    years = (CHANGED - datetime(2018, 10, 30, tzinfo=UTC)) / timedelta(days=365)
    drift = next(f for f in found.findings if f.kind == "drift" and "car_value" in f.evidence["columns"])
    yield Figure("car_loans_drift_of_car_value_off", _days_off(drift), "days", "=", 0)
    yield Figure("car_loans_found_after", _days_late(drift), "days", "<=", 1)
    worse = next(f for f in found.findings if f.kind == "performance")
    yield Figure("car_loans_performance_off", _days_off(worse), "days", "<=", 1)
    yield Figure("car_loans_performance_found_after", _days_late(worse), "days", "<=", 14)
    before = [f for f in found.findings if f.since < CHANGED]
    yield Figure("car_loans_false_alarms", len(before), f"in {years:.2f} years, of which the budget allows {BUDGET * years:.2f}", "=", 0)
    yield Figure("car_loans_page", len(found.to_html().encode()) / 1000, "kB", "<", 300)
    hidden = judged(loans.assign(repaid=loans["repaid"].where(loans["timestamp"] < "2018-10-30")))
    estimated = [f for f in hidden.findings if f.kind == "estimated_performance"]
    yield Figure("car_loans_estimate_without_outcomes_off", _days_off(estimated[0]) if estimated else 999, "days", "<=", 2)


def _days_off(finding: Finding) -> int:
    return abs((finding.since - CHANGED).days)


def _days_late(finding: Finding) -> int:
    return (datetime.fromisoformat(finding.evidence["alarmed"]) - CHANGED).days


def _speed(loans: pd.DataFrame) -> Proof:
    """A million rows of nine inputs, with outcomes and ids."""
    apart, ids = pd.Timedelta(seconds=7), 1_000_000
    parts = [loans.assign(timestamp=loans["timestamp"] + i * apart, id=loans["id"] + i * ids) for i in range(COPIES)]
    rows = pa.table(pd.concat(parts, ignore_index=True))
    times = []
    for _ in range(3):
        begun = time.process_time()  # on an idle machine as long as it takes; on a busy one, what is ours of it
        judged(rows).to_dict()
        times.append(time.process_time() - begun)
    yield Figure("million_predictions_judged", min(times), "s of one processor", "<", 5)


def quiet_table(seed: int, days: int = 425) -> pa.Table:
    """Two months to learn from and a year in which nothing is wrong: yes or no, numbers or class labels. Rows of one day have something in
    common, so that days differ."""
    rng = np.random.default_rng(seed)
    rows = int(rng.choice([40, 100, 200]))
    count, day = days * rows, np.repeat(np.arange(days), rows)
    at = (np.arange(count) * (86_400_000_000 // rows)).astype("datetime64[us]")
    shared = rng.normal(size=days)[day] * 0.15
    x, z = rng.normal(size=count) + shared, rng.normal(size=count)
    p = 1 / (1 + np.exp(1 - x - z / 2))
    drawn = rng.random(count) < p
    answers: dict[int, tuple[Any, Any]] = {
        0: (p, drawn),
        1: (3 * x + z, 3 * x + z + rng.standard_t(5, count) * (1 + np.abs(shared))),
        2: (np.where(p > 0.5, "yes", "no"), np.where(drawn, "yes", "no")),
    }
    prediction, outcome = answers[seed % 3]
    place = rng.choice(["a", "b", "c", "d"], count)
    return pa.table({"at": pa.array(at), "x": x, "z": z, "place": place, "p": pa.array(prediction), "y": pa.array(outcome)})


def _quiet() -> Proof:
    """False alarms a year, of all kinds together."""
    alarms, kinds = 0, dict[str, int]()
    for seed in range(TABLE_YEARS):
        asked = {"time": "at", "prediction": "p", "outcome": "y", "slices": ["place"]}
        found = nr.judge_predictions(quiet_table(seed), **asked, reference=60, false_alarms_per_year=BUDGET)
        alarms += len(found.findings)
        for finding in found.findings:
            kinds[finding.kind] = kinds.get(finding.kind, 0) + 1
    yield f"# {TABLE_YEARS} quiet years of tables: {alarms} false alarms {kinds or ''}"
    yield Figure("quiet_tables_false_alarms", most_a_year(alarms, TABLE_YEARS), f"a year at most (95 %), budget {BUDGET:g}", "<=", BUDGET)


def _beside_nannyml(loans: pd.DataFrame, folder: Path) -> Proof:
    """NannyML with its defaults, by day, on the same rows."""
    python = peer_python("nannyml", NANNYML)
    path = folder / "loans.parquet"
    pq.write_table(pa.table(loans), path)
    done = python and subprocess.run(
        [str(python), str(HERE / "nannyml_peer.py"), str(path), REFERENCE[:10]], capture_output=True, text=True, check=False, timeout=900
    )
    if not done or done.returncode:
        yield "# nannyml can't be installed here, or gave no answer: not compared"
        return
    theirs = json.loads(done.stdout.splitlines()[-1])
    begun = time.perf_counter()
    judged(loans)
    seconds = time.perf_counter() - begun
    yield from _told(theirs)
    yield f"# seconds for all of it: noria {seconds:.2f}, nannyml {theirs['seconds']:.2f}, ratio {theirs['seconds'] / seconds:.1f}"


def _told(theirs: dict[str, Any]) -> Iterator[str]:
    change = f"{CHANGED:%Y-%m-%d}"
    for name, days in theirs["alerts"].items():
        early, late = [d for d in days if d < change], [d for d in days if d >= change]
        yield f"# nannyml, {name}: {len(early)} days with an alert before the change, the first after it on {late[0] if late else 'no day'}"
