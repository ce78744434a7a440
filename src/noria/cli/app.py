"""The commands of `noria`. Nothing heavy is imported until a command needs it, so that `--help` is quick."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli.by_hand import add_by_hand
from noria.cli.llm import add_llm
from noria.cli.model_files import files_of
from noria.cli.monitoring import add_monitoring
from noria.cli.options import HERE, Endpoint, Folder, Json, open_project
from noria.cli.serving import add_serving
from noria.cli.starting import add_starting
from noria.core.errors import NoriaError, UserMistake

if TYPE_CHECKING:
    from noria.loop.live_loop import Round
    from noria.stores.workspace import Workspace

app = typer.Typer(
    help="Noria keeps machine-learning models working in production.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", envvar="NORIA_VERSION", help="Print the version.")] = False,
) -> None:
    """Noria keeps machine-learning models working in production. Without a command, show this project's status."""
    if version:
        from noria import __version__

        typer.echo(f"noria {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        status(HERE, False)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(envvar="NORIA_DEMO_FOLDER", help="The work folder; created if missing.")] = Path("demo"),
    json: Json = False,
    weeks: Annotated[int | None, typer.Option("--weeks", envvar="NORIA_DEMO_WEEKS", min=2, help="Replay only this many weeks.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", envvar="NORIA_DEMO_FRESH", help="Start over instead of continuing.")] = False,
) -> None:
    """Run the full lifecycle of one model on a year of real flights: ingest, train, replay ten months, serve, report.

    An interrupted demo continues where it stopped.
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
    out.print(f"\n[bold]{headline(figures)}[/]\n")
    show_figures(figures)
    serving = figures["serving"]
    out.print(
        f"served over HTTP: {serving['requests']:,} held-out rows, {serving['mismatches']} differ from the replay, "
        f"{serving['logged']:,} logged, {serving['requests_per_second']:,.0f} requests/s from one client"
    )
    out.print(f"took {figures['seconds']:.0f} s\n\nreport: [bold]{figures['report']}[/]")
    out.print(f"next:   [bold]cd {folder} && noria status[/]  or  [bold]noria explain {serving['prediction_id']}[/]")


@app.command()
def check(
    project: Folder = HERE,
    suggest: Annotated[
        str | None, typer.Option("--suggest", envvar="NORIA_SUGGEST", help="Propose types and a contract for this table, from its data.")
    ] = None,
    json: Json = False,
) -> None:
    """Validate settings, module, sources, feature views and labels without changing anything, and list what the project declares."""
    from noria.cli.render import show_checked, show_declared, show_json
    from noria.data.ingest import check_source
    from noria.data.table import INGESTED
    from noria.evaluation.gates import check_gates
    from noria.evidence.declared import declared
    from noria.features.check import check_keys, check_leaks, check_transforms, check_views, repeated_keys

    found, workspace = open_project(project)
    if suggest is not None:
        from noria.data.suggest import as_python, suggest_types, types_of
        from noria.data.suggest import suggest as suggested

        table = found.table(suggest)
        read = check_source(table, found.folder).rows
        contract, types = as_python(suggested(table, read)), suggest_types(types_of(read, without=[INGESTED]))
        if json:
            show_json({"table": table.name, "contract": contract, "types": types})
        else:
            source = "\n".join(f"# {line}" for line in ["and for its source, nr.files(…):", *types.splitlines()])
            typer.echo(f"{contract}\n{source}")
        return
    checked = {table.name: check_source(table, found.folder) for table in found.tables}
    rows = {name: table.rows for name, table in checked.items()}
    check_views(found.views, rows, workspace.settings.stores.engine)
    for model in found.models:
        check_keys(model.features, model.label, rows, model.task)
        check_gates(model.gates, model.name, [*rows[model.features.spine.name].column_names, *model.features.features])
    for features in found.feature_sets:
        check_transforms(features, rows[features.spine.name])
        if told_of := repeated_keys(features.spine, rows[features.spine.name]):
            seen = checked[features.spine.name]
            checked[features.spine.name] = replace(seen, warnings={**seen.warnings, told_of: rows[features.spine.name].num_rows})
    for model in found.models:
        check_leaks(model.features, model.label, rows, model.task)
    told = declared(found, {name: table.schema for name, table in rows.items()})
    name, tables = found.settings.project.name, [{"name": name, **table.to_dict()} for name, table in checked.items()]
    if json:
        show_json({"project": name, "tables": tables, **told})
    else:
        show_declared(name, tables, told)
        show_checked(checked)
    if any(table.unreadable for table in checked.values()):
        raise typer.Exit(2)


@app.command()
def ingest(
    project: Folder = HERE,
    replay_quarantine: Annotated[
        bool,
        typer.Option(
            "--replay-quarantine", envvar="NORIA_REPLAY_QUARANTINE", help="Check the quarantined rows against the current contract."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Bring every table up to date with its source; bad rows go into quarantine with the reason."""
    from noria.cli.render import show_error, show_ingested, show_json
    from noria.data.ingest import ingest as ingest_table
    from noria.data.ingest import replay_quarantine as replay

    found, workspace = open_project(project)
    done, failed = [], list[NoriaError]()
    for table in found.tables:  # one that fails stops no other
        try:
            done.append(replay(table, workspace.tables) if replay_quarantine else ingest_table(table, workspace.tables, found.folder))
        except NoriaError as error:
            failed.append(error)
    if json and not failed:
        show_json([d.to_dict() for d in done])
    elif not json:
        show_ingested(done)
    if failed:
        for other in failed[:-1]:
            show_error(other, as_json=False)
        raise failed[-1]
    if any(d.unreadable for d in done):
        raise typer.Exit(2)


