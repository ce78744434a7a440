"""What windows say whose outcomes are still coming: an estimate by the learnt maturity of outcomes, and what the missing may bring."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import since_epoch
from noria.evaluation.task import Task
from noria.monitoring.label_delay import LabelDelay, learn_maturity
from noria.monitoring.recorded import answered_rows
from noria.monitoring.watched import WatchedEndpoint
from noria.monitoring.windows import Window

LEARNT_FROM = 14  # matured windows, the newest
SECOND = 1_000_000  # microseconds


def partial_outcomes(context: WatchedEndpoint, bundle: str, windows: list[Window], now: datetime) -> list[dict[str, Any]]:
    """Of each window that waits for its outcomes, and each watched mean loss: the estimate, and between what it must lie; nothing where the
    outcomes that there are can't be counted."""
    task = context.endpoint.task
    metrics = context.monitor.losses(task) if context.monitor and task.possible else []
    waiting = [w for w in windows if w.performance is None and w.rows]
    matured = [w for w in windows if w.performance is not None and w.performance.rows][-LEARNT_FROM:]
    if not (metrics and waiting and matured):
        return []
    maturity = _learnt(context, bundle, matured, now)
    found = []
    for window in waiting:
        rows = answered_rows(context, bundle, window.start)
        if rows is None:
            continue
        labels, scores = _counted(task, context.facts.outcomes.known_at(rows.keys, now)), task.scores(rows)
        age, strength = (since_epoch(now) - rows.received_us) / SECOND, task.strength(scores)
        for metric in metrics:
            losses = np.stack([metric.losses(np.full(len(rows), outcome), scores) for outcome in task.possible])
            estimate = maturity.estimate(labels, strength, age, losses)
            found.append({"start": window.start.isoformat(), "metric": metric.name, **estimate.to_dict()})
    return found


def _learnt(context: WatchedEndpoint, bundle: str, matured: list[Window], now: datetime) -> LabelDelay:
    task = context.endpoint.task
    parts: list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]] = []
    for window in matured:
        rows = answered_rows(context, bundle, window.start)
        if rows is not None:
            labels = _counted(task, context.facts.outcomes.known_at(rows.keys, now))
            known, there = context.facts.outcomes.known_since(rows.keys), ~np.isnan(labels)
            strength = task.strength(task.scores(rows))
            parts.append(((known - rows.received_us)[there] / SECOND, labels[there], strength[there]))
    delays, labels, scores = (np.concatenate(each) for each in zip(*parts, strict=True)) if parts else (np.empty(0),) * 3
    return learn_maturity(delays, labels, scores, task.possible)


def _counted(task: Task, labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Outcomes `(rows,)`, NaN where they are not known, or none of those that the task counts."""
    return np.where(np.isin(labels, task.possible), labels, np.nan)
