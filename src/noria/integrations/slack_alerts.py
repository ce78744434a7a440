"""Slack, by an incoming webhook (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks): NORIA_SLACK_URL."""

from __future__ import annotations

import json
from collections.abc import Mapping

from noria.alerting.channels import Alert, secret, tell_over_http
from noria.core.settings import AlertSettings

MARKS = {"opened": "🔴", "acknowledged": "🟡", "resolved": "🟢", "digest": "📋"}
MAX_TEXT = 2900  # of a section: Slack's limit is 3000


class SlackChannel:
    """One channel's webhook. The URL is a secret."""

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, alert: Alert) -> None:
        head = f"{MARKS[alert.event]} *{alert.endpoint}* {alert.event}: {alert.summary}"
        body = "\n".join([f"• {_plain(line)}" for line in alert.lines] + ([f"→ {_plain(alert.fix)}"] if alert.fix else []))
        sections = [_plain(head), body[:MAX_TEXT]]
        message = {
            "text": _plain(head)[:MAX_TEXT],
            "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text[:MAX_TEXT]}} for text in sections if text],
        }
        tell_over_http("slack", self._url, json.dumps(message).encode(), (200,), {}, shown=100)


def _plain(text: str) -> str:
    """Text in which nothing is taken for a mention or a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def open_channel(settings: AlertSettings, environ: Mapping[str, str]) -> SlackChannel:  # noqa: ARG001
    return SlackChannel(secret(environ, "NORIA_SLACK_URL", "slack"))
