"""The champion on rows that it has not seen, by windows and as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from noria.core.clock import SystemClock
from noria.core.errors import UserMistake
from noria.core.ids import short
from noria.evaluation.gates import Evaluation
from noria.evaluation.holdout import bounds_of_losses
from noria.evaluation.performance import by_window, value_of
from noria.features.training_set import build_training_set
from noria.loop.context import EndpointContext
from noria.release.releases import current_release
from noria.training.champion_answers import champion_answers
from noria.workbench.result import Result


class NothingUnseen(UserMistake):
    """There is no champion, or no outcome of a row that it was not trained on."""

    code = "NR-267"

    def __init__(self, endpoint: str, reason: str, fix: str) -> None:
        super().__init__(what=f"the champion of {endpoint!r} can't be evaluated", where=reason, fix=fix)


def evaluated(context: EndpointContext) -> Result:
    """Raises `NothingUnseen`."""
    release, name = current_release(context), context.endpoint.name
    if release is None:
        raise NothingUnseen(name, "it has none yet", "train a first model: `noria train`")
    champion, model, facts = context.stores.bundle(release.champion), context.endpoint.model, context.facts
    rows = build_training_set(
        facts.offline, model.label, facts.outcomes, model.task, start=facts.offline.first(), as_of=SystemClock().now()
    )
    trained = champion.manifest.lineage.as_of
    unseen = rows.moments >= np.datetime64(trained.replace(tzinfo=None), "us")
    since = f"{trained:%Y-%m-%d %H:%M} UTC"
    if not unseen.any():
        raise NothingUnseen(name, f"no outcome is known of a row since it was trained, {since}", "wait for outcomes, and ingest them")
    answers = champion_answers(context, champion.id, rows.rows.filter(pa.array(unseen)))
    if answers.lost:
        raise NothingUnseen(name, answers.lost, "train again, or restore the definitions of its features")
    unseen[unseen] = answers.known
    groups = None if rows.groups is None else rows.groups[unseen]
    judged = Evaluation(
        task=model.task,
        labels=rows.labels[unseen],
        candidate=answers.scores[answers.known],
        champion=None,
        unit=context.grid.numbers(rows.moments[unseen]),
        groups=groups,
    )
    return _result(context, champion.id, judged, since)


def _result(context: EndpointContext, champion: str, judged: Evaluation, since: str) -> Result:
    task, bounds = judged.task, bounds_of_losses(judged)
    metrics = [metric for metric in task.metrics if metric.over != "means"]
    whole = {metric.name: value_of(metric, judged.labels, judged.candidate, judged.groups) for metric in metrics}
    windows = by_window(task, judged.labels, judged.candidate, judged.unit, {}, judged.groups)
    data: dict[str, Any] = {
        "endpoint": context.endpoint.name,
        "champion": champion,
        "since": since,
        "rows": len(judged.labels),
        "metrics": {name: value for name, value in whole.items() if np.isfinite(value)},
        "bounds": {name: list(each) for name, each in bounds.items()},
        "windows": [window.to_dict() for window in windows],
    }
    rows = [
        {
            "metric": name,
            "value": value,
            "lower": bounds[name].lower if name in bounds else None,
            "upper": bounds[name].upper if name in bounds else None,
        }
        for name, value in data["metrics"].items()
    ]
    return Result(f"champion {short(champion)} of {context.endpoint.name} on {len(judged.labels):,} rows since {since}", data, rows)
