"""PagerDuty, by its Events API v2 (https://developer.pagerduty.com/docs/events-api-v2-overview): NORIA_PAGERDUTY_KEY."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from noria.alerting.channels import Alert, secret, tell_over_http
from noria.core.settings import AlertSettings

URL = "https://events.pagerduty.com/v2/enqueue"
ACTIONS = {"opened": "trigger", "acknowledged": "acknowledge", "resolved": "resolve"}
SEVERITIES = {"page": "critical", "inform": "warning"}
MAX_SUMMARY, MAX_KEY = 1024, 255


class PagerDutyChannel:
    """One service's integration. A digest is no event, and is not sent."""

    def __init__(self, key: str, url: str) -> None:
        self._key, self._url = key, url

    def send(self, alert: Alert) -> None:
        if alert.event not in ACTIONS:
            return
        event: dict[str, Any] = {
            "routing_key": self._key,
            "event_action": ACTIONS[alert.event],
            "dedup_key": alert.incident[-MAX_KEY:],
        }
        if alert.event == "opened":
            event["payload"] = {
                "summary": alert.summary[:MAX_SUMMARY],
                "source": alert.endpoint,
                "severity": SEVERITIES[alert.severity],
                "timestamp": alert.at,
                "component": alert.endpoint,
                "group": "noria",
                "custom_details": {"findings": list(alert.lines), "what to do": alert.fix, **alert.evidence},
            }
            event["client"] = "Noria"
        tell_over_http("pagerduty", self._url, json.dumps(event).encode(), (202,), {}, shown=200)


def open_channel(settings: AlertSettings, environ: Mapping[str, str]) -> PagerDutyChannel:
    return PagerDutyChannel(secret(environ, "NORIA_PAGERDUTY_KEY", "pagerduty"), settings.pagerduty_url or URL)
