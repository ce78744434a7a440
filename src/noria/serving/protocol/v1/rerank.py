"""Reranking, in the form that Cohere (https://docs.cohere.com/reference/rerank), Jina and vLLM share: documents by relevance to a query."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from noria.core.signature import FLOATS, Signature
from noria.models.bundle import Bundle
from noria.serving.protocol.generate import is_text
from noria.serving.protocol.request import PredictRequest, check_rows
from noria.serving.protocol.v1.errors import NotForThisModel, UnsupportedParameter, not_a_request

EXAMPLE = '{"model": "…", "query": "…", "documents": ["…"]}'
QUERIES = ("query", "question")  # what the input of the query may be called; otherwise it is the first


class _Document(msgspec.Struct):
    text: str


class RerankRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A request to order documents, as it came."""

    model: str
    query: str
    documents: list[str | _Document]
    top_n: int | None = None
    return_documents: bool | None = None
    max_tokens_per_doc: int | None = None
    user: str | None = None

    @property
    def texts(self) -> list[str]:
        return [each if isinstance(each, str) else each.text for each in self.documents]


_decode = msgspec.json.Decoder(RerankRequest).decode


def decoded(body: bytes | memoryview) -> RerankRequest:
    """A request. Raises `BadRequest`."""
    try:
        asked = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_a_request(error, EXAMPLE, RerankRequest.__struct_fields__) from error
    check_rows(len(asked.documents))
    if asked.top_n is not None and asked.top_n < 1:
        raise UnsupportedParameter("top_n", f"top_n is {asked.top_n}", "send at least 1, or leave it out")
    return asked


def reranks(signature: Signature) -> bool:
    """Whether a model answers two texts with one number."""
    scores = [(field.type in FLOATS, field.shape) for field in signature.outputs]
    return [is_text(field) for field in signature.inputs] == [True, True] and scores == [(True, ())]


def rows_for(asked: RerankRequest, endpoint: str, signature: Signature) -> PredictRequest:
    """A request as a row for each document. Raises `NotForThisModel`."""
    if not reranks(signature):
        has = ", ".join(field.described for field in (*signature.inputs, *signature.outputs))
        raise NotForThisModel(endpoint, "/v1/rerank", "two texts and answer with one number", has)
    later = signature.names[1] in QUERIES and signature.names[0] not in QUERIES
    return PredictRequest([(text, asked.query) if later else (asked.query, text) for text in asked.texts])


def answer(asked: RerankRequest, bundle: Bundle, predictions: Sequence[float], ids: Sequence[str]) -> bytes:
    """The documents' places, the most relevant first; of equal scores, the first comes first."""
    order = sorted(range(len(predictions)), key=lambda place: -predictions[place])[: asked.top_n]
    texts = asked.texts
    results = [
        {
            "index": place,
            "relevance_score": predictions[place],
            **({"document": {"text": texts[place]}} if asked.return_documents else {}),
        }
        for place in order
    ]
    more = {"prediction_ids": list(ids), "bundle": bundle.id}
    return msgspec.json.encode({"id": ids[0], "object": "list", "model": asked.model, "results": results, "noria": more})
