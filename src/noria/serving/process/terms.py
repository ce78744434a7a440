"""How a request wants to be treated, by its headers, and what it may, by its key."""

from __future__ import annotations

import math

from noria.serving.batching.request_queue import ORDINARY, RequestOptions, priority_of
from noria.serving.protocol.request import BadRequest
from noria.serving.transport.head import Head

MAX_TIMEOUT_SECONDS = 3600.0


def terms_of(head: Head) -> RequestOptions:
    """How a request wants to be treated, by its headers. Raises `BadRequest`."""
    priority, text = head.header(b"x-noria-priority"), head.header(b"x-noria-timeout-ms")
    parent = head.header(b"traceparent")
    if not (priority or text or parent or head.labels or head.tenant):
        return ORDINARY
    try:
        timeout = float(text) / 1e3 if text else None
    except ValueError:
        timeout = math.nan
    if timeout is not None and not 0 < timeout <= MAX_TIMEOUT_SECONDS:
        raise BadRequest(what=f"{text!r} is not a valid timeout", where="header x-noria-timeout-ms", fix="send milliseconds, up to an hour")
    return RequestOptions(priority_of(priority), timeout, parent, head.labels, head.tenant)
