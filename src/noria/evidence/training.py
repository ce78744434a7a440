"""What trainings gave: a candidate's quality on days that it has not seen, beside the champion's, and what each gate said, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from noria.evaluation.binary import Binary
from noria.evaluation.metric import Metric
from noria.evaluation.task import Task
from noria.loop.state import Action
from noria.stores.candidates import CandidateRow, candidates_by_decision
from noria.stores.catalog import Catalog

WHO = ("candidate", "champion")
SHOWN = 5  # features


def trained(catalog: Catalog, actions: Sequence[Action]) -> dict[str, dict[str, Any]]:
    """What came of those of the actions that were trainings, by their keys: rows, metrics of who was judged, gates."""
    keys = [action.key for action in actions if action.verb == "train"]
    return {row.decision: told_of(row) for row in candidates_by_decision(catalog, keys)}


def told_of(row: CandidateRow) -> dict[str, Any]:
    detail = row.detail
    return {
        "bundle": row.bundle,
        "seconds": row.seconds,
        "training_rows": detail.rows.rows_out["training rows"],
        "holdout_rows": detail.metrics.holdout_rows,
        "holdout_groups": detail.metrics.holdout_groups,
        "holdout_positives": detail.metrics.holdout_positives,
        "task": Binary().definition() if detail.task is None else detail.task,  # the only one when details stated none
        "candidate": detail.metrics.candidate,
        "champion": detail.metrics.champion,
        "gates": msgspec.to_builtins(detail.gates),
        "compared": msgspec.to_builtins(detail.compared),
        "run": row.run,
        "reports": reports_of(row),
    }


def reports_of(row: CandidateRow | None) -> list[dict[str, str]]:
    """The pages of its gates: of what, and where, from the project's folder; none of what was not trained here."""
    return [] if row is None else [{"title": title, "path": path} for title, path in row.detail.reports]


def lines(told: Mapping[str, Any]) -> list[str]:
    """The same for people: what it was judged on, a line for each metric, a line for each gate."""
    task = Task.of(told["task"])
    if not told["holdout_rows"]:
        found = ["not evaluated: no holdout rows"]
    else:
        found = [f"evaluated on {told['holdout_rows']:,} unseen rows{_groups(told)}, {task.format_rows(told['holdout_positives'])}"]
    found += _of_other_answers(task, told) if task.outcomes_belong_to_the_answer else _measured(task, told)
    if told["compared"]["lost"]:
        found.append(f"not compared with the champion: {told['compared']['lost']}")
    importance = told["compared"]["importance"]
    first = sorted(importance, key=lambda name: -importance[name])[:SHOWN]
    if first:
        found.append(f"most important: {', '.join(f'{name} {importance[name]:.0%}' for name in first)}")
    return (
        found
        + [f"gate {gate['outcome']}: {gate['gate']} ({gate['why']})" for gate in told["gates"]]
        + ([] if told["gates"] else ["no gates"])
        + [f"{report['title']}, side by side: {report['path']}" for report in told["reports"]]
    )


def _measured(task: Task, told: Mapping[str, Any]) -> list[str]:
    """A line for each metric that was measured."""
    figures = ((metric, [*_figures(metric, told)]) for metric in task.metrics)
    return [f"{metric}: {', '.join(values)}" for metric, values in figures if values]


def _of_other_answers(task: Task, told: Mapping[str, Any]) -> list[str]:
    """What people said of the answers that they were shown, which is no figure of the candidate's."""
    first, said = task.metric(), told["candidate"] or {}
    if first.name not in said:
        return []
    return [f"what people said of earlier answers: {first} {first.format(said[first.name])}; the candidate's own are judged by its gates"]


def _figures(metric: Metric, told: Mapping[str, Any]) -> Iterator[str]:
    """What one metric says of the candidate, the champion and an answer that is always the mean; and how sure that is."""
    compared = told["compared"]
    for who in WHO:
        if metric.name in (told[who] or {}):
            sure = compared["bounds"].get(metric.name) if who == "candidate" else None
            bounds = "" if sure is None else f" ({sure[1]:.4f} to {metric.format(sure[2])})"
            yield f"{who} {metric.format(told[who][metric.name])}{bounds}"
    if metric.name in compared["constant"]:
        yield f"always the mean {metric.format(compared['constant'][metric.name])}"
    if metric.name in compared["gains"]:
        gain, lower, upper = compared["gains"][metric.name]
        yield f"better than the champion by {gain:.3g} ({lower:.3g} to {upper:.3g})"


def _groups(told: Mapping[str, Any]) -> str:
    if not told.get("holdout_groups"):
        return ""
    there, counted = told["holdout_groups"]
    return f" in {there:,} groups" + (f" ({there - counted:,} of them without anything relevant)" if counted < there else "")
