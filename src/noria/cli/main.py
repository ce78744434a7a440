"""The commands of `noria`. Nothing heavy is imported until a command needs it, so that `--help` is quick."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.core.errors import NoriaError

if TYPE_CHECKING:
    from noria.loop.project import Project
    from noria.loop.workspace import Workspace

app = typer.Typer(
    help="Noria keeps machine-learning models working in production.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Folder = Annotated[Path, typer.Option("--project", "-p", envvar="NORIA_PROJECT", help="The project's folder.")]
Json = Annotated[bool, typer.Option("--json", envvar="NORIA_JSON", help="Print one JSON document for programs.")]
HERE = Path()


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", envvar="NORIA_VERSION", help="Print the version.")] = False,
) -> None:
    """Noria keeps machine-learning models working in production. Alone, it shows this project's status."""
    if version:
        from noria import __version__

        typer.echo(f"noria {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        status(HERE, False)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(envvar="NORIA_DEMO_FOLDER", help="The work folder; it is made if missing.")] = Path("demo"),
    json: Json = False,
    weeks: Annotated[int | None, typer.Option("--weeks", envvar="NORIA_DEMO_WEEKS", min=2, help="Replay only so many weeks.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", envvar="NORIA_DEMO_FRESH", help="Start over, not where it was.")] = False,
) -> None:
    """Run the whole life of one model on a year of real flights: ingest, train, replay ten months, serve, report.

    A demo that was stopped goes on where it was when it is run again.
    """
    from noria.cli.demo import run_demo
    from noria.cli.progress import watching
    from noria.cli.render import console, show_figures, show_json

    if fresh:
        import shutil

        shutil.rmtree(folder / ".noria", ignore_errors=True)
    with watching(quiet=json) as tell:
        figures = run_demo(folder, tell, weeks=weeks)
    if json:
        show_json(figures)
        return
    from noria.evidence.report import headline

    out = console()
    out.print(f"\n[bold]{headline(figures['policies'])}[/]\n")
    show_figures(figures)
    serving = figures["serving"]
    out.print(
        f"served over HTTP: {serving['requests']:,} held-back rows, {serving['mismatches']} differ from the replay, "
        f"{serving['logged']:,} logged, {serving['requests_per_second']:,.0f} requests/s from one client"
    )
    out.print(f"took {figures['seconds']:.0f} s\n\nreport: [bold]{figures['report']}[/]")
    out.print(f"next:   [bold]cd {folder} && noria status[/]  or  [bold]noria explain {serving['prediction_id']}[/]")


@app.command()
def check(project: Folder = HERE, json: Json = False) -> None:
    """Try the project without doing anything: settings, module, declarations, sources."""
    from noria.cli.render import console, show_json

    found, _ = _open(project)
    for table in found.tables:
        from noria.data.ingest import check_source

        check_source(table, found.folder)
    result = {
        "project": found.settings.project.name,
        "tables": [t.name for t in found.tables],
        "endpoints": [{"name": e.name, "features": len(e.model.features.features)} for e in found.endpoints],
    }
    if json:
        show_json(result)
        return
    out = console()
    out.print(f"{result['project']}: {len(found.tables)} tables can be read, {len(found.endpoints)} endpoints declared")
    for endpoint in found.endpoints:
        out.print(f"  {endpoint.name}: {len(endpoint.model.features.features)} features, {len(endpoint.model.gates)} gates")


@app.command()
def ingest(project: Folder = HERE, json: Json = False) -> None:
    """Bring every table up to date with its source; bad rows go into quarantine with the reason."""
    from noria.cli.render import console, show_json
    from noria.data.ingest import ingest as ingest_table

    found, workspace = _open(project)
    done = [ingest_table(table, workspace.tables, found.folder) for table in found.tables]
    if json:
        show_json([d.to_dict() for d in done])
        return
    for d in done:
        went = ", ".join(f"{count:,} {name}" for name, count in d.balance.went.items())
        console().print(f"{d.snapshot.table}: {d.balance.came_in:,} rows read = {went}; version {d.snapshot.version}")


