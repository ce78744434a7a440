"""`noria llm review`: looking at the questions that a machine made, one by one or by their ids."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noria.cli.options import By, Json, who
from noria.core.errors import UserMistake, nearest

if TYPE_CHECKING:
    from noria.llm.evaluation.questions import Question
    from noria.llm.evaluation.review import Decision

ANSWERS = "[a]ccept, [r]eject, right the [q]uestion, right the answer [t]ext, [u]nanswerable, [s]kip, [e]nd"


def review(
    questions: Annotated[Path, typer.Argument(metavar="SET", envvar="NORIA_SET", help="The set: JSON Lines, CSV or Parquet.")],
    accept: Annotated[
        list[str] | None, typer.Option("--accept", envvar="NORIA_ACCEPT", help="The id of a question to accept; repeatable.")
    ] = None,
    reject: Annotated[
        list[str] | None, typer.Option("--reject", envvar="NORIA_REJECT", help="The id of a question to reject; repeatable.")
    ] = None,
    by: By = None,
    why: Annotated[str, typer.Option("--why", envvar="NORIA_WHY", help="The reason; it is recorded with the decision.")] = "",
    json: Json = False,
) -> None:
    """Review questions that were generated or mined. Decisions stand in SET's `.review.jsonl`; gates go by reviewed questions alone.

    Without --accept and --reject, each question that is left is shown and asked about, where there is a terminal.
    """
    from noria.cli.render import console, show_json
    from noria.llm.evaluation.review import Decision, decide, read_reviewed, review_file

    found, name, file = read_reviewed(questions), who(by), review_file(questions)
    chosen = {**dict.fromkeys(accept or (), "accept"), **dict.fromkeys(reject or (), "reject")}
    known = [question.id for question in found.questions]
    for each, decision in chosen.items():
        if each not in known:
            raise UserMistake(
                what=f"there is no question {each!r} in the set{nearest(each, known)}", where=str(questions), fix="list them: --json"
            )
        decide(file, Decision(each, "accept" if decision == "accept" else "reject", name, why=why))
    if not chosen and not json and sys.stdin.isatty():
        for question in found.left:
            decided = _asked(question, name)
            if decided == "end":
                break
            if isinstance(decided, Decision):
                decide(file, decided)
    done = read_reviewed(questions)
    if json:
        left = [question.to_dict() for question in done.left]
        show_json({"accepted": done.accepted, "rejected": done.rejected, "left": left, "file": str(file)})
        return
    out = console()
    out.print(f"{done.accepted} accepted, {done.rejected} rejected, {len(done.left)} left to review; {file}", markup=False, highlight=False)
    if done.left and not sys.stdin.isatty():
        out.print(f"next: {done.left[0].id} {done.left[0].question}", markup=False, highlight=False)


def _asked(question: Question, name: str) -> Decision | str:
    """What a person at a terminal says of a question: a decision, `skip` or `end`."""
    from noria.llm.evaluation.review import Decision

    answer = "none: it can't be answered" if question.unanswerable else "; ".join(question.references) or "not known"
    typer.echo(f"\n{question.id}  {question.question}\n  answer: {answer}\n  from:   {' '.join(question.made_from.split())[:500]}")
    match typer.prompt(ANSWERS, default="s").strip().lower()[:1]:
        case "a":
            return Decision(question.id, "accept", name)
        case "r":
            return Decision(question.id, "reject", name, why=typer.prompt("why", default=""))
        case "q":
            return Decision(question.id, "accept", name, question=typer.prompt("the question"))
        case "t":
            return Decision(question.id, "accept", name, references=(typer.prompt("the right answer"),))
        case "u":
            return Decision(question.id, "accept", name, unanswerable=True)
        case "e":
            return "end"
    return "skip"
