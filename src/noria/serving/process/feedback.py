"""Takes feedback on answers: finds the answer in the logs of the endpoints, and stores what is said of it beside the log it is in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from noria.core.clock import Clock
from noria.core.errors import NoriaError
from noria.core.files import Files
from noria.serving.log.feedback import FeedbackLog, Logged, find_answer
from noria.serving.protocol.v1.feedback import Feedback, UnknownPrediction, writer_of
from noria.serving.transport.http1 import bug

logger = logging.getLogger("noria.serving")

Then = Callable[[dict[str, Any] | NoriaError], None]
AT_ONCE = 2  # that are looked for in the logs, so that threads are left for what predictions need


class FeedbackTaker:
    """Of one worker. comments: whether texts that people write are kept"""

    def __init__(self, writer: str, files: Files, clock: Clock, *, durable: bool, comments: bool) -> None:
        self._writer, self._files, self._clock, self._durable, self._comments = writer, files, clock, durable, comments
        self._logs: dict[str, FeedbackLog] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    @property
    def idle(self) -> bool:
        return not self._waiting

    async def take(self, given: Feedback, logs: Mapping[str, Path], then: Then) -> None:
        """Store feedback. logs: the folders of the endpoints' logs that the answer may be in"""
        self._waiting += 1
        try:
            async with self._turn:
                found: dict[str, Any] | NoriaError = await asyncio.to_thread(self._store, given, logs)
        except NoriaError as error:
            found = error
        except Exception as error:  # told to who waits, who must not wait for ever
            logger.exception("error while storing feedback")
            found = bug(error)
        finally:
            self._waiting -= 1
        then(found)

    def _store(self, given: Feedback, logs: Mapping[str, Path]) -> dict[str, Any]:
        endpoint, answer = self._found(given.prediction_id, logs)
        comment = given.comment if self._comments else None
        self._log(endpoint, logs[endpoint]).add(answer, given.rating, comment)
        told = {"prediction_id": answer.id, "model": endpoint, "helpful": given.rating, "stored": True}
        return told if given.comment is None else {**told, "comment_stored": comment is not None}

    def _found(self, prediction_id: str, logs: Mapping[str, Path]) -> tuple[str, Logged]:
        """The endpoint that gave an answer, and the answer. Raises `UnknownPrediction`."""
        writer = writer_of(prediction_id)
        for endpoint, log in logs.items():
            answer = find_answer(log, writer, prediction_id, self._files)
            if answer is not None:
                return endpoint, answer
        raise UnknownPrediction(prediction_id)

    def _log(self, endpoint: str, folder: Path) -> FeedbackLog:
        found = self._logs.get(endpoint)
        if found is None:
            found = FeedbackLog(folder, endpoint, self._writer, self._files, self._clock, durable=self._durable)
            self._logs.setdefault(endpoint, found)
        return self._logs[endpoint]

    def close(self) -> None:
        for log in self._logs.values():
            log.close()
