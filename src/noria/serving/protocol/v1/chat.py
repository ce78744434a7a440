"""Chat completions (https://platform.openai.com/docs/api-reference/chat): a conversation as a model's row, and answers in OpenAI's form.

The last message is the question, those before it are the conversation. It is spoken for models of the task `generation`, and for those that
answer one text with one text. What a model reads beside these comes from the request: parameters that are called like one of its inputs,
such as `temperature`, and the extension `noria`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from noria.core.ids import short
from noria.core.signature import Field, Signature
from noria.models.bundle import Bundle
from noria.serving.generated import (
    ACCESS,
    ANSWER,
    CITED,
    CONDITIONS,
    CONVERSATION,
    FOUND,
    FOUND_PLACES,
    FOUND_SCORES,
    FOUND_TEXTS,
    MODE,
    OPTIONS,
    QUESTION,
    finish_reason,
    usage_of,
)
from noria.serving.protocol.generate import is_text
from noria.serving.protocol.request import PredictRequest
from noria.serving.protocol.v1.errors import NotForThisModel, UnsupportedParameter, not_a_request

MAX_HEAT, MAX_STOPS = 2, 4  # as OpenAI has them
EXAMPLE = '{"model": "…", "messages": [{"role": "user", "content": "…"}]}'
ROLES = ("system", "developer", "user", "assistant")
# What is refused, since an answer without it would not be what was asked for, and the value that asks for nothing.
REFUSED: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "audio": (),
    "modalities": (["text"],),
    "web_search_options": (),
    "response_format": ({"type": "text"},),
}
# What is taken and changes nothing, unless the model has an input of that name.
TAKEN = (
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "presence_penalty", "frequency_penalty", "logit_bias",
    "reasoning_effort", "verbosity", "parallel_tool_calls", "prediction", "service_tier", "store", "metadata", "user", "safety_identifier",
    "prompt_cache_key", "prompt_cache_retention",
)  # fmt: skip


class Extension(msgspec.Struct, forbid_unknown_fields=True):
    """What Noria reads beside OpenAI's parameters. access: to read less than one may; key: by which an outcome is joined"""

    conditions: dict[str, Any] | None = None
    access: list[str] | None = None
    mode: str | None = None
    key: str | None = None


class _Part(msgspec.Struct):
    type: str
    text: str = ""


class Message(msgspec.Struct):
    """One message of a conversation."""

    role: str
    content: str | list[_Part] | None = None
    name: str | None = None
    tool_calls: list[Any] | None = None
    refusal: str | None = None

    @property
    def text(self) -> str:
        """What it says. Raises `UnsupportedParameter` for what is no text."""
        if self.tool_calls or self.role not in ROLES:
            what = f"a message has the role {self.role!r}" if self.role not in ROLES else "a message calls tools"
            raise UnsupportedParameter("messages", what, f"send messages of the roles {', '.join(ROLES)}, without tool calls")
        if not isinstance(self.content, list):
            return self.content or ""
        for part in self.content:
            if part.type not in ("text", "refusal"):
                raise UnsupportedParameter("messages", f"a message has a part of the type {part.type!r}", "send parts of the type text")
        return "\n".join(part.text for part in self.content)


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False
    include_obfuscation: bool | None = None


_given = [(name, Any, None) for name in (*REFUSED, *TAKEN)]
ChatRequest = msgspec.defstruct(
    "ChatRequest",
    [
        ("model", str),
        ("messages", list[Message]),
        ("stream", bool | None, None),
        ("stream_options", _StreamOptions | None, None),
        ("noria", Extension | None, None),
        *_given,
    ],
    forbid_unknown_fields=True,
    namespace={"__doc__": "A request for a completion, as it came."},
)
_decode = msgspec.json.Decoder(ChatRequest).decode


def decoded(body: bytes | memoryview) -> Any:
    """A request. Raises `BadRequest`."""
    try:
        asked = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_a_request(error, EXAMPLE, ChatRequest.__struct_fields__) from error
    for name, harmless in REFUSED.items():
        value = getattr(asked, name)
        if value is not None and not any(type(value) is type(each) and value == each for each in harmless):
            raise UnsupportedParameter(name, f"{name} is not supported", "leave it out")
    return asked


