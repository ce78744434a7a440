"""The state of monitors, findings, alerts and stages as Prometheus metrics, from the catalog and the signs of life alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric

from noria.alerting.incidents import undelivered
from noria.core.errors import UserMistake
from noria.core.heartbeat import Beat
from noria.evidence.figures import findings
from noria.stores.catalog import Catalog
from noria.stores.progress import progress_under

STATES = {"healthy": 1.0, "unhealthy": 0.0, "unknown": -1.0}


def gauges(catalog: Catalog, signs: Sequence[Beat], stalled: Iterable[str], now: datetime) -> list[Metric]:
    """Every gauge, as of now. A monitor's state is 1 (well), 0 (not well) or −1 (unknown), as of its last turn, whose age stands beside."""
    open_now = Counter((f["endpoint"], f["kind"], f["severity"]) for f in findings(catalog) if f["closed_at"] is None)
    found = GaugeMetricFamily("noria_findings_open", "Open findings.", labels=["endpoint", "kind", "severity"])
    for labels, count in open_now.items():
        found.add_metric(labels, count)
    waiting = GaugeMetricFamily("noria_alerts_waiting", "Alerts that a channel has not accepted yet.", labels=["channel"])
    for channel, trouble in undelivered(catalog).items():
        waiting.add_metric([channel], trouble["waiting"])
    gone = set(stalled)
    alive = GaugeMetricFamily("noria_stage_alive", "Whether a stage is alive: 1 alive, 0 stalled.", labels=["stage"])
    age = GaugeMetricFamily("noria_stage_age_seconds", "Seconds since a stage's last heartbeat.", labels=["stage"])
    for sign in signs:
        alive.add_metric([sign.stage], float(sign.stage not in gone))
        age.add_metric([sign.stage], (now - sign.at).total_seconds())
    return [found, waiting, alive, age, *_monitors(catalog, now)]


def _monitors(catalog: Catalog, now: datetime) -> list[Metric]:
    state = GaugeMetricFamily("noria_monitor_state", "Monitor health: 1 healthy, 0 unhealthy, -1 unknown.", labels=["endpoint", "monitor"])
    turned = GaugeMetricFamily("noria_monitor_age_seconds", "Seconds since the endpoint's monitors last ran.", labels=["endpoint"])
    for row in progress_under(catalog, "health/"):
        endpoint = row.name.removeprefix("health/")
        turned.add_metric([endpoint], (now - row.at).total_seconds())
        for monitor, word in row.detail.items():
            state.add_metric([endpoint, monitor], STATES[word])
    return [state, turned]


class Latest:
    """The gauges of the last look, served at `http://127.0.0.1:PORT/metrics`."""

    def __init__(self, port: int) -> None:
        self._metrics: list[Metric] = []
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        try:
            start_http_server(port, addr="127.0.0.1", registry=registry)
        except OSError as error:
            raise UserMistake(what="the metrics can't be served", where=f"port {port}: {error}", fix="choose another port") from error

    def update(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        """What Prometheus is told."""
        return self._metrics
