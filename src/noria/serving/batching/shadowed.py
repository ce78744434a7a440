"""Scoring the same rows unseen, by a shadow. What goes wrong here is logged, and changes no answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from noria.core.clock import Stopwatch
from noria.core.ids import short
from noria.data.rows import Rows
from noria.models.runtimes.port import ModelFailed
from noria.serving.batching.allowance import Allowance
from noria.serving.batching.recorder import Recorder
from noria.serving.batching.route import Route
from noria.serving.generated import searching
from noria.serving.protocol.request import PredictRequest

logger = logging.getLogger("noria.serving")

MAX_BEHIND, MAX_BEHIND_BYTES = 32, 2**26  # batches, and bytes of them, that a shadow in a process of its own may be behind


class Shadowed:
    """What the shadow of an endpoint is asked, beside its champion."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder, self._behind, self._bytes = recorder, 0, 0

    def ask(self, route: Route, batch: Sequence[PredictRequest], given: Rows) -> None:
        """Have the shadow of a route, if it has one, score a batch too. given: its inputs by their names"""
        shadow = route.shadow
        if shadow is None:
            return
        received_us = batch[0].stamp[0]
        if route.allowance is not None:
            batch, given = _allowed(route.allowance, batch, given)
            if not batch:
                return
        watch, inputs = Stopwatch(), shadow.inputs(given)
        size = inputs.nbytes if shadow.apart is not None else 0
        behind = self._behind >= MAX_BEHIND or (self._behind and self._bytes + size > MAX_BEHIND_BYTES)
        if shadow.apart is not None and behind:
            logger.warning("shadow %s is slower than the champion: %d rows are not scored by it", short(shadow.bundle.id), len(given))
            return

        def answered(found: Rows | ModelFailed) -> None:
            self._behind -= 1
            self._bytes -= size
            self._recorder.record_shadow(shadow.bundle, batch, inputs, found, received_us, int(1e6 * watch.seconds))

        self._behind += 1
        self._bytes += size
        shadow.ask(inputs, answered)


def _allowed(allowance: Allowance, batch: Sequence[PredictRequest], given: Rows) -> tuple[list[PredictRequest], Rows]:
    """The requests of a batch that a shadow is asked as well, with their rows; those that only search are no answers."""
    chosen, places, at, searches = list[PredictRequest](), list[int](), 0, searching(given)
    for asked in batch:
        rows = range(at, at + asked.count)
        at += asked.count
        if not all(searches[row] for row in rows) and allowance.takes(asked.stamp[0], rows.start):
            chosen.append(asked)
            places += rows
    return chosen, given if len(places) == len(given) else given.take(places)
