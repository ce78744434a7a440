"""The figures of a replay: each policy's losses by week, its decisions and its costs, from the log and the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import in_words, since_epoch
from noria.core.errors import UserMistake
from noria.evaluation.metric import Metric
from noria.evaluation.performance import value_of
from noria.evaluation.task import Task
from noria.evidence.problems import reasons
from noria.features.groups import first_of_group
from noria.features.outcomes import known_rows
from noria.loop.comparison import WEEK
from noria.loop.context import EndpointContext
from noria.loop.replay import Span
from noria.models.registry import CHAMPION
from noria.monitoring.recorded import windows_of
from noria.release.ab_test import ABTest
from noria.release.releases import released_champions
from noria.release.rollout import Rollout
from noria.serving.log.predictions import Predictions
from noria.serving.log.segments import read_log
from noria.stores.candidates import candidates_of
from noria.stores.catalog import Catalog
from noria.stores.decisions import decisions_of
from noria.stores.findings import findings_of


@dataclass(frozen=True)
class PolicyHistory:
    """What one policy answered over a span, `(rows,)` in order of time, and what became of it, as the task has it (NaN: never known).

    week: of each row, or of its group's first; groups: the number of each row's group, where the task has groups
    """

    name: str
    task: Task
    answered: Predictions
    labels: NDArray[np.float64]
    week: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None

    def value(self, metric: Metric, week: int | None = None) -> float:
        """A metric of all rows whose outcome is known, as much of it as the metric is of, or of those of one week."""
        rows = np.ones(len(self.week), np.bool_) if week is None else self.week == week
        return value_of(metric, self.labels[rows], self.scores[rows], None if self.groups is None else self.groups[rows])

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """Of each row, as the task has them."""
        return self.task.scores(self.answered)


class NothingReplayed(UserMistake):
    """A replay's span has no rows to be predicted."""

    code = "NR-703"

    def __init__(self, endpoint: str, spine: str, span: Span) -> None:
        super().__init__(
            what=f"nothing was predicted by {endpoint!r}: table {spine!r} has no row in the replay's span",
            where=f"{span.start:%Y-%m-%d} to {span.end:%Y-%m-%d}",
            fix="give [replay] in noria.toml a start and an end between which the table has rows",
        )


def history(context: EndpointContext, span: Span) -> PolicyHistory:
    """All answers of a policy's champions in a span, with every outcome that ever became known. Raises `NothingReplayed`."""
    logged = read_log(context.stores.log_folder, span.start, span.end, context.stores.workspace.files)
    if logged is None:
        raise NothingReplayed(context.endpoint.name, context.endpoint.model.features.spine.name, span)
    answered = logged.by(CHAMPION)
    labels = context.facts.outcomes.known_at(answered.keys, span.end + timedelta(days=3650))
    week = (answered.received_us - since_epoch(span.start)) // (WEEK // timedelta(microseconds=1))
    known, groups = known_rows(labels), context.endpoint.model.groups_of(answered.keys)
    if groups is not None:
        week, groups = first_of_group(week, groups), groups[known]
    return PolicyHistory(context.policy.name, context.endpoint.task, answered.where(known), labels[known], week[known], groups)


def replay_figures(contexts: Sequence[EndpointContext], span: Span) -> dict[str, Any]:
    """The figures of a finished replay, as programs read them (`noria demo --json`)."""
    past = [history(context, span) for context in contexts]
    return {
        "span": {"start": span.start.isoformat(), "end": span.end.isoformat()},
        **_words(contexts[0]),
        "policies": {context.policy.name: _policy(context, h) for context, h in zip(contexts, past, strict=True)},
        "weeks": _weeks(past, span),
        "decisions": decisions(contexts[0]),
        "findings": findings(contexts[0].stores.catalog, [contexts[0].endpoint.name]),
    }


def _words(context: EndpointContext) -> dict[str, Any]:
    """What the figures are about, in the project's own words. confidence: of the intervals that a rollout is decided by"""
    model, rollout = context.endpoint.model, context.policy.rollout
    return {
        "endpoint": context.endpoint.name,
        "outcome": model.task.target(model.label),
        "observed": model.task.heading(model.label),
        "metric": _metric(model.task.metric()),
        "discrimination": _metric(model.task.discrimination),
        "holdout": in_words(model.holdout_span),
        "every": in_words(context.grid.tick),
        "confidence": 1 - rollout.alpha if isinstance(rollout, Rollout | ABTest) else None,
    }


