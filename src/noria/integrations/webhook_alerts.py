"""Any system that takes JSON over HTTP: NORIA_WEBHOOK_URL. With NORIA_WEBHOOK_SECRET, the header `X-Noria-Signature` has the body's
HMAC-SHA256, so that a receiver knows who speaks; `Idempotency-Key` is the same when a notice is sent again."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import timedelta

from noria.core.settings import AlertSettings
from noria.core.web import NotReached, post
from noria.monitoring.alerts import ChannelFailed, Notice, secret


class WebhookChannel:
    """A notice as JSON, signed where there is a secret."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key

    def send(self, notice: Notice) -> None:
        body = json.dumps(notice.to_dict(), sort_keys=True).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": hashlib.sha256(body).hexdigest()}
        if self._key:
            headers["X-Noria-Signature"] = "sha256=" + hmac.new(self._key.encode(), body, hashlib.sha256).hexdigest()
        try:
            answer = post(self._url, body, headers)
        except NotReached as error:
            raise ChannelFailed("webhook", str(error)) from None
        if not 200 <= answer.status < 300:
            pause = None if answer.retry_after is None else timedelta(seconds=answer.retry_after)
            raise ChannelFailed("webhook", f"it answered {answer.status}", pause)


def open_channel(settings: AlertSettings, environ: Mapping[str, str]) -> WebhookChannel:  # noqa: ARG001
    return WebhookChannel(secret(environ, "NORIA_WEBHOOK_URL", "webhook"), environ.get("NORIA_WEBHOOK_SECRET", ""))
