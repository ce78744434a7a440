"""The command that judges predictions of a model that runs elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from noria.cli import predictions_options as options
from noria.cli.options import Json
from noria.core.errors import UserMistake

if TYPE_CHECKING:
    from noria.evidence.predictions import JudgedPredictions


def predictions(
    files: options.Files,
    time: options.Time,
    prediction: options.Prediction,
    outcome: options.Outcome = None,
    task: options.TaskName = None,
    classes: options.Classes = None,
    positive: options.Positive = None,
    id: options.Id = None,
    outcome_time: options.OutcomeTime = None,
    outcomes: options.Outcomes = None,
    on: options.On = None,
    by: options.ByModel = None,
    every: options.Every = "1d",
    reference: options.Reference = None,
    rolling: options.Rolling = False,
    until: options.Until = None,
    matures: options.Matures = None,
    tolerance: options.Tolerances = None,
    slices: options.Slices = "",
    budget: options.Budget = 2.0,
    time_zone: options.TimeZone = None,
    leave_out: options.LeaveOut = "",
    format: options.LogFormat = None,
    url: options.Url = None,
    html: options.Html = None,
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


def _listed(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _tolerances(text: str | None) -> list[Any]:
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
