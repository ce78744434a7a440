"""The features of spine rows: joined, transformed and stacked. Training, replays, skew and live checks all compute them here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.features.feature_set import FeatureSet, transformed
from noria.features.point_in_time import PointInTime, as_float32

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float32]


def computed(features: FeatureSet, engine: PointInTime, spine: pa.Table) -> dict[str, Floats]:
    """Every feature of spine rows, as known at their `_at`: name → `(rows,)` float32, NaN where unknown. Raises `BadTransform`."""
    values = engine.join(spine, features.views)
    joined = {name: as_float32(values.column(name)) for name in values.column_names}
    return joined | transformed(features.request, spine)


def stacked(columns: Mapping[str, Floats], names: Sequence[str], rows: int) -> Floats:
    """Features in the order of `names`: `(rows, features)` float32."""
    return np.column_stack([columns[name] for name in names]) if rows else np.empty((0, len(names)), np.float32)
