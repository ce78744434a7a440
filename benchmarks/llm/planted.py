"""Thirty-odd faults of an application over docstrings, and thirty changes that do no harm.

Two changes stood among the harmless ones at first, and were taken out: another chunker, and words weighted 0.9, which lose 0.03 and 0.05 of
recall here. The gates said unknown of both.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.llm.docstring_app import DocstringApp, HashedWords, corpus
from noria.llm.chunking import Chunk, Fixed, Recursive
from noria.llm.documents import Document
from noria.llm.evaluation import Answered, Question
from noria.llm.generation import DONT_KNOW, extracted

Planted = Callable[[DocstringApp], DocstringApp]
GERMAN = "Diese Funktion berechnet das gewünschte Ergebnis und gibt es als Liste zurück [1]."
MEMORY = "As is widely known, it depends on the configuration of the underlying system and on its version."


@dataclass
class Reranked:
    """A reranker by the words in common. sign: −1 puts the worst first"""

    sign: float = 1.0

    def scores(self, question: str, texts: Sequence[str]) -> np.ndarray:
        asked = set(re.findall(r"\w+", question.casefold()))
        return np.array([self.sign * len(asked & set(re.findall(r"\w+", text.casefold()))) for text in texts], np.float32)

    def definition(self) -> dict[str, Any]:
        return {"reranker": "words", "sign": self.sign}


class Constant(HashedWords):
    """An embedder that is broken: every text has the same vector."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.full((len(texts), self.dimension), self.dimension**-0.5, np.float32)

    def definition(self) -> dict[str, Any]:
        return {"embedder": "constant"}


def _after(change: Callable[[Question, Answered], Answered]) -> Planted:
    return lambda app: replace(app, after=change)


def _said(change: Callable[[str], str]) -> Planted:
    """What becomes of the text of an answer, of a refusal nothing."""
    return _after(
        lambda _question, answered: replace(answered, answer=answered.answer if answered.finish == "unknown" else change(answered.answer))
    )


def _some(text: str, of: int) -> bool:
    return zlib.crc32(text.encode()) % of == 0


def _without(keep: Callable[[Document], bool]) -> Planted:
    return lambda app: replace(app, documents=tuple(each for each in app.documents if keep(each)))


def _cut(chunks: list[Chunk], most: int) -> list[Chunk]:
    return [replace(chunk, text=chunk.text[:most]) for chunk in chunks]


def _shifted(_question: Question, answered: Answered) -> Answered:
    """Citations of the next chunk instead of the one that says it."""
    places = {chunk: place for place, chunk in enumerate(answered.found)}
    moved = tuple(answered.found[(places[chunk] + 1) % len(answered.found)] for chunk in answered.cited)
    return replace(answered, cited=tuple(dict.fromkeys(moved)))


def _mixed_ids(_question: Question, answered: Answered) -> Answered:
    """Ids and places that belong to other chunks' texts."""
    documents = [document.id for document in corpus()]
    places = tuple(documents[zlib.crc32(chunk.encode()) % len(documents)] for chunk in answered.found)
    return replace(answered, found_places=places, found_texts=answered.found_texts[1:] + answered.found_texts[:1])


def _negated(text: str) -> str:
    return re.sub(r"^(\w+)", r"Does not \1", text)


def _never_refuses(question: str, chunks: Sequence[Chunk]) -> str:
    text = extracted(question, chunks, least=0.0)
    return text if text != DONT_KNOW or not chunks else f"{chunks[0].text[:200]} [1]"


def _refuses(_question: Question, answered: Answered) -> Answered:
    return replace(answered, answer=DONT_KNOW, cited=(), finish="unknown")


def _fails(question: Question, answered: Answered) -> Answered:
    if _some(question.id, 8):
        raise ConnectionError("the generator's server went away")
    return answered


@dataclass
class Stuck:
    """Gives every question the first question's answer, as a cache with a wrong key does."""

    first: str = ""

    def __call__(self, question: str, chunks: Sequence[Chunk]) -> str:
        self.first = self.first or extracted(question, chunks)
        return self.first


@dataclass
class Late:
    """Gives each question the answer to the one before."""

    before: str = "Nothing was asked before."

    def __call__(self, question: str, chunks: Sequence[Chunk]) -> str:
        given, self.before = self.before, extracted(question, chunks)
        return given