def _metric(metric: Metric | None) -> dict[str, str] | None:
    return None if metric is None else {"name": metric.name, "title": metric.title, "best": metric.best, "unit": metric.unit}


def _policy(context: EndpointContext, past: PolicyHistory) -> dict[str, Any]:
    name = context.endpoint.name
    trainings = candidates_of(context.stores.catalog, name)
    promoted = sorted(row.at for row in decisions_of(context.stores.catalog, name) if row.action == "promote")
    told = past.task.discrimination
    return {
        past.task.metric().name: past.value(past.task.metric()),
        **({} if told is None else {told.name: past.value(told)}),
        "predictions": len(past.labels),
        "retrainings": max(0, len(trainings) - 1),
        "promotions": max(0, len(promoted) - 1),
        "seconds": sum(t.seconds for t in trainings),
        "retrained_at": [t.at.isoformat() for t in trainings[1:]],
        "promoted_at": [at.isoformat() for at in promoted[1:]],
    }


def _weeks(past: Sequence[PolicyHistory], span: Span) -> list[dict[str, Any]]:
    """One row a week; weeks are numbered from the first of the year that the span begins in."""
    first = (span.start - span.start.replace(month=1, day=1)) // WEEK + 1
    rows, task = [], past[0].task
    for week in np.unique(past[0].week):
        inside = past[0].week == week
        values = {h.name: h.value(task.metric(), week) for h in past}
        if not np.isfinite(list(values.values())).all():  # no group of it has anything relevant
            continue
        observed, _ = task.means(past[0].labels[inside], past[0].scores[inside])
        rows.append(
            {
                "week": int(first + week),
                "start": (span.start + int(week) * WEEK).isoformat(),
                "rows": int(inside.sum()),
                "base_rate": observed,
                "observed": task.format_mean(observed),
                task.metric().name: values,
            }
        )
    return rows


def decisions(context: EndpointContext) -> list[dict[str, Any]]:
    """The endpoint's journal: every decision with its reason, evidence and outcome, oldest first."""
    rows = decisions_of(context.stores.catalog, context.endpoint.name)
    return [
        {
            "time": r.at.isoformat(),
            "action": r.action,
            "subject": r.subject,
            "reason": r.reason,
            "evidence": r.evidence,
            "done": r.done,
            "outcome": r.outcome,
        }
        for r in rows
    ]


def findings(catalog: Catalog, endpoints: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """What the monitors found, oldest first: of these endpoints, or of all."""
    rows = findings_of(catalog, endpoints)
    return [
        {
            "opened_at": r.opened_at.isoformat(),
            "closed_at": None if r.closed_at is None else r.closed_at.isoformat(),
            "endpoint": r.endpoint,
            "key": r.key,
            "kind": r.kind,
            "subject": r.subject,
            "since": None if r.since is None else r.since.isoformat(),
            "severity": r.severity,
            "incident": r.incident,
            "summary": r.summary,
            "acknowledged_by": r.acknowledged_by,
            "closed_by": r.closed_by,
            "fix": r.fix,
            **reasons(r.evidence),
            "evidence": r.evidence,
        }
        for r in rows
    ]


def feature_shift(context: EndpointContext, span: Span) -> dict[str, Any]:
    """How far each input has moved from the reference of the champion of the time, week by week.

    Returns {"columns": […], "weeks": […], "shift": `(columns, weeks)`}: the mean rank under the reference minus its mean
    there, from −0.5 (all values at the reference's low end) to 0.5; null where a week has no value.
    """
    weeks = -(-(span.end - span.start) // WEEK)
    total: dict[str, NDArray[np.float64]] = {}
    count: dict[str, NDArray[np.float64]] = {}
    for bundle in sorted(released_champions(context)):
        reference = context.stores.profile(bundle)
        for window in windows_of(context, bundle, span.start):
            if window.role != CHAMPION or window.statistics is None or window.start >= span.end:
                continue
            week = (window.start - span.start) // WEEK
            moved = np.nan_to_num(window.statistics[:, 0] - reference.usual_ranks)
            for name, value in zip(reference.names, moved, strict=True):  # champions may read other columns, or in another order
                total.setdefault(name, np.zeros(weeks))[week] += value
                count.setdefault(name, np.zeros(weeks))[week] += 1
    return {
        "columns": list(total),
        "weeks": [(span.start + w * WEEK).isoformat() for w in range(weeks)],
        "shift": [[float(v / n) if n else None for v, n in zip(total[name], count[name], strict=True)] for name in total],
    }
