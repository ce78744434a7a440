"""The generate extension of the Open Inference Protocol: a text for a text
(https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/generate_rest.yaml). Pure functions; no sockets here.

It is spoken for models with one text among their inputs and one text as their output. Other inputs come from the request's parameters, by
name, and are unknown where it has none.
"""

from __future__ import annotations

from typing import Any

import msgspec

from noria.core.errors import nearest
from noria.core.signature import Field, Signature
from noria.data.rows import Fields
from noria.models.bundle import Bundle
from noria.serving.protocol.request import BadRequest, PredictRequest


class NoText(BadRequest):
    """A model that is not one of texts is asked to generate one."""

    code = "NR-563"

    def __init__(self, endpoint: str, signature: Signature) -> None:
        inputs, outputs = (", ".join(field.described for field in fields) for fields in (signature.inputs, signature.outputs))
        super().__init__(
            what=f"the model of endpoint {endpoint!r} does not answer a text with a text",
            where=f"it reads {inputs} and answers {outputs}",
            fix=f"use /predict/{endpoint} or /v2/models/{endpoint}/infer",
        )


class _Generate(msgspec.Struct):
    text_input: str
    parameters: dict[str, Any] = {}


class _Generated(msgspec.Struct, omit_defaults=True):
    text_output: str
    model_name: str
    model_version: str
    done: bool | None = None
    prediction_id: str | None = None
    fallback: str | None = None
    usage: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_Generate).decode


def is_text(field: Field) -> bool:
    """Whether a field is a single text."""
    return field.type == "string" and not field.shape


def texts_for_texts(signature: Signature) -> bool:
    """Whether a model answers one text with one text."""
    return [is_text(field) for field in signature.outputs] == [True] and sum(map(is_text, signature.inputs)) == 1


def require_texts(endpoint: str, signature: Signature) -> None:
    """Raises `NoText`."""
    if not texts_for_texts(signature):
        raise NoText(endpoint, signature)


def decoded(body: bytes | memoryview, fields: Fields) -> PredictRequest:
    """A request as a row of a model's inputs, one of which is a text. Raises `BadRequest`."""
    try:
        asked = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(
            what="the body is not a request to generate", where=str(error), fix='send {"text_input": "…", "parameters": {…}}'
        ) from error
    given = {name: value for name, value in asked.parameters.items() if name != "stream"}  # which the path says
    known = [field.name for field in fields if not is_text(field)]
    for name in given:
        if name not in known:
            raise BadRequest(
                what=f"the model has no parameter {name!r}{nearest(name, known)}",
                where="parameters",
                fix="leave it out" + (f"; parameters: {', '.join(known)}" if known else "; the model reads a text only"),
            )
    return PredictRequest([tuple(asked.text_input if is_text(field) else given.get(field.name) for field in fields)])


def generated(
    bundle: Bundle,
    text: str,
    *,
    done: bool | None = None,
    prediction_id: str | None = None,
    fallback: str | None = None,
    usage: dict[str, Any] | None = None,
) -> _Generated:
    """The extension's answer, or one event of several. done: whether it is the last"""
    return _Generated(text, bundle.manifest.name, bundle.id, done, prediction_id, fallback, usage)
