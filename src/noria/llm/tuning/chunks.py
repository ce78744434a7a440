"""Which chunker finds best: each is tried on the same questions, with the same embedder and the same room for what is found."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import Stopwatch
from noria.core.errors import UserMistake
from noria.core.progress import Progress, Tell, silence
from noria.llm.chunking.chunk import Chunker
from noria.llm.documents.document import Document
from noria.llm.embedding.cached import CachedEmbedder
from noria.llm.embedding.port import Embedder, Reranker, Vectors
from noria.llm.evaluation.questions import Question
from noria.llm.index.build import build
from noria.llm.index.port import Hit
from noria.llm.retrieval.retriever import Retriever
from noria.llm.tuning.chunkers import usual_chunkers
from noria.llm.tuning.intervals import mean_interval, paired_intervals

MAX_LETTERS = 4_000  # that what was found may have together, as a generator is told it
FOUND = 50  # chunks that are looked through, however short


class NothingToTune(UserMistake):
    """There is nothing to try, or no question to try it on."""

    code = "NR-813"

    def __init__(self, why: str) -> None:
        fix = 'give at least two chunkers, and questions with the documents that answer them: {"question": "…", "relevant": ["guide.md"]}'
        super().__init__(what="no chunker can be chosen", where=why, fix=fix)


@dataclass(frozen=True)
class Tried:
    """One chunker. ndcg: the mean over the questions, with its interval (95 %); difference: to the first, and its interval (95 %, for all)

    chunks, letters: how many there are, and how long those are on average that are found; truncated: those longer than the embedder reads
    embedded: texts that had to be embedded; seconds: to build the index, and for all questions
    """

    name: str
    definition: dict[str, Any]
    ndcg: float
    interval: tuple[float, float]
    difference: float
    difference_interval: tuple[float, float]
    chunks: int
    letters: float
    truncated: int
    embedded: int
    build_seconds: float
    search_seconds: float


@dataclass(frozen=True)
class Tuned:
    """chosen: the name of the chunker to take; it is the first, unless another is better beyond doubt

    questions: on which they were tried; skipped: those whose documents are not known, or not in the corpus
    """

    tried: tuple[Tried, ...]
    chosen: str
    questions: int
    skipped: int
    most_letters: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Sought:
    """What answers a question: documents with their grades, and where a passage is known, from which offset to which."""

    question: str
    grades: Mapping[str, float]
    passages: Mapping[str, tuple[int, int]]


def tune_chunks(
    documents: Iterable[Document],
    questions: Iterable[Question],
    embedder: Embedder,
    chunkers: Mapping[str, Chunker] | None = None,
    *,
    reranker: Reranker | None = None,
    words: float = 1.0,
    most_letters: int = MAX_LETTERS,
    cache: Path | None = None,
    tell: Tell = silence,
) -> Tuned:
    """Try chunkers, the first of which is the one in use, and choose. cache: a folder where vectors are kept for the next time

    What each finds counts as long as all of it fits into `most_letters`, so that longer chunks win nothing by being longer. A question's
    worth is its nDCG: a document counts once, where its first chunk stands; where the question's `made_from` stands in its document, the
    share of it that a chunk adds. Chosen is the best of those that are better than the first beyond doubt (95 %, all of them at once);
    the first where none is. Raises `NothingToTune`.
    """
    given, tried_ones = list(documents), dict(chunkers or usual_chunkers())
    asked = list(questions)
    sought = _sought(asked, given)
    if len(tried_ones) < 2:
        raise NothingToTune(f"{len(tried_ones)} chunker was given")
    if len(sought) < 2:
        raise NothingToTune(f"of {len(asked)} questions, {len(sought)} have a relevant document that is among the {len(given)} documents")
    with tempfile.TemporaryDirectory(prefix="noria-tuning-") as scratch:
        kept = _Remembering(CachedEmbedder(embedder, cache or Path(scratch) / "vectors"))
        trials = [
            _trial(name, chunker, given, sought, kept, Path(scratch) / str(number), (reranker, words, most_letters), tell)
            for number, (name, chunker) in enumerate(tried_ones.items())
        ]
    values = np.stack([scores for _, scores in trials], axis=1)  # (questions, chunkers)
    differences = values[:, 1:] - values[:, :1]
    bounds = [(0.0, 0.0), *paired_intervals(differences)]
    tried = [
        Tried(
            name,
            chunker.definition(),
            ndcg=float(scores.mean()),
            interval=mean_interval(scores),
            difference=float((scores - values[:, 0]).mean()),
            difference_interval=bound,
            **facts,
        )
        for (name, chunker), (facts, scores), bound in zip(tried_ones.items(), trials, bounds, strict=True)
    ]
    better = [each for each in tried[1:] if each.difference_interval[0] > 0]
    chosen = max(better, key=lambda each: each.ndcg, default=tried[0])
    return Tuned(tuple(tried), chosen.name, len(sought), len(asked) - len(sought), most_letters)


def _trial(
    name: str,
    chunker: Chunker,
    documents: Sequence[Document],
    sought: Sequence[_Sought],
    embedder: _Remembering,
    folder: Path,
    settings: tuple[Reranker | None, float, int],
    tell: Tell,
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """What one chunker costs, and its nDCG for each question."""
    reranker, words, most_letters = settings
    watch, before = Stopwatch(), embedder.kept.embedded
    built = build(documents, chunker, embedder, folder, lambda done, of: tell(Progress("chunks", name, name, done / max(of, 1))))
    building, searching = watch.seconds, Stopwatch()
    retriever = Retriever(built.index, embedder, reranker, words, candidates=FOUND)
    letters, scores = list[int](), list[float]()
    for each in sought:
        hits = retriever.find(each.question, FOUND)
        letters += [len(hit.chunk.text) for hit in hits]
        scores.append(_ndcg(each, hits, most_letters))
    facts = {
        "chunks": built.chunks,
        "letters": float(np.mean(letters)) if letters else 0.0,
        "truncated": built.truncated,
        "embedded": embedder.kept.embedded - before,
        "build_seconds": round(building, 3),
        "search_seconds": round(searching.seconds, 3),
    }
    tell(Progress("chunks", f"{name}: nDCG {np.mean(scores):.3f}"))
    return facts, np.array(scores)


def _ndcg(sought: _Sought, hits: Sequence[Hit], most_letters: int) -> float:
    """Normalized discounted cumulative gain (Järvelin & Kekäläinen 2002) of what fits; each document's gain is its grade, once."""
    left, gain, covered = most_letters, 0.0, dict[str, list[tuple[int, int]]]()
    for rank, hit in enumerate(hits):
        chunk = hit.chunk
        if rank and len(chunk.told) > left:
            break
        end = min(chunk.end, chunk.at + left)  # the first one is cut where it is longer by itself, as for a generator
        left -= len(chunk.told)
        if chunk.document in sought.grades:
            new = _added(chunk.at, end, sought.passages.get(chunk.document), covered.setdefault(chunk.document, []))
            gain += sought.grades[chunk.document] * new / np.log2(rank + 2)
    ideal = sum(grade / np.log2(rank + 2) for rank, grade in enumerate(sorted(sought.grades.values(), reverse=True)))
    return min(1.0, float(gain / ideal))


