"""An application over the docstrings of installed libraries, with every part exchangeable, so that faults can be planted in it.

Questions have a known document and a known answer; some can't be answered, and some may not be, since whoever asks must not read the
document.
"""

from __future__ import annotations

import importlib
import inspect
import re
import tempfile
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from noria.core.ids import digest
from noria.llm.chunking import Chunk, Chunker, Recursive
from noria.llm.documents import Document
from noria.llm.evaluation import Answered, Question, QuestionSet
from noria.llm.generation import DONT_KNOW, cited, extracted
from noria.llm.generation.port import Usage
from noria.llm.index import LanceIndex, build
from noria.llm.retrieval import Conditions, Retriever

MODULES = ("pandas", "scipy.stats", "scipy.signal", "scipy.optimize", "sklearn.linear_model", "sklearn.preprocessing", "sklearn.metrics")
MODULES += ("sklearn.cluster", "sklearn.ensemble", "shutil", "subprocess", "statistics", "os.path")
WORD = re.compile(r"\w+")
DIMENSION = 256
SECRET_SHARE = 8  # one document in so many is for staff alone
PLACES = ("the moon", "Lake Constance", "Reykjavik", "the Sahara", "Tokyo", "the Alps", "Bologna", "the North Sea", "Quito", "Lapland")
THINGS = ("baking rye bread", "knitting woollen socks", "growing tomatoes", "a ferry ticket", "feeding hedgehogs", "tuning a violin")


@cache
def corpus() -> tuple[Document, ...]:
    """A document for each docstring that is long enough; its summary line says what it is about."""
    found, seen = list[Document](), set[str]()
    for name in MODULES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module(name)
            for each in sorted(dir(module)):
                text = "" if each.startswith("_") else inspect.getdoc(getattr(module, each)) or ""
                summary = _summary(text)
                if summary and summary not in seen:
                    seen.add(summary)
                    secret = zlib.crc32(each.encode()) % SECRET_SHARE == 0
                    meta = {"library": name.split(".")[0]}
                    found.append(Document(f"{name}.{each}", text[:2_500], "plain", metadata=meta, access=("staff",) if secret else ()))
    return tuple(found)


def _summary(text: str) -> str:
    """The first paragraph, where it is a sentence and more follows."""
    head, _, rest = text.partition("\n\n")
    line = " ".join(head.split())
    return line if line.endswith(".") and 5 <= len(line.split()) <= 30 and len(rest) > 200 else ""


@cache
def questions(answerable: int = 240, secret: int = 40, unanswerable: int = 60) -> QuestionSet:
    """Questions of documents drawn at random: the summary line without a third of its words; the answer is the whole line."""
    rng, found = np.random.default_rng(5), list[Question]()
    every = [corpus()[place] for place in rng.permutation(len(corpus())).tolist()]
    for document in [each for each in every if not each.access][:answerable] + [each for each in every if each.access][:secret]:
        summary = _summary(document.text)
        slices = {"library": str(document.metadata["library"]), "kind": "secret" if document.access else "answerable"}
        asked = f"What is there to {_thinned(summary, rng)}?"
        if document.access:
            found.append(Question(f"s:{document.id}", asked, unanswerable=True, slices=slices))
        else:
            found.append(Question(f"a:{document.id}", asked, (summary,), {document.id: 1}, slices=slices))
    for number in range(unanswerable):
        asked = f"How much does {THINGS[number % len(THINGS)]} cost in {PLACES[number // len(THINGS) % len(PLACES)]}?"
        found.append(Question(f"u:{number}", asked, unanswerable=True, slices={"library": "none", "kind": "unanswerable"}))
    return QuestionSet("docstrings", tuple(found))


