"""Commands by which a person looks and acts: models and runs, outcomes, settings."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from noria.cli.options import HERE, By, Endpoint, Folder, Json, open_context, open_project, who

Chosen = Annotated[str | None, typer.Option("--endpoint", envvar="NORIA_ENDPOINT", help="The endpoint (default: the only one).")]
Why = Annotated[str, typer.Option("--why", envvar="NORIA_WHY", help="The reason; it is recorded with the decision.")]
BundleId = Annotated[str, typer.Argument(envvar="NORIA_BUNDLE", help="The bundle's id, or the beginning of it.")]

models = typer.Typer(help="Models: list, show, promote, roll back.", no_args_is_help=True)
outcome = typer.Typer(help="Outcomes: add one by hand.", no_args_is_help=True)
config = typer.Typer(help="Settings: list, explain.", no_args_is_help=True)


def add_by_hand(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    app.add_typer(models, name="models")
    app.command()(runs)
    app.add_typer(outcome, name="outcome")
    app.add_typer(config, name="config")


@models.command("list")
def list_models(endpoint: Endpoint = None, project: Folder = HERE, json: Json = False) -> None:
    """List an endpoint's models, newest first: which is champion, when each was trained, its figures and gates."""
    from noria.cli.render import console, show_json
    from noria.evidence.models import models_of, plain

    context = open_context(project, endpoint)
    with closing(context.stores.catalog):
        found = models_of(context)
    if json:
        show_json(found)
        return
    for line in plain(found) or ["no model was trained yet: `noria train`"]:
        console().print(line, markup=False, highlight=False)


@models.command("show")
def show_model(bundle: BundleId, endpoint: Chosen = None, project: Folder = HERE, json: Json = False) -> None:
    """Show one model: where it lies, what it reads and answers, where it comes from, and its card."""
    from noria.cli.render import console, show_json
    from noria.evidence.models import model_shown
    from noria.loop.by_hand import candidate_named

    context = open_context(project, endpoint)
    with closing(context.stores.catalog):
        found = model_shown(context, candidate_named(context, bundle))
    if json:
        show_json(found)
        return
    out = console()
    reports = [f"{report['title']}: {report['path']}" for report in found["trained"]["reports"]]
    told = (found["card"], f"bundle: {found['path']}", f"runtime: {found['runtime']}", f"inputs: {', '.join(found['inputs'])}", *reports)
    for line in told:
        out.print(line, markup=False, highlight=False)


@models.command("promote")
def promote_model(
    bundle: BundleId, endpoint: Chosen = None, why: Why = "", by: By = None, project: Folder = HERE, json: Json = False
) -> None:
    """Make a model champion now, whatever its gates and its shadow said. A running server serves it within seconds."""
    from noria.cli.render import show_actions
    from noria.core.clock import SystemClock
    from noria.loop.by_hand import promote_now
    from noria.stores.catalog import PATIENCE_SECONDS

    context = open_context(project, endpoint)
    with closing(context.stores.catalog) as catalog:
        catalog.take_lease(PATIENCE_SECONDS)
        done = promote_now(context, SystemClock(), bundle, by=who(by), why=why)
    show_actions([done], {}, {}, as_json=json)


@models.command("rollback")
def roll_back(endpoint: Endpoint = None, why: Why = "", by: By = None, project: Folder = HERE, json: Json = False) -> None:
    """Bring the champion before the present one back. A running server serves it within seconds."""
    from noria.cli.render import show_actions
    from noria.core.clock import SystemClock
    from noria.loop.by_hand import rollback_now
    from noria.stores.catalog import PATIENCE_SECONDS

    context = open_context(project, endpoint)
    with closing(context.stores.catalog) as catalog:
        catalog.take_lease(PATIENCE_SECONDS)
        done = rollback_now(context, SystemClock(), by=who(by), why=why)
    show_actions([done], {}, {}, as_json=json)


def runs(endpoint: Endpoint = None, project: Folder = HERE, json: Json = False) -> None:
    """List the trainings of an endpoint, newest first: parameters, rows, figures, seconds."""
    from noria.cli.render import console, show_json
    from noria.evidence.models import runs_of

    context = open_context(project, endpoint)
    with closing(context.stores.catalog):
        found = runs_of(context)
    if json:
        show_json(found)
        return
    for run in found:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in run["metrics"].items()) or "not evaluated"
        line = f"{run['run'][:12]}  {run['at'][:16].replace('T', ' ')}  {run['training_rows']:,} rows, {run['seconds']:.0f} s  {figures}"
        console().print(line, markup=False, highlight=False)
        parameters = ", ".join(f"{name}={value}" for name, value in run["parameters"].items())
        if parameters:
            console().print(f"              {parameters}", markup=False, highlight=False, style="dim")


@outcome.command("add")
def add_outcome(
    key: Annotated[str, typer.Argument(envvar="NORIA_KEY", help="The key of the predicted row, or the ID of its prediction.")],
    values: Annotated[
        list[str], typer.Argument(envvar="NORIA_VALUES", help="The outcome: a value, or column=value for each column of the label.")
    ],
    endpoint: Chosen = None,
    at: Annotated[datetime | None, typer.Option("--at", envvar="NORIA_AT", help="When it happened (UTC; default: now).")] = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Add the outcome of one prediction to the label's table; an earlier outcome of the same key is corrected."""
    from noria.cli.render import console, show_json
    from noria.core.clock import SystemClock
    from noria.evidence.explain import key_of
    from noria.features.outcome_by_hand import add_outcome as added

    found, workspace = open_project(project)
    chosen = found.endpoint(endpoint)
    label, moment = chosen.model.label, None if at is None else at.replace(tzinfo=UTC)
    done = added(label, key_of(found, workspace, key), values, moment, workspace, SystemClock())
    if json:
        show_json(done.to_dict())
    else:
        console().print(f"{label.table.name}: the outcome of {key} is stored", markup=False, highlight=False)


@config.command("list")
def list_settings(project: Folder = HERE, json: Json = False) -> None:
    """List every setting with its value and where it comes from."""
    from noria.cli.render import console, show_json
    from noria.core.settings_explained import explained

    found = explained(project)
    if json:
        show_json(found)
        return
    for each in found:
        console().print(f"{each['key']} = {each['value']!r}  ({Path(each['from']).name})", markup=False, highlight=False)


@config.command("explain")
def explain_setting(
    key: Annotated[str, typer.Argument(envvar="NORIA_KEY", help="The setting, such as serving.port.")],
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Show a setting's value, where it comes from, what it overrides, its default and type, and the variable that changes it."""
    from noria.cli.render import console, show_json
    from noria.core.settings_explained import explained_one

    found = explained_one(project, key)
    if json:
        show_json(found)
        return
    for line in (
        f"{found['key']} = {found['value']!r}, from {found['from']}",
        *(f"overrides {each}" for each in found["overridden"]),
        f"default: {found['default']!r}; type: {found['type']}",
        f"change it in noria.toml, or with the variable {found['variable']}",
    ):
        console().print(line, markup=False, highlight=False)
