"""`noria llm …`: the commands of applications of language models."""

from __future__ import annotations

import typer

from noria.cli.llm_evaluate import evaluate
from noria.cli.llm_review import review
from noria.cli.llm_tuning import tune_chunks

llm = typer.Typer(help="Applications of language models: evaluate, review questions, tune.", no_args_is_help=True)
llm.command()(evaluate)
llm.command()(review)
llm.command("tune-chunks")(tune_chunks)


def add_llm(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(llm, name="llm")