@app.command()
def materialize(
    view: Annotated[str | None, typer.Argument(envvar="NORIA_VIEW", help="The feature view (default: all).")] = None,
    project: Folder = HERE,
    at: Annotated[
        datetime | None, typer.Option("--at", envvar="NORIA_AT", help="The point in time (UTC) to bring them to (default: now).")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", envvar="NORIA_FRESH", help="Rebuild them from the tables.")] = False,
    json: Json = False,
) -> None:
    """Bring the online store up to date: apply changes since the last run, and recompute what late rows have changed."""
    from noria.cli.progress import watching
    from noria.cli.render import console, show_json
    from noria.core.clock import SystemClock
    from noria.features.materialization import materialize as materialize_views

    found, workspace = open_project(project)
    now = SystemClock().now()
    moment = now if at is None else at.replace(tzinfo=UTC)
    if moment > now:  # a store that is ahead of its facts would stay there
        raise UserMistake(what=f"{moment:%Y-%m-%d %H:%M} UTC is in the future", where="--at", fix="use a time in the past")
    with watching(quiet=json) as tell:
        done = materialize_views(workspace, [found.view(view)] if view else found.views, moment, tell, fresh=fresh)
    if json:
        show_json([d.to_dict() for d in done])
        return
    for d in done:
        console().print(
            f"{d.view}: {d.changed:,} entities changed, {d.recomputed:,} recomputed after late rows; through {d.through:%Y-%m-%d %H:%M} UTC"
        )


@app.command()
def push(
    table: Annotated[str, typer.Argument(envvar="NORIA_TABLE", help="The table that the rows belong to.")],
    file: Annotated[Path, typer.Argument(envvar="NORIA_FILE", help="Rows as Parquet, CSV or JSON lines.")],
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Add rows to a table, and immediately update the views that read it."""
    from noria.cli.progress import watching
    from noria.cli.render import show_ingested, show_json
    from noria.core.clock import SystemClock
    from noria.features.materialization import push_file

    found, workspace = open_project(project)
    with watching(quiet=json) as tell:
        ingested, done = push_file(found.table(table), found.views, workspace, file, SystemClock(), tell)
    if json:
        show_json({"ingested": ingested.to_dict(), "materialized": [d.to_dict() for d in done]})
    else:
        show_ingested([ingested])


@app.command()
def compact(
    project: Folder = HERE,
    older_than: Annotated[str, typer.Option("--older-than", envvar="NORIA_OLDER_THAN", help="Remove versions older than this.")] = "30d",
    json: Json = False,
) -> None:
    """Seal the prediction log's past days into tables, compact small files, and remove old versions that no bundle was built from."""
    from noria.cli.render import console, show_json
    from noria.core.clock import SystemClock, duration
    from noria.loop.compaction import compact as compacted
    from noria.loop.compaction import seal_logs

    found, workspace = open_project(project)
    sealed = seal_logs(found, workspace, SystemClock().now())
    done = compacted(found, workspace, duration(older_than))
    if json:
        show_json({"logs": [s.to_dict() for s in sealed], "tables": [d.to_dict() for d in done]})
        return
    out = console()
    for s in sealed:
        out.print(f"{s.table}: {s.balance.rows_in:,} predictions from {s.segments:,} segments sealed, {s.removed:,} segments removed")
    for d in done:
        out.print(f"{d.table}: {d.joined:,} files compacted, {d.removed:,} removed; versions kept for bundles: {d.kept_versions or 'none'}")


@app.command()
def features(project: Folder = HERE, json: Json = False) -> None:
    """Show the feature catalog: views with owners, statistics, freshness, and consumers."""
    from noria.cli.render import show_feature_catalog, show_json
    from noria.evidence.feature_catalog import feature_catalog

    found = feature_catalog(*open_project(project))
    if json:
        show_json(found)
    else:
        show_feature_catalog(found)


@app.command()
def skew(
    endpoint: Endpoint = None,
    project: Folder = HERE,
    since: Annotated[str, typer.Option("--since", envvar="NORIA_SINCE", help="How far back to read the log, such as 7d.")] = "7d",
    json: Json = False,
) -> None:
    """Recompute the features of logged predictions offline, and report the share of differing values per feature."""
    from noria.cli.render import show_json, show_skew
    from noria.core.clock import SystemClock, duration
    from noria.evidence.skew import endpoint_skew

    found, workspace = open_project(project)
    result = endpoint_skew(found, workspace, found.endpoint(endpoint), SystemClock().now(), duration(since))
    if json:
        show_json(result.to_dict())
    else:
        show_skew(result)


@app.command()
def train(
    endpoint: Endpoint = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Train a candidate now and let the loop decide about it; show its quality on held-out days and the result of each gate."""
    from noria.cli.progress import watching
    from noria.cli.render import show_actions
    from noria.core.clock import SystemClock
    from noria.core.heartbeat import require_this_host
    from noria.evidence.training import trained
    from noria.loop.context import EndpointContext, Policy
    from noria.loop.controller import train_now
    from noria.stores.catalog import PATIENCE_SECONDS

    found, workspace = open_project(project)
    chosen, clock = found.endpoint(endpoint), SystemClock()
    require_this_host(workspace.root, clock.now(), workspace.files)
    context = EndpointContext.open(found, workspace, chosen, Policy.declared(found, chosen), live=True)
    with closing(context.stores.catalog) as catalog, watching(quiet=json) as tell:
        catalog.take_lease(PATIENCE_SECONDS)
        done = train_now(context, clock, tell)
        results = trained(catalog, done)
    show_actions(done, {}, results, as_json=json)


@app.command()
def loop(
    endpoint: Annotated[str | None, typer.Argument(envvar="NORIA_ENDPOINT", help="The endpoint (default: all).")] = None,
    forever: Annotated[
        bool, typer.Option("--forever", envvar="NORIA_FOREVER", help="Repeat until stopped instead of running once.")
    ] = False,
    every: Annotated[str, typer.Option("--every", envvar="NORIA_EVERY", help="The pause between iterations, with --forever.")] = "1m",
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Run one control-loop iteration: ingest, materialize, observe, decide, act, send alerts."""
    from noria.core.clock import SystemClock, duration
    from noria.core.telemetry import begin_logging
    from noria.loop.live_loop import LiveLoop

    found, workspace = open_project(project)
    begin_logging("text")
    clock, pause = SystemClock(), duration(every)
    rounds = LiveLoop(found, workspace, clock, pause if forever else duration(found.settings.loop.tick), waits=not forever)
    if not forever:
        with closing(rounds):
            done = rounds.run(endpoint)
        if not (json and done.troubles):  # a program is told one thing: the error
            _show_round(workspace, done, as_json=json)
        if done.troubles:
            raise next(iter(done.troubles.values()))
        return
    with rounds.pulse():
        while True:
            done = rounds.run(endpoint)
            if not done.standing_by:
                _show_round(workspace, done, as_json=json)
            clock.sleep(pause)


def _show_round(workspace: Workspace, done: Round, *, as_json: bool) -> None:
    """What a round did, as far as the catalog can be asked: a loop goes on without being shown."""
    from noria.cli.render import console, show_actions, show_ingested
    from noria.evidence.training import trained

    if not as_json:
        show_ingested(done.ingested)
    told: dict[str, dict[str, Any]] = {}
    if any(action.verb == "train" for action in done.actions):
        with suppress(NoriaError), closing(workspace.catalog()) as catalog:
            told = trained(catalog, done.actions)
    show_actions(done.actions, done.troubles, told, as_json=as_json)
    if not as_json:
        for name in done.history:
            console().print(f"{name} was replayed only; its live loop starts with the first new row, request or `noria train`")


@app.command()
def replay(
    endpoint: Endpoint = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Run the controller over history, compare it with never retraining and with retraining every four weeks, and write a report."""
    from noria.cli.progress import watching
    from noria.cli.render import console, show_figures, show_json, show_weeks
    from noria.core.clock import Stopwatch
    from noria.core.ids import finite
    from noria.evidence.figures import replay_figures
    from noria.evidence.replay import write_report
    from noria.loop.comparison import run_replay

    found, workspace = open_project(project)
    watch = Stopwatch()
    with watching(quiet=json) as tell:
        replayed = run_replay(found, workspace, found.endpoint(endpoint), tell)
        figures = write_report(found, workspace, replayed, replay_figures(replayed.contexts, replayed.span), watch)
        replayed.close()
    if json:
        show_json(finite(figures))
        return
    show_weeks(figures)
    show_figures(figures)
    console().print(f"report: {figures['report']}")


@app.command()
def status(project: Folder = HERE, json: Json = False) -> None:
    """Show this project's status: tables, champion, monitors, decisions, row balances, and the next useful command."""
    from noria.cli.render import show_json
    from noria.cli.show_status import show_status
    from noria.evidence.status import status as project_status

    served = files_of(project)
    if served is not None:
        from noria.evidence.model_files import status_of_files

        found = status_of_files(served)
    else:
        found = project_status(*open_project(project))
    if json:
        show_json(found)
    else:
        show_status(found)


@app.command()
def explain(
    prediction_id: Annotated[str, typer.Argument(envvar="NORIA_PREDICTION_ID", help="A prediction ID from a response.")],
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Show a prediction's lineage: bundle, run, feature definitions and table versions."""
    from noria.cli.render import show_explanation, show_json
    from noria.evidence.explain import explain as explained

    served = files_of(project)
    if served is not None:
        from noria.evidence.model_files import explain_file

        found = explain_file(served, prediction_id)
    else:
        found = explained(*open_project(project), prediction_id)
    if json:
        show_json(found)
    else:
        show_explanation(found)


add_starting(app)
add_serving(app)
add_by_hand(app)
add_monitoring(app)
add_llm(app)
