"""Predictions: what the log keeps of each answer, and what everyone who reads the log gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noria.core.signature import SCORE, Field, Signature
from noria.data.rows import Fields, Rows, stacked

FALLBACK = "fallback"  # the variant of rows in which something stood in for the champion
CUT = "cut"  # the variant of rows whose client was sent the beginning of an answer, which is what was logged, and no more of it
PLACE = "#"  # before the number of a column of which only the place is known


class Values(NamedTuple):
    """What a bundle was asked, as served, and what it answered."""

    inputs: Rows
    outputs: Rows

    def take(self, places: NDArray[np.intp]) -> Values:
        return Values(self.inputs.take(places), self.outputs.take(places))


@dataclass(frozen=True)
class Predictions:
    """Predictions with all that explains them; every array is `(rows,)`.

    variant: `champion`, `challenger` (a shadow's answers are not sent), `candidate` (of an A/B test), `fallback` or `cut`
    received_us: microseconds since 1970-01-01 UTC
    values: of each bundle, in the order of its rows; bundles differ in the columns they read
    """

    ids: list[str]
    keys: list[str | None]
    variant: list[str]
    bundle: list[str]
    received_us: NDArray[np.int64]
    latency_us: NDArray[np.int32]
    values: Mapping[str, Values]

    @staticmethod
    def of_block(
        ids: list[str],
        keys: list[str | None],
        variant: list[str],
        bundle: list[str],
        received_us: NDArray[np.int64],
        latency_us: NDArray[np.int32],
        features: NDArray[np.float32],
        prediction: NDArray[np.float64],
        names: Sequence[str] = (),
    ) -> Predictions:
        """Of bundles that all read the same numbers, `(rows, features)`, and answer with one, `(rows,)`. names: of the features; none:
        by their places"""
        fields = tuple(Field(name) for name in names) or by_place(features.shape[1])
        whole = Values(Rows.dense(fields, features), Rows.dense((SCORE,), np.asarray(prediction, np.float64)[:, None]))
        of = np.array(bundle)
        values = {each: whole.take(np.flatnonzero(of == each)) for each in dict.fromkeys(bundle)}
        return Predictions(ids, keys, variant, bundle, received_us, latency_us, values)

    def __len__(self) -> int:
        return len(self.ids)

    def scores(self, outputs: Fields) -> NDArray[np.float64]:
        """The numbers that each row was answered with, whichever bundle did: `(rows,)`, or `(rows, numbers)` of several; see `Rows.scores`.

        outputs: as the endpoint's task has them; a bundle may have been sealed for others
        """
        if len(self.values) == 1:
            return next(iter(self.values.values())).outputs.scores(outputs)
        found = Rows.unknown(outputs, len(self)).scores(outputs)
        for bundle, values in self.values.items():
            found[self._are_of(bundle)] = values.outputs.scores(outputs)
        return found

    @cached_property
    def prediction(self) -> NDArray[np.float64]:
        """The one number that each row was answered with `(rows,)`."""
        return self.scores((SCORE,))

    @property
    def numbers(self) -> NDArray[np.floating[Any]]:
        """What the rows' one bundle was asked, `(rows, inputs)`; NaN where unknown."""
        (values,) = self.values.values()
        return values.inputs.block

    def inputs(self, signature: Signature) -> Rows:
        """What the rows' one bundle, of this signature, was asked. Raises `SignatureMismatch`."""
        if not self.values:
            return Rows.unknown(signature.inputs, 0)
        (values,) = self.values.values()
        return named(values.inputs, signature.inputs)

    def outputs(self, signature: Signature) -> Rows:
        """What the rows' one bundle, of this signature, answered."""
        if not self.values:
            return Rows.unknown(signature.outputs, 0)
        (values,) = self.values.values()
        return values.outputs.select(signature.outputs)

    def of(self, bundle: str) -> Predictions:
        """Those of one bundle."""
        return self.where(self._are_of(bundle))

    def by(self, *variants: str) -> Predictions:
        """The rows that these variants answered."""
        return self.where(np.array([v in variants for v in self.variant], dtype=bool))

    def where(self, keep: NDArray[np.bool_]) -> Predictions:
        """The rows at which `keep` is true."""
        if keep.all():
            return self
        place = np.flatnonzero(keep)
        values = {}
        for bundle, each in self.values.items():
            own = place if len(self.values) == 1 else np.flatnonzero(keep[self._are_of(bundle)])
            if len(own):
                values[bundle] = each.take(own)
        return self._taken(place, values)

    def _are_of(self, bundle: str) -> NDArray[np.bool_]:
        return np.array([b == bundle for b in self.bundle], dtype=bool)

    def _taken(self, place: NDArray[np.intp], values: Mapping[str, Values]) -> Predictions:
        return Predictions(
            [self.ids[i] for i in place],
            [self.keys[i] for i in place],
            [self.variant[i] for i in place],
            [self.bundle[i] for i in place],
            self.received_us[place],
            self.latency_us[place],
            values,
        )


def by_place(width: int) -> Fields:
    """The columns of a log that kept none of their names: float32, each named by its place."""
    return tuple(Field(f"{PLACE}{place}") for place in range(width))


def named(rows: Rows, fields: Fields) -> Rows:
    """Rows with these columns: by name, or, where only places are known, the first so many. Raises `SignatureMismatch`."""
    if rows.fields == fields or not _only_places(rows.fields):
        return rows.select(fields)
    return Rows.dense(fields, rows.block[:, : len(fields)])


def _only_places(fields: Fields) -> bool:
    return all(field.name == f"{PLACE}{place}" for place, field in enumerate(fields))


def together(parts: Sequence[Predictions]) -> Predictions:
    """Predictions of several writers or bundles as one, in order of time and id."""
    ids = [i for p in parts for i in p.ids]
    whole = Predictions(
        ids,
        [k for p in parts for k in p.keys],
        [v for p in parts for v in p.variant],
        [b for p in parts for b in p.bundle],
        np.concatenate([p.received_us for p in parts]),
        np.concatenate([p.latency_us for p in parts]),
        _below(parts),
    )
    order = np.lexsort((np.array(ids), whole.received_us))
    if (order[:-1] < order[1:]).all():
        return whole
    return whole._taken(order, {bundle: whole.values[bundle].take(_own(whole, bundle, order)) for bundle in whole.values})


def _own(rows: Predictions, bundle: str, order: NDArray[np.intp]) -> NDArray[np.intp]:
    """The order of one bundle's rows among themselves, where `order` is that of all."""
    own = rows._are_of(bundle)
    number = np.cumsum(own) - 1
    return number[order[own[order]]]


def _below(parts: Sequence[Predictions]) -> dict[str, Values]:
    found: dict[str, list[Values]] = {}
    for part in parts:
        for bundle, values in part.values.items():
            found.setdefault(bundle, []).append(values)
    return {bundle: Values(_inputs([v.inputs for v in each]), stacked([v.outputs for v in each])) for bundle, each in found.items()}


def _inputs(parts: Sequence[Rows]) -> Rows:
    """One bundle's inputs, one below the other: some may come from a log that kept no names, and pads what it has."""
    fields = min((part.fields for part in parts), key=lambda fields: (_only_places(fields), len(fields)))
    return stacked([named(part, fields) for part in parts])
