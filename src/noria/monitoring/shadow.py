"""A shadow, judged on the requests that both bundles have scored, and on nothing else.

Daily means over different requests would compare the requests: a shadow that was shed under load, or lacks one partner's rows, may look
better for it. So the rows of one request are joined, and what has no partner counts for neither. How many do is watched: where they are not
nearly all, the experiment is broken, and says so (Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments",
2019).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from noria.evaluation.metric import Metric
from noria.evaluation.task import Task
from noria.features.groups import whole_groups
from noria.models.registry import CHALLENGER
from noria.monitoring.watched import WatchedEndpoint
from noria.release.answer_shadow import OutcomeOfAnotherAnswer
from noria.release.rollout import gains_by_unit
from noria.serving.log.predictions import Predictions
from noria.stores.windows import PairedCounts, pairs_by_window

MIN_PAIRED = 0.98  # of a window's requests

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Paired:
    """One window of a shadow. asked, scored: rows of the champion and of the challenger; paired: rows of both

    gains: of each metric that is a mean over rows, how much better the challenger is over the pairs whose outcome is known; empty before
    groups: of each metric that is a mean over groups, over how many; a group counts only if all of its rows are paired
    """

    start: datetime
    asked: int
    scored: int
    paired: int
    gains: Mapping[str, float]
    groups: Mapping[str, int] = field(default_factory=dict)

    @staticmethod
    def of(start: datetime, counts: PairedCounts) -> Paired:
        """What was recorded of a window."""
        return Paired(start, counts.asked, counts.scored, counts.paired, counts.gains, counts.groups)

    def weight(self, metric: str) -> int:
        """Of how many rows or groups a gain is the mean."""
        return self.groups.get(metric, self.paired)

    @property
    def share(self) -> float:
        return self.paired / max(self.asked, self.scored, 1)

    @property
    def broken(self) -> bool:
        """Whether the two have not scored the same requests."""
        return self.share < MIN_PAIRED


def pairs(champions: Predictions, challengers: Predictions) -> tuple[Places, Places]:
    """The places, in both, of the rows of the same request: the same key at the same moment, the first with the first."""
    if champions.keys == challengers.keys and np.array_equal(champions.received_us, challengers.received_us):
        same = np.arange(len(champions))
        return same, same
    waiting: defaultdict[tuple[str | None, int], list[int]] = defaultdict(list)
    for place, request in enumerate(_requests(challengers)):
        waiting[request].append(place)
    found = []
    for place, request in enumerate(_requests(champions)):
        if waiting[request]:
            found.append((place, waiting[request].pop(0)))
    mine, theirs = np.array(found, np.int64).reshape(-1, 2).T
    return mine, theirs


def _requests(rows: Predictions) -> Iterable[tuple[str | None, int]]:
    return zip(rows.keys, rows.received_us.tolist(), strict=True)


def pairing(
    task: Task,
    champions: Predictions,
    challengers: Predictions,
    labels: NDArray[np.float64] | None,
    groups: NDArray[np.int64] | None = None,
) -> PairedCounts:
    """What is kept of a shadow's window, with the gains once there are labels of the champions' rows (NaN where not known).

    groups: the number of the group of each of the champions' rows, where the task has groups

    Raises `OutcomeOfAnotherAnswer` for labels of a task whose outcomes belong to the answer: they say nothing of the challengers'.
    """
    if labels is not None and task.outcomes_belong_to_the_answer:
        raise OutcomeOfAnotherAnswer(task, "the challenger's answers were to be judged")
    mine, theirs = pairs(champions, challengers)
    counts = PairedCounts(len(champions), len(challengers), len(mine))
    if labels is None:
        return counts
    if groups is not None:
        paired = np.zeros(len(champions), np.bool_)
        paired[mine] = True
        whole = whole_groups(paired, groups)[mine]
        mine, theirs, groups = mine[whole], theirs[whole], groups[mine[whole]]
    y, before, after = labels[mine], task.scores(champions)[mine], task.scores(challengers)[theirs]
    found = {metric: _gains(metric, y, before, after, groups) for metric in task.losses if metric.known(y).any()}
    gains = {metric.name: float(each.mean()) for metric, each in found.items() if len(each)}
    over_groups = {metric.name: len(each) for metric, each in found.items() if metric.over == "groups"}
    return msgspec.structs.replace(counts, gains=gains, groups=over_groups)


def _gains(
    metric: Metric,
    outcomes: NDArray[np.float64],
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    groups: NDArray[np.int64] | None,
) -> NDArray[np.float64]:
    """The gain of each row, or group, that counts."""
    known = metric.known(outcomes)
    of = None if groups is None else groups[known]
    lost, left = (metric.losses(outcomes[known], scores[known], of) for scores in (before, after))
    return np.asarray(metric.improvement(lost, left)[metric.says(lost, left)])


def shadow_windows(context: WatchedEndpoint, challenger: str, since: datetime) -> list[Paired]:
    """The windows in which a challenger has shadowed, in the order of time."""
    found = pairs_by_window(context.stores.catalog, context.endpoint.name, challenger, CHALLENGER, since)
    return [Paired.of(start, counts) for start, counts in found]


def shadow_gains(context: WatchedEndpoint, challenger: str, since: datetime, metric: str) -> NDArray[np.float64]:
    """The challenger's gain over the champion, one value per judged unit: see `gains_by_unit`. A window in which the shadow is broken is no
    evidence."""
    judged = [w for w in shadow_windows(context, challenger, since) if metric in w.gains and not w.broken]
    numbers = np.array([context.grid.number(w.start) for w in judged], np.int64)
    weights = np.array([w.weight(metric) for w in judged], np.int64)
    return gains_by_unit(numbers, np.array([w.gains[metric] for w in judged], np.float64), weights, context.grid.tick)
