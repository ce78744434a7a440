"""Telling an outside system something over HTTP: one POST, bounded in time, that follows no redirect."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from noria.core.errors import OutsideWorld, UserMistake

MAX_ANSWER = 64 * 1024


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


def post(url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float = 10.0) -> Answer:
    """POST bytes. Raises `NotReached`; whatever was answered, an error too, is returned. The URL may be a secret: errors name its host."""
    parts = urlsplit(url)
    host = parts.hostname or "(no host)"
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise UserMistake(what="the address is not an HTTP(S) URL", where=host, fix="use a URL that starts with https://")
    request = urllib.request.Request(url, body, dict(headers), method="POST")
    try:
        with _opener.open(request, timeout=timeout_seconds) as answer:
            return Answer(answer.status, answer.read(MAX_ANSWER), None)
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read(MAX_ANSWER), _seconds(error.headers.get("Retry-After")))
    except (OSError, ValueError) as error:
        raise NotReached(host, str(getattr(error, "reason", error)) or type(error).__name__) from None


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(float(text), 0.0)
    except ValueError:
        return None
