"""PyTorch modules as ONNX, in an environment of their own: python -m benchmarks.models.torch_export

PyTorch is 1 GB, so that no test needs it. Where it can't be had here, this says so and counts nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.figure import Figure, Proof
from benchmarks.peers import peer_python

ROOT = Path(__file__).parents[2]
SAME = ("numpy", "onnx", "onnxruntime", "msgspec", "pyarrow", "cloudpickle", "lightgbm", "onnxmltools", "scikit-learn")
REQUIREMENTS = ("torch==2.13.0", *(f"{name}=={version(name)}" for name in SAME))
SCRIPT = Path(__file__).with_name("torch_modules.py")
TOLERANCE = 1e-5


def prove() -> Proof:
    python = peer_python("torch", REQUIREMENTS)
    if python is None:
        yield "# torch can't be installed here: its export is not shown"
        return
    yield from figures_of(python)


def figures_of(python: Path) -> Proof:
    """What an environment with PyTorch shows."""
    done = subprocess.run(
        [str(python), str(SCRIPT)],
        env={"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        yield f"# {done.stderr.strip().splitlines()[-1]}"
        yield Figure("torch_modules_exported", 0, "of them", ">=", 1)
        return
    found = json.loads(done.stdout.splitlines()[-1])
    for name, told in found["exported"].items():
        yield f"# {name}: {told['runtime']} in {told['seconds']:.1f} s, {told['microseconds']:.0f} µs a call of one row"
    yield Figure("torch_modules_as_onnx", sum(told["runtime"] == "onnx" for told in found["exported"].values()), "modules", "=", 5)
    yield Figure("torch_furthest_answer", max(told["apart"] for told in found["exported"].values()), "", "<=", TOLERANCE)
    for name, words in found["refused"].items():
        yield f"# {name}: {words}"
    yield Figure("torch_modules_refused_in_words", sum(map(bool, found["refused"].values())), "modules", "=", 4)


if __name__ == "__main__":
    for line in figures_of(Path(sys.argv[1])) if len(sys.argv) > 1 else prove():
        print(line)
