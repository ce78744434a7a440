"""What a project is doing right now: tables, champion, monitors, the last decisions, the sums, and what to do next."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from noria.alerting.channels import open_channel
from noria.alerting.incidents import undelivered
from noria.core.clock import SystemClock, duration
from noria.core.conservation import Balance
from noria.core.errors import UserMistake
from noria.core.health import Health, Healthy, Unhealthy, Unknown, worst
from noria.core.heartbeat import beats
from noria.data.ingest import REASON, quarantine_of
from noria.data.quarantine import FILE_REFUSED
from noria.data.table import Table
from noria.evidence.figures import decisions, findings
from noria.evidence.monitoring import newest
from noria.evidence.problems import health_dict, incidents, told_monitors
from noria.evidence.training import reports_of
from noria.loop.context import EndpointContext, Policy
from noria.loop.history import is_history
from noria.loop.live_loop import PROJECT, stalled_stages
from noria.loop.observe import observe
from noria.loop.project import Project
from noria.monitoring.monitors.served import served_balances
from noria.release.endpoint import Endpoint
from noria.release.releases import Release, current_release
from noria.stores.balances import balances_of
from noria.stores.candidates import candidate_of
from noria.stores.history import history_of
from noria.stores.workspace import Workspace

LAST_DECISIONS = 6
MAX_REFUSED = 0.5  # of a batch's rows; with more of them in quarantine, its source has changed


def status(project: Project, workspace: Workspace) -> dict[str, Any]:
    """Everything `noria status` shows, as plain data."""
    tables = [_table(workspace, t) for t in project.tables]
    ingested = all(t["rows"] is not None for t in tables)
    endpoints = [_endpoint(project, workspace, e, ingested=ingested) for e in project.endpoints]
    served = [b for e in project.endpoints for b in served_balances(workspace.log(e.name))]
    sums = [*_table_sums(workspace, tables), *_catalog_sums(workspace), *served]
    stages, waiting, now = _stages(project, workspace), _undelivered(project, workspace), SystemClock().now()
    rest = [*_table_healths(workspace, tables), *_stage_healths(stages), *_alert_healths(waiting)]
    return {
        "project": project.settings.project.name,
        "folder": str(project.folder),
        "at": now.isoformat(),
        "incidents": incidents(finding for endpoint in endpoints for finding in endpoint["findings"]),
        "tables": tables,
        "endpoints": endpoints,
        "conservation": [s.to_dict() for s in sums],
        "stages": stages,
        "undelivered": waiting,
        "health": health_dict(_overall(sums, endpoints, rest)),
        "next": _next(project, ingested=ingested, serving=any(e["champion"] for e in endpoints)),
    }


def _table(workspace: Workspace, table: Table) -> dict[str, Any]:
    name = table.name
    version = workspace.tables.latest(name)
    quarantine = workspace.tables.read_or_none(quarantine_of(table))
    reasons: dict[str, int] = {}
    if quarantine is not None:
        for entry in quarantine.column(REASON).value_counts():
            reasons[str(entry["values"])] = entry["counts"].as_py()
    return {
        "name": name,
        "version": version,
        "rows": None if version is None else workspace.tables.count(name),
        "quarantined": sum(reasons.values()),
        "reasons": reasons,
    }


def _endpoint(project: Project, workspace: Workspace, endpoint: Endpoint, *, ingested: bool) -> dict[str, Any]:
    if ingested and (workspace.own / "catalog.db").exists():
        context = EndpointContext.open(project, workspace, endpoint, Policy.declared(project, endpoint))
        with closing(context.stores.catalog):
            release = current_release(context)
            if release is not None:
                return _released(context, release)
    nothing: dict[str, Any] = {
        "champion": None,
        "challenger": None,
        "reports": [],
        "monitors": [],
        "decisions": [],
        "findings": [],
        "history": None,
    }
    return {"name": endpoint.name, **nothing, "health": health_dict(Unknown("nothing has been released here yet"))}


def _released(context: EndpointContext, release: Release) -> dict[str, Any]:
    now = newest(context, release)
    assert now is not None
    past = history_of(context.stores.catalog, context.endpoint.name) if is_history(context, SystemClock().now()) else None
    state = observe(context, now)
    open_now = [f for f in findings(context.stores.catalog, [context.endpoint.name, PROJECT]) if f["closed_at"] is None]
    monitors = told_monitors(state.monitors, open_now)
    lineage = context.stores.bundle(release.champion).manifest.lineage
    trained = candidate_of(context.stores.catalog, context.endpoint.name, release.champion)
    return {
        "name": context.endpoint.name,
        "champion": release.champion,
        "since": release.champion_since.isoformat(),
        "trained_as_of": lineage.as_of.isoformat(),
        "challenger": release.challenger,
        "reports": reports_of(trained),
        "shadow": None if state.shadow is None else state.shadow.to_dict(),
        "observed_at": now.isoformat(),
        "monitors": monitors,
        "findings": open_now,
        "decisions": decisions(context)[-LAST_DECISIONS:],
        "history": None if past is None else {"until": past.until.isoformat(), "taken_over_at": past.taken_at.isoformat()},
        "health": health_dict(worst(_read(m) for m in monitors)),
    }


def _table_sums(workspace: Workspace, tables: list[dict[str, Any]]) -> list[Balance]:
    sums = []
    for table in tables:
        if table["rows"] is not None:
            found = workspace.tables.details(table["name"])["balance"]
            sums.append(Balance(found["stage"], found["rows_in"], found["rows_out"]))
            sums.append(Balance(f"table {table['name']}", found["rows_out"]["stored"], {"rows now": table["rows"]}))
    return sums


def _table_healths(workspace: Workspace, tables: list[dict[str, Any]]) -> list[Health]:
    """What is wrong with what the tables' sources deliver: files that could not be taken in, a last batch of which most was refused."""
    found: list[Health] = []
    for table in tables:
        files = [reason for reason in table["reasons"] if reason.startswith(FILE_REFUSED)]
        if files:
            count = sum(table["reasons"][reason] for reason in files)
            found.append(Unhealthy(f"{count:,} of the files of {table['name']} can't be read: {files[0].removeprefix(FILE_REFUSED)}"))
        if table["rows"] is not None:
            balance = workspace.tables.details(table["name"])["balance"]
            refused = balance["rows_out"]["quarantined"]
            if refused > balance["rows_in"] * MAX_REFUSED:
                found.append(Unhealthy(f"{refused:,} of the last {balance['rows_in']:,} rows for {table['name']} were quarantined"))
    return found


