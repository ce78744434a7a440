"""Errors that a model raises for its asker: who asks is told them as they are, with their code and their status.

What else a model raises is a failure of the model (NR-304). The errors of Noria that say "not now" or "not you" are none: a budget that is
spent, a provider that limits how often it is asked, a time-out.
"""

from __future__ import annotations

from collections.abc import Callable

from noria.core.errors import NoriaError, UserMistake
from noria.models.runtimes.messages import Refusal, StreamEnded
from noria.models.runtimes.one_answer import TooLong
from noria.models.runtimes.port import ModelFailed

TOLD = (403, 429, 503, 504)  # the statuses of such errors


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
    mistake = isinstance(error, UserMistake)
    return Refusal(error.code, error.what, error.where, error.fix, error.http_status, error.retry_after, mistake)


def failed_stream(number: int, error: Exception, described: Callable[[BaseException], str]) -> StreamEnded:
    """How a stream ends that raises an error. described: says one of the model's in a line, and prints it"""
    if isinstance(error, TooLong):
        return StreamEnded(number, str(error), too_long=True)
    refusal = refusal_of(error)
    return StreamEnded(number, described(error) if refusal is None else refusal.what, refusal=refusal)