def question_of(signature: Signature) -> str | None:
    """The input that the last message is; None for a model that can't be chatted with."""
    texts = [field.name for field in signature.inputs if is_text(field)]
    if not is_text(signature.outputs[0]):
        return None
    if QUESTION in texts:
        return QUESTION
    return texts[0] if len(texts) == 1 and len(signature.outputs) == 1 else None


def require_chat(endpoint: str, signature: Signature) -> str:
    """The input that the last message is. Raises `NotForThisModel`."""
    found = question_of(signature)
    if found is None:
        has = ", ".join(field.described for field in (*signature.inputs, *signature.outputs))
        raise NotForThisModel(endpoint, "/v1/chat/completions", "a question and answer with a text first", has)
    return found


def row_of(asked: Any, signature: Signature, question: str) -> PredictRequest:
    """A request as one row of a model's inputs. Raises `BadRequest`."""
    if not asked.messages:
        raise UnsupportedParameter("messages", "there are no messages", f"send {EXAMPLE}")
    *earlier, last = asked.messages
    if last.role != "user":
        raise UnsupportedParameter("messages", f"the last message has the role {last.role!r}", "end with a message of the role user")
    if not last.text.strip():
        raise UnsupportedParameter("messages", "the last message is empty", "send a question")
    extension = asked.noria or Extension()
    known: dict[str, Any] = {question: last.text, ACCESS: extension.access, MODE: extension.mode}
    if extension.conditions is not None:
        known[CONDITIONS] = msgspec.json.encode(extension.conditions).decode()
    if earlier:
        told = [{"role": each.role, "content": each.text} for each in earlier]
        known[CONVERSATION] = msgspec.json.encode(told).decode()
    names = signature.names
    if OPTIONS in names:
        known[OPTIONS] = _options(asked)
    for name, given in ((CONVERSATION, bool(earlier)), (CONDITIONS, extension.conditions), (MODE, extension.mode)):
        if given and name not in names:
            param = "messages" if name == CONVERSATION else "noria"
            reads = "one message, and no conversation" if name == CONVERSATION else f"no {name}"
            raise UnsupportedParameter(param, f"the model reads {reads}", "leave it out: its inputs are " + ", ".join(names))
    row = tuple(_value(field, known, asked) for field in signature.inputs)
    found = PredictRequest([row], [extension.key] if extension.key else None)
    found.unit = str(asked.safety_identifier or asked.user or asked.messages[0].text)  # a conversation goes on where it began
    return found


def _options(asked: Any) -> str | None:
    """How the answer is to be written, as an application reads it. Raises `UnsupportedParameter` for values that can't be."""
    most = asked.max_tokens if asked.max_completion_tokens is None else asked.max_completion_tokens
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop
    wanted = {
        "max_tokens": (most, "a whole number of 1 or more", isinstance(most, int) and not isinstance(most, bool) and most >= 1),
        "temperature": (asked.temperature, "a number from 0 to 2", _is_number(asked.temperature) and 0 <= asked.temperature <= MAX_HEAT),
        "stop": (stop, "a text, or four at most", isinstance(stop, list) and len(stop) <= MAX_STOPS and all(type(s) is str for s in stop)),
        "seed": (asked.seed, "a whole number", isinstance(asked.seed, int) and not isinstance(asked.seed, bool)),
    }
    for name, (value, what, fits) in wanted.items():
        if value is not None and not fits:
            raise UnsupportedParameter(name, f"{name} is no value that it can have", f"give {what}, or leave it out")
    given = {name: value for name, (value, _, _) in wanted.items() if value is not None}
    return msgspec.json.encode(given).decode() if given else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(field: Field, known: dict[str, Any], asked: Any) -> Any:
    if field.name in known:
        return known[field.name]
    return getattr(asked, field.name) if field.name in TAKEN else None


