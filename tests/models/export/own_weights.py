"""What a loader imports from beside it."""

from __future__ import annotations

from typing import Any


def weighted(columns: Any, weights: dict[str, float]) -> Any:
    return sum(columns[name] * weight for name, weight in weights.items())
