"""The `/v1` paths in the API's document: those that an endpoint of this server can answer, with an example for each that can."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from noria.core.signature import Signature
from noria.serving.generated import generates
from noria.serving.protocol import schemas
from noria.serving.protocol.examples import IDS, Described
from noria.serving.protocol.request import MAX_ROWS
from noria.serving.protocol.v1 import chat, embeddings, feedback, rerank, search
from noria.serving.protocol.v1.models import model

Json = dict[str, Any]
Fits = Callable[[Signature], bool]

TEXT: Json = {"type": "string"}
TEXTS: Json = {"type": "array", "items": TEXT}
OBJECT: Json = {"type": "object"}
EXAMPLES = "/docs/examples"
FEEDBACK_FILE = "feedback.json"


Path = tuple[str, Json, dict[str, Json], Json, bytes]


def paths(endpoints: Mapping[str, Described]) -> dict[str, Path]:
    """Path → summary, schema of the body, examples of bodies by name, schema of the answer and an example of it, where it can be asked."""
    found: dict[str, Path] = {}
    chatting = _bodies(endpoints, lambda signature: chat.question_of(signature) is not None, _chat_body)
    if chatting:
        parts = {f"{name}, in parts": {**body, "value": {**body["value"], "stream": True}} for name, body in chatting.items()}
        found["/v1/chat/completions"] = (
            "Chat completion",
            _chat_request(),
            {**chatting, **parts},
            _chat_answer(),
            _answered(endpoints, chatting, _chat_example),
        )
    if bodies := _bodies(endpoints, embeddings.embeds, _embeddings_body):
        found["/v1/embeddings"] = (
            "Embeddings of texts",
            _embeddings_request(),
            bodies,
            _list_answer("data"),
            _answered(endpoints, bodies, _embeddings_example),
        )
    if bodies := _bodies(endpoints, rerank.reranks, _rerank_body):
        for path in ("/v1/rerank", "/v2/rerank"):
            found[path] = (
                "Documents by their relevance to a query",
                _rerank_request(),
                bodies,
                _list_answer("results"),
                _answered(endpoints, bodies, _rerank_example),
            )
    if bodies := _bodies(endpoints, search.searches, _search_body):
        for path in ("/v1/search", "/search"):
            found[path] = (
                "Chunks for a question, without an answer",
                _search_request(),
                bodies,
                _list_answer("results"),
                _answered(endpoints, bodies, _search_example),
            )
    if newest := {name: told for name, told in endpoints.items() if generates(told.bundle)}:
        shown = {name: _feedback_example(name) for name in newest}
        found["/v1/feedback"] = (
            "Whether an answer helped",
            _feedback_request(),
            shown,
            _feedback_answer(),
            _answered(endpoints, shown, _feedback_told),
        )
    return found


def _feedback_example(name: str) -> Json:
    return {"summary": "on the newest answer, as a file", "externalValue": f"{EXAMPLES}/{quote(name, safe='')}/{FEEDBACK_FILE}"}


def _bodies(endpoints: Mapping[str, Described], fits: Fits, make: Callable[[str, Described], Json]) -> dict[str, Json]:
    """An example for each endpoint that fits, by its name."""
    fitting = {name: told for name, told in endpoints.items() if fits(told.bundle.signature)}
    return {name: {"summary": name, "value": make(name, told)} for name, told in fitting.items()}


def _chat_body(name: str, told: Described) -> Json:
    question = chat.question_of(told.bundle.signature)
    text = told.rows[0][question] if question else ""
    return {"model": name, "messages": [{"role": "user", "content": text or "Hello"}]}


def _embeddings_body(name: str, told: Described) -> Json:
    return {"model": name, "input": [next(iter(told.rows[0].values())) or ""]}


def _rerank_body(name: str, told: Described) -> Json:
    query, text = told.rows[0].values()
    return {"model": name, "query": query or "", "documents": [text or "", "another text"], "top_n": 1}


def _search_body(name: str, told: Described) -> Json:
    return {"model": name, "question": told.rows[0]["question"] or "", "count": 3}


# --- answers -----------------------------------------------------------------------------------------------------------------

Example = Callable[[str, Described], bytes]


def _answered(endpoints: Mapping[str, Described], bodies: Mapping[str, Json], make: Example) -> bytes:
    """What the first of the examples is answered with, by the sample."""
    name = next(iter(bodies))
    return make(name, endpoints[name])


def _chat_example(name: str, told: Described) -> bytes:
    return chat.completion(chat.Answered(name, told.bundle, told.predictions[0], told.ids[0], 0))


def _embeddings_example(name: str, told: Described) -> bytes:
    return embeddings.answer(name, told.bundle, told.predictions, told.ids, None)


def _rerank_example(name: str, told: Described) -> bytes:
    asked = rerank.decoded(msgspec.json.encode({**_rerank_body(name, told), "documents": [""]}))
    return rerank.answer(asked, told.bundle, told.predictions[:1], told.ids)


def _search_example(name: str, told: Described) -> bytes:
    return search.answer(name, told.bundle, told.predictions[0], told.ids[0], 3)


def _feedback_told(name: str, told: Described) -> bytes:
    return msgspec.json.encode({"prediction_id": told.ids[0], "model": name, "helpful": 1.0, "stored": True})


# --- schemas ---------------------------------------------------------------------------------------------------------------


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _chat_request() -> Json:
    part = schemas.an_object({"type": {"enum": ["text"]}, "text": TEXT}, ["type", "text"], more=True)
    content = {"anyOf": [TEXT, {"type": "array", "items": part, "minItems": 1}]}
    message = schemas.an_object({"role": {"enum": list(chat.ROLES)}, "content": content}, ["role", "content"])
    extension = schemas.an_object({"conditions": OBJECT, "access": TEXTS, "mode": TEXT, "key": TEXT})
    asked = {
        "model": TEXT,
        "messages": {"type": "array", "items": message, "minItems": 1, "description": "the last is the question, of the role user"},
        "stream": {"type": ["boolean", "null"]},
        "stream_options": _or_null(schemas.an_object({"include_usage": {"type": "boolean"}})),
        "noria": _or_null({**extension, "description": "conditions on documents, labels to read less by, and the key of the answer"}),
        **{name: {"description": "taken, and read by models with an input of this name"} for name in chat.TAKEN},
    }
    return schemas.an_object(asked, ["model", "messages"])


def _chat_answer() -> Json:
    message = schemas.an_object({"role": {"const": "assistant"}, "content": TEXT}, ["role", "content"], more=True)
    reason = {"enum": ["stop", "length", "content_filter"]}
    choice = schemas.an_object({"index": {"const": 0}, "message": message, "finish_reason": reason}, ["index", "message"], more=True)
    told = {
        "id": TEXT,
        "object": {"const": "chat.completion"},
        "created": {"type": "integer"},
        "model": TEXT,
        "choices": {"type": "array", "items": choice, "minItems": 1, "maxItems": 1},
        "usage": OBJECT,
        "noria": OBJECT,
    }
    return schemas.an_object(told, ["id", "object", "created", "model", "choices", "noria"], more=True)


def _embeddings_request() -> Json:
    texts = {"type": "array", "items": TEXT, "minItems": 1, "maxItems": MAX_ROWS}
    asked = {
        "model": TEXT,
        "input": {"anyOf": [TEXT, texts]},
        "encoding_format": {"enum": ["float", "base64", None]},
        "dimensions": {"type": ["integer", "null"], "description": "refused, unless it is what the model has"},
        "user": {"type": ["string", "null"]},
    }
    return schemas.an_object(asked, ["model", "input"])


def _rerank_request() -> Json:
    document = {"anyOf": [TEXT, schemas.an_object({"text": TEXT}, ["text"], more=True)]}
    asked = {
        "model": TEXT,
        "query": TEXT,
        "documents": {"type": "array", "items": document, "minItems": 1, "maxItems": MAX_ROWS},
        "top_n": {"type": ["integer", "null"], "minimum": 1},
        "return_documents": {"type": ["boolean", "null"]},
        "max_tokens_per_doc": {"type": ["integer", "null"]},
        "user": {"type": ["string", "null"]},
    }
    return schemas.an_object(asked, ["model", "query", "documents"])


def _search_request() -> Json:
    asked = {
        "question": TEXT,
        "count": {"type": ["integer", "null"], "minimum": 1, "maximum": search.MAX_COUNT},
        "conditions": _or_null(OBJECT),
        "access": _or_null(TEXTS),
        "model": {"type": ["string", "null"], "description": "needed where several endpoints can be searched"},
    }
    return schemas.an_object(asked, ["question"])


def _list_answer(name: str) -> Json:
    return schemas.an_object({name: {"type": "array", "items": OBJECT}, "model": TEXT}, [name, "model"], more=True)


def _feedback_request() -> Json:
    asked = {
        "prediction_id": {**TEXT, "example": IDS.format(0)},
        "helpful": {"anyOf": [{"type": "boolean"}, {"type": "number", "minimum": 0, "maximum": 1}]},
        "comment": {"type": ["string", "null"], "maxLength": feedback.MAX_COMMENT, "description": "kept only if the server is set to"},
        "model": {"type": ["string", "null"]},
    }
    return schemas.an_object(asked, ["prediction_id", "helpful"])


def _feedback_answer() -> Json:
    told = {
        "prediction_id": TEXT,
        "model": TEXT,
        "helpful": {"type": "number"},
        "stored": {"const": True},
        "comment_stored": {"type": "boolean"},
    }
    return schemas.an_object(told, ["prediction_id", "model", "helpful", "stored"])


def models_example(endpoints: Mapping[str, Described]) -> Json:
    """What the list of models holds."""
    return {"object": "list", "data": [model(name, 0) for name in endpoints]}


def error() -> Json:
    """An error in OpenAI's form."""
    told = {"message": TEXT, "type": TEXT, "param": {"type": ["string", "null"]}, "code": TEXT}
    return schemas.an_object({"error": schemas.an_object(told, list(told), more=True)}, ["error"])
