"""Feature sets: the ordered list of features that one model reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import duration
from noria.core.errors import UserMistake
from noria.core.fingerprint import fingerprint
from noria.core.ids import digest
from noria.data.table import Table
from noria.features.view import FeatureView

if TYPE_CHECKING:
    import pyarrow as pa

Compute = Callable[["pa.Table"], Mapping[str, NDArray[Any]]]


@dataclass(frozen=True)
class RequestTransform:
    """A vectorised function of what a request itself carries; the same function runs in training and serving."""

    features: tuple[str, ...]
    compute: Compute

    @property
    def name(self) -> str:
        return getattr(self.compute, "__name__", "transform")

    def __call__(self, rows: pa.Table) -> dict[str, NDArray[np.float32]]:
        """The features of `rows`: name → (rows,) float32. Raises `BadTransform` when the function breaks its word."""
        values = self.compute(rows)
        if set(values) != set(self.features):
            raise BadTransform(self.name, f"it declares {sorted(self.features)} and returned {sorted(values)}")
        for name, column in values.items():
            if np.shape(column) != (rows.num_rows,):
                raise BadTransform(self.name, f"{name} has shape {np.shape(column)} for {rows.num_rows} rows")
        return {name: np.asarray(values[name], dtype=np.float32) for name in self.features}


class BadTransform(UserMistake):
    """A request transform returned something else than it declares."""

    code = "NR-212"

    def __init__(self, transform: str, reason: str) -> None:
        self.transform = transform
        super().__init__(what=f"request transform {transform!r} broke its word", where=reason, mend="make it return just what it declares")


def request_transform(*features: str) -> Callable[[Compute], RequestTransform]:
    """Declare a function of the spine's columns (an Arrow table) as the source of these features."""

    def declare(compute: Compute) -> RequestTransform:
        return RequestTransform(features, compute)

    return declare


@dataclass(frozen=True)
class FeatureSet:
    """What one model reads, and when.

    spine: the table whose facts are to be predicted, one prediction each
    lead: how long before the spine's event time the prediction is made; every feature is as known at that moment
    """

    name: str
    spine: Table
    views: Sequence[FeatureView] = ()
    request: Sequence[RequestTransform] = field(default_factory=tuple)
    lead: str = "0s"

    def __post_init__(self) -> None:
        if self.spine.stamped:
            raise UserMistake(
                what=f"the facts of {self.spine.name!r} are known when they are ingested, which is after they were to be predicted",
                where=f"the spine of feature set {self.name!r}",
                mend="name the column that says when a request was known, or leave known_at out: then it is known when it happens",
            )
        seen: set[str] = set()
        for feature in self.features:
            if feature in seen:
                raise UserMistake(
                    what=f"feature {feature!r} is declared twice", where=f"feature set {self.name!r}", mend="rename one of them"
                )
            seen.add(feature)

    @property
    def features(self) -> tuple[str, ...]:
        """Every feature, in the order in which the model gets it."""
        return (*(f for v in self.views for f in v.features), *(f for r in self.request for f in r.features))

    @property
    def lead_time(self) -> timedelta:
        return duration(self.lead)

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table the features come from, the spine first."""
        return tuple({t.name: t for t in (self.spine, *(v.table for v in self.views))}.values())

    def definition(self) -> dict[str, Any]:
        """The whole definition as plain data, with the fingerprints of the code in it."""
        return {
            "name": self.name,
            "spine": self.spine.name,
            "lead": self.lead,
            "views": [v.definition() for v in self.views],
            "request": {r.name: {"features": list(r.features), "code": fingerprint(r.compute)} for r in self.request},
        }

    def definition_hash(self) -> str:
        return digest(self.definition())
