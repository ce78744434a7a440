"""The examples over their whole data, by the commands of their READMEs: policies side by side, and what was found of what happened.

`python -m benchmarks.firsthour.examples` runs these alone; with folders in which the commands have run, it reads what they left there. The
year of flights is run by `noria demo` and `benchmarks/loop`, its minutes by `benchmarks/models`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, Proof

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMANDS = (["prepare.py"], ["-m", "noria", "check"], ["-m", "noria", "ingest"], ["-m", "noria", "replay"])

Told = Mapping[str, Any]


def prove() -> Proof:
    """The figures of all examples, each in a copy of its own."""
    for name in JUDGED:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / name
            shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("data", ".noria", "__pycache__"))
            for command in COMMANDS:
                subprocess.run([sys.executable, *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            yield from judged(folder)


def judged(folder: Path) -> Proof:
    """The figures of an example that has been replayed in a folder of its name."""
    told: Told = json.loads((folder / "report.json").read_text())
    metric = told["metric"]["name"]
    for policy, figures in told["policies"].items():
        yield f"# {folder.name}, {policy}: {metric} {figures[metric]:.4f}, {figures['retrainings']} retrainings"
    for finding in told["findings"]:
        yield f"# {folder.name}, {finding['opened_at'][:10]}, since {finding['since'][:10]}, {finding['kind']}: {finding['summary']}"
    losses = {policy: figures[metric] for policy, figures in told["policies"].items()}
    yield Figure(f"{folder.name}_static_less_loop", losses["static"] - losses["loop"], metric, ">", 0)
    yield from JUDGED[folder.name](told, losses)


def _bikes(told: Told, losses: Mapping[str, float]) -> Proof:
    """Most of what the calendar gains, and the hurricane of 29 October 2012."""
    share = (losses["static"] - losses["loop"]) / (losses["static"] - losses["calendar"])
    yield Figure("bikes_share_of_the_calendars_gain", share, "", ">=", 0.75)
    yield Figure("bikes_findings_since_the_hurricane", len([*_since(told, "2012-10-29", "2012-10-31")]), "findings", ">", 0)


def _digits(told: Told, losses: Mapping[str, float]) -> Proof:
    """The lamp that fades on 1 March is a fault on the day after, and the loop retrains on what comes of it."""
    faults = [finding["opened_at"][:10] for finding in _since(told, "2024-03-01", "2024-03-02") if finding["kind"] == "data_quality"]
    yield Figure("digits_fault_found_on_2_march", faults.count("2024-03-02"), "finding", "=", 1)
    yield Figure("digits_calendar_less_loop", losses["calendar"] - losses["loop"], "log_loss", ">", 0)


def _loans(told: Told, losses: Mapping[str, float]) -> Proof:
    """Nothing before the change of 31 March 2019; an estimate within days of it, outcomes three months later; and one retraining."""
    share = (losses["static"] - losses["loop"]) / (losses["static"] - losses["calendar"])
    yield Figure("loans_share_of_the_calendars_gain", share, "", ">=", 0.75)
    yield Figure("loans_retrainings", told["policies"]["loop"]["retrainings"], "", "<=", 2)
    yield Figure("loans_findings_before_the_change", len([*_since(told, "2018", "2019-03-31")]), "findings", "=", 0)
    estimated = min(finding["opened_at"][:10] for finding in told["findings"] if finding["kind"] == "estimated_performance")
    yield Figure("loans_estimate_found_in_april", int(estimated < "2019-04-08"), "of 1", "=", 1)


def _since(told: Told, first: str, end: str) -> Iterator[Any]:
    """The findings of what began in [first, end), dates as texts."""
    return (finding for finding in told["findings"] if first <= finding["since"][:10] < end)


JUDGED: dict[str, Callable[[Told, Mapping[str, float]], Proof]] = {"bikes": _bikes, "digits": _digits, "loans": _loans}

if __name__ == "__main__":
    folders = [Path(each) for each in sys.argv[1:]]
    for figure in (figure for folder in folders for figure in judged(folder)) if folders else prove():
        print(figure, flush=True)
