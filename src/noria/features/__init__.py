"""Features: one definition, correct in event time and known time, for training, replay and serving alike.

In:  Facts (a Snapshot with its rows) and a spine of (keys, time)
Out: for every spine row, in its order, the values that were known at its time; TrainingSets with lineage
"""

from noria.features.coding import AsNumbers
from noria.features.feature_set import FeatureSet, request_transform
from noria.features.label import Label
from noria.features.view import (
    Aggregate,
    FeatureView,
    count,
    distinct,
    first,
    last,
    maximum,
    mean,
    minimum,
    quantile,
    std,
    total,
)

__all__ = [
    "Aggregate",
    "AsNumbers",
    "FeatureSet",
    "FeatureView",
    "Label",
    "count",
    "distinct",
    "first",
    "last",
    "maximum",
    "mean",
    "minimum",
    "quantile",
    "request_transform",
    "std",
    "total",
]
