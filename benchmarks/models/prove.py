"""Models: what our Python runtime gives beside a server that people would write around the same model."""

from __future__ import annotations

from benchmarks.models.python_runtime import prove

__all__ = ["prove"]
