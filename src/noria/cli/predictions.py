"""The command that judges predictions of a model that runs elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli.options import Json
from noria.core.errors import UserMistake

if TYPE_CHECKING:
    from noria.evidence.predictions import JudgedPredictions

Text = str | None


def predictions(
    files: Annotated[
        str,
        typer.Argument(
            envvar="NORIA_FILES",
            help="Parquet, CSV or JSON-lines files, or inference logs: a path, a glob, or a URL. With --url, a SQL query.",
        ),
    ],
    time: Annotated[str, typer.Option("--time", envvar="NORIA_TIME", help="The column with the time of each prediction.")],
    prediction: Annotated[
        str,
        typer.Option(
            "--prediction", envvar="NORIA_PREDICTION", help="The column with a probability, a number or a class; or one per class: a,b,c."
        ),
    ],
    outcome: Annotated[
        Text, typer.Option("--outcome", envvar="NORIA_OUTCOME", help="The column with the outcome, null if unknown.")
    ] = None,
    task: Annotated[
        Text, typer.Option("--task", envvar="NORIA_TASK", help="binary, regression or multiclass (default: inferred from the columns).")
    ] = None,
    classes: Annotated[
        Text, typer.Option("--classes", envvar="NORIA_CLASSES", help="The classes, in the order of --prediction: a,b,c.")
    ] = None,
    positive: Annotated[
        Text, typer.Option("--positive", envvar="NORIA_POSITIVE", help="The outcome that counts as 1 in a binary task.")
    ] = None,
    id: Annotated[Text, typer.Option("--id", envvar="NORIA_ID", help="The id of each prediction; repeated ones are reported.")] = None,
    outcome_time: Annotated[
        Text, typer.Option("--outcome-time", envvar="NORIA_OUTCOME_TIME", help="The column with the time when each outcome became known.")
    ] = None,
    outcomes: Annotated[
        Text, typer.Option("--outcomes", envvar="NORIA_OUTCOMES", help="Files with the outcomes, if they are kept elsewhere.")
    ] = None,
    on: Annotated[
        Text, typer.Option("--on", envvar="NORIA_ON", help="The id that joins --outcomes to the predictions (default: --id).")
    ] = None,
    by: Annotated[
        Text, typer.Option("--by", envvar="NORIA_BY", help="The column that names the model of each row; each model is judged by itself.")
    ] = None,
    every: Annotated[str, typer.Option("--every", envvar="NORIA_EVERY", help="The window size: a duration, or a number of rows.")] = "1d",
    reference: Annotated[
        Text,
        typer.Option(
            "--reference",
            envvar="NORIA_REFERENCE",
            help="The number of reference windows, or the time they end, with a UTC offset (default: 60, or half of all).",
        ),
    ] = None,
    rolling: Annotated[
        bool, typer.Option("--rolling", envvar="NORIA_ROLLING", help="Compare inputs and answers with the windows just before.")
    ] = False,
    until: Annotated[
        Text,
        typer.Option(
            "--until", envvar="NORIA_UNTIL", help="The table is complete up to this time, with a UTC offset; later outcomes do not count."
        ),
    ] = None,
    matures: Annotated[
        Text,
        typer.Option(
            "--matures", envvar="NORIA_MATURES", help="How long after a prediction its outcome is certain to be known, such as 30d."
        ),
    ] = None,
    tolerance: Annotated[
        Text,
        typer.Option(
            "--tolerance",
            envvar="NORIA_TOLERANCE",
            help="Metrics to judge, and the change tolerated in each: log_loss=0.02,auc=0.01 (default: the task's).",
        ),
    ] = None,
    slices: Annotated[
        str,
        typer.Option("--slice", "--slices", envvar="NORIA_SLICES", help="Columns whose values are judged by themselves as well: a,b."),
    ] = "",
    budget: Annotated[
        float,
        typer.Option("--false-alarms-per-year", "--budget", envvar="NORIA_BUDGET", help="False alarms per year, over everything together."),
    ] = 2.0,
    time_zone: Annotated[
        Text,
        typer.Option(
            "--time-zone", envvar="NORIA_TIME_ZONE", help="The time zone of hours and days, such as Europe/Berlin (default: UTC)."
        ),
    ] = None,
    leave_out: Annotated[str, typer.Option("--leave-out", envvar="NORIA_LEAVE_OUT", help="Columns not to monitor: a,b.")] = "",
    format: Annotated[
        Text,
        typer.Option(
            "--format",
            envvar="NORIA_FORMAT",
            help="The format of inference logs: sagemaker, kserve, mlserver, seldon or triton (default: recognized).",
        ),
    ] = None,
    url: Annotated[Text, typer.Option("--url", envvar="NORIA_URL", help="The database that FILES is a SQL query of.")] = None,
    html: Annotated[Path | None, typer.Option("--html", "--out", "-o", envvar="NORIA_OUT", help="Also write an HTML page.")] = None,
    json: Json = False,
) -> None:
    """Monitor the predictions of a model that runs elsewhere: inputs, answers and performance; exit code 1 if something is wrong now."""
    from noria.cli.render import console, show_json
    from noria.data.source import sql
    from noria.evidence.predictions import judge_predictions

    judged = judge_predictions(
        files if url is None else sql(files, url=url),
        time=time,
        prediction=_listed(prediction),
        outcome=outcome,
        task=task,
        classes=_listed(classes) or None,
        positive=positive,
        id=id,
        outcome_time=outcome_time,
        outcomes=outcomes,
        on=on,
        by=by,
        every=int(every) if every.isdecimal() else every,
        reference=int(reference) if reference is not None and reference.isdecimal() else reference,
        rolling=rolling,
        until=until,
        matures=matures,
        performance=_tolerances(tolerance),
        slices=_listed(slices),
        false_alarms_per_year=budget,
        time_zone=time_zone,
        leave_out=_listed(leave_out),
        format=format,
    )
    if html is not None:
        judged.save_html(html)
    if json:
        show_json({**judged.to_dict(), "report": None if html is None else str(html)})
    else:
        _show(judged)
        if html is not None:
            console().print(f"report: {html}")
    raise typer.Exit(1 if judged.wrong_now else 0)


def _listed(text: Text) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _tolerances(text: Text) -> list[Any]:
    """`log_loss=0.02,auc=0.01` as tolerances. Raises `UserMistake`."""
    from noria.monitoring.monitor import Tolerance

    found = []
    for each in _listed(text):
        name, _, by = each.partition("=")
        try:
            found.append(Tolerance(name.strip(), float(by)))
        except ValueError as error:
            raise UserMistake(
                what=f"{each!r} is no tolerance", where="--tolerance", fix="write for example log_loss=0.02,auc=0.01"
            ) from error
    return found


def _show(judged: JudgedPredictions) -> None:
    """What the command prints."""
    from rich.markup import escape

    from noria.cli.render import MARKS, console
    from noria.evidence.predictions_figures import unknown_parts

    out, figures = console(), judged.to_dict()
    state = "unhealthy" if figures["wrong_now"] else "unknown" if unknown_parts(figures) else "healthy"
    out.print(f"{MARKS[state]} {escape(judged.headline)}")
    for model in figures["models"]:
        reference, called = model["reference"], "" if model["model"] is None else f"{model['model']}: "
        out.print(
            f"[dim]{escape(called)}{model['rows']:,} predictions ({model['task']['title']}); {model['judged']['windows']} windows of "
            f"{model['every']} against {reference['windows']} from {reference['since'][:10]}; "
            f"at most {model['false_alarms_per_year']:g} false alarms a year[/]"
        )
        for s in model["states"]:
            out.print(f"  {MARKS[s['health']]} {escape(s['monitor'])}" + (f": {escape(s['why'])}" if s["why"] else ""))
        _show_findings(model["findings"])
        for note in model["notes"]:
            out.print(f"  [dim]note: {escape(note)}[/]")
    for name, why in figures["not_judged"].items():
        out.print(f"{MARKS['unknown']} {escape(name)}: {escape(why)}")


def _show_findings(findings: list[dict[str, Any]]) -> None:
    """Each finding in a line, and what to do below it while it lasts."""
    from rich.markup import escape

    from noria.cli.render import console

    out = console()
    for f in findings:
        over = f"to {f['over'][:10]}" if f["over"] else "[bold]ongoing[/]"
        out.print(f"  [dim]{f['since'][:10]}[/] {over}  {f['kind']}: {escape(f['summary'])}")
        if f["over"] is None:
            out.print(f"    [bold]→[/] {escape(f['fix'])}")
