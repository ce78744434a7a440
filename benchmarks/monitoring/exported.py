"""What `noria monitor export` writes, read by the tools that it is for, each in an environment of its own: does every row arrive there?"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.figure import Figure, Proof
from benchmarks.monitoring.peers import PEERS
from benchmarks.peers import peer_python

READERS = {
    "evidently": (
        PEERS["evidently"] + ("pyarrow",),
        "from evidently import Report\n"
        "from evidently.presets import DataDriftPreset\n"
        "made = Report([DataDriftPreset()]).run(window[spec['features']], reference[spec['features']])\n"
        "told = json.loads(made.json())\n"
        "print(len(window), int(len(told['metrics']) > len(spec['features'])))\n",
    ),
    "whylogs": (
        ("whylogs>=1.6", "pandas<2.3", "pyarrow<21", "numpy<2", "setuptools<81"),
        "import whylogs as why\n"
        "view = why.log(window[spec['features'] + ['prediction']]).view()\n"
        "view.write('profile.bin')\n"
        "from whylogs.core import DatasetProfileView\n"
        "counts = DatasetProfileView.read('profile.bin').to_pandas()['counts/n']\n"
        "print(int(counts.max()), int(len(counts) == len(spec['features']) + 1))\n",
    ),
}
BEFORE = """import json, pathlib, warnings
warnings.filterwarnings("ignore")
import pandas as pd
spec = json.load(open("columns.json"))
reference = pd.read_parquet("reference.parquet")
window = pd.concat([pd.read_parquet(path) for path in sorted(pathlib.Path("windows").iterdir())])
"""


def exported() -> Proof:
    """A small project's windows in every tool."""
    sys.path.append(str(Path(__file__).parents[2] / "tests"))
    from projects import SETTINGS, edited, write_project

    with tempfile.TemporaryDirectory() as folder:
        shop, out = write_project(Path(folder) / "shop", settings=edited(SETTINGS, {"2024-03-28": "2024-02-25"})), Path(folder) / "out"
        for command in (["ingest"], ["replay"], ["monitor", "export", str(out)]):
            told = subprocess.run([sys.executable, "-m", "noria", *command, "--json"], cwd=shop, check=True, capture_output=True, text=True)
        rows = sum(json.loads(told.stdout)["windows"].values())
        for name, (requirements, code) in READERS.items():
            python = peer_python(f"{name}-export", requirements)
            if python is None:
                yield f"# {name} can't be installed here: not tried"
                continue
            done = subprocess.run([str(python), "-c", BEFORE + code], cwd=out, capture_output=True, text=True, check=False, timeout=600)
            words = done.stdout.split()[-2:] if done.returncode == 0 else []
            if not words:
                yield f"# {name}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no answer'}"
            arrived = int(words[0]) / rows if words and words[1] == "1" else 0.0
            yield Figure(f"exported rows that arrive in {name}", arrived, f"of {rows}, in all columns", ">=", 1)
