"""The chat completions protocol as servers speak it: what is sent, and what comes back, whole and in parts.

What a server leaves out or says wrongly of an answer's usage, name or end is left out; what it says wrongly of its text is `Garbage`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import msgspec

from noria.llm.generation.port import Finish, Options, Usage
from noria.llm.generation.prompt import Message

FINISHES: dict[str, Finish] = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "filtered",
    "tool_calls": "tools",
    "function_call": "tools",
}


NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what its decoder raises
ALIVE = ("reasoning_content", "reasoning", "tool_calls", "function_call")


class Garbage(ValueError):
    """What a server sent is not the protocol."""


class ServerError(Exception):
    """An error that a server sent in place of an answer, or within it. status: HTTP's; headers: by their names in small letters"""

    def __init__(self, said: Said, status: int, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.said, self.status, self.headers = said, status, headers
        super().__init__(said.message)


class Said(NamedTuple):
    """What a server says of an error."""

    message: str
    code: str = ""


class Piece(NamedTuple):
    """A part of an answer. alive: the model writes, though it may be nothing that is handed out (its reasoning, or calls of tools)"""

    text: str = ""
    alive: bool = False


@dataclass
class Answer:
    """What is known of an answer that is coming. ended: the server said that it is whole"""

    model: str = ""
    id: str = ""
    usage: Usage | None = None
    finish: Finish | None = None
    refused: bool = False
    ended: bool = False
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def add(self, data: bytes) -> Piece:
        """What one event, or a whole body, says. Raises `Garbage`, `ServerError`."""
        value = _object(data)
        if value.get("error"):
            raise ServerError(said(value), _status(value))
        self.model = _text(value.get("model")) or self.model
        self.id = _text(value.get("id")) or self.id
        self.usage = usage_of(value.get("usage")) or self.usage
        choices = value.get("choices")
        if not isinstance(choices, list):
            raise Garbage("it has no choices")
        choice = next((each for each in choices if isinstance(each, dict) and each.get("index", 0) == 0), None)
        if choice is None:
            return Piece()  # the usage comes by itself, and so do the first words of some hosts
        return self._choice(choice)

    def _choice(self, choice: Mapping[str, Any]) -> Piece:
        told = choice.get("delta") or choice.get("message") or {}
        if not isinstance(told, dict):
            raise Garbage("its message is no object")
        text, refusal = told.get("content"), told.get("refusal")
        if isinstance(text, list):  # parts with types, as some servers have them
            text = "".join(part["text"] for part in text if isinstance(part, dict) and isinstance(part.get("text"), str))
        if text is not None and not isinstance(text, str):
            raise Garbage("its content is no text")
        if isinstance(refusal, str) and refusal:
            text, self.refused = (text or "") + refusal, True
        if text:
            self.parts.append(text)
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish:
            self.finish = "filtered" if self.refused else FINISHES.get(finish, "stop")
        return Piece(text or "", bool(text) or any(told.get(name) for name in ALIVE))


def body(model: str, messages: Sequence[Message], options: Options, form: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent. form: how this server wants it: limit, schema_mode, without, extra, and whether in parts"""
    sent: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in messages],
        "temperature": options.temperature,
        form["limit"]: options.most_tokens,
    }
    if options.seed is not None:
        sent["seed"] = options.seed
    if options.stop:
        sent["stop"] = list(options.stop)
    if options.schema is not None and form["schema_mode"] == "json_schema":
        sent["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(options.schema)}}
    elif options.schema is not None and form["schema_mode"] == "json_object":
        sent["response_format"] = {"type": "json_object"}
    if form["stream"]:
        sent["stream"] = True
        sent["stream_options"] = {"include_usage": True}
    sent |= form["extra"]
    return {name: value for name, value in sent.items() if name not in form["without"]}


def usage_of(value: Any) -> Usage | None:
    """What a server says of an answer's tokens; None where it says nothing that can be true."""
    if not isinstance(value, dict):
        return None
    prompt, completion = _count(value.get("prompt_tokens")), _count(value.get("completion_tokens"))
    if prompt is None or completion is None or prompt + completion == 0:
        return None
    details = value.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    return Usage(prompt, completion, min(cached or 0, prompt))


def said(value: Any) -> Said:
    """What a server says of an error, in any of the ways that servers have."""
    error = value.get("error", value) if isinstance(value, dict) else value
    if not isinstance(error, dict):
        return Said(str(error)[:500])
    for name in ("message", "detail", "msg"):
        if error.get(name):
            return Said(str(error[name])[:500], f"{error.get('code') or ''} {error.get('type') or ''}".strip())
    return Said(str(error)[:500], f"{error.get('code') or ''} {error.get('type') or ''}".strip())


def error_in(data: bytes) -> Said:
    """The same of a body that may be no JSON."""
    try:
        return said(msgspec.json.decode(data))
    except NOT_JSON:
        return Said(" ".join(data[:300].decode("utf-8", "replace").split()))


def _status(value: Mapping[str, Any]) -> int:
    error = value["error"]
    code = error.get("code") if isinstance(error, dict) else None
    try:
        found = int(cast("str", code))
    except (TypeError, ValueError):
        return 500
    return found if 400 <= found < 600 else 500


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except NOT_JSON as error:
        raise Garbage(f"it is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Garbage("it is no JSON object")
    return value


def _text(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40 else None
