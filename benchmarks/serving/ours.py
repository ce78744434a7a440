"""Noria's server on a bundle without a project around it: python -m benchmarks.serving.ours BUNDLE FOLDER [setting=value …]

Prints where it listens as JSON.
"""

from __future__ import annotations

import json
import sys

import msgspec

from noria.core.clock import SystemClock
from noria.core.settings import ServingSettings
from noria.serving.process.supervisor import Supervisor, run_supervisor
from noria.serving.process.worker import Serve

if __name__ == "__main__":
    bundle, folder, *given = sys.argv[1:]
    named = dict(text.split("=", 1) for text in given)
    worker = named.pop("worker", "noria.serving.process.worker").split(" ")
    trusted = named.pop("trust", "no") == "yes"
    settings = msgspec.convert({"port": 0, **named}, ServingSettings, strict=False)
    targets = [Serve("bench", bundle, None, f"{folder}/log", trust=trusted)]
    supervisor = Supervisor(lambda: targets, settings, SystemClock(), worker=worker)
    run_supervisor(supervisor, lambda where: print(json.dumps(where.to_dict()), flush=True))
