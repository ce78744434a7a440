"""What trainings gave: a candidate's quality on days that it has not seen, beside the champion's, and what each gate said, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from noria.evaluation.binary import Binary
from noria.evaluation.task import Task
from noria.loop.state import Action
from noria.stores import catalog as db
from noria.stores.catalog import Catalog

WHO = ("candidate", "champion")


def trained(catalog: Catalog, actions: Sequence[Action]) -> dict[str, dict[str, Any]]:
    """What came of those of the actions that were trainings, by their keys: rows, metrics of who was judged, gates."""
    keys = [action.key for action in actions if action.verb == "train"]
    if not keys:
        return {}
    with catalog.reading() as c:
        rows = c.execute(sa.select(db.candidates).where(db.candidates.c.decision.in_(keys))).all()
    return {row.decision: _told(json.loads(row.detail), row.bundle, row.seconds) for row in rows}


def _told(detail: Mapping[str, Any], bundle: str, seconds: float) -> dict[str, Any]:
    metrics = detail["metrics"]
    return {
        "bundle": bundle,
        "seconds": seconds,
        "training_rows": detail["rows"]["rows_out"]["training rows"],
        "holdout_rows": metrics.get("holdout_rows", 0),
        "holdout_positives": metrics.get("holdout_positives"),
        "task": detail.get("task", Binary().definition()),  # the only one when details stated none
        "candidate": metrics.get("candidate"),
        "champion": metrics.get("champion"),
        "gates": detail["gates"],
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
