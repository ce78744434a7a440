"""The same streams given to the best-known tools, each with its defaults, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.figure import Proof
from benchmarks.monitoring.detector import run_windows
from benchmarks.monitoring.streams import FAULTS, Stream
from benchmarks.peers import peer_python
from noria.statistics.e_detector import threshold_for

PEERS = {
    "evidently": ("evidently>=0.7,<0.8", "pandas<3", "numpy<2.4"),
    "evidently-half": ("evidently>=0.7,<0.8", "pandas<3", "numpy<2.4"),
    "nannyml": ("nannyml", "statsmodels", "pandas<3"),
    "alibi-detect": ("alibi-detect", "pandas<3"),
    "river": ("river",),
}
QUIET = ("independent", "weekly season", "autocorrelated 0.7", "rows by user")
REFERENCE, WINDOWS = 60, 20
STREAMS = int(os.environ.get("PEER_STREAMS", "3"))
HERE = Path(__file__).parent


def peers() -> Proof:
    """Share of quiet windows that are flagged, and of faults flagged in time, of each tool; no figure is judged: it is their defaults."""
    cases = _cases()
    yield f"# the same {STREAMS} streams of each kind, others with their defaults: share of {WINDOWS} quiet windows that are flagged"
    flags = {"noria, budget 2 a year": {name: _ours(*case) for name, case in cases.items()}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cases.npz"
        parts = {f"{name}/{part}": case[i] for name, case in cases.items() for i, part in enumerate(("reference", "windows"))}
        np.savez(path, **parts)
        for name, requirements in PEERS.items():
            python = peer_python(name.removesuffix("-half"), requirements)
            found = None if python is None else _flags(python, name, path)
            if found is None:
                yield f"# {name} can't be installed here, or gave no answer: not compared"
            else:
                flags[name] = found
    for name, found in flags.items():
        quiet = {kind: [f for case, f in found.items() if case.startswith(kind)] for kind in QUIET}
        yield f"# {name}: " + ", ".join(f"{kind} {_share(f)}" for kind, f in quiet.items())
    yield f"# faults flagged in time (median delay in windows), of {STREAMS}; whoever flags every quiet window flags these as well"
    for fault in FAULTS:
        told = []
        for name, found in flags.items():
            mine = [f for case, f in found.items() if case.startswith(f"fault {fault.name}:")]
            delays = [f.index(True) + 1 for f in mine if True in f]
            in_time = sum(delay <= fault.within for delay in delays)
            told.append(f"{name} {in_time}" + (f" ({median(delays):g})" if delays else ""))
        yield f"# {fault.name}, within {fault.within}: " + ", ".join(told)
    yield "# always alarm: quiet 100 %, every fault at once; never alarm: quiet 0 %, no fault"


def _cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = {}
    for kind in QUIET:
        for seed in range(STREAMS):
            stream = Stream(kind, np.random.default_rng([31, seed]))
            found[f"{kind}:{seed}"] = (_reference(stream), np.array([stream.window() for _ in range(WINDOWS)]))
    for fault in FAULTS:
        for seed in range(STREAMS):
            stream, rng = Stream("independent", np.random.default_rng([37, seed])), np.random.default_rng([41, seed])
            reference = _reference(stream)
            windows = [fault.change(stream.window(), i, rng) for i in range(fault.within)]
            found[f"fault {fault.name}:{seed}".replace("/", " ")] = (reference, np.array(windows))
    return found


def _reference(stream: Stream) -> np.ndarray:
    return np.concatenate([stream.window() for _ in range(REFERENCE)])


def _ours(reference: np.ndarray, windows: np.ndarray) -> list[bool | str]:
    threshold = threshold_for(alarms_per_year=2.0, windows_per_year=365)
    run = run_windows(np.split(reference, REFERENCE), list(windows), threshold)
    return [i in run.alarms for i in range(len(windows))]


def _flags(python: Path, name: str, path: Path) -> dict[str, list[bool | str]] | None:
    command = [str(python), str(HERE / "peer.py"), name, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
        found: dict[str, list[bool | str]] = json.loads(done.stdout.strip().splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError, json.JSONDecodeError):
        return None
    return found


def _share(flags: list[list[bool | str]]) -> str:
    known = [f for each in flags for f in each if isinstance(f, bool)]
    return f"{np.mean(known):.0%}" if known else f"failed ({flags[0][0] if flags and flags[0] else 'no answer'})"
