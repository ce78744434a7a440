"""Noria keeps machine-learning models working in production.

`import noria as nr` gives the nouns of a project, loaded when they are first used:

    nr.Table, nr.files, nr.sql, nr.frame, …    facts, and when they are known
    nr.FeatureView, nr.mean, nr.count, …       values as of a time
    nr.FeatureSet, nr.request_transform        what a model reads
    nr.Label, nr.Model, nr.trainer, nr.sklearn what it learns
    nr.PythonModel                             a model that Python loads and runs
    nr.Binary, nr.Ranking, nr.Forecast, …      what labels and answers mean, and how they are judged
    nr.beats_champion, nr.no_slice_worse       what a candidate must show
    nr.Endpoint, nr.Rollout, nr.ABTest, nr.SLO how it is released
    nr.Monitor, nr.Tolerance                   what is watched
    nr.AnswerShare, nr.SpendingLimit           the same, of answers in words
    nr.judge_predictions                       predictions of a model that runs elsewhere
    nr.judge_table                             any table, without a project
    nr.open, nr.features_for                   a project, and features, from Python and notebooks
    nr.Retrain, nr.regression, nr.stale, …     when it is renewed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.core.lazy import lazily

if TYPE_CHECKING:
    from noria.core.errors import NoriaError
    from noria.data import Contract, Table, feedback, files, frame, sql, stream
    from noria.evaluation import (
        Binary,
        Forecast,
        Generation,
        Metric,
        Multiclass,
        Multilabel,
        MultiOutput,
        Ranking,
        Regression,
        Task,
        beats_champion,
        no_slice_worse,
    )
    from noria.evidence.predictions import judge_predictions
    from noria.features import (
        AsNumbers,
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
    from noria.loop import Retrain, changed, drift, regression, stale
    from noria.models import Model, PythonModel
    from noria.monitoring import AnswerShare, BusinessMetric, Monitor, SpendingLimit, Tolerance
    from noria.monitoring.table import judge_table
    from noria.release import SLO, ABTest, Endpoint, Immediate, Rollout
    from noria.training import model_file, sklearn, trainer
    from noria.workbench import features_for, open

__version__ = "0.1.0"

_HOMES = {
    "noria.core.errors": ["NoriaError"],
    "noria.data": ["INGESTED", "Contract", "Table", "feedback", "files", "frame", "sql", "stream"],
    "noria.evaluation": [
        "Binary",
        "Forecast",
        "Generation",
        "Metric",
        "Multiclass",
        "Multilabel",
        "MultiOutput",
        "Ranking",
        "Regression",
        "Task",
        "beats_champion",
        "no_slice_worse",
    ],
    "noria.evidence.predictions": ["judge_predictions"],
    "noria.features": [
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
    ],
    "noria.loop": ["Retrain", "changed", "drift", "regression", "stale"],
    "noria.models": ["Model", "PythonModel"],
    "noria.monitoring": ["AnswerShare", "BusinessMetric", "Monitor", "SpendingLimit", "Tolerance"],
    "noria.monitoring.table": ["judge_table"],
    "noria.release": ["SLO", "ABTest", "Endpoint", "Immediate", "Rollout"],
    "noria.training": ["model_file", "sklearn", "trainer"],
    "noria.workbench": ["features_for", "open"],
}

__all__ = [
    "INGESTED",
    "SLO",
    "ABTest",
    "AnswerShare",
    "AsNumbers",
    "Binary",
    "BusinessMetric",
    "Contract",
    "Endpoint",
    "FeatureSet",
    "FeatureView",
    "Forecast",
    "Generation",
    "Immediate",
    "Label",
    "Metric",
    "Model",
    "Monitor",
    "MultiOutput",
    "Multiclass",
    "Multilabel",
    "NoriaError",
    "PythonModel",
    "Ranking",
    "Regression",
    "Retrain",
    "Rollout",
    "SpendingLimit",
    "Table",
    "Task",
    "Tolerance",
    "beats_champion",
    "changed",
    "count",
    "distinct",
    "drift",
    "features_for",
    "feedback",
    "files",
    "first",
    "frame",
    "judge_predictions",
    "judge_table",
    "last",
    "maximum",
    "mean",
    "minimum",
    "model_file",
    "no_slice_worse",
    "open",
    "quantile",
    "regression",
    "request_transform",
    "sklearn",
    "sql",
    "stale",
    "std",
    "stream",
    "total",
    "trainer",
]

__getattr__, __dir__ = lazily(__name__, _HOMES)
