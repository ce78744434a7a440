"""Answers that are of use for so long only."""

from __future__ import annotations

from typing import Any

from noria.core.clock import Stopwatch
from noria.models.bundle import Bundle
from noria.serving.batching.request_queue import RequestOptions, TooLate
from noria.serving.protocol.request import Responder


def in_time(client: Responder, terms: RequestOptions) -> Responder:
    """The client; an answer to it that comes after its deadline is none."""
    return client if terms.timeout_seconds is None else _HurriedClient(client, terms.timeout_seconds)


class _HurriedClient:
    def __init__(self, client: Responder, seconds: float) -> None:
        self._client, self._seconds, self._watch = client, seconds, Stopwatch()
        self.fail, self.gone = client.fail, client.gone

    def answered(self, bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None) -> None:
        if self._watch.seconds > self._seconds:
            self.fail(TooLate())
        else:
            self._client.answered(bundle, predictions, ids, fallback)
