"""Search: the chunks that a model of the task `generation` finds for a question, without an answer."""

from __future__ import annotations

from typing import Any

import msgspec

from noria.core.signature import Signature
from noria.models.bundle import Bundle
from noria.serving.generated import ACCESS, CONDITIONS, FOUND, MODE, QUESTION, SEARCH
from noria.serving.protocol.request import PredictRequest
from noria.serving.protocol.v1.chat import found_of
from noria.serving.protocol.v1.errors import NotForThisModel, UnsupportedParameter, not_a_request

EXAMPLE = '{"question": "…", "count": 5}'
MAX_COUNT = 1_000


class SearchRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A request for chunks, as it came. model: the endpoint, where there are several; count: at most so many; access: to read less"""

    question: str
    count: int | None = None
    conditions: dict[str, Any] | None = None
    access: list[str] | None = None
    model: str | None = None


_decode = msgspec.json.Decoder(SearchRequest).decode


def decoded(body: bytes | memoryview) -> SearchRequest:
    """A request. Raises `BadRequest`."""
    try:
        asked = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_a_request(error, EXAMPLE, SearchRequest.__struct_fields__) from error
    if asked.count is not None and not 1 <= asked.count <= MAX_COUNT:
        raise UnsupportedParameter("count", f"count is {asked.count}", f"send 1 to {MAX_COUNT:,}, or leave it out")
    return asked


def searches(signature: Signature) -> bool:
    """Whether a model can be asked for what it finds."""
    return {QUESTION, MODE} <= set(signature.names) and FOUND in {field.name for field in signature.outputs}


def row_of(asked: SearchRequest, endpoint: str, signature: Signature) -> PredictRequest:
    """A request as one row of a model's inputs. Raises `NotForThisModel` or `UnsupportedParameter`."""
    if not searches(signature):
        has = ", ".join(field.described for field in (*signature.inputs, *signature.outputs))
        raise NotForThisModel(endpoint, "/search", "a question and a mode, and answer with what they found", has)
    if asked.conditions is not None and CONDITIONS not in signature.names:
        raise UnsupportedParameter("conditions", "the model reads no conditions", "leave it out")
    conditions = None if asked.conditions is None else msgspec.json.encode(asked.conditions).decode()
    known = {QUESTION: asked.question, MODE: SEARCH, ACCESS: asked.access, CONDITIONS: conditions}
    return PredictRequest([tuple(known.get(name) for name in signature.names)])


def answer(model: str, bundle: Bundle, prediction: dict[str, Any], identifier: str, count: int | None) -> bytes:
    """The chunks, the most relevant first."""
    told = {"id": identifier, "model": model, "bundle": bundle.id, "results": found_of(prediction, count)}
    return msgspec.json.encode(told)
