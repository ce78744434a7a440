"""How much worse a metric may become before it is reported, where nobody said so: by what it was in the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from noria.evaluation.metric import Metric
from noria.evaluation.performance import Performance
from noria.monitoring.monitor import Tolerance
from noria.monitoring.performance import baseline_of

OF_LOSS = 0.05  # of the reference's mean loss
OF_REST = 0.1  # of what the reference lacks to the best, such as 1 for an AUC
OF_ERROR = 0.1  # of the reference's mean loss, for a bias in the outcome's unit
OF_CALIBRATION = 0.02  # of the rows
LEAST = 0.005  # of metrics with bounds


def tolerances(metrics: Sequence[Metric], reference: Sequence[Performance], given: Mapping[str, float]) -> list[Tolerance]:
    """A tolerance for each metric. reference: the performance of its windows; given: those that were stated, by the metrics' names"""
    loss, _ = baseline_of(metrics[0], reference)
    return [Tolerance(metric, given.get(metric.name, _usual(metric, reference, loss))) for metric in metrics]


def _usual(metric: Metric, reference: Sequence[Performance], loss: float) -> float:
    baseline, _ = baseline_of(metric, reference)
    if metric.best == "zero":
        return OF_CALIBRATION if metric.bounded else max(OF_ERROR * loss, 1e-9)
    if metric.best == "highest":
        return max(OF_REST * (metric.bounds[1] - baseline), LEAST)
    return max(OF_LOSS * baseline, LEAST if metric.bounded else 1e-9)
