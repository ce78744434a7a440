"""What a trace says of a generated answer, by OpenTelemetry's conventions for generative AI
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/), and by OpenInference's for what was found
(https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md), which tools for such applications read.

Texts (the question, the conversation, the answer, what was found) are left out unless `serving.trace_contents` allows them: they may hold
personal data, and traces go elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from noria.models.bundle import Bundle
from noria.serving.generated import (
    ANSWER,
    COMPLETION_TOKENS,
    CONVERSATION,
    COST,
    FINISH,
    FOUND,
    MODE,
    PROMPT_TOKENS,
    QUESTION,
    SEARCH,
    TENANT,
    finish_reason,
)
from noria.serving.protocol.v1.chat import found_of

PROVIDER = "noria"


@dataclass(frozen=True)
class GeneratedSpans:
    """name, attributes: of the request's span; retrieval: the attributes of one for what was found, None where nothing says what was"""

    name: str
    attributes: Mapping[str, Any]
    retrieval_name: str
    retrieval: Mapping[str, Any] | None


def spans_of(
    endpoint: str, bundle: Bundle, identifier: str, asked: Mapping[str, Any], said: Mapping[str, Any], *, contents: bool
) -> GeneratedSpans:
    """What to say of one answer. asked, said: the row and the answer, by name; contents: whether texts may be told"""
    operation = "retrieval" if asked.get(MODE) == SEARCH else "chat"
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": endpoint,
        "gen_ai.response.model": bundle.manifest.name,
        "gen_ai.response.id": identifier,
        "openinference.span.kind": "RETRIEVER" if operation == "retrieval" else "CHAIN",
        "llm.model_name": bundle.manifest.name,
    }
    if FINISH in said:
        attributes |= {"gen_ai.response.finish_reasons": [finish_reason(said)], "noria.finish": said[FINISH]}
    known = {
        "gen_ai.usage.input_tokens": said.get(PROMPT_TOKENS),
        "gen_ai.usage.output_tokens": said.get(COMPLETION_TOKENS),
        "llm.token_count.prompt": said.get(PROMPT_TOKENS),
        "llm.token_count.completion": said.get(COMPLETION_TOKENS),
        "llm.cost.total": said.get(COST),
    }
    attributes |= {name: value for name, value in known.items() if value is not None}
    if asked.get(TENANT):
        attributes["noria.tenant"] = asked[TENANT]
    if contents:
        attributes |= _contents(asked, str(said.get(ANSWER) or ""), finish_reason(said))
    retrieval = _retrieval(endpoint, asked, said, contents=contents) if FOUND in said else None
    return GeneratedSpans(f"{operation} {endpoint}", attributes, f"retrieval {endpoint}", retrieval)


def _contents(asked: Mapping[str, Any], answer: str, reason: str) -> dict[str, Any]:
    question = str(asked.get(QUESTION) or "")
    try:
        earlier = msgspec.json.decode(asked.get(CONVERSATION) or "[]", type=list[dict[str, Any]])
    except msgspec.DecodeError:
        earlier = []
    spoken = [*((str(each.get("role")), str(each.get("content"))) for each in earlier), ("user", question)]
    messages = [{"role": role, "parts": [{"type": "text", "content": text}]} for role, text in spoken]
    said = [{"role": "assistant", "parts": [{"type": "text", "content": answer}], "finish_reason": reason}]
    return {
        "gen_ai.input.messages": msgspec.json.encode(messages).decode(),
        "gen_ai.output.messages": msgspec.json.encode(said).decode(),
        "input.value": question,
        "output.value": answer,
    }


def _retrieval(endpoint: str, asked: Mapping[str, Any], said: Mapping[str, Any], *, contents: bool) -> dict[str, Any]:
    found = found_of(dict(said))
    scores = [{"id": each["id"], **({"score": each["score"]} if each.get("score") is not None else {})} for each in found]
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.data_source.id": endpoint,
        "gen_ai.retrieval.documents": msgspec.json.encode(scores).decode(),
        "openinference.span.kind": "RETRIEVER",
    }
    for place, each in enumerate(found):
        document = f"retrieval.documents.{place}.document"
        attributes[f"{document}.id"] = each["id"]
        if each.get("score") is not None:
            attributes[f"{document}.score"] = each["score"]
        if each.get("place") is not None:
            attributes[f"{document}.metadata"] = msgspec.json.encode({"place": each["place"]}).decode()
        if contents and each.get("text") is not None:
            attributes[f"{document}.content"] = each["text"]
    if contents:
        attributes |= {"gen_ai.retrieval.query.text": str(asked.get(QUESTION) or ""), "input.value": str(asked.get(QUESTION) or "")}
    return attributes
