"""Commands about what the monitors find: the findings and their life, the watcher, reports, and backtests of monitors."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli.options import HERE, By, Endpoint, Folder, Json, open_context, open_project, who
from noria.cli.predictions import predictions
from noria.core.errors import NoriaError, UserMistake

if TYPE_CHECKING:
    from noria.alerting.incidents import Recipients
    from noria.loop.live_loop import Watched

logger = logging.getLogger("noria.loop")

Key = Annotated[str, typer.Argument(envvar="NORIA_FINDING", help="The finding's key, a prefix of it, or its subject.")]

monitor = typer.Typer(help="Monitors: reports, backtests over history, exports.", no_args_is_help=True)
findings = typer.Typer(help="Findings of the monitors: list, acknowledge, mute, resolve.", no_args_is_help=True)


def add_monitoring(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.add_typer(findings, name="findings")
    app.add_typer(monitor, name="monitor")
    app.command()(watch)
    monitor.command("predictions")(predictions)


@findings.command("list")
def list_findings(
    everything: Annotated[bool, typer.Option("--all", envvar="NORIA_ALL", help="Include closed findings.")] = False,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """List open findings, and alerts that could not be sent."""
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
    """Acknowledge a finding: its incident sends no more alerts."""
    from noria.alerting.incidents import acknowledge as acknowledged

    _said(project, json, lambda catalog, now, recipients: acknowledged(catalog, key, who(by), now, recipients), "acknowledged")


@findings.command("mute")
def mute(
    key: Key,
    span: Annotated[str, typer.Option("--for", envvar="NORIA_FOR", help="The duration, for example 6h or 3d.")],
    reason: Annotated[str, typer.Option("--reason", envvar="NORIA_REASON", help="The reason.")] = "",
    by: By = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Send no alerts for findings of this kind about this subject for a while; they are still recorded and listed."""
    from noria.alerting.incidents import mute as muted
    from noria.core.clock import duration

    lasting = duration(span)
    _said(project, json, lambda catalog, now, recipients: muted(catalog, key, who(by), lasting, reason, now), f"muted for {span}")  # noqa: ARG005


@findings.command("resolve")
def resolve(key: Key, by: By = None, project: Folder = HERE, json: Json = False) -> None:
    """Close a finding. If the problem recurs, it opens a new one."""
    from noria.alerting.incidents import resolve as resolved

    _said(project, json, lambda catalog, now, recipients: resolved(catalog, key, who(by), now, recipients), "resolved")


