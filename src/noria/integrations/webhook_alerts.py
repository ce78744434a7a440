"""Any system that takes JSON over HTTP: NORIA_WEBHOOK_URL. With NORIA_WEBHOOK_SECRET, the header `X-Noria-Signature` has the body's
HMAC-SHA256, so that a receiver knows who speaks; `Idempotency-Key` is the same when a notice is sent again."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping

from noria.alerting.channels import Alert, secret, tell_over_http
from noria.core.settings import AlertSettings


class WebhookChannel:
    """A notice as JSON, signed where there is a secret."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key

    def send(self, alert: Alert) -> None:
        body = json.dumps(alert.to_dict(), sort_keys=True).encode()
        headers = {"Idempotency-Key": hashlib.sha256(body).hexdigest()}
        if self._key:
            headers["X-Noria-Signature"] = "sha256=" + hmac.new(self._key.encode(), body, hashlib.sha256).hexdigest()
        tell_over_http("webhook", self._url, body, range(200, 300), headers)


def open_channel(settings: AlertSettings, environ: Mapping[str, str]) -> WebhookChannel:  # noqa: ARG001
    return WebhookChannel(secret(environ, "NORIA_WEBHOOK_URL", "webhook"), environ.get("NORIA_WEBHOOK_SECRET", ""))
