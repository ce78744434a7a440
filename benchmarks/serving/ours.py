"""Noria's server on bundles without a project around it. python -m benchmarks.serving.ours BUNDLE FOLDER DURABILITY WORKERS"""

from __future__ import annotations

import sys

from noria.core.clock import SystemClock
from noria.core.settings import ServingSettings
from noria.serving.supervisor import Supervisor, run_supervisor
from noria.serving.worker import Serve

if __name__ == "__main__":
    bundle, folder, durability, workers = sys.argv[1:]
    settings = ServingSettings(port=0, durability=durability, workers=int(workers))  # type: ignore[arg-type]
    targets = [Serve("bench", bundle, None, f"{folder}/log")]
    run_supervisor(Supervisor(lambda: targets, settings, SystemClock()), lambda where: print(where.port, flush=True))
