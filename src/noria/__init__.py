"""Noria keeps machine-learning models working in production.

`import noria as nr` gives the nouns of a project, loaded when they are first used:

    nr.Table, nr.files, nr.sql, nr.stream, …   facts, and when they are known
    nr.FeatureView, nr.mean, nr.count, …       values as of a time
    nr.FeatureSet, nr.request_transform        what a model reads
    nr.Label, nr.Model, nr.trainer             what it learns
    nr.PythonModel                             a model that Python loads and runs
    nr.Binary, nr.Regression, nr.Task, …       what labels and answers mean, and how they are judged
    nr.beats_champion, nr.no_slice_worse       what a candidate must show
    nr.Endpoint, nr.Rollout, nr.SLO            how it is released
    nr.Monitor, nr.Tolerance                   what is watched
    nr.judge_table                             any table, without a project
    nr.Retrain, nr.regression, nr.stale, …     when it is renewed
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noria.core.errors import NoriaError
    from noria.data import Contract, Table, files, sql, stream
    from noria.evaluation import Binary, Metric, Regression, Task, beats_champion, no_slice_worse
    from noria.features import (
        FeatureSet,
        FeatureView,
        Label,
        count,
        distinct,
        first,
        last,
        maximum,
        mean,
        minimum,
        quantile,
        request_transform,
        std,
        total,
    )
    from noria.loop import Retrain, drift, regression, stale
    from noria.models import Model, PythonModel
    from noria.monitoring import BusinessMetric, Monitor, Tolerance
    from noria.monitoring.table import judge_table
    from noria.release import SLO, Endpoint, Immediate, Rollout
    from noria.training import trainer

__version__ = "0.1.0"

_HOMES = {
    "noria.core.errors": ["NoriaError"],
    "noria.data": ["INGESTED", "Contract", "Table", "files", "sql", "stream"],
    "noria.evaluation": ["Binary", "Metric", "Regression", "Task", "beats_champion", "no_slice_worse"],
    "noria.features": [
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
    ],
    "noria.loop": ["Retrain", "drift", "regression", "stale"],
    "noria.models": ["Model", "PythonModel"],
    "noria.monitoring": ["BusinessMetric", "Monitor", "Tolerance"],
    "noria.monitoring.table": ["judge_table"],
    "noria.release": ["SLO", "Endpoint", "Immediate", "Rollout"],
    "noria.training": ["trainer"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "INGESTED",
    "SLO",
    "Binary",
    "BusinessMetric",
    "Contract",
    "Endpoint",
    "FeatureSet",
    "FeatureView",
    "Immediate",
    "Label",
    "Metric",
    "Model",
    "Monitor",
    "NoriaError",
    "PythonModel",
    "Regression",
    "Retrain",
    "Rollout",
    "Table",
    "Task",
    "Tolerance",
    "beats_champion",
    "count",
    "distinct",
    "drift",
    "files",
    "first",
    "judge_table",
    "last",
    "maximum",
    "mean",
    "minimum",
    "no_slice_worse",
    "quantile",
    "regression",
    "request_transform",
    "sql",
    "stale",
    "std",
    "stream",
    "total",
    "trainer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'noria' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
