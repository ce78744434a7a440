"""Asking on a terminal what `noria init` proposes: a bare Enter accepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from noria.core.errors import NoriaError

if TYPE_CHECKING:
    from noria.start.project import Plan
    from noria.start.propose import InitOptions


def answered(planned: Plan, asked: InitOptions, again: Callable[[InitOptions], Plan]) -> Plan:
    """The plan after its questions were answered. What can't be is said, and asked again."""
    from noria.start.propose import task_named

    questions: list[tuple[str, Callable[[Plan], str], Callable[[InitOptions, str], InitOptions]]] = [
        ("The column to predict", lambda p: p.proposal.label.column, lambda a, text: replace(a, label=text, task=None)),
        ("When a row happened", lambda p: p.proposal.time.column, lambda a, text: replace(a, time=text)),
        ("What identifies a row", lambda p: ",".join(p.proposal.key.columns), lambda a, text: replace(a, key=tuple(text.split(",")))),
        ("The task", lambda p: p.proposal.task.name, lambda a, text: replace(a, task=task_named(text))),
    ]
    for question, now, changed in questions:
        while True:
            typer.echo(_reason(planned, question), err=True)
            text = typer.prompt(question, default=now(planned), err=True)
            if text == now(planned):
                break
            try:
                wanted = changed(asked, text)
                planned, asked = again(wanted), wanted
                break
            except NoriaError as error:
                typer.echo("\n".join(error.lines()), err=True)
    if not typer.confirm(f"Write {', '.join(path.name for path in planned.paths)}?", default=True, err=True):
        raise typer.Exit(1)
    return planned


def _reason(planned: Plan, question: str) -> str:
    what = {"The column to predict": "label", "When a row happened": "event time", "What identifies a row": "key", "The task": "task"}[
        question
    ]
    return next(f"\n{choice}: {reason}" for name, choice, reason in planned.proposal.reasons() if name == what)