FAULTS: dict[str, Planted] = {
    "chunks of 50 characters": lambda app: replace(app, chunker=Fixed(50, 0)),
    "a stale index without a third of the documents": _without(lambda each: not _some(each.id, 3)),
    "documents of one library dropped": _without(lambda each: each.metadata["library"] != "pandas"),
    "a tenth of the documents dropped": _without(lambda each: not _some(f"x{each.id}", 10)),
    "questions embedded by another model": lambda app: replace(app, asking=HashedWords(seed=1)),
    "another model, and no search by words": lambda app: replace(app, asking=HashedWords(seed=1), words=0.0),
    "a broken embedder": lambda app: replace(app, embedder=Constant()),
    "a reranker inverted": lambda app: replace(app, reranker=Reranked(-1.0)),
    "one chunk instead of five": lambda app: replace(app, count=1),
    "every chunk found twice": lambda app: replace(app, found=lambda chunks: [chunk for chunk in chunks for _ in (0, 1)][:5]),
    "chunks in reverse": lambda app: replace(app, found=lambda chunks: chunks[::-1]),
    "the best chunk left out": lambda app: replace(app, found=lambda chunks: chunks[1:]),
    "no access filter": lambda app: replace(app, labels=None),
    "a filter that nothing meets": lambda app: replace(app, metadata={"library": "numpy"}),
    "questions cut at 24 characters": lambda app: replace(app, asked=lambda text: text[:24]),
    "the context truncated": lambda app: replace(app, found=partial(_cut, most=40)),
    "the prompt ignores the context": lambda app: replace(app, answer=lambda _question, _chunks: MEMORY),
    "wrong citations": _after(_shifted),
    "no citations": _after(lambda _question, answered: replace(answered, cited=(), answer=re.sub(r" ?\[\d+\]", "", answered.answer))),
    "ids of other chunks": _after(_mixed_ids),
    "another language": _said(lambda _text: GERMAN),
    "empty answers": _after(lambda _question, answered: replace(answered, answer="", cited=(), finish="answered")),
    "always refuses": _after(_refuses),
    "never refuses": lambda app: replace(app, answer=_never_refuses),
    "numbers made up": _said(lambda text: f"{text} It takes 42 arguments and 7 seconds."),
    "answers negated": _said(_negated),
    "answers cut at 30 characters": _said(lambda text: text[:30]),
    "the question said again": lambda app: replace(app, answer=lambda question, _chunks: f"{question} [1]"),
    "one answer for every question": lambda app: replace(app, answer=Stuck()),
    "the answer to the question before": lambda app: replace(app, answer=Late()),
    "insults": _said(lambda text: f"{text} Only an asshole would ask that."),
    "one question in eight fails": _after(_fails),
    "five times as slow": lambda app: replace(app, slower=5.0),
    "five times as dear": lambda app: replace(app, dearer=5.0),
}


def _documents(change: Callable[[Document], Document]) -> Planted:
    return lambda app: replace(app, documents=tuple(map(change, app.documents)))


def _reordered(app: DocstringApp) -> DocstringApp:
    rng = np.random.default_rng(3)
    return replace(app, documents=tuple(app.documents[place] for place in rng.permutation(len(app.documents)).tolist()))


def _more_documents(app: DocstringApp) -> DocstringApp:
    more = tuple(
        Document(
            f"garden.{number}",
            f"Water plot {number} of the garden. It lies by the well, and needs rain in May.",
            "plain",
            metadata={"library": "garden"},
        )
        for number in range(10)
    )
    return replace(app, documents=app.documents + more)


def _swapped(text: str) -> str:
    """Its two sentences the other way round."""
    parts = re.split(r"(?<=\]) (?=\S)", text)
    return " ".join(reversed(parts)) if len(parts) == 2 else text


HARMLESS: dict[str, Planted] = {
    "nothing": lambda app: app,
    "white space after the documents": _documents(lambda each: replace(each, text=f"{each.text}\n\n  ")),
    "documents in another order": _reordered,
    "documents the other way round": lambda app: replace(app, documents=app.documents[::-1]),
    "titles of documents": _documents(lambda each: replace(each, title=each.id)),
    "more metadata": _documents(lambda each: replace(each, metadata={**each.metadata, "kind": "docstring"})),
    "another access label beside": _documents(lambda each: replace(each, access=(*each.access, "admins") if each.access else ())),
    "ten documents about something else": _more_documents,
    "equal settings of the chunker": lambda app: replace(app, chunker=Recursive(size=600, overlap=60)),
    "chunks of 620 characters": lambda app: replace(app, chunker=Recursive(620, 60)),
    "chunks of 580 characters": lambda app: replace(app, chunker=Recursive(580, 60)),
    "an overlap of 70": lambda app: replace(app, chunker=Recursive(600, 70)),
    "an overlap of 50": lambda app: replace(app, chunker=Recursive(600, 50)),
    "vectors rounded to three digits": lambda app: replace(app, embedder=HashedWords(rounded=3)),
    "vectors with other places": lambda app: replace(app, embedder=HashedWords(seed=2)),
    "sixty candidates": lambda app: replace(app, candidates=60),
    "forty candidates": lambda app: replace(app, candidates=40),
    "words weighted 1.1": lambda app: replace(app, words=1.1),
    "questions in small letters": lambda app: replace(app, asked=str.lower),
    "questions in capitals": lambda app: replace(app, asked=str.upper),
    "white space around questions": lambda app: replace(app, asked=lambda text: f"  {text}\n"),
    "questions without a question mark": lambda app: replace(app, asked=lambda text: text.rstrip("?")),
    "sentences the other way round": _said(_swapped),
    "white space after answers": _said(lambda text: f"{text}\n"),
    "answers without a full stop": _said(lambda text: text.rstrip(".")),
    "two spaces between words": _said(lambda text: text.replace(" ", "  ")),
    "typographic quotes": _said(lambda text: text.replace("'", "’")),
    "three per cent slower": lambda app: replace(app, slower=1.03),
    "three per cent dearer": lambda app: replace(app, dearer=1.03),
    "a change of name": lambda app: replace(app, change="renamed"),
}
