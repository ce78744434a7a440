"""Telling an outside system something over HTTP: one POST, bounded in time, that follows no redirect."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from noria.core.clock import Stopwatch
from noria.core.errors import OutsideWorld, UserMistake

MAX_ANSWER, PART = 64 * 1024, 1 << 16


@dataclass(frozen=True)
class Answer:
    """What came back. retry_after: seconds, where it said so"""

    status: int
    body: bytes
    retry_after: float | None


class NotReached(OutsideWorld):
    """Nobody answered."""

    code = "NR-011"

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(what=f"{host} did not answer", where=reason, fix="Noria will retry; check that the host is up")


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_named: Any) -> None:
        return None


_opener = urllib.request.build_opener(_Stay)


def post(url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float = 10.0, max_answer: int = MAX_ANSWER) -> Answer:
    """POST bytes. Raises `NotReached`, also for an answer that is not complete in time, or longer than `max_answer` and no error;
    whatever was answered, an error too, is returned. The URL may be a secret: errors name its host."""
    parts = urlsplit(url)
    host = parts.hostname or "(no host)"
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise UserMistake(what="the address is not an HTTP(S) URL", where=host, fix="use a URL that starts with https://")
    request, watch = urllib.request.Request(url, body, dict(headers), method="POST"), Stopwatch()
    try:
        with _opener.open(request, timeout=timeout_seconds) as answer:
            return Answer(answer.status, _read(answer, max_answer, watch, timeout_seconds), None)
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read(MAX_ANSWER), _seconds(error.headers.get("Retry-After")))
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NotReached(host, str(getattr(error, "reason", error)) or type(error).__name__) from None


def _read(answer: http.client.HTTPResponse, most: int, watch: Stopwatch, timeout_seconds: float) -> bytes:
    """The body of an answer. Raises `OSError` where it does not end in time, breaks off, or is too long."""
    parts, size = list[bytes](), 0
    while part := answer.read1(PART):
        parts.append(part)
        size += len(part)
        if size > most:
            raise OSError(f"its answer has more than {most:,} bytes")
        if watch.seconds > timeout_seconds:
            raise OSError(f"it did not finish its answer within {timeout_seconds:g} s")
    if answer.length:
        raise OSError(f"its answer broke off {answer.length:,} bytes before its end")
    return b"".join(parts)


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(float(text), 0.0)
    except ValueError:
        return None