@app.command()
def train(
    endpoint: Annotated[str | None, typer.Argument(envvar="NORIA_ENDPOINT", help="The endpoint; the only one if left out.")] = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Train a candidate now, and let the loop decide about it."""
    from noria.core.clock import SystemClock
    from noria.loop.controller import train_now

    _act(project, endpoint, json, lambda world: train_now(world, SystemClock().now()))


@app.command()
def loop(
    endpoint: Annotated[str | None, typer.Argument(envvar="NORIA_ENDPOINT", help="The endpoint; the only one if left out.")] = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Take one turn of the controller, live: ingest, observe, decide, act. Run it at every tick, by hand or by cron."""
    from noria.core.clock import SystemClock
    from noria.data.ingest import ingest as ingest_table
    from noria.loop.controller import turn

    found, workspace = _open(project)
    for table in found.tables:
        ingest_table(table, workspace.tables, found.folder)
    _act(project, endpoint, json, lambda world: turn(world, SystemClock().now()))


@app.command()
def replay(
    endpoint: Annotated[str | None, typer.Argument(envvar="NORIA_ENDPOINT", help="The endpoint; the only one if left out.")] = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Run the controller over history, beside never retraining and retraining every four weeks; write a report."""
    from noria.cli.progress import watching
    from noria.cli.render import console, show_figures, show_json, show_weeks
    from noria.evidence.replay import replay_and_report

    found, workspace = _open(project)
    with watching(quiet=json) as tell:
        figures = replay_and_report(found, workspace, found.endpoint(endpoint), tell)
    if json:
        show_json(figures)
        return
    show_weeks(figures)
    show_figures(figures)
    console().print(f"report: {figures['report']}")


@app.command()
def serve(
    endpoint: Annotated[str | None, typer.Argument(envvar="NORIA_ENDPOINT", help="The endpoint; the only one if left out.")] = None,
    project: Folder = HERE,
    host: Annotated[str | None, typer.Option("--host", envvar="NORIA_SERVING_HOST", help="Where to listen.")] = None,
    port: Annotated[int | None, typer.Option("--port", envvar="NORIA_SERVING_PORT", help="Which port; 0 takes a free one.")] = None,
    json: Json = False,
) -> None:
    """Serve an endpoint's champion over HTTP (Open Inference Protocol v2 and plain JSON) until stopped."""
    from noria.cli.render import console, show_json
    from noria.loop.live import open_server
    from noria.serving.server import Listening, run_server

    found, workspace = _open(project)
    server = open_server(found, workspace, found.endpoint(endpoint), host=host, port=port)

    def started(where: Listening) -> None:
        if json:
            import json as text

            typer.echo(text.dumps({"host": where.host, "port": where.port, "url": where.url, **server.identity}))
            sys.stdout.flush()
            return
        console().print(f"serving [bold]{server.identity['endpoint']}[/] ({server.described}) on {where.url}; Ctrl-C stops it")
        console().print(
            f"  POST {where.url}/predict/{server.identity['endpoint']}\n  POST {where.url}/v2/models/{server.identity['endpoint']}/infer"
        )

    balance = run_server(server, started)
    if json:
        show_json({"stopped": True, "balance": balance.to_dict()})
    else:
        console().print(f"stopped: {balance.came_in:,} rows answered = {balance.accounted:,} logged")


@app.command()
def status(project: Folder = HERE, json: Json = False) -> None:
    """What this project is doing: tables, champion, monitors, decisions, sums, and the next useful command."""
    from noria.cli.render import show_json, show_status
    from noria.evidence.status import status as project_status

    found = project_status(*_open(project))
    if json:
        show_json(found)
    else:
        show_status(found)


@app.command()
def explain(
    prediction_id: Annotated[str, typer.Argument(envvar="NORIA_PREDICTION_ID", help="An id from an answer.")],
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Trace one prediction to its bundle, run, feature definitions and table versions."""
    from noria.cli.render import show_explanation, show_json
    from noria.evidence.explain import explain as explained

    found = explained(*_open(project), prediction_id)
    if json:
        show_json(found)
    else:
        show_explanation(found)


def _open(folder: Path) -> tuple[Project, Workspace]:
    from noria.loop.project import load_project
    from noria.loop.workspace import Workspace

    project = load_project(folder)
    return project, Workspace.of(folder, project.settings)


def _act(folder: Path, endpoint: str | None, json: bool, step: Any) -> None:
    from noria.cli.render import console, show_decision, show_json
    from noria.loop.world import Policy, World

    project, workspace = _open(folder)
    chosen = project.endpoint(endpoint)
    world = World.open(project, workspace, chosen, Policy.declared(project, chosen))
    world.catalog.take_lease()
    done = step(world)
    if json:
        show_json([{"time": a.at.isoformat(), "action": a.verb, "subject": a.subject, "reason": a.reason} for a in done])
        return
    for action in done:
        console().print(show_decision(action.endpoint, action.at, action.verb, action.reason))
    if not done:
        console().print("nothing to do")


def run() -> None:
    """Run the command line; every NoriaError becomes three lines and its exit code, never a traceback."""
    try:
        app(standalone_mode=False)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except typer.Abort:
        sys.exit(130)
    except NoriaError as error:
        from noria.cli.render import show_error

        show_error(error, as_json="--json" in sys.argv[1:])
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; run the same command again to go on\n")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if type(error).__module__.startswith("click") or type(error).__module__.startswith("typer"):
            error.show()  # type: ignore[attr-defined]
            sys.exit(getattr(error, "exit_code", 2))
        raise
