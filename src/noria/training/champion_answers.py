"""What a champion says of rows on which a candidate is judged: computed on its own features, or, where those are lost, as it was logged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import from_epoch
from noria.core.errors import UserMistake
from noria.core.ids import short
from noria.data.rows import Rows
from noria.evaluation.gates import MIN_ROWS
from noria.features.compile import AT, KEY
from noria.features.outcomes import known_rows
from noria.models.registry import CHAMPION
from noria.models.runtimes.port import ModelFailed
from noria.release.open_endpoint import OpenEndpoint
from noria.serving.log.segments import read_log

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Answers:
    """A champion's scores of rows, as the endpoint's task has them, NaN where it has none. lost: why it has none at all, or empty."""

    scores: NDArray[np.float64]
    lost: str = ""

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which rows it can be compared on; all of them where it can be compared on none."""
        return np.ones(len(self.scores), np.bool_) if self.lost else known_rows(self.scores)


def champion_answers(context: OpenEndpoint, champion: str, rows: pa.Table) -> Answers:
    """A champion's answers for rows of `context.facts.offline`, as many as can be had."""
    task = context.endpoint.task
    try:
        return Answers(task.scores(context.stores.model(champion).answer(context.own.inputs(champion, rows))))
    except (UserMistake, ModelFailed) as error:
        scores = _logged(context, champion, rows)
        if known_rows(scores).sum() >= MIN_ROWS:
            return Answers(scores)
        few = f"the champion {short(champion)} can't be evaluated: {error.where}, and it answered fewer than {MIN_ROWS} of the rows"
        return Answers(task.scores(Rows.unknown(task.outputs, rows.num_rows)), few)


def _logged(context: OpenEndpoint, champion: str, rows: pa.Table) -> NDArray[np.float64]:
    """The last answer of a champion that was logged for each row's key."""
    at, task = rows.column(AT).to_numpy().astype("datetime64[us]").astype(np.int64), context.endpoint.task
    found = task.scores(Rows.unknown(task.outputs, len(at)))
    if not len(at):
        return found
    start, end = from_epoch(int(at.min())) - context.grid.tick, from_epoch(int(at.max())) + context.grid.tick + timedelta(microseconds=1)
    logged = read_log(context.stores.log_folder, start, end, context.stores.workspace.files)
    answered = None if logged is None else logged.of(champion).by(CHAMPION)
    if answered is None or not len(answered):
        return found
    place = {key: i for i, key in enumerate(answered.keys) if key is not None}
    at_key = np.array([place.get(key, -1) for key in rows.column(KEY).to_pylist()])
    found[at_key >= 0] = task.scores(answered)[at_key[at_key >= 0]]
    return found
