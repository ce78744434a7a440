"""Chunkers by their names, as a command line has them: `headings`, `recursive:800`, `fixed:800:100`."""

from __future__ import annotations

from collections.abc import Callable

from noria.core.errors import UserMistake, nearest
from noria.llm.chunking import ByFunction, ByHeading, ByKind, BySentence, Chunker, Fixed, Recursive, WithParents

MADE: dict[str, Callable[..., Chunker]] = {
    "by-kind": lambda size=1000, overlap=100: ByKind(ByHeading(size, overlap), ByFunction(size), Recursive(size, overlap)),
    "code": lambda size=1000: ByFunction(size),
    "fixed": Fixed,
    "headings": ByHeading,
    "parents": lambda size=400: WithParents(size=size),
    "recursive": Recursive,
    "sentences": BySentence,
}
USUAL = ("by-kind:1000:100", "by-kind:500:50", "by-kind:2000:200", "parents:400", "fixed:1000:100")


class UnknownChunker(UserMistake):
    """A chunker is named that there is not, or with sizes that are no numbers."""

    code = "NR-812"

    def __init__(self, text: str, why: str) -> None:
        fix = f"write one of {', '.join(MADE)}, with its size and overlap in characters where they matter: recursive:800:100"
        super().__init__(what=why, where=f"chunker {text!r}", fix=fix)


def chunker_named(text: str) -> Chunker:
    """The chunker of a name. Raises `UnknownChunker`, and `BadChunkSize`."""
    name, *sizes = text.strip().split(":")
    if name not in MADE:
        raise UnknownChunker(text, f"there is no chunker {name!r}{nearest(name, MADE)}")
    if not all(size.isdecimal() for size in sizes):
        raise UnknownChunker(text, "its size or overlap is no whole number")
    try:
        return MADE[name](*map(int, sizes))
    except TypeError as error:
        raise UnknownChunker(text, f"{name} has fewer sizes than {len(sizes)}") from error


def usual_chunkers() -> dict[str, Chunker]:
    """Those that are tried where none are named: the default, smaller and larger ones, small ones within large ones, and the simplest."""
    return {name: chunker_named(name) for name in USUAL}
