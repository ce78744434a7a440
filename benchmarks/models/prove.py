"""Kinds of models through the whole path: what each must show; and what Python runs, beside a server that people would write around it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.figure import Proof
from benchmarks.models import converted, frameworks, images, python_runtime, streams, torch_export, types_speed
from benchmarks.models.bikes import bikes_by_the_hour
from benchmarks.models.flights_minutes import flights_in_minutes
from benchmarks.models.matrix.judge import matrix


def prove() -> Proof:
    with tempfile.TemporaryDirectory() as scratch:
        yield from flights_in_minutes(Path(scratch) / "minutes")
        yield from bikes_by_the_hour(Path(scratch) / "bikes")
    yield from matrix()
    yield from python_runtime.prove()
    yield from streams.prove()
    yield from images.prove()
    yield from types_speed.prove()
    yield from converted.prove()
    yield from torch_export.prove()
    yield from frameworks.prove()
