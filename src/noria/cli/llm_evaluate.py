"""`noria llm evaluate`: the champion of an endpoint on a set of questions, and a candidate beside it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli.options import HERE, Endpoint, Folder, Json, open_context

if TYPE_CHECKING:
    from noria.llm.application.endpoint_evaluation import EndpointEvaluation
    from noria.llm.evaluation.evaluated import Evaluated, Record

REPORT, WORST, MOST = "evaluation.html", 3, 300
COLOURS = {"passed": "green", "failed": "red", "unknown": "yellow"}


def evaluate(
    endpoint: Endpoint = None,
    on: Annotated[
        str | None,
        typer.Option(
            "--on", metavar="SET", envvar="NORIA_SET", help="The questions: a file, or a set of the model's gates (default: its only one)."
        ),
    ] = None,
    candidate: Annotated[
        str | None,
        typer.Option(
            "--candidate", metavar="BUNDLE", envvar="NORIA_CANDIDATE", help="A bundle's id, or its beginning, to compare with the champion."
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option("--repeats", envvar="NORIA_REPEATS", min=1, help="How often each question is asked (default: as the gates have it)."),
    ] = None,
    workers: Annotated[
        int,
        typer.Option("--workers", envvar="NORIA_WORKERS", min=1, max=64, help="Processes of the model, each with one question at a time."),
    ] = 1,
    report: Annotated[
        Path | None, typer.Option("--report", "--out", "-o", envvar="NORIA_OUT", help=f"The HTML file (default: {REPORT} in the project).")
    ] = None,
    project: Folder = HERE,
    json: Json = False,
) -> None:
    """Evaluate an endpoint's champion on a set of questions; with --candidate, apply the model's gates; exit code 1 if one failed."""
    from noria.cli.progress import watching
    from noria.cli.render import console, show_json
    from noria.llm.application.endpoint_evaluation import evaluate_endpoint

    context = open_context(project, endpoint)
    with closing(context.stores.catalog), watching(quiet=json) as tell:
        found = evaluate_endpoint(context, on=on, candidate=candidate, repeats=repeats, workers=workers, tell=tell)
    path = report or context.stores.workspace.folder / REPORT
    context.stores.workspace.files.write(path, found.compared.page().encode())
    if json:
        show_json({**found.to_dict(), "report": str(path)})
    else:
        _show(found)
        console().print(f"report: {path}", markup=False)
    raise typer.Exit(1 if found.failed else 0)


def _show(found: EndpointEvaluation) -> None:
    from noria.cli.render import console
    from noria.core.ids import short
    from noria.llm.evaluation.report import headline

    out, compared = console(), found.compared
    before, after = compared.comparison.before, compared.comparison.after
    out.print(headline(compared), markup=False)
    bundles = [f"{role} {short(bundle)}" for role, bundle in (("champion", found.champion), ("candidate", found.candidate)) if bundle]
    asked = f"{len(after.questions):,} questions of {_plain(after.questions.name)}"
    out.print(f"{found.endpoint}: {', '.join(bundles)}; {asked}", markup=False, style="dim")
    out.print(_figures(before, after))
    for verdict in compared.verdicts:
        out.print(f"[{COLOURS[verdict.outcome]}]{verdict.outcome}[/] ", end="")
        out.print(f"{verdict.gate}: {_plain(verdict.why)}", markup=False)
    for evaluated in (before, after):
        _show_missing(evaluated)
    _show_worst(found)


def _figures(before: Evaluated | None, after: Evaluated) -> Any:
    """The table of the metrics: of whom, the mean with its interval."""
    from noria.cli.render import grid

    every = [(each.name, each.summary()) for each in (before, after) if each is not None]
    table = grid("metric", *(f"{name}, 95 % interval" for name, _ in every), "questions", "unknown")
    for metric, of in every[-1][1].items():
        unknown = [summary.get(metric, {}).get("missing", 0) for _, summary in every]
        shown = " / ".join(f"{count:,}" for count in unknown) if any(unknown) else ""
        table.add_row(metric, *(_mean(summary.get(metric)) for _, summary in every), f"{of['questions']:,}", shown)
    return table


def _mean(of: dict[str, Any] | None) -> str:
    """The mean of a metric, with its interval and its unit."""
    if of is None or of["mean"] is None:
        return "unknown"
    return f"{of['mean']:.3f}  {of['lower']:.3f} – {of['upper']:.3f} {of['unit']}".rstrip()


def _show_missing(evaluated: Evaluated | None) -> None:
    """Why values are unknown, and of which metrics."""
    from noria.cli.render import console

    if evaluated is None:
        return
    by_reason = dict[tuple[str, int], list[str]]()
    for metric in evaluated.metrics:
        for why, count in evaluated.missing_reasons(metric).items():
            by_reason.setdefault((why, count), []).append(metric)
    for (why, count), metrics in by_reason.items():
        console().print(f"[yellow]unknown[/] of the {evaluated.name}, {count:,} answers: ", end="")
        console().print(f"{_plain(why)} ({', '.join(metrics)})", markup=False)
    for error, count in _errors(evaluated).items():
        console().print(f"[red]no answer[/] of the {evaluated.name} to {count:,} questions: ", end="")
        console().print(_plain(error), markup=False)


def _errors(evaluated: Evaluated) -> dict[str, int]:
    found = dict[str, int]()
    for record in evaluated.records:
        if record.answered.error:
            found[record.answered.error] = found.get(record.answered.error, 0) + 1
    return found


def _show_worst(found: EndpointEvaluation) -> None:
    """The questions on which most was lost."""
    from noria.cli.render import console

    out = console()
    worst = [each for each in found.compared.worst(WORST) if each[3]]
    if worst:
        out.print("\nthe worst answers:")
    for question, before, after, lost in worst:
        told = ", ".join(f"{name} −{change:.2f}" for name, change in sorted(lost.items(), key=lambda pair: -pair[1])[:4])
        out.print(f"  {_plain(question.question)}", markup=False)
        out.print(f"    {told}", markup=False, style="dim")
        if before is not None:
            out.print(f"    champion:  {_said(before)}", markup=False)
        role = "champion: " if found.candidate is None else "candidate:"
        out.print(f"    {role} {_said(after)}", markup=False)


def _said(record: Record) -> str:
    return _plain(record.answered.answer or record.answered.error or "(an empty answer)")


def _plain(text: str) -> str:
    """A text that others wrote, in one line, cut, and without what a terminal could take for a command."""
    line = "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))
    return line[:MOST] + "…" * (len(line) > MOST)
