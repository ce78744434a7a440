"""What a project is doing right now: tables, champion, monitors, the last decisions, the sums, and what to do next."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import sqlalchemy as sa

from noria.core.conservation import Balance
from noria.core.health import Health, Healthy, Unhealthy, Unknown, worst
from noria.data.ingest import REASON, quarantine_of
from noria.data.table import Table
from noria.evidence.figures import decisions, findings
from noria.evidence.monitoring import health_dict, healths, newest
from noria.loop.observe import current_release, observe
from noria.loop.project import Project
from noria.loop.workspace import Workspace
from noria.loop.world import Policy, World
from noria.release.endpoint import Endpoint
from noria.serving.plane import SUMS_FILE
from noria.stores import catalog as db

LAST_DECISIONS = 6


def status(project: Project, workspace: Workspace) -> dict[str, Any]:
    """Everything `noria status` shows, as plain data."""
    tables = [_table(workspace, t) for t in project.tables]
    ingested = all(t["rows"] is not None for t in tables)
    endpoints = [_endpoint(project, workspace, e, ingested=ingested) for e in project.endpoints]
    sums = [*_table_sums(workspace, tables), *_catalog_sums(workspace), *_served_sums(project, workspace)]
    return {
        "project": project.settings.project.name,
        "folder": str(project.folder),
        "tables": tables,
        "endpoints": endpoints,
        "conservation": [s.to_dict() for s in sums],
        "health": health_dict(_overall(sums, endpoints)),
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
    nothing: dict[str, Any] = {"champion": None, "challenger": None, "monitors": [], "decisions": [], "findings": []}
    if not ingested or not (workspace.own / "catalog.db").exists():
        return {"name": endpoint.name, **nothing, "health": health_dict(Unknown("nothing was ever released here"))}
    world = World.open(project, workspace, endpoint, Policy.declared(project, endpoint))
    release = current_release(world)
    if release is None:
        return {"name": endpoint.name, **nothing, "health": health_dict(Unknown("nothing was ever released here"))}
    now = newest(world, release)
    assert now is not None
    state = observe(world, now)
    monitors = [{"monitor": name, **health_dict(health)} for name, health in healths(state.monitors)]
    lineage = world.bundle(release.champion).manifest.lineage
    return {
        "name": endpoint.name,
        "champion": release.champion,
        "since": release.champion_since.isoformat(),
        "trained_as_of": lineage["as_of"],
        "challenger": release.challenger,
        "observed_at": now.isoformat(),
        "monitors": monitors,
        "findings": [f for f in findings(world.catalog) if f["closed_at"] is None],
        "decisions": decisions(world)[-LAST_DECISIONS:],
        "health": health_dict(worst(_read(m) for m in monitors)),
    }


def _table_sums(workspace: Workspace, tables: list[dict[str, Any]]) -> list[Balance]:
    sums = []
    for table in tables:
        if table["rows"] is not None:
            found = workspace.tables.details(table["name"])["balance"]
            sums.append(Balance(found["stage"], found["came_in"], found["went"]))
            sums.append(Balance(f"table {table['name']}", found["went"]["stored"], {"rows now": table["rows"]}))
    return sums


def _catalog_sums(workspace: Workspace) -> list[Balance]:
    if not (workspace.own / "catalog.db").exists():
        return []
    catalog = workspace.catalog()
    rows = catalog.rows(sa.select(db.balances).order_by(db.balances.c.stage, db.balances.c.subject))
    return [Balance(f"{r.stage} {r.subject}", r.came_in, json.loads(r.went)) for r in rows]


def _served_sums(project: Project, workspace: Workspace) -> list[Balance]:
    sums = []
    for endpoint in project.endpoints:
        for path in sorted(workspace.log(endpoint.name).glob(f"*/{SUMS_FILE}")):
            found = msgspec.json.decode(path.read_bytes())
            sums.append(Balance(f"served {found['writer']}", found["answered"], {"logged": found["logged"]}))
    return sums


def _overall(sums: list[Balance], endpoints: list[dict[str, Any]]) -> Health:
    """The whole project's health: its sums' and its endpoints'."""
    whole = worst([_sums_health(sums), *(_read(e["health"]) for e in endpoints)])
    return Healthy({"sums that hold": len(sums), "healthy endpoints": len(endpoints)}) if isinstance(whole, Healthy) else whole


def _sums_health(sums: list[Balance]) -> Health:
    broken = [s for s in sums if not s.holds]
    if broken:
        return Unhealthy(f"rows are missing: {broken[0].stage} took {broken[0].came_in:,} and accounts for {broken[0].accounted:,}")
    return Healthy({"sums": len(sums)}) if sums else Unknown("no row was counted yet")


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
    if not serving:
        return "noria train" if project.settings.replay.start is None else "noria replay"
    return f"noria serve {project.endpoints[0].name}"
