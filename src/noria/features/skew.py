"""Skew: do the features that were served equal those that the definitions give for the same moment?

Equal means equal as float32; of values in types of their own, the same text, time, list, truth value or whole number, and doubles that
differ in the tenth digit at most, since an engine may sum them otherwise. Unknown equals unknown. What differs was served from a store that
had fallen behind, by
code that was not the definition, or by a caller that computed features of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from noria.core.clock import from_epoch
from noria.core.signature import SignatureMismatch, unlike
from noria.core.sql import connect
from noria.data.rows import Rows
from noria.features.compile import AT, KEY
from noria.features.computed import computed, fields_on
from noria.features.feature_set import FeatureSet
from noria.features.fields import as_rows
from noria.features.keys import key_texts
from noria.features.point_in_time import PointInTime

if TYPE_CHECKING:
    import pyarrow as pa

SAME_DOUBLE = 1e-9  # relative


@dataclass(frozen=True)
class Served:
    """Features as they were served, by name, asked for at `at` (microseconds UTC), for a fact's key.

    redacted: features whose values the log does not have: they are not compared
    """

    keys: Sequence[str | None]
    at: NDArray[np.int64]
    values: Rows
    redacted: Sequence[str] = ()


@dataclass(frozen=True)
class FeatureSkew:
    """How one feature differs: `differing` of `rows`, and the first example."""

    feature: str
    view: str | None
    rows: int
    differing: int
    example: dict[str, Any] | None

    @property
    def share(self) -> float:
        return self.differing / self.rows if self.rows else 0.0

    def to_dict(self) -> dict[str, Any]:
        return {
            "feature": self.feature,
            "view": self.view,
            "rows": self.rows,
            "differing": self.differing,
            "share": self.share,
            "example": self.example,
        }


@dataclass(frozen=True)
class Skew:
    """The skew of every feature of a set; `unknown_keys` of the served rows name no fact of the spine."""

    rows: int
    unknown_keys: int
    features: tuple[FeatureSkew, ...]

    @staticmethod
    def of(told: Mapping[str, Any]) -> Skew:
        """What `to_dict` gave."""
        features = [FeatureSkew(f["feature"], f["view"], f["rows"], f["differing"], f["example"]) for f in told["features"]]
        return Skew(told["rows"], told["unknown_keys"], tuple(features))

    @property
    def worst(self) -> FeatureSkew | None:
        differing = [f for f in self.features if f.differing]
        return max(differing, key=lambda f: f.share) if differing else None

    def by_view(self) -> dict[str, float]:
        """The largest share of differing values of each view (request transforms under `request`)."""
        shares: dict[str, float] = {}
        for f in self.features:
            view = f.view or "request"
            shares[view] = max(shares.get(view, 0.0), f.share)
        return shares

    def to_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "unknown_keys": self.unknown_keys,
            "views": self.by_view(),
            "features": [f.to_dict() for f in self.features],
        }


def measure_skew(features: FeatureSet, engine: PointInTime, served: Served) -> Skew:
    """Recompute the features of served rows from the tables, as known at their times, and compare."""
    spine, place = spine_of(features, engine, served.keys, served.at)
    got, expected = served.values.take(place), recomputed(features, engine, spine)
    expected, retyped = _in_types_of(got, expected)
    differs = got.unequal(expected, SAME_DOUBLE)
    home = {name: view.name for view in features.views for name in view.features}
    found = []
    for i, name in enumerate(got.names):
        if name in served.redacted:
            found.append(FeatureSkew(name, home.get(name), 0, 0, None))
            continue
        wrong = differs[:, i] | (name in retyped)
        first = int(np.argmax(wrong)) if wrong.any() else None
        example = None if first is None else _example(served, int(place[first]), got.part(first, first + 1), expected, first, name)
        found.append(FeatureSkew(name, home.get(name), len(place), int(wrong.sum()), example))
    return Skew(len(place), len(served.keys) - len(place), tuple(found))


def _in_types_of(got: Rows, expected: Rows) -> tuple[Rows, set[str]]:
    """Recomputed features in the columns of those that were served, and which of these have another type by now: they are unknown.
    Raises `SignatureMismatch` for a name that is not among them."""
    had = {field.name: field for field in expected.fields}
    missing = [field.name for field in got.fields if field.name not in had]
    if missing:
        raise SignatureMismatch(reader="what was served", missing=missing, available=expected.names)
    retyped = set(unlike(got.fields, expected.fields))
    if not retyped:
        return expected.select(got.fields), retyped
    nothing = Rows.unknown(got.fields, len(expected))
    columns = [(nothing if field.name in retyped else expected).column(field.name) for field in got.fields]
    return Rows.of(got.fields, columns), retyped


def skew_of_all(parts: Sequence[Skew]) -> Skew:
    """The skew of what several bundles were served, features of the same name and view together."""
    found: dict[tuple[str, str | None], FeatureSkew] = {}
    for each in (each for part in parts for each in part.features):
        before = found.get((each.feature, each.view))
        found[each.feature, each.view] = each if before is None else _both(before, each)
    return Skew(sum(p.rows for p in parts), sum(p.unknown_keys for p in parts), tuple(found.values()))


def _both(one: FeatureSkew, other: FeatureSkew) -> FeatureSkew:
    rows, differing = one.rows + other.rows, one.differing + other.differing
    return FeatureSkew(one.feature, one.view, rows, differing, one.example or other.example)


def recomputed(features: FeatureSet, engine: PointInTime, spine: pa.Table) -> Rows:
    """The features of spine rows at their `_at`, as training computes them."""
    return as_rows(fields_on(features, engine), computed(features, engine, spine), spine.num_rows)


def spine_of(
    features: FeatureSet, engine: PointInTime, keys: Sequence[str | None], at: NDArray[np.int64]
) -> tuple[pa.Table, NDArray[np.int64]]:
    """The spine's fact of each key as known at its time (microseconds UTC), with `_at`, and its place among the keys."""
    import pyarrow as pa

    versions = engine.versions(features.spine.name)
    known = {KEY: key_texts(versions.rows, features.spine.keys, features.spine.name), "known": versions.known}
    asked = pa.table({KEY: pa.array(list(keys), pa.string()), "at": at, "place": np.arange(len(keys))})
    with connect() as con:
        con.register("asked", asked)
        con.register("versions", pa.table({**known, "superseded": versions.superseded, "rank": np.arange(len(versions))}))
        found = con.sql(
            f"SELECT a.place, v.rank FROM asked a JOIN versions v ON v.{KEY} = a.{KEY} AND v.known <= a.at AND v.superseded > a.at "
            "ORDER BY a.place"
        ).fetchnumpy()
    place = np.asarray(found["place"])
    moments = pa.array(at[place], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return versions.rows.take(pa.array(found["rank"])).append_column(AT, moments), place


def _example(served: Served, place: int, got: Rows, expected: Rows, row: int, name: str) -> dict[str, Any]:
    moment: datetime = from_epoch(int(served.at[place]))
    one, other = _shown(got, 0, name), _shown(expected, row, name)
    return {"key": served.keys[place], "at": moment.isoformat(), "served": one, "offline": other}


def _shown(rows: Rows, row: int, name: str) -> Any:
    """A value as JSON has it: times and bytes as texts."""
    return msgspec.to_builtins(rows.column(name)[row].as_py())
