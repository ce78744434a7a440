"""Kinds of models through the whole path: what each must show; and what Python runs, beside a server that people would write around it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.figure import Proof
from benchmarks.models import python_runtime
from benchmarks.models.flights_minutes import flights_in_minutes


def prove() -> Proof:
    with tempfile.TemporaryDirectory() as scratch:
        yield from flights_in_minutes(Path(scratch) / "minutes")
    yield from python_runtime.prove()
