"""A shadow, judged on the requests that both bundles have scored, and on nothing else.

Daily means over different requests would compare the requests: a shadow that was shed under load, or lacks one partner's rows, may look
better for it. So the rows of one request are joined, and what has no partner counts for neither. How many do is watched: where they are not
nearly all, the experiment is broken, and says so (Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments",
2019).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from noria.evaluation.task import Task
from noria.models.registry import CHALLENGER
from noria.monitoring.watched import WatchedEndpoint
from noria.release.rollout import gains_by_unit
from noria.serving.log.predictions import Predictions
from noria.stores.windows import PairedCounts, pairs_by_window

MIN_PAIRED = 0.98  # of a window's requests

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Paired:
    """One window of a shadow. asked, scored: rows of the champion and of the challenger; paired: rows of both

    gains: of each metric that is a mean over rows, how much better the challenger is over the pairs whose outcome is known; empty before
    """

    start: datetime
    asked: int
    scored: int
    paired: int
    gains: Mapping[str, float]

    @staticmethod
    def of(start: datetime, counts: PairedCounts) -> Paired:
        """What was recorded of a window."""
        return Paired(start, counts.asked, counts.scored, counts.paired, counts.gains)

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


def pairing(task: Task, champions: Predictions, challengers: Predictions, labels: NDArray[np.float64] | None) -> PairedCounts:
    """What is kept of a shadow's window, with the gains once there are labels of the champions' rows (NaN where not known)."""
    mine, theirs = pairs(champions, challengers)
    counts = PairedCounts(len(champions), len(challengers), len(mine))
    if labels is None:
        return counts
    y, before, after = labels[mine], champions.prediction[mine], challengers.prediction[theirs]
    known = ~np.isnan(y)
    if not known.any():
        return counts
    y, before, after = y[known], before[known], after[known]
    gains = {m.name: float(m.improvement(m.losses(y, before), m.losses(y, after)).mean()) for m in task.losses}
    return msgspec.structs.replace(counts, gains=gains)


def shadow_windows(context: WatchedEndpoint, challenger: str, since: datetime) -> list[Paired]:
    """The windows in which a challenger has shadowed, in the order of time."""
    found = pairs_by_window(context.stores.catalog, context.endpoint.name, challenger, CHALLENGER, since)
    return [Paired.of(start, counts) for start, counts in found]


def shadow_gains(context: WatchedEndpoint, challenger: str, since: datetime, metric: str) -> NDArray[np.float64]:
    """The challenger's gain over the champion, one value per judged unit: see `gains_by_unit`. A window in which the shadow is broken is no
    evidence."""
    judged = [w for w in shadow_windows(context, challenger, since) if metric in w.gains and not w.broken]
    numbers, rows = (np.array(each, np.int64) for each in ([context.grid.number(w.start) for w in judged], [w.paired for w in judged]))
    return gains_by_unit(numbers, np.array([w.gains[metric] for w in judged], np.float64), rows, context.grid.tick)
