"""Rows that a model can be asked where nobody gave any: made up from its inputs' types, the same every time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from noria.core.signature import FLOATS, INTEGERS, Field
from noria.data.rows import Fields, Rows

SIZES = (8, 32, 64, 224, 1)  # of free dimensions, one after the other until the model answers
MANY, FEW = 64, 4  # rows
LARGE = 4_096  # numbers of a row from which on there are few rows
WORDS = ("a", "good morning", "The quick brown fox jumps over the lazy dog.", "b")
FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def guessed_rows(fields: Fields) -> Iterator[Rows]:
    """Rows of these fields, from which the first are taken that a model answers."""
    free = any(None in field.shape for field in fields)
    for size in SIZES if free else SIZES[:1]:
        shapes = [tuple(size if each is None else each for each in field.shape) for field in fields]
        count = FEW if max(int(np.prod(shape)) for shape in shapes) > LARGE else MANY
        for variant in (0, 1):
            columns = [
                _values(field, shape, count, place, variant) for place, (field, shape) in enumerate(zip(fields, shapes, strict=True))
            ]
            yield Rows.of_values(fields, list(zip(*columns, strict=True)))
            if not any(field.type in (*INTEGERS, *FLOATS) for field in fields):
                break


def _values(field: Field, shape: tuple[int, ...], count: int, place: int, variant: int) -> list[Any]:
    random = np.random.default_rng(place)
    total = (count, *shape)
    if field.type in FLOATS:
        numbers = random.normal(size=total).astype(np.float32)
        numbers[0] = 0
        numbers = np.abs(numbers) if variant else numbers  # of which there is a logarithm
        return list(numbers) if shape else [float(each) for each in numbers]
    if field.type in INTEGERS:
        whole = random.integers(variant, 2, size=total)  # small: they may be the places of words, of which few are known
        return list(whole) if shape else [int(each) for each in whole]
    if field.type == "bool":
        truth = random.integers(0, 2, size=total).astype(bool)
        return list(truth) if shape else [bool(each) for each in truth]
    singles: dict[str, list[Any]] = {
        "string": [WORDS[row % len(WORDS)] for row in range(count)],
        "bytes": [b""] * count,
        "timestamp": [FIRST + timedelta(hours=row) for row in range(count)],
    }
    single = singles[field.type]
    if not shape:
        return single
    return [np.full(shape, each, object).tolist() for each in single]
