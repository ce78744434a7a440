"""What the demo of the assistant prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from noria.cli.demo_assistant import NEW_QUESTION, QUESTION
from noria.cli.render import console

MARKS = {"passed": "[green]passed[/]", "failed": "[red]failed[/]", "unknown": "[yellow]unknown[/]"}


def show_assistant(told: Mapping[str, Any], folder: Path) -> None:
    """The answers with their sources, and what the gates said of three candidates, and the shadow of the last."""
    out = console()
    _show_answer(QUESTION, told["answer"])
    out.print(f"after {told['answered_after']:.0f} s, over HTTP, from {told['documents']:,} documents\n", style="dim")
    for title, key in (("the first version", "first"), ("chunks of 60 characters", "worse"), ("one document more", "update")):
        _show_decision(title, told[key])
    _show_decision("its shadow, on questions of users", told["shadow"])
    _show_answer(NEW_QUESTION, told["new_answer"])
    out.print(f"took {told['seconds']:.0f} s\n\nnext:   [bold]cd {folder} && noria serve[/]", highlight=False)


def _show_answer(question: str, answer: Mapping[str, Any]) -> None:
    out, own = console(), answer["noria"]
    places = {chunk["id"]: chunk["place"] for chunk in own["found"]}
    out.print(f"\n[bold]{question}[/]", highlight=False)
    out.print(answer["choices"][0]["message"]["content"], markup=False, highlight=False)
    for chunk in own["cited"]:
        out.print(f"  {places.get(chunk, chunk)}", style="dim", markup=False, highlight=False)


def _show_decision(title: str, actions: Sequence[Mapping[str, Any]]) -> None:
    out = console()
    out.print(f"[bold]{title}[/]: {actions[-1]['action']}, {actions[-1]['reason']}", highlight=False)
    for gate in actions[0].get("gates", ()):
        out.print(f"  {MARKS[gate['outcome']]}: {gate['gate']} ({gate['why']})", highlight=False)