# --- answers ---------------------------------------------------------------------------------------------------------------


class Answered(msgspec.Struct):
    """One answer: who gave it, what it says, and its id."""

    model: str
    bundle: Bundle
    prediction: Any
    id: str
    created: int
    fallback: str | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The outputs, by name."""
        outputs = self.bundle.signature.outputs
        return self.prediction if len(outputs) > 1 else {outputs[0].name: self.prediction}

    @property
    def text(self) -> str:
        return str(self.values[self.bundle.signature.outputs[0].name] or "")

    def extension(self, sent: str | None = None) -> dict[str, Any]:
        """What Noria says beside OpenAI's fields. sent: what was sent in parts; the logged text is told where it is another"""
        values = self.values
        told: dict[str, Any] = {"prediction_id": self.id, "bundle": self.bundle.id}
        told |= {name: values[name] for name in (CITED, "confidence", "similarity", "finish", "cost", "decisions") if name in values}
        if FOUND in values:
            told[FOUND] = found_of(values)
        if self.fallback is not None:
            told["fallback"] = self.fallback
        if sent is not None and sent != self.text:
            told[ANSWER] = self.text
        return told


def found_of(values: dict[str, Any], count: int | None = None) -> list[dict[str, Any]]:
    """The chunks that were found, each with its text, place and score where these are known."""
    names = {"id": FOUND, "text": FOUND_TEXTS, "place": FOUND_PLACES, "score": FOUND_SCORES}
    columns = {key: values[name] for key, name in names.items() if values.get(name) is not None}
    if "score" in columns:
        columns["score"] = [None if each is None else float(f"{each:.7g}") for each in columns["score"]]  # the digits that a float32 has
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=False)]
    return rows if count is None else rows[:count]


def completion(answered: Answered) -> bytes:
    """A whole answer."""
    message = {"role": "assistant", "content": answered.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(answered.values)}
    told = {**_head("chat.completion", answered.model, answered.id, answered.created, answered.bundle), "choices": [choice]}
    usage = usage_of(answered.values)
    return msgspec.json.encode({**told, **({} if usage is None else {"usage": usage}), "noria": answered.extension()})


class Chunks:
    """The events of one answer in parts. with_usage: whether what it took is asked for"""

    def __init__(self, model: str, created: int, *, with_usage: bool) -> None:
        self._model, self._created, self._with_usage = model, created, with_usage
        self._begun, self._sent = False, list[str]()

    def part(self, bundle: Bundle, identifier: str, text: str) -> bytes:
        """The next part; the first also says who speaks."""
        delta = {"content": text} if self._begun else {"role": "assistant", "content": text}
        self._begun = True
        self._sent.append(text)
        return self._chunk(bundle, identifier, [_choice(delta, None)])

    def last(self, answered: Answered) -> Sequence[bytes]:
        """What ends it: a text that was not sent in parts, the reason, what it took, and the end."""
        found = [] if self._sent or not answered.text else [self.part(answered.bundle, answered.id, answered.text)]
        end = _choice({} if self._begun else {"role": "assistant", "content": ""}, finish_reason(answered.values))
        more = {"noria": answered.extension("".join(self._sent))}
        found.append(self._chunk(answered.bundle, answered.id, [end], more))
        if self._with_usage:
            found.append(self._chunk(answered.bundle, answered.id, [], {"usage": usage_of(answered.values)}))
        return [*found, b"[DONE]"]

    def _chunk(self, bundle: Bundle, identifier: str, choices: Sequence[Any], more: dict[str, Any] | None = None) -> bytes:
        told = _head("chat.completion.chunk", self._model, identifier, self._created, bundle)
        return msgspec.json.encode({**told, "choices": choices, **({"usage": None} if self._with_usage else {}), **(more or {})})


def _choice(delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


def _head(kind: str, model: str, identifier: str, created: int, bundle: Bundle) -> dict[str, Any]:
    return {"id": identifier, "object": kind, "created": created, "model": model, "system_fingerprint": short(bundle.id)}
