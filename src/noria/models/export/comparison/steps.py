"""Steps: neighbouring numbers between which a model's answer jumps.

Trees answer with steps, and what an export gets wrong silently lies at them: a threshold that was rounded sends the values beside it
elsewhere. Whatever the model is and whatever stands before its trees, a step is found by halving: between two values of a column to which
it answers differently, down to two that no float lies between.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from noria.core.signature import FLOATS
from noria.data.rows import Rows
from noria.models.export.comparison.edges import Change, backgrounds_of, changed

MAX_STEPS = 400
POINTS = 9  # values of a column between which steps are looked for
BELOW, ABOVE = "the value below a step of the answers", "the value above a step of the answers"

Answers = Callable[[Rows], NDArray[np.float64]]  # `(rows, scores)`, NaN where there is none


def step_changes(answers: Answers, given: Rows) -> list[Change]:
    """Rows on either side of steps, in each column of floats."""
    pairs = _pairs(answers, given)
    if not pairs:
        return []
    kinds = {place: np.dtype(given.fields[place].type) for place, *_ in pairs}
    low = [_ordinal(kinds[place], low) for place, _, low, _ in pairs]
    high = [_ordinal(kinds[place], high) for place, _, _, high in pairs]

    def made(ordinals: list[int], why: str) -> list[Change]:
        return [
            Change(why, background, {place: _float(kinds[place], ordinal)})
            for (place, background, *_), ordinal in zip(pairs, ordinals, strict=True)
        ]

    below = answers(changed(given, made(low, BELOW)))
    for _ in range(64):  # a float64 has so many bits
        middle = [(a + b) // 2 for a, b in zip(low, high, strict=True)]
        if middle == low:
            break
        same = np.all(answers(changed(given, made(middle, BELOW))) == below, axis=1)
        low = [m if s else a for m, s, a in zip(middle, same, low, strict=True)]
        high = [b if s else m for m, s, b in zip(middle, same, high, strict=True)]
    return made(low, BELOW) + made(high, ABOVE)


def _pairs(answers: Answers, given: Rows) -> list[tuple[int, int, float, float]]:
    """Columns, rows to change, and two neighbouring points of the column to which answers differ: `MAX_STEPS` at most."""
    tried: list[tuple[int, int, float]] = []
    floats = [place for place, field in enumerate(given.fields) if field.type in FLOATS and not field.shape]
    backgrounds = backgrounds_of(given)[: max(1, MAX_STEPS // (POINTS * max(1, len(floats))))]
    for place in floats[:: -(-len(floats) * POINTS // MAX_STEPS) or 1]:
        points = _points(given.numbers(given.names[place]))
        tried += [(place, background, point) for background in backgrounds for point in points]
    if not tried:
        return []
    found = answers(changed(given, [Change(BELOW, background, {place: point}) for place, background, point in tried]))
    return [
        (place, background, low, high)
        for (place, background, low), (other, beside, high), mine, theirs in zip(tried, tried[1:], found, found[1:], strict=False)
        if (place, background) == (other, beside) and np.isfinite(mine).all() and np.isfinite(theirs).all() and (mine != theirs).any()
    ]


def _points(values: NDArray[np.float64]) -> list[float]:
    """A few of a column's values, ascending."""
    known = np.unique(values[np.isfinite(values)])
    if not len(known):
        return []
    return [float(known[place]) for place in np.unique(np.linspace(0, len(known) - 1, POINTS).astype(int))]


def _ordinal(kind: np.dtype[np.floating], value: float) -> int:
    """The number of a float among those of its type, 0 for 0.0."""
    bits = int(np.asarray(value, kind).view(f"i{kind.itemsize}"))
    return bits if bits >= 0 else -(bits + (1 << (8 * kind.itemsize - 1)))


def _float(kind: np.dtype[np.floating], ordinal: int) -> float:
    bits = np.asarray(abs(ordinal), f"i{kind.itemsize}").view(kind)
    return float(-bits if ordinal < 0 else bits)
