"""Errors that a model raises for its asker: who asks is told them as they are, with their code and their status.

What else a model raises is a failure of the model (NR-304). Errors of Noria that say "not now", "not you" or "not so" are none: a budget
that is spent, a provider that limits how often it is asked, a time-out, a search that can't be. Those that name the machines behind an
application have other words for who asks (`for_asker`), and their own stand in the log.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from noria.core.errors import NoriaError, UserMistake
from noria.models.runtimes.messages import Refusal, StreamEnded
from noria.models.runtimes.one_answer import TooLong
from noria.models.runtimes.port import ModelFailed

SERVERS = 500  # from which a status says that it is no fault of who asks
TOLD = (403, 422, 429, 502, 503, 504)  # the statuses of such errors


class ModelRefused(ModelFailed):
    """A model does not answer this request now, and says why; `code` and `http_status` are those of the error that it raised."""

    code = "NR-565"
    http_status = 503

    def __init__(self, refusal: Refusal) -> None:
        self.code, self.http_status, self.retry_after, self.mistake = refusal.code, refusal.status, refusal.retry_after, refusal.mistake
        super(ModelFailed, self).__init__(what=refusal.what, where=refusal.where, fix=refusal.fix)


def refusal_of(error: BaseException) -> Refusal | None:
    """What who asks is to be told of an error; None where it is a failure of the model."""
    if not isinstance(error, NoriaError) or error.http_status not in TOLD:
        return None
    told = error.to_dict() | getattr(error, "for_asker", {})
    if told != error.to_dict():
        print(f"{error.code}: {error}", file=sys.stderr, flush=True)
    mistake = isinstance(error, UserMistake) and error.http_status < SERVERS
    return Refusal(error.code, told["what"], told["where"], told["fix"], error.http_status, error.retry_after, mistake)


def failed_stream(number: int, error: Exception, described: Callable[[BaseException], str]) -> StreamEnded:
    """How a stream ends that raises an error. described: says one of the model's in a line, and prints it"""
    if isinstance(error, TooLong):
        return StreamEnded(number, str(error), too_long=True)
    refusal = refusal_of(error)
    return StreamEnded(number, described(error) if refusal is None else refusal.what, refusal=refusal)
