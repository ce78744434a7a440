"""Models of CatBoost, Keras and JAX, in an environment of their own: python -m benchmarks.models.frameworks

They are large, so that no test needs them. Where they can't be had here, this says so and counts nothing.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from benchmarks.figure import Figure, Proof
from benchmarks.peers import peer_python

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("framework_models.py")
REQUIREMENTS = ("--constraint", str(ROOT / "constraints.txt"), "catboost", "keras", "jax", "--editable", f"{ROOT}[demo,sklearn,pandas]")
TOLERANCE = 1e-5
TRUSTED = ("Keras, a number", "Keras, a probability", "Keras, classes", "a JAX function")  # pickles, and formats that can name code


def prove() -> Proof:
    python = peer_python("frameworks", REQUIREMENTS)
    if python is None:
        yield "# CatBoost, Keras and JAX can't be installed here: how they are served is not shown"
        return
    done = subprocess.run([str(python), str(SCRIPT)], capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for each in found:
        how = each.get("refused") or f"{each['runtime']}{', trusted' if each['trust'] else ''}, differs by {each['apart']:.2g}"
        yield f"# {each['name']}: {how}"
    good = [each for each in found if each.get("apart", 1) <= TOLERANCE and each["trust"] == (each["name"] in TRUSTED)]
    yield Figure("frameworks_served_alike", len(good), f"of {len(found)}", ">=", max(len(found), 15))
    if done.returncode:
        yield f"# it ended with {done.stderr.splitlines()[-1:]}"


if __name__ == "__main__":
    for line in prove():
        print(line, flush=True)