def _thinned(summary: str, rng: np.random.Generator) -> str:
    words = summary.rstrip(".").split()
    gone = set(rng.choice(len(words), max(1, len(words) // 3), replace=False).tolist()) if len(words) > 4 else set()
    return " ".join(word for place, word in enumerate(words) if place not in gone)


@dataclass
class HashedWords:
    """An embedder that needs no model: words hashed into signed places, weighted by their rarity in the corpus. seed: of the places"""

    seed: int = 0
    rounded: int = 9
    dimension: int = DIMENSION
    truncated: int = 0

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(texts), self.dimension), np.float32)
        rare = rarity()
        for row, text in zip(found, texts, strict=True):
            for word in WORD.findall(text.casefold()):
                place = zlib.crc32(f"{self.seed}:{word[:6]}".encode())
                row[place % self.dimension] += (1 if place & 65536 else -1) * rare.get(word[:6], 8.0)
        lengths = np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
        found = np.round(found / lengths, self.rounded).astype(np.float32)
        found[np.abs(found).sum(axis=1) == 0, 0] = 1
        return found

    def embed_query(self, text: str) -> np.ndarray:
        return self.embed([text])[0]

    def definition(self) -> dict[str, Any]:
        return {"embedder": "hashed words", "seed": self.seed, "rounded": self.rounded}


@cache
def rarity() -> dict[str, float]:
    """How rare each word is, by its first six letters."""
    counts = dict[str, int]()
    for document in corpus():
        for word in {word[:6] for word in WORD.findall(document.text.casefold())}:
            counts[word] = counts.get(word, 0) + 1
    return {word: float(np.log(1 + len(corpus()) / count)) for word, count in counts.items()}


Answer = Callable[[str, Sequence[Chunk]], str]


@dataclass(frozen=True)
class DocstringApp:
    """The application. Each field is a part that a change may touch.

    change: the name of what was changed, which its definition has; asked: what becomes of a question; found: of the chunks that are found
    shown: of their texts; answer: makes the answer; after: what becomes of what was answered
    """

    change: str = ""
    documents: tuple[Document, ...] = field(default_factory=corpus)
    chunker: Chunker = field(default_factory=lambda: Recursive(600, 60))
    embedder: Any = field(default_factory=HashedWords)
    asking: Any = None  # the embedder of questions, where it is another one
    reranker: Any = None
    words: float = 1.0
    candidates: int = 50
    count: int = 5
    labels: tuple[str, ...] | None = ()
    metadata: Any = None
    asked: Callable[[str], str] = str
    found: Callable[[list[Chunk]], list[Chunk]] = list
    answer: Answer = extracted
    after: Callable[[Question, Answered], Answered] = lambda _question, answered: answered
    slower: float = 1.0
    dearer: float = 1.0

    def definition(self) -> dict[str, Any]:
        return {"application": "docstrings", "change": self.change}

    @property
    def index(self) -> LanceIndex:
        documents = [(each.id, each.text, each.access, dict(each.metadata)) for each in self.documents]
        key = digest([documents, self.chunker.definition(), self.embedder.definition()])
        return _index(key, self)

    def retriever(self) -> Retriever:
        return Retriever(self.index, self.asking or self.embedder, self.reranker, self.words, self.candidates)

    def answerer(self) -> Answering:
        return Answering(self, self.retriever())


@dataclass(frozen=True)
class Answering:
    """An application that is open. Seconds and cost are worked out from the texts, so that they are the same on every machine."""

    app: DocstringApp
    retriever: Retriever

    def definition(self) -> dict[str, Any]:
        return self.app.definition()

    def answer(self, question: Question, repeat: int = 0) -> Answered:
        app = self.app
        asked = app.asked(question.question)
        hits = self.retriever.find(asked, app.count, Conditions.read(app.metadata, app.labels))
        chunks = app.found([hit.chunk for hit in hits])
        text = app.answer(asked, chunks)
        clean = cited(text, chunks)
        jitter = zlib.crc32(f"{app.change}:{question.id}:{repeat}".encode()) % 100 / 100
        usage = Usage(sum(len(chunk.text) for chunk in chunks) // 4, len(text) // 4)
        usage = replace(usage, cost=(0.001 + 1e-6 * usage.prompt_tokens + 4e-6 * usage.completion_tokens) * app.dearer)
        answered = Answered(
            question.id,
            clean.text,
            tuple(chunk.id for chunk in clean.chunks),
            tuple(chunk.id for chunk in chunks),
            tuple(chunk.told for chunk in chunks),
            tuple(chunk.document for chunk in chunks),
            "unknown" if clean.text == DONT_KNOW else "answered",
            (0.4 + 0.2 * jitter) * app.slower,
            usage,
        )
        return app.after(question, answered)


_built = dict[str, LanceIndex]()


def _index(key: str, app: DocstringApp) -> LanceIndex:
    if key not in _built:
        folder = Path(tempfile.mkdtemp(prefix="noria-docstrings-")) / "index"
        _built[key] = build(app.documents, app.chunker, app.embedder, folder).index
    return _built[key]
