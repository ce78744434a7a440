"""Commands about what the monitors find: the findings and their life, the watcher, reports, and backtests of monitors."""

from __future__ import annotations

import getpass
import logging
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli.options import HERE, Endpoint, Folder, Json, open_project, open_world
from noria.core.errors import NoriaError, UserMistake

if TYPE_CHECKING:
    from noria.alerting.incidents import Recipients
    from noria.loop.live_loop import Watched

logger = logging.getLogger("noria.loop")

Key = Annotated[str, typer.Argument(envvar="NORIA_FINDING", help="The finding's key, its beginning, or its subject.")]
By = Annotated[str | None, typer.Option("--by", envvar="NORIA_BY", help="Who says so; the user's name if left out.")]

monitor = typer.Typer(help="The monitors themselves: reports, and backtests over history.", no_args_is_help=True)
findings = typer.Typer(help="What the monitors have found: list, acknowledge, mute, resolve.", no_args_is_help=True)


def add_monitoring(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.add_typer(findings, name="findings")
    app.add_typer(monitor, name="monitor")
    app.command()(watch)


@findings.command("list")
def list_findings(
    everything: Annotated[bool, typer.Option("--all", envvar="NORIA_ALL", help="Those that are over as well.")] = False,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """What is wrong now, since when, and which alerts could not be sent."""
    from noria.alerting.incidents import undelivered
    from noria.cli.render import show_findings, show_json
    from noria.evidence.figures import findings as found_in

    _, workspace = open_project(project)
    catalog = workspace.catalog()
    found = {
        "findings": [f for f in found_in(catalog) if everything or f["closed_at"] is None],
        "undelivered": undelivered(catalog),
    }
    if json:
        show_json(found)
    else:
        show_findings(found)


@findings.command("ack")
def acknowledge(key: Key, by: By = None, project: Folder = HERE, json: Json = False) -> None:
    """Take care of a finding: its incident calls nobody else."""
    from noria.alerting.incidents import acknowledge as acknowledged

    _said(project, json, lambda catalog, now, recipients: acknowledged(catalog, key, _who(by), now, recipients), "acknowledged")


@findings.command("mute")
def mute(
    key: Key,
    span: Annotated[str, typer.Option("--for", envvar="NORIA_FOR", help="How long, for example 6h or 3d.")],
    reason: Annotated[str, typer.Option("--reason", envvar="NORIA_REASON", help="Why.")] = "",
    by: By = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Tell nobody of findings of this kind about this subject for a while; they are kept and shown all the same."""
    from noria.alerting.incidents import mute as muted
    from noria.core.clock import duration

    lasting = duration(span)
    _said(project, json, lambda catalog, now, recipients: muted(catalog, key, _who(by), lasting, reason, now), f"muted for {span}")  # noqa: ARG005


@findings.command("resolve")
def resolve(key: Key, by: By = None, project: Folder = HERE, json: Json = False) -> None:
    """Say that a finding is over. When it begins anew, it is a new one."""
    from noria.alerting.incidents import resolve as resolved

    _said(project, json, lambda catalog, now, recipients: resolved(catalog, key, _who(by), now, recipients), "resolved")


@monitor.command("report")
def report(
    endpoint: Endpoint = None,
    window: Annotated[
        str | None,
        typer.Option(
            "--window", envvar="NORIA_WINDOW", help="One window, by a moment in it with an offset: as it was seen when it closed."
        ),
    ] = None,
    incident: Annotated[
        str | None, typer.Option("--incident", envvar="NORIA_INCIDENT", help="One incident, by its key or that of a finding.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", envvar="NORIA_OUT", help="The HTML file; monitors.html, window.html or incident.html if left out."),
    ] = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Write what the monitors see as one HTML page: health, findings, evidence, before and after; or one window, or one incident."""
    from noria.cli.render import console, show_json
    from noria.core.clock import moment

    if window is not None and incident is not None:
        raise UserMistake(what="a window and an incident", where="--window, --incident", fix="ask for one of them")
    world = open_world(project, endpoint)
    figures: dict[str, Any]
    if window is not None:
        from noria.evidence.window import window_figures
        from noria.evidence.window_report import render_window as render
        from noria.evidence.window_report import window_headline as headline

        name, figures = "window.html", window_figures(world, moment(window))
    elif incident is not None:
        from noria.evidence.window import incident_figures
        from noria.evidence.window_report import incident_headline as headline
        from noria.evidence.window_report import render_incident as render

        name, figures = "incident.html", incident_figures(world, incident)
    else:
        from noria.evidence.monitor_report import headline
        from noria.evidence.monitor_report import render_monitor_report as render
        from noria.evidence.monitoring import monitor_figures

        name, figures = "monitors.html", monitor_figures(world)
    path = out or world.workspace.folder / name
    world.workspace.files.write(path, render(world.project.settings.project.name, figures).encode())
    if json:
        show_json({**figures, "report": str(path)})
    else:
        console().print(f"{headline(figures)}\nreport: {path}", markup=False)


@monitor.command("export")
def export(
    folder: Annotated[Path, typer.Argument(envvar="NORIA_FOLDER", help="Where to write; what is there of the same name is replaced.")],
    endpoint: Endpoint = None,
    since: Annotated[
        str | None,
        typer.Option("--since", envvar="NORIA_SINCE", help="The first window, with an offset; the champion's first if left out."),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", envvar="NORIA_UNTIL", help="Before which windows begin, with an offset; none if left out.")
    ] = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Write what the champion was trained on and what it answered, window by window, as Parquet for Evidently, whylogs and others."""
    from noria.cli.render import console, show_json
    from noria.core.clock import SystemClock, moment
    from noria.evidence.export import export as exported

    world = open_world(project, endpoint)
    first, last = (None if text is None else moment(text) for text in (since, until))
    done = exported(world, folder, first, last, world.project.settings.replay.end or SystemClock().now())
    if json:
        show_json(done.to_dict())
    else:
        gone = f"; the log of {done.gone} more is gone" if done.gone else ""
        rows = sum(done.windows.values())
        console().print(f"wrote {done.folder}: a reference of {done.reference:,} rows, {len(done.windows)} windows of {rows:,} rows{gone}")


@monitor.command("table")
def table(
    files: Annotated[str, typer.Argument(envvar="NORIA_FILES", help="Parquet, CSV or JSON-lines files: a path, a glob, or a URL.")],
    time: Annotated[str, typer.Option("--time", envvar="NORIA_TIME", help="The column of times by which windows are cut.")],
    every: Annotated[str, typer.Option("--every", envvar="NORIA_EVERY", help="How long a window is, or how many rows it has.")] = "1d",
    reference: Annotated[int, typer.Option("--reference", envvar="NORIA_REFERENCE", help="Windows to learn from.", min=20)] = 60,
    rolling: Annotated[
        bool,
        typer.Option("--rolling", envvar="NORIA_ROLLING", help="Compare with the newest windows before; a change is usual afterwards."),
    ] = False,
    budget: Annotated[float, typer.Option("--budget", envvar="NORIA_BUDGET", help="False alarms a year.")] = 2.0,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", envvar="NORIA_UNTIL", help="When the table is whole up to, with an offset; its newest row's window if left out."
        ),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option("--time-zone", envvar="NORIA_TIME_ZONE", help="Whose clock hours and days follow: Europe/Berlin; UTC if left out."),
    ] = None,
    leave_out: Annotated[str, typer.Option("--leave-out", envvar="NORIA_LEAVE_OUT", help="Columns not to watch, such as keys: a,b.")] = "",
    out: Annotated[Path | None, typer.Option("--out", "-o", envvar="NORIA_OUT", help="Write an HTML page as well.")] = None,
    json: Json = False,
) -> None:
    """Judge the windows of any table against its first ones; exit code 1 if something is wrong in the newest. No project is needed."""
    from noria.cli.render import console, show_json, show_table
    from noria.core.clock import moment
    from noria.core.files import LocalFiles
    from noria.data.reading import read_files
    from noria.evidence.table_report import render_table_report, table_figures
    from noria.monitoring.table import judge_table

    found = read_files(files, Path())
    reading = judge_table(
        found.rows,
        time,
        every=int(every) if every.isdecimal() else every,
        reference=reference,
        rolling=rolling,
        false_alarms_per_year=budget,
        until=None if until is None else moment(until),
        time_zone=time_zone,
        name=Path(files).name,
        leave_out=tuple(filter(None, (name.strip() for name in leave_out.split(",")))),
    )
    unread = {"not_rows": found.malformed, "unreadable": dict(found.unreadable)}
    figures = {**table_figures(reading), **unread}
    if out is not None:
        LocalFiles().write(out, render_table_report(figures).encode())
    if json:
        show_json({**figures, "report": None if out is None else str(out)})
    else:
        show_table(figures)
        if out is not None:
            console().print(f"report: {out}")
    raise typer.Exit(1 if reading.wrong_now else 0)


@monitor.command("dashboard")
def dashboard(
    out: Annotated[Path | None, typer.Option("--out", "-o", envvar="NORIA_OUT", help="The file; standard output if left out.")] = None,
    json: Json = False,
) -> None:
    """Write a Grafana dashboard for what `noria watch --metrics-port` and the server's /metrics tell Prometheus."""
    import sys

    from noria.cli.render import console, show_json

    board = Path(__file__).parents[1].joinpath("evidence", "grafana.json").read_text()
    if out is not None:
        out.write_text(board)
    if json:
        show_json({"file": None if out is None else str(out)})
    elif out is None:
        sys.stdout.write(board)
    else:
        console().print(f"wrote {out}: import it in Grafana (Dashboards, New, Import)")


@monitor.command("backtest")
def backtest(
    endpoint: Endpoint = None,
    reference: Annotated[int, typer.Option("--reference", envvar="NORIA_REFERENCE", help="Windows to learn from.", min=20)] = 56,
    budget: Annotated[
        float | None, typer.Option("--budget", envvar="NORIA_BUDGET", help="False alarms of drift a year; the monitor's if left out.")
    ] = None,
    sensitivity: Annotated[
        float | None, typer.Option("--sensitivity", envvar="NORIA_SENSITIVITY", help="To try; the monitor's if left out.")
    ] = None,
    incidents: Annotated[
        Path | None, typer.Option("--incidents", envvar="NORIA_INCIDENTS", help="CSV of what is known to have been wrong: name,start,end.")
    ] = None,
    suggest: Annotated[
        bool, typer.Option("--suggest", envvar="NORIA_SUGGEST", help="Find the sensitivity that spends the budget best.")
    ] = False,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Run the drift monitor over history: the alarms it would have raised, how late, and how many in vain."""
    from noria.cli.progress import watching
    from noria.cli.render import show_backtest, show_json
    from noria.core.clock import SystemClock
    from noria.core.progress import Progress
    from noria.loop.backtest import backtest as run_backtest
    from noria.loop.backtest import read_incidents
    from noria.monitoring.monitor import Monitor

    world = open_world(project, endpoint)
    declared = world.monitor or Monitor(world.endpoint)
    end = world.project.settings.replay.end or SystemClock().now()
    known = read_incidents(incidents) if incidents is not None else []
    with watching(quiet=json) as tell:
        done = run_backtest(
            world,
            end,
            reference,
            declared.drift_budget if budget is None else budget,
            declared.sensitivity if sensitivity is None else sensitivity,
            known,
            lambda share: tell(Progress("backtest", track="windows", share=share)),
            suggesting=suggest,
        )
    if json:
        show_json(done.to_dict())
    else:
        show_backtest(done)


def watch(
    every: Annotated[str, typer.Option("--every", envvar="NORIA_EVERY", help="How often to look.")] = "30s",
    once: Annotated[
        bool, typer.Option("--once", envvar="NORIA_ONCE", help="Look once; exit code 1 unless every stage lives and every alert is sent.")
    ] = False,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", envvar="NORIA_METRICS_PORT", help="Serve what is seen to Prometheus on this port.")
    ] = None,
    forget: Annotated[str | None, typer.Option("--forget", envvar="NORIA_FORGET", help="A stage that was stopped for good.")] = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Watch from a process of its own whether every stage lives, and send the alerts that wait. Run it beside the loop."""
    from noria.cli.render import show_json, show_watched
    from noria.core.clock import SystemClock, duration
    from noria.core.heartbeat import forget as forget_stage
    from noria.core.telemetry import begin_logging
    from noria.evidence.gauges import Latest, gauges
    from noria.loop.live_loop import watch as look

    found, workspace = open_project(project)
    if forget is not None:
        forget_stage(workspace.root, forget, workspace.files)
    begin_logging("text")
    clock, period = SystemClock(), duration(every)
    latest = Latest(metrics_port) if metrics_port is not None else None
    while True:
        try:
            seen = look(found, workspace, clock.now(), period)
            if latest is not None:
                with closing(workspace.catalog()) as catalog:
                    latest.update(gauges(catalog, seen.beats, seen.stalled, clock.now()))
        except (NoriaError, OSError) as error:  # a locked catalog, a full disk: a watcher that died of it would watch nothing afterwards
            if once:
                raise
            logger.error("nothing could be watched: %s", error)
        else:
            told = _watched(seen)
            if json:
                show_json(told)
            else:
                show_watched(told)
            if once:
                raise typer.Exit(1 if seen.stalled or seen.sent.failing or not seen.beats else 0)
        clock.sleep(period)


def _watched(seen: Watched) -> dict[str, Any]:
    return {
        "stages": [
            {"stage": b.stage, "at": b.at.isoformat(), "stalled": seen.stalled.get(b.stage), "saw": dict(b.saw)} for b in seen.beats
        ],
        "sent": seen.sent.sent,
        "waiting": seen.sent.waiting,
        "failing": seen.sent.failing,
    }


def _said(project: Path, json: bool, say: Any, word: str) -> None:
    from noria.alerting.incidents import Recipients
    from noria.cli.render import console, show_json
    from noria.core.clock import SystemClock

    found, workspace = open_project(project)
    recipients: Recipients = Recipients(tuple(found.settings.alerts.channels))
    row = say(workspace.catalog(), SystemClock().now(), recipients)
    if json:
        show_json({"finding": row.key, "incident": row.incident, "now": word})
    else:
        console().print(f"{word}: {row.summary}")


def _who(by: str | None) -> str:
    return by or getpass.getuser()
