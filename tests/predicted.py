"""Tables of predictions whose outcomes are drawn from what the model says, so that nothing is wrong until something is changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS, DAYS, CHANGED = 80, 56, 42  # rows a day; days; the first changed one
CLASSES = ("cat", "dog", "eel")


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def columns(kind: str = "binary", days: int = DAYS, seed: int = 0) -> dict[str, Any]:
    """Columns by name, as numpy arrays: at, id, x, place, p (or p_cat, …), y."""
    rng = np.random.default_rng(seed)
    count = days * ROWS
    at = np.datetime64(START.replace(tzinfo=None), "us") + (np.arange(count) * (86_400_000_000 // ROWS)).astype("timedelta64[us]")
    x = rng.normal(size=count)
    found: dict[str, Any] = {"at": at, "id": np.array([f"p{i}" for i in range(count)]), "x": x, "place": rng.choice(["N", "S"], count)}
    if kind == "regression":
        return {**found, "p": 10 + 3 * x, "y": 10 + 3 * x + rng.normal(size=count)}
    if kind == "multiclass":
        chances = rng.dirichlet([1, 1, 1], count)
        place = (chances.cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)
        return {**found, **{f"p_{name}": chances[:, i] for i, name in enumerate(CLASSES)}, "y": np.array(CLASSES)[place]}
    p = 1 / (1 + np.exp(-2 * x))
    return {**found, "p": p, "y": (rng.random(count) < p).astype(float)}


def table(found: dict[str, Any]) -> pa.Table:
    """Columns as a table with times in UTC; NaN in the outcome is null."""
    made = {name: pa.array(values, from_pandas=True) for name, values in found.items()}
    return pa.table({**made, "at": made["at"].cast(pa.timestamp("us", tz="UTC"))})


def since(found: dict[str, Any], first: int = CHANGED) -> slice:
    """The rows from a day on."""
    return slice(first * ROWS, len(found["at"]))
