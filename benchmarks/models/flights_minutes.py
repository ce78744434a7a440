"""The flights year as a regression: how many minutes late. The loop, the calendar and the static champion side by side.

The project is the flights example with another label, and what follows from it; nothing of Noria is told otherwise.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, Proof

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
CHANGES = {
    'contract=nr.Contract(not_null=["late"])': "contract=nr.Contract()",
    '"objective": "binary"': '"objective": "huber", "alpha": 20.0',
    'label=nr.Label(arrivals, "late", positive=1, matures="37h")': 'label=nr.Label(arrivals, "arr_delay", matures="37h")',
    'holdout="14d",': 'holdout="14d",\n    task=nr.Regression(unit="min"),',
    'nr.beats_champion("log_loss", by=-0.02)': 'nr.beats_champion("absolute_error", by=-1.0)',
    'nr.no_slice_worse("log_loss", over=["origin", "carrier"], by=0.05)': (
        'nr.no_slice_worse("absolute_error", over=["origin", "carrier"], by=3.0)'
    ),
    'metric="log_loss", margin=0.03': 'metric="absolute_error", margin=1.0',
    'nr.Tolerance("calibration", by=0.03), nr.Tolerance("log_loss", by=0.05)': (
        'nr.Tolerance("mean_residual", by=4.0), nr.Tolerance("absolute_error", by=2.0)'
    ),
}
OF_ANOTHER_KIND = re.compile(r"log-loss|AUC|probabilit|calibration|positive", re.IGNORECASE)


def flights_in_minutes(folder: Path) -> Proof:
    """Replay the year, and read what it says."""
    write_project(folder)
    for command in ("check", "ingest", "replay"):
        subprocess.run([sys.executable, "-m", "noria", command, "--json"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    told: dict[str, Any] = json.loads((folder / "report.json").read_text())
    errors = {name: policy["absolute_error"] for name, policy in told["policies"].items()}
    for name, policy in told["policies"].items():
        yield (
            f"# {name}: {policy['absolute_error']:.4f} min absolute error, rank correlation {policy['rank_correlation']:.4f}, "
            f"{policy['retrainings']} retrainings"
        )
    yield Figure("flights_minutes_static_less_loop", errors["static"] - errors["loop"], "min", ">", 0)
    share = (errors["static"] - errors["loop"]) / (errors["static"] - errors["calendar"])
    yield Figure("flights_minutes_share_of_the_calendars_gain", share, "", ">=", 0.8)
    page = (folder / "report.html").read_text()
    yield Figure("flights_minutes_words_of_another_kind", len(OF_ANOTHER_KIND.findall(page)), "in the report", "=", 0)


def write_project(folder: Path) -> None:
    """The example's files with another label, and the data."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("noria.toml", "prepare.py"):
        shutil.copy(EXAMPLE / name, folder / name)
    module = (EXAMPLE / "flights.py").read_text()
    for old, new in CHANGES.items():
        assert old in module, f"{old!r} does not stand in the example"
        module = module.replace(old, new)
    (folder / "flights.py").write_text(module)
    subprocess.run([sys.executable, str(folder / "prepare.py")], check=True)
