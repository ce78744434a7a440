"""Collects the proofs of every module in this folder that has one."""

from __future__ import annotations

from benchmarks.collected import collected
from benchmarks.figure import Proof


def prove() -> Proof:
    yield from collected("llm")
