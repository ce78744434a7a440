"""What of an answer is kept: which rows are logged, and which fields of them are not.

Monitoring reads the log, so both are choices with a price: what is not logged is not watched. What the sampling leaves out is
counted; what is redacted is unknown (no value, no key) from the first byte that reaches the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake, nearest
from noria.serving.log.predictions import Predictions, Values

KEY = "key"


class UnknownField(UserMistake):
    """A field to be redacted does not exist."""

    code = "NR-535"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(
            what=f"there is no field {name!r} to redact{nearest(name, known)}",
            where="serving.redact",
            fix="name features of the model, or `key`: " + ", ".join(known),
        )


class LogFilter:
    """Which rows are logged, and what of them.

    share: the part of all rows that is logged, chosen by a hash of time and place, the same for an answer and its shadow's; requests are
        chosen as a whole where their rows belong together
    redact: features whose values are not logged, or `key`
    """

    def __init__(self, *, share: float = 1.0, redact: Sequence[str] = ()) -> None:
        self._below, self._redact = int(share * 2**32), frozenset(redact)

    def require(self, features: Iterable[str]) -> None:
        """Refuse to redact what is no field of any model that is served: a name misspelt would be logged. Raises `UnknownField`."""
        known = [*dict.fromkeys(features), KEY]
        for name in sorted(self._redact.difference(known)):
            raise UnknownField(name, known)

    def __call__(self, rows: Predictions, together: Sequence[int] | None = None) -> Predictions | None:
        """What the log gets of these rows; None if it is nothing. together: how many belong together, one number after the other"""
        if self._below < 2**32:
            keep = self._chosen(rows.received_us) if together is None else self._chosen_together(rows.received_us, together)
            if not keep.any():
                return None
            rows = rows.where(keep)
        if not self._redact:
            return rows
        values = {bundle: Values(each.inputs.without(self._redact), each.outputs) for bundle, each in rows.values.items()}
        return replace(rows, values=values, keys=[None] * len(rows) if KEY in self._redact else rows.keys)

    def _chosen(self, received_us: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray(_hashes(received_us) < self._below)

    def _chosen_together(self, received_us: NDArray[np.int64], sizes: Sequence[int]) -> NDArray[np.bool_]:
        first = np.cumsum(sizes) - sizes
        return np.repeat(self._chosen(received_us[first]), sizes)


def _hashes(received_us: NDArray[np.int64]) -> NDArray[np.uint64]:
    """32 bits for each row of a batch, from when it was received and its place (the finaliser of SplitMix64, Steele et al. 2014)."""
    mixed = received_us.astype(np.uint64) + np.arange(len(received_us), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed >> np.uint64(32)