@monitor.command("report")
def report(
    endpoint: Endpoint = None,
    window: Annotated[
        str | None,
        typer.Option(
            "--window", envvar="NORIA_WINDOW", help="One window, as seen when it closed, given by a time in it (with a UTC offset)."
        ),
    ] = None,
    incident: Annotated[
        str | None, typer.Option("--incident", envvar="NORIA_INCIDENT", help="One incident, by its key or a finding's key.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", envvar="NORIA_OUT", help="The HTML file (default: monitors.html, window.html or incident.html)."),
    ] = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Write the monitors' results as one HTML page: health, findings, evidence, before and after; or one window or incident."""
    from noria.cli.render import console, show_json
    from noria.core.clock import moment

    if window is not None and incident is not None:
        raise UserMistake(what="both a window and an incident were given", where="--window, --incident", fix="give only one of them")
    context = open_context(project, endpoint)
    figures: dict[str, Any]
    if window is not None:
        from noria.evidence.window import window_figures
        from noria.evidence.window_report import render_window as render
        from noria.evidence.window_report import window_headline as headline

        name, figures = "window.html", window_figures(context, moment(window))
    elif incident is not None:
        from noria.evidence.window import incident_figures
        from noria.evidence.window_report import incident_headline as headline
        from noria.evidence.window_report import render_incident as render

        name, figures = "incident.html", incident_figures(context, incident)
    else:
        from noria.evidence.monitor_report import headline
        from noria.evidence.monitor_report import render_monitor_report as render
        from noria.evidence.monitoring import monitor_figures

        name, figures = "monitors.html", monitor_figures(context)
    path = out or context.stores.workspace.folder / name
    context.stores.workspace.files.write(path, render(context.project.settings.project.name, figures).encode())
    if json:
        show_json({**figures, "report": str(path)})
    else:
        console().print(f"{headline(figures)}\nreport: {path}", markup=False)


@monitor.command("export")
def export(
    folder: Annotated[Path, typer.Argument(envvar="NORIA_FOLDER", help="The output folder; files of the same name are replaced.")],
    endpoint: Endpoint = None,
    since: Annotated[
        str | None,
        typer.Option("--since", envvar="NORIA_SINCE", help="Start of the first window, with a UTC offset (default: the champion's first)."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", envvar="NORIA_UNTIL", help="Export windows that start before this, with a UTC offset (default: all)."),
    ] = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Export the champion's training data and its predictions, window by window, as Parquet for Evidently, whylogs and others."""
    from noria.cli.render import console, show_json
    from noria.core.clock import SystemClock, moment
    from noria.monitoring.export import export as exported

    context = open_context(project, endpoint)
    first, last = (None if text is None else moment(text) for text in (since, until))
    done = exported(context, folder, first, last, context.project.settings.replay.end or SystemClock().now())
    if json:
        show_json(done.to_dict())
    else:
        gone = f"; {done.gone} more are no longer in the log" if done.gone else ""
        rows = sum(done.windows.values())
        console().print(f"wrote {done.folder}: a reference of {done.reference:,} rows, {len(done.windows)} windows of {rows:,} rows{gone}")


@monitor.command("table")
def table(
    files: Annotated[str, typer.Argument(envvar="NORIA_FILES", help="Parquet, CSV or JSON-lines files: a path, a glob, or a URL.")],
    time: Annotated[str, typer.Option("--time", envvar="NORIA_TIME", help="The timestamp column that defines the windows.")],
    every: Annotated[str, typer.Option("--every", envvar="NORIA_EVERY", help="The window size: a duration, or a number of rows.")] = "1d",
    reference: Annotated[int, typer.Option("--reference", envvar="NORIA_REFERENCE", help="The number of reference windows.", min=20)] = 60,
    rolling: Annotated[
        bool,
        typer.Option(
            "--rolling", envvar="NORIA_ROLLING", help="Compare with the windows just before, so that a lasting change becomes normal."
        ),
    ] = False,
    budget: Annotated[float, typer.Option("--budget", envvar="NORIA_BUDGET", help="False alarms per year.")] = 2.0,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            envvar="NORIA_UNTIL",
            help="The table is complete up to this time, with a UTC offset (default: its newest row's window).",
        ),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(
            "--time-zone", envvar="NORIA_TIME_ZONE", help="The time zone of hours and days, such as Europe/Berlin (default: UTC)."
        ),
    ] = None,
    leave_out: Annotated[str, typer.Option("--leave-out", envvar="NORIA_LEAVE_OUT", help="Columns to exclude, such as keys: a,b.")] = "",
    out: Annotated[Path | None, typer.Option("--out", "-o", envvar="NORIA_OUT", help="Also write an HTML page.")] = None,
    json: Json = False,
) -> None:
    """Check the windows of any table against its first ones; exit code 1 if something is wrong in the newest. Needs no project."""
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
    out: Annotated[Path | None, typer.Option("--out", "-o", envvar="NORIA_OUT", help="The file (default: standard output).")] = None,
    json: Json = False,
) -> None:
    """Write a Grafana dashboard for the Prometheus metrics of `noria watch --metrics-port` and of the server's /metrics."""
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
    reference: Annotated[int, typer.Option("--reference", envvar="NORIA_REFERENCE", help="The number of reference windows.", min=20)] = 56,
    budget: Annotated[
        float | None, typer.Option("--budget", envvar="NORIA_BUDGET", help="False drift alarms per year (default: the monitor's).")
    ] = None,
    sensitivity: Annotated[
        float | None, typer.Option("--sensitivity", envvar="NORIA_SENSITIVITY", help="The sensitivity to try (default: the monitor's).")
    ] = None,
    incidents: Annotated[
        Path | None, typer.Option("--incidents", envvar="NORIA_INCIDENTS", help="CSV of known incidents: name,start,end.")
    ] = None,
    suggest: Annotated[bool, typer.Option("--suggest", envvar="NORIA_SUGGEST", help="Find the best sensitivity for the budget.")] = False,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Run the drift monitor over history: the alarms it would have raised, their delays, and the false alarms."""
    from noria.cli.progress import watching
    from noria.cli.render import show_backtest, show_json
    from noria.core.clock import SystemClock
    from noria.core.progress import Progress
    from noria.monitoring.feature_backtest import backtest as run_backtest
    from noria.monitoring.feature_backtest import read_incidents
    from noria.monitoring.monitor import Monitor

    context = open_context(project, endpoint)
    declared = context.monitor or Monitor(context.endpoint)
    end = context.project.settings.replay.end or SystemClock().now()
    known = read_incidents(incidents) if incidents is not None else []
    with watching(quiet=json) as tell:
        done = run_backtest(
            context,
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
    every: Annotated[str, typer.Option("--every", envvar="NORIA_EVERY", help="How often to check.")] = "30s",
    once: Annotated[
        bool,
        typer.Option("--once", envvar="NORIA_ONCE", help="Check once; exit code 1 unless every stage is alive and every alert is sent."),
    ] = False,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", envvar="NORIA_METRICS_PORT", help="Serve Prometheus metrics on this port.")
    ] = None,
    forget: Annotated[str | None, typer.Option("--forget", envvar="NORIA_FORGET", help="Stop expecting this stage.")] = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Check the heartbeat of every stage, and send pending alerts. Run it as a separate process beside the loop."""
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
            logger.error("the check failed: %s", error)
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
