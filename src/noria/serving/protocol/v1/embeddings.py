"""Embeddings (https://platform.openai.com/docs/api-reference/embeddings): texts as rows of a model that answers a text with a vector."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from noria.core.signature import FLOATS, Signature
from noria.models.bundle import Bundle
from noria.serving.generated import PROMPT_TOKENS
from noria.serving.protocol.generate import is_text
from noria.serving.protocol.request import PredictRequest, check_rows
from noria.serving.protocol.v1.errors import NotForThisModel, UnsupportedParameter, not_a_request

EXAMPLE = '{"model": "…", "input": ["…"]}'


class EmbeddingsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A request for embeddings, as it came."""

    model: str
    input: Any
    encoding_format: str | None = None
    dimensions: int | None = None
    user: str | None = None

    @property
    def texts(self) -> list[str]:
        """The texts that are asked for. Raises `UnsupportedParameter`."""
        texts = [self.input] if isinstance(self.input, str) else self.input
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise UnsupportedParameter("input", "input is not a text or a list of texts", "send texts: the model has tokens of its own")
        check_rows(len(texts))
        return texts


_decode = msgspec.json.Decoder(EmbeddingsRequest).decode


def decoded(body: bytes | memoryview) -> EmbeddingsRequest:
    """A request. Raises `BadRequest`."""
    try:
        asked = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_a_request(error, EXAMPLE, EmbeddingsRequest.__struct_fields__) from error
    if asked.encoding_format not in (None, "float", "base64"):
        raise UnsupportedParameter(
            "encoding_format", f"there is no encoding_format {asked.encoding_format!r}", "use float or base64, or leave it out"
        )
    return asked


def embeds(signature: Signature) -> bool:
    """Whether a model answers one text with one vector; it may also say how many tokens it read."""
    vector, *others = signature.outputs
    counted = [(field.name, field.type, field.shape) for field in others]
    one = [is_text(field) for field in signature.inputs] == [True]
    return one and len(vector.shape) == 1 and vector.type in FLOATS and counted in ([], [(PROMPT_TOKENS, "int64", ())])


def rows_for(asked: EmbeddingsRequest, endpoint: str, signature: Signature) -> PredictRequest:
    """A request as rows of a model's input. Raises `NotForThisModel` or `UnsupportedParameter`."""
    if not embeds(signature):
        has = ", ".join(field.described for field in (*signature.inputs, *signature.outputs))
        raise NotForThisModel(endpoint, "/v1/embeddings", "one text and answer with one vector", has)
    texts, size = asked.texts, signature.outputs[0].shape[0]
    if asked.dimensions is not None and asked.dimensions != size:
        raise UnsupportedParameter(
            "dimensions",
            f"the model's embeddings have {size or 'their own number of'} dimensions, and can't be cut to {asked.dimensions}",
            "leave it out: only embeddings that were trained for it may be cut",
        )
    return PredictRequest([(text,) for text in texts])


def answer(model: str, bundle: Bundle, predictions: Sequence[Any], ids: Sequence[str], encoding: str | None) -> bytes:
    """The embeddings in the order of the texts. encoding: `base64` of little-endian float32, or a list of numbers"""
    outputs = bundle.signature.outputs
    vectors = predictions if len(outputs) == 1 else [each[outputs[0].name] for each in predictions]
    tokens = 0 if len(outputs) == 1 else sum(each[PROMPT_TOKENS] or 0 for each in predictions)
    told = [_encoded(outputs[0].labels, each, encoding) for each in vectors]
    data = [{"object": "embedding", "index": i, "embedding": each} for i, each in enumerate(told)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    more = {"prediction_ids": list(ids), "bundle": bundle.id}
    return msgspec.json.encode({"object": "list", "data": data, "model": model, "usage": usage, "noria": more})


def _encoded(labels: Sequence[str], vector: Any, encoding: str | None) -> Any:
    numbers = list(vector.values()) if labels else vector
    return base64.b64encode(np.asarray(numbers, "<f4").tobytes()).decode() if encoding == "base64" else numbers
