"""Micro-batches: the rows of all requests that are waiting go through the model together, then into the log, then out.

The event loop scores; one writer thread appends and syncs. While it syncs one batch, the next ones gather behind it and
share the following sync (group commit), so that durability costs latency, not throughput.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import Clock, Stopwatch, since_epoch
from noria.core.errors import NoriaError
from noria.core.ids import PredictionIds
from noria.serving.log import LogFailed, PredictionLog, Predictions
from noria.serving.protocols import Asked

logger = logging.getLogger("noria.serving")


class Scores(Protocol):
    """A model, as the batcher needs it."""

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Answered:
    """The answer to one request: a prediction and an id per row."""

    predictions: NDArray[np.float64]
    ids: list[str]


Deliver = Callable[[Answered | NoriaError], None]


@dataclass(frozen=True)
class _Waiting:
    asked: Asked
    deliver: Deliver
    received_us: int
    watch: Stopwatch


@dataclass
class Counts:
    """What the batcher has done; `answered` and `logged` count rows and must agree when nothing is under way."""

    requests: int = 0
    answered: int = 0
    logged: int = 0
    failed: int = 0
    batches: int = 0


class Batcher:
    """Joins requests for one bundle. Used from one event loop; `stop` waits for what is under way."""

    def __init__(
        self, model: Scores, bundle: str, log: PredictionLog, ids: PredictionIds, clock: Clock, *, durable: bool, most_rows: int
    ) -> None:
        self._model, self._bundle, self._log, self._ids, self._clock = model, bundle, log, ids, clock
        self._durable, self._most_rows = durable, most_rows
        self._gathered: list[_Waiting] = []
        self._scheduled = False
        self._loop = asyncio.get_running_loop()
        self._to_write: queue.SimpleQueue[tuple[list[_Waiting], Predictions] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="prediction-log", daemon=True)
        self._writer.start()
        self.counts = Counts()
        self.failed: LogFailed | None = None

    def ask(self, asked: Asked, deliver: Deliver) -> None:
        """Have a request answered; `deliver` is called once, on the event loop."""
        self.counts.requests += 1
        if self.failed is not None:
            deliver(self.failed)
            return
        self._gathered.append(_Waiting(asked, deliver, since_epoch(self._clock.now()), Stopwatch()))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._score)

    async def stop(self) -> None:
        """Write what is under way, then end the writer."""
        while self._gathered:
            await asyncio.sleep(0)
        self._to_write.put(None)
        await asyncio.to_thread(self._writer.join)

    def _score(self) -> None:
        """Score what has gathered, at most `most_rows` rows at a time (a larger request goes alone)."""
        self._scheduled = False
        gathered, self._gathered = self._gathered, []
        batch: list[_Waiting] = []
        rows = 0
        for waiting in gathered:
            size = len(waiting.asked.features)
            if batch and rows + size > self._most_rows:
                self._score_batch(batch)
                batch, rows = [], 0
            batch.append(waiting)
            rows += size
        if batch:
            self._score_batch(batch)

    def _score_batch(self, batch: list[_Waiting]) -> None:
        features = np.concatenate([w.asked.features for w in batch]) if len(batch) > 1 else batch[0].asked.features
        predictions = self._model.predict(features)
        received = np.repeat([w.received_us for w in batch], [len(w.asked.features) for w in batch])
        rows = Predictions(
            ids=self._ids.take((received // 1000).tolist()),
            keys=[key for w in batch for key in w.asked.keys],
            variant=["champion"] * len(features),
            bundle=[self._bundle] * len(features),
            received_us=received,
            latency_us=np.repeat(np.array([int(w.watch.seconds * 1e6) for w in batch], np.int32), [len(w.asked.features) for w in batch]),
            features=features,
            prediction=predictions,
        )
        self.counts.batches += 1
        self._to_write.put((batch, rows))

    def _write(self) -> None:
        """The writer thread: append everything that waits, sync once, then let the answers go."""
        going_on = True
        while going_on:
            work = [self._to_write.get()]
            while not self._to_write.empty():
                work.append(self._to_write.get())
            batches = [item for item in work if item is not None]
            going_on = len(batches) == len(work)
            try:
                for _, rows in batches:
                    self._log.append(rows)
                if self._durable and batches:
                    self._log.sync()
            except LogFailed as error:
                logger.error("%s", error)
                self._loop.call_soon_threadsafe(self._fail, batches, error)
            else:
                self._loop.call_soon_threadsafe(self._deliver, batches)

    def _deliver(self, batches: list[tuple[list[_Waiting], Predictions]]) -> None:
        for batch, rows in batches:
            self.counts.logged += len(rows)
            at = 0
            for waiting in batch:
                end = at + len(waiting.asked.features)
                self.counts.answered += end - at
                waiting.deliver(Answered(rows.prediction[at:end], rows.ids[at:end]))
                at = end

    def _fail(self, batches: list[tuple[list[_Waiting], Predictions]], error: LogFailed) -> None:
        self.failed = error
        for batch, rows in batches:
            self.counts.failed += len(rows)
            for waiting in batch:
                waiting.deliver(error)