def _added(at: int, end: int, passage: tuple[int, int] | None, covered: list[tuple[int, int]]) -> float:
    """The share of a passage that a chunk has and earlier ones had not; of a document without one, 1 for its first chunk."""
    if passage is None:
        covered.append((at, end))
        return float(len(covered) == 1)
    own = np.zeros(passage[1] - passage[0], bool)
    for start, stop in covered:
        own[max(start - passage[0], 0) : max(stop - passage[0], 0)] = True
    before = int(own.sum())
    own[max(at - passage[0], 0) : max(end - passage[0], 0)] = True
    covered.append((at, end))
    return float((int(own.sum()) - before) / len(own))


def _sought(questions: Iterable[Question], documents: Sequence[Document]) -> list[_Sought]:
    """The questions that have a relevant document in the corpus."""
    texts = {document.id: document.text for document in documents}
    found = list[_Sought]()
    for question in questions:
        grades = {name: float(grade) for name, grade in question.relevant.items() if name in texts and grade > 0}
        if not grades or question.unanswerable:
            continue
        quote = question.made_from.strip()
        places = {name: texts[name].find(quote) for name in grades if quote}
        found.append(_Sought(question.question, grades, {name: (at, at + len(quote)) for name, at in places.items() if at >= 0}))
    return found


class _Remembering:
    """An embedder that embeds each question once, whichever index it is asked of."""

    def __init__(self, kept: CachedEmbedder) -> None:
        self.kept, self._questions = kept, dict[str, NDArray[np.float32]]()

    @property
    def dimension(self) -> int:
        return self.kept.dimension

    @property
    def truncated(self) -> int:
        return self.kept.truncated

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self.kept.embed(texts)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        if text not in self._questions:
            self._questions[text] = self.kept.embed_query(text)
        return self._questions[text]

    def definition(self) -> dict[str, Any]:
        return self.kept.definition()
