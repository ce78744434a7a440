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
from noria.core.signature import PREDICTION
from noria.evaluation.gates import MIN_ROWS
from noria.features.compile import AT, KEY
from noria.models.registry import CHAMPION
from noria.models.runtimes.port import ModelFailed
from noria.release.open_endpoint import OpenEndpoint
from noria.serving.log.segments import read_log

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Answers:
    """A champion's scores of rows, `(rows,)`, NaN where it has none. lost: why it has none at all, or empty."""

    scores: NDArray[np.float64]
    lost: str = ""

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which rows it can be compared on; all of them where it can be compared on none."""
        return np.ones(len(self.scores), np.bool_) if self.lost else ~np.isnan(self.scores)


def champion_answers(context: OpenEndpoint, champion: str, rows: pa.Table) -> Answers:
    """A champion's answers for rows of `context.facts.offline`, as many as can be had."""
    try:
        return Answers(context.stores.model(champion).answer(context.own.inputs(champion, rows)).numbers(PREDICTION))
    except (UserMistake, ModelFailed) as error:
        scores = _logged(context, champion, rows)
        if (~np.isnan(scores)).sum() >= MIN_ROWS:
            return Answers(scores)
        few = f"the champion {short(champion)} can't be evaluated: {error.where}, and it answered fewer than {MIN_ROWS} of the rows"
        return Answers(np.full(rows.num_rows, np.nan), few)


def _logged(context: OpenEndpoint, champion: str, rows: pa.Table) -> NDArray[np.float64]:
    """The last answer of a champion that was logged for each row's key."""
    at = rows.column(AT).to_numpy().astype("datetime64[us]").astype(np.int64)
    if not len(at):
        return np.empty(0)
    start, end = from_epoch(int(at.min())) - context.grid.tick, from_epoch(int(at.max())) + context.grid.tick + timedelta(microseconds=1)
    logged = read_log(context.stores.log_folder, start, end, context.stores.workspace.files)
    known: dict[str | None, float] = {}
    if logged is not None:
        answered = logged.of(champion).by(CHAMPION)
        known = dict(zip(answered.keys, answered.prediction.tolist(), strict=True))
    known.pop(None, None)
    return np.array([known.get(key, np.nan) for key in rows.column(KEY).to_pylist()], np.float64)