def _catalog_sums(workspace: Workspace) -> list[Balance]:
    if not (workspace.own / "catalog.db").exists():
        return []
    with closing(workspace.catalog()) as catalog:
        return [Balance(f"{row.stage} {row.subject}", row.rows_in, row.rows_out) for row in balances_of(catalog)]


def _stages(project: Project, workspace: Workspace) -> list[dict[str, Any]]:
    """The stages that ever gave a sign of life, and what is wrong with those that stand still."""
    signs, now = beats(workspace.root, workspace.files), SystemClock().now()
    stalled = stalled_stages(signs, now, duration(project.settings.loop.longest))
    return [{"stage": b.stage, "at": b.at.isoformat(), "stalled": stalled.get(b.stage)} for b in signs]


def _stage_healths(stages: list[dict[str, Any]]) -> list[Health]:
    return [Unhealthy(f"{s['stage']} has stalled: {s['stalled']}") for s in stages if s["stalled"]]


def _undelivered(project: Project, workspace: Workspace) -> dict[str, dict[str, Any]]:
    """The channels that could not be told something, or can't be told anything."""
    found: dict[str, dict[str, Any]] = {}
    for channel in project.settings.alerts.channels:
        try:
            open_channel(channel, project.settings.alerts)
        except UserMistake as error:
            found[channel] = {"waiting": 0, "since": "", "why": f"{error.what}: {error.where}"}
    if (workspace.own / "catalog.db").exists():
        with closing(workspace.catalog()) as catalog:
            found |= undelivered(catalog)
    return found


def _alert_healths(waiting: dict[str, dict[str, Any]]) -> list[Health]:
    return [Unhealthy(f"{w['waiting']} alerts are pending for {channel}: {w['why']}") for channel, w in waiting.items()]


def _overall(sums: list[Balance], endpoints: list[dict[str, Any]], rest: list[Health]) -> Health:
    """The whole project's health: its sums', its endpoints', its stages' and its alerts'."""
    whole = worst([_sums_health(sums), *rest, *(_read(e["health"]) for e in endpoints)])
    return Healthy({"sums that hold": len(sums), "healthy endpoints": len(endpoints)}) if isinstance(whole, Healthy) else whole


def _sums_health(sums: list[Balance]) -> Health:
    broken = [s for s in sums if not s.holds]
    if broken:
        return Unhealthy(f"rows are missing: {broken[0].stage} received {broken[0].rows_in:,} and accounts for {broken[0].accounted:,}")
    return Healthy({"sums": len(sums)}) if sums else Unknown("no rows have been counted yet")


def _read(found: dict[str, Any]) -> Health:
    inner = found if isinstance(found.get("health"), str) else found["health"]
    match inner["health"]:
        case "healthy":
            return Healthy(inner["evidence"])
        case "unhealthy":
            return Unhealthy(inner["cause"])
        case _:
            return Unknown(inner["why"])


def _next(project: Project, *, ingested: bool, serving: bool) -> str:
    """The next useful command."""
    if not ingested:
        return "noria ingest"
    if not project.endpoints:
        return "noria check"
    if not serving:
        return "noria train" if project.settings.replay.start is None else "noria replay"
    return f"noria serve {project.endpoints[0].name}"
