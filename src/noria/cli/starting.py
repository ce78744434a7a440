"""The commands of the first hour: a project from one's own data, and what this machine has for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noria.cli.options import HERE, Folder, Json

if TYPE_CHECKING:
    from noria.start.doctor.examine import Examined
    from noria.start.project import Plan

Label = Annotated[str | None, typer.Option("--label", envvar="NORIA_LABEL", help="The column to predict.")]
Time = Annotated[str | None, typer.Option("--time", envvar="NORIA_TIME", help="The column that says when a row happened.")]
Key = Annotated[
    list[str] | None, typer.Option("--key", envvar="NORIA_KEY_COLUMN", help="A column that identifies rows; repeat it for several.")
]


def add_starting(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (init, doctor):
        app.command()(command)


def init(
    data: Annotated[
        list[str] | None, typer.Argument(envvar="NORIA_DATA", help="A CSV, Parquet or JSON-lines file, a folder of them, a glob, or a URL.")
    ] = None,
    project: Annotated[
        Path, typer.Option("--project", "-p", envvar="NORIA_PROJECT", help="The project's folder; created if missing.")
    ] = HERE,
    name: Annotated[str | None, typer.Option("--name", envvar="NORIA_NAME", help="The project's name (default: the data's).")] = None,
    label: Label = None,
    time: Time = None,
    key: Key = None,
    task: Annotated[str | None, typer.Option("--task", envvar="NORIA_TASK", help="binary, multiclass, regression or forecast.")] = None,
    time_zone: Annotated[
        str, typer.Option("--time-zone", envvar="NORIA_TIME_ZONE", help="The time zone of times that are written without one.")
    ] = "UTC",
    sql: Annotated[str | None, typer.Option("--sql", envvar="NORIA_SQL", help="Read a database: its SQLAlchemy URL.")] = None,
    query: Annotated[str | None, typer.Option("--query", envvar="NORIA_QUERY", help="With --sql: the query whose rows to read.")] = None,
    table: Annotated[str | None, typer.Option("--table", envvar="NORIA_TABLE", help="With --sql: the table to read.")] = None,
    from_model: Annotated[
        str | None,
        typer.Option(
            "--from", envvar="NORIA_FROM", help="Begin with this model: an ONNX, skops or booster file, or mlflow:models:/NAME/1."
        ),
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", envvar="NORIA_COPY", help="Copy the data into the project.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", envvar="NORIA_YES", help="Accept the proposals without asking.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", envvar="NORIA_DRY_RUN", help="Show the proposals and the module; write nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Start a project from your own data: propose what to predict and from what, with reasons, and write a project that runs."""
    from noria.cli.render import show_json
    from noria.core.clock import SystemClock, zone_named
    from noria.start.mistakes import NobodyToAsk
    from noria.start.project import given_files, given_query, plan, write
    from noria.start.propose import InitOptions, task_named

    zone_named(time_zone)
    given = given_files(data or [], project, name) if sql is None else given_query(sql, query, table, name)
    asked = InitOptions(label, time, tuple(key or ()), task_named(task), time_zone, from_model, project)
    now = SystemClock().now()
    asks = not (yes or dry_run or json)
    if asks and not sys.stdin.isatty():
        raise NobodyToAsk
    planned = plan(given, project, asked, now, copy=copy)
    if asks:
        from noria.cli.asking import answered

        planned = answered(planned, asked, lambda chosen: plan(given, project, chosen, now, copy=copy))
    if not dry_run:
        write(planned)
    if json:
        show_json({**planned.to_dict(), "written": not dry_run})
    else:
        _show(planned, written=not dry_run)


def _show(planned: Plan, *, written: bool) -> None:
    from rich.markup import escape

    from noria.cli.render import console

    out, p = console(), planned.proposal
    for what, choice, reason in p.reasons():
        out.print(f"{what:<12}[bold]{escape(choice)}[/]\n            [dim]{escape(reason)}[/]")
    for note in p.notes:
        out.print(f"note: {note}", markup=False)
    if not written:
        for name, text in planned.texts.items():
            out.print(f"\n# {name}\n{text}", markup=False)
        return
    files = ", ".join(str(path.relative_to(planned.folder)) for path in planned.paths)
    out.print(f"\nwrote {files}", markup=False)
    for line in p.needs:
        out.print(f"first:  {line}", markup=False)
    materialize = " noria materialize &&" if p.task.name == "forecast" else ""  # its requests are answered from the online store
    there = "" if planned.folder == Path() else f"cd {planned.folder} && "
    out.print(f"next:   {there}noria ingest && noria train &&{materialize} noria serve", markup=False)


def doctor(
    project: Folder = HERE,
    report: Annotated[
        bool, typer.Option("--report", envvar="NORIA_REPORT", help="Print a block for an issue, without names, hosts, folders and secrets.")
    ] = False,
    json: Json = False,
) -> None:
    """Check this machine, its installed libraries, and the project's folder; say what is missing and how to fix it."""
    from noria.cli.render import show_json
    from noria.core.clock import SystemClock
    from noria.start.doctor.examine import examine

    found = examine(project, SystemClock())
    if json:
        show_json({**found.to_dict(), "report": found.report()} if report else found.to_dict())
    elif report:
        typer.echo(found.report())
    else:
        _show_examined(found)
    if found.failed:
        raise typer.Exit(1)


def _show_examined(found: Examined) -> None:
    from rich.markup import escape

    from noria.cli.render import console

    out, marks = console(), {"passed": "[green]passed [/]", "failed": "[red]failed [/]", "unknown": "[yellow]unknown[/]"}
    for check in found.checks:
        out.print(f"{marks[check.outcome]} {escape(check.about)}: {escape(check.seen)}")
        if check.fix:
            out.print(f"        fix: {escape(check.fix)}")
    out.print(f"\nextras: {', '.join(extra.name for extra in found.extras if extra.installed) or 'none'} are installed", markup=False)
    for extra in found.extras:
        if not extra.installed:
            out.print(f"        {extra.install:<32}{extra.gives}", markup=False)
