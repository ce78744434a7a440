"""PagerDuty, by its Events API v2 (https://developer.pagerduty.com/docs/events-api-v2-overview): NORIA_PAGERDUTY_KEY."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from noria.core.settings import AlertSettings
from noria.monitoring.alerts import Notice, secret, tell_over_http

URL = "https://events.pagerduty.com/v2/enqueue"
ACTIONS = {"opened": "trigger", "acknowledged": "acknowledge", "resolved": "resolve"}
SEVERITIES = {"page": "critical", "inform": "warning"}
MOST_SUMMARY, MOST_KEY = 1024, 255


class PagerDutyChannel:
    """One service's integration. A digest is no event, and is not sent."""

    def __init__(self, key: str, url: str) -> None:
        self._key, self._url = key, url

    def send(self, notice: Notice) -> None:
        if notice.event not in ACTIONS:
            return
        event: dict[str, Any] = {
            "routing_key": self._key,
            "event_action": ACTIONS[notice.event],
            "dedup_key": notice.incident[-MOST_KEY:],
        }
        if notice.event == "opened":
            event["payload"] = {
                "summary": notice.summary[:MOST_SUMMARY],
                "source": notice.endpoint,
                "severity": SEVERITIES[notice.severity],
                "timestamp": notice.at,
                "component": notice.endpoint,
                "group": "noria",
                "custom_details": {"findings": list(notice.lines), "what to do": notice.fix, **notice.evidence},
            }
            event["client"] = "Noria"
        tell_over_http("pagerduty", self._url, json.dumps(event).encode(), (202,), {}, shown=200)


def open_channel(settings: AlertSettings, environ: Mapping[str, str]) -> PagerDutyChannel:
    return PagerDutyChannel(secret(environ, "NORIA_PAGERDUTY_KEY", "pagerduty"), settings.pagerduty_url or URL)
