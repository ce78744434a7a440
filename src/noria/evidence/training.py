"""What trainings gave: a candidate's quality on days that it has not seen, beside the champion's, and what each gate said, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from noria.evaluation.binary import Binary
from noria.evaluation.task import Task
from noria.loop.state import Action
from noria.stores.candidates import CandidateRow, candidates_by_decision
from noria.stores.catalog import Catalog

WHO = ("candidate", "champion")


def trained(catalog: Catalog, actions: Sequence[Action]) -> dict[str, dict[str, Any]]:
    """What came of those of the actions that were trainings, by their keys: rows, metrics of who was judged, gates."""
    keys = [action.key for action in actions if action.verb == "train"]
    return {row.decision: _told(row) for row in candidates_by_decision(catalog, keys)}


def _told(row: CandidateRow) -> dict[str, Any]:
    detail = row.detail
    return {
        "bundle": row.bundle,
        "seconds": row.seconds,
        "training_rows": detail.rows.rows_out["training rows"],
        "holdout_rows": detail.metrics.holdout_rows,
        "holdout_positives": detail.metrics.holdout_positives,
        "task": Binary().definition() if detail.task is None else detail.task,  # the only one when details stated none
        "candidate": detail.metrics.candidate,
        "champion": detail.metrics.champion,
        "gates": msgspec.to_builtins(detail.gates),
    }


def lines(told: Mapping[str, Any]) -> list[str]:
    """The same for people: what it was judged on, a line for each metric, a line for each gate."""
    task = Task.of(told["task"])
    if not told["holdout_rows"]:
        found = ["not evaluated: no holdout rows"]
    else:
        found = [f"evaluated on {told['holdout_rows']:,} unseen rows, {task.format_rows(told['holdout_positives'])}"]
    for metric in task.metrics:
        values = [f"{who} {metric.format(told[who][metric.name])}" for who in WHO if metric.name in (told[who] or {})]
        if values:
            found.append(f"{metric}: {', '.join(values)}")
    return (
        found
        + [f"gate {gate['outcome']}: {gate['gate']} ({gate['why']})" for gate in told["gates"]]
        + ([] if told["gates"] else ["no gates"])
    )
