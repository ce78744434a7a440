"""What an answer that is none means: HTTP's status, and what the server says in words, as one of our errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from noria.llm.generation.failures import (
    AnswerTimedOut,
    BadKey,
    BadRequest,
    ContextTooLong,
    NoAnswer,
    NoSuchModel,
    NotAnswered,
    TooManyRequests,
)
from noria.llm.generation.retries import told_to_wait
from noria.llm.generation.wire import Said

if TYPE_CHECKING:
    from noria.llm.generation.pace import Pace

# As OpenAI, vLLM, llama.cpp, TensorRT-LLM, TGI and the usual gateways say it
TOO_LONG = re.compile(
    r"context.{0,3}(length|window|size)|maximum context|max_model_len|(prompt|input|message)s? (is|are|was|were)? ?too long|"
    r"too many (input |prompt )?tokens|exceeds? the (available|maximum|model)|inputs? tokens? ?\+",
    re.IGNORECASE,
)
NO_MODEL = re.compile(
    r"model.{0,120}(not found|does ?n[o']t exist|not exist|no such|unknown|not available)|(unknown|no such) model", re.IGNORECASE
)


@dataclass(frozen=True)
class ModelServer:
    """A server that is asked, and as whom.

    key_env: where the key is, None: there is none; given: whether a key was sent; secrets: what no error may show
    """

    provider: str
    model: str
    key_env: str | None
    given: bool
    secrets: tuple[str, ...] = ()

    def without_secrets(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def refusal(asked: ModelServer, status: int, said: Said, headers: Mapping[str, str]) -> NoAnswer:
    """The error that a server's answer is."""
    reason = asked.without_secrets(said.message) or f"status {status}"
    failure = _refusal(asked, status, reason, said.code.lower(), headers)
    verdict = headers.get("x-should-retry")
    if verdict in ("true", "false"):
        failure.again = verdict == "true"
    return failure


def _refusal(asked: ModelServer, status: int, reason: str, code: str, headers: Mapping[str, str]) -> NoAnswer:
    wait = told_to_wait(headers)
    if status in (401, 403):
        return BadKey(asked.provider, asked.key_env, reason, given=asked.given)
    if status == 429:
        return TooManyRequests(asked.provider, reason, wait, for_good="insufficient_quota" in code)
    if status in (408, 409, 425) or status >= 500:
        return NotAnswered(asked.provider, f"status {status}: {reason}", wait=wait)
    if status == 413 or "context_length" in code or (status in (400, 422) and TOO_LONG.search(reason)):
        return ContextTooLong(asked.provider, reason)
    if status == 404 or "model_not_found" in code or NO_MODEL.search(reason):
        return NoSuchModel(asked.provider, asked.model, reason)
    if 300 <= status < 400:
        host = urlsplit(headers.get("location", "")).hostname or "another place"
        return BadRequest(asked.provider, f"it sends on to {host}, where the key would go", "give the address that answers as base_url")
    return BadRequest(asked.provider, f"status {status}: {reason}")


def broken(asked: ModelServer, error: Exception, pace: Pace, connect: float, partial: str) -> NoAnswer:
    """The error that a failed connection is."""
    from urllib3 import exceptions

    from noria.llm.generation.pace import Late

    if isinstance(error, exceptions.NewConnectionError):  # which urllib3 has among the time-outs
        return NotAnswered(asked.provider, asked.without_secrets(_words(error)), partial=partial)
    if isinstance(error, exceptions.ConnectTimeoutError):
        late = pace.late if pace.left <= 0 and pace.late else Late("connecting", connect)
        return AnswerTimedOut(asked.provider, late.limit, late.seconds, partial=partial)
    if isinstance(error, Late | exceptions.TimeoutError | TimeoutError):
        found = error if isinstance(error, Late) else pace.late or Late("the whole answer", pace.seconds)
        return AnswerTimedOut(asked.provider, found.limit, found.seconds, partial=partial)
    reason = asked.without_secrets(_words(error))
    failure = NotAnswered(asked.provider, reason, partial=partial)
    failure.again = not isinstance(error, exceptions.SSLError | exceptions.LocationValueError)
    return failure


def _words(error: Exception) -> str:
    """What failed, without the objects that urllib3 names."""
    text = str(error.args[-1] if error.args else error) or type(error).__name__
    text = re.sub(r"<[^>]*>: |\w+\(host='[^']*', port=\w+\): ", "", text)
    return text[:300]
