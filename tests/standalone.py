"""Noria's server on bundles without a project: `python standalone.py TARGETS [setting=value …]`.

TARGETS is a JSON file, read again whenever the supervisor looks: a list of `Serve` orders; keys lie beside it. Prints where
it listens as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec

from noria.core.clock import SystemClock
from noria.core.files import LocalFiles
from noria.core.settings import ServingSettings
from noria.serving.access.keys import KeyFile
from noria.serving.process.supervisor import Supervisor, run_supervisor
from noria.serving.process.worker import Serve

if __name__ == "__main__":
    targets = Path(sys.argv[1])
    given = dict(text.split("=", 1) for text in sys.argv[2:])
    worker = given.pop("worker", "noria.serving.process.worker").split(" ")
    lists = {name: text.split(",") for name, text in given.items() if name == "redact"}
    settings = msgspec.convert({"port": 0, **given, **lists}, ServingSettings, strict=False)
    supervisor = Supervisor(
        lambda: msgspec.json.decode(targets.read_bytes(), type=list[Serve]),
        settings,
        SystemClock(),
        keys=KeyFile(targets.parent, LocalFiles()).read,
        worker=worker,
        folder=targets.parent,
    )
    balances = run_supervisor(supervisor, lambda where: print(json.dumps({**where.to_dict(), **supervisor.serving()}), flush=True))
    print(json.dumps([balance.to_dict() for balance in balances]))
