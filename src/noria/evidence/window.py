"""What is to be said of one window of an endpoint, or of one incident: what was wrong then, who was told, before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from noria.alerting.incidents import ITSELF
from noria.core.clock import in_words
from noria.core.errors import UserMistake, nearest
from noria.evidence.figures import findings
from noria.evidence.monitoring import inputs_of
from noria.loop.context import EndpointContext
from noria.models.registry import CHAMPION
from noria.monitoring.monitors.drift import drift_until, faults_of
from noria.monitoring.performance import baseline_of
from noria.monitoring.recorded import baseline_windows, windows_of
from noria.monitoring.refused_rows import DATA_QUALITY
from noria.release.releases import champion_since
from noria.stores.alerts import alerts_of_incident
from noria.stores.findings import findings_of_incident
from noria.stores.windows import window_span, windows_at


class NoSuchWindow(UserMistake):
    """Nothing was recorded of a window."""

    code = "NR-609"
    http_status = 404


class NoSuchIncident(UserMistake):
    """No incident, or more than one, begins so."""

    code = "NR-612"
    http_status = 404


def window_figures(context: EndpointContext, moment: datetime) -> dict[str, Any]:
    """The figures of the window in which a moment lies, as its monitors saw it when it closed. Raises `NoSuchWindow`."""
    start = context.grid.floor(moment)
    recorded = windows_at(context.stores.catalog, context.endpoint.name, start, CHAMPION)
    if not recorded:
        raise NoSuchWindow(
            what=f"no window of {context.endpoint.name} begins at {start:%Y-%m-%d %H:%M} UTC",
            where=_recorded(context),
            fix="give a time within a closed window",
        )
    bundle, end = recorded[0].bundle, start + context.grid.tick
    traffic = [{**msgspec.to_builtins(row.traffic), "rows": row.rows} for row in recorded if row.traffic is not None]
    since = champion_since(context, bundle, start)
    drift = None if since is None or context.monitor is None else drift_until(context, context.monitor, bundle, since, end)
    found = [f for f in findings(context.stores.catalog) if f["endpoint"] == context.endpoint.name and _open_at(f, end)]
    told = {f["subject"]: f["summary"] for f in found if f["kind"] == DATA_QUALITY}  # a fault of which there is a finding, in its words
    judged = drift is not None and bool(drift.starts) and drift.starts[-1] == start
    return {
        "endpoint": context.endpoint.name,
        "start": start.isoformat(),
        "every": in_words(context.grid.tick),
        "champion": bundle,
        "released": since is not None,
        "rows": sum(row.rows for row in recorded),
        "traffic": traffic[0] if traffic else None,
        "faults": []
        if drift is None or not judged
        else [{"subject": f.subject, "summary": told.get(f.subject) or f.detailed().summary} for f in faults_of(context, drift, bundle)],
        "performance": _performance(context, bundle, start),
        "findings": found,
        "inputs": None if drift is None or not judged else inputs_of(context, drift, bundle, newest=True),
    }


def incident_figures(context: EndpointContext, key: str) -> dict[str, Any]:
    """The figures of the incident of which the key, or that of one of its findings, begins so. Raises `NoSuchIncident`."""
    every = findings(context.stores.catalog)
    exact = {f["incident"] for f in every if key in (f["incident"], f["key"])}
    found = exact or {f["incident"] for f in every if f["incident"].startswith(key) or f["key"].startswith(key)}
    if len(found) != 1 or not key:
        known = sorted({f["incident"] for f in every})
        raise NoSuchIncident(
            what=f"{'no incident begins' if not found else f'{len(found)} incidents begin'} with {key!r}{nearest(key, known)}",
            where=f"{len(known)} incidents are known",
            fix="see `noria findings list --all --json`: each finding has its key, and that of its incident",
        )
    (incident,) = found
    own = [f for f in every if f["incident"] == incident]
    first = datetime.fromisoformat(own[0]["opened_at"])
    try:
        window = window_figures(context, first - context.grid.tick)
    except NoSuchWindow:
        window = None  # what the watcher tells is of no window
    over = [f["closed_at"] for f in own]
    return {
        "incident": incident,
        "endpoint": context.endpoint.name,
        "opened_at": own[0]["opened_at"],
        "over_at": None if None in over else max(over),
        "findings": own,
        "timeline": _timeline(context, incident, own),
        "window": window,
    }


def _recorded(context: EndpointContext) -> str:
    span = window_span(context.stores.catalog, context.endpoint.name)
    if span is None:
        return "none was recorded yet"
    return f"they were recorded from {span[0]:%Y-%m-%d %H:%M} to {span[1]:%Y-%m-%d %H:%M} UTC"


def _open_at(finding: dict[str, Any], moment: datetime) -> bool:
    opened, closed = (finding[name] and datetime.fromisoformat(finding[name]) for name in ("opened_at", "closed_at"))
    return bool(opened <= moment and (closed is None or closed > moment))


def _performance(context: EndpointContext, bundle: str, start: datetime) -> list[dict[str, Any]]:
    """What each watched metric was in the window, beside what the monitor holds it against; nulls where outcomes are not due."""
    monitor = context.monitor
    if monitor is None:
        return []
    [window, *_] = windows_of(context, bundle, start, start + context.grid.tick, statistics=False)
    own, baseline = window.performance, baseline_windows(context, bundle)
    told = []
    for tolerance in monitor.performance:
        metric = context.endpoint.task.metric(tolerance.metric)
        value, held_against = math.nan if own is None else own.value(metric), round(baseline_of(metric, baseline)[0], 5)
        told.append(
            {
                "metric": metric.name,
                "title": metric.heading,
                "value": None if math.isnan(value) else round(value, 5),
                "baseline": held_against if baseline else None,
                "tolerance": tolerance.by,
                "tolerated": metric.tolerated(held_against, tolerance.by),
                "rows": 0 if own is None else own.rows,
                "missing": None if own is None else own.missing,
                **({} if own is None or own.groups is None else {"groups": list(own.groups)}),
            }
        )
    return told


def _timeline(context: EndpointContext, incident: str, own: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """What happened in an incident, in the order of time."""
    rows = findings_of_incident(context.stores.catalog, incident)
    taken = {(r.acknowledged_at, r.acknowledged_by) for r in rows if r.acknowledged_at is not None}
    told = [{"at": f["opened_at"], "what": "found", "summary": f["summary"]} for f in own]
    told += [{"at": at.isoformat(), "what": "acknowledged", "summary": f"by {by}"} for at, by in taken]
    told += [
        {
            "at": f["closed_at"],
            "what": "over",
            "summary": f"{f['kind']} of {f['subject']}" + ("" if f["closed_by"] == ITSELF else f", closed by {f['closed_by']}"),
        }
        for f in own
        if f["closed_at"] is not None
    ]
    for alert in alerts_of_incident(context.stores.catalog, incident):
        event = alert.content["event"]
        if alert.sent_at is not None:
            told.append({"at": alert.sent_at.isoformat(), "what": "told", "summary": f"{alert.channel}: {event}"})
        else:
            why = f", tried {alert.attempts} times: {alert.error}" if alert.attempts else ""
            told.append({"at": alert.created_at.isoformat(), "what": "not told", "summary": f"{alert.channel}: {event}{why}"})
    return sorted(told, key=lambda each: each["at"])
