"""Feedback: whether an answer helped, as who read it says. Pure functions; no sockets here."""

from __future__ import annotations

import re

import msgspec

from noria.serving.protocol.request import BadRequest
from noria.serving.protocol.v1.errors import UnsupportedParameter, not_a_request

EXAMPLE = '{"prediction_id": "…", "helpful": true}'
MAX_COMMENT = 4_096  # characters
ID = re.compile(r"[0-9a-f]{12}-(?P<writer>\w[\w.\-]*)-[0-9a-f]{8}")


class UnknownPrediction(BadRequest):
    """Feedback is given on a prediction that is in no log of this server."""

    code = "NR-863"
    http_status = 404

    def __init__(self, prediction_id: str) -> None:
        self.param = "prediction_id"
        super().__init__(
            what=f"there is no prediction {prediction_id[:80]!r}",
            where="the prediction logs of this server's endpoints",
            fix="send the id of an answer as it was given; what the log's sampling left out, or retention removed, takes no feedback",
        )


class Feedback(msgspec.Struct, forbid_unknown_fields=True):
    """What is said of one answer. helpful: yes or no, or a number from 0 to 1; model: its endpoint, where that is known"""

    prediction_id: str
    helpful: bool | float
    comment: str | None = None
    model: str | None = None

    @property
    def rating(self) -> float:
        return float(self.helpful)


_decode = msgspec.json.Decoder(Feedback).decode


def decoded(body: bytes | memoryview) -> Feedback:
    """Feedback, as it came. Raises `BadRequest`."""
    try:
        given = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_a_request(error, EXAMPLE, Feedback.__struct_fields__) from error
    if not 0 <= given.rating <= 1:
        raise UnsupportedParameter("helpful", f"helpful is {given.helpful}", "send true, false or a number from 0 to 1")
    if given.comment is not None and len(given.comment) > MAX_COMMENT:
        raise UnsupportedParameter("comment", f"the comment has {len(given.comment):,} characters", f"send at most {MAX_COMMENT:,}")
    return given


def writer_of(prediction_id: str) -> str:
    """The writer in whose log a prediction is. Raises `UnknownPrediction` for what is no id."""
    found = ID.fullmatch(prediction_id)
    if found is None:
        raise UnknownPrediction(prediction_id)
    return found["writer"]
