"""The declaration of an application, and how it is built from its corpus as of a moment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from noria.core.callers import beside_caller
from noria.core.ids import digest
from noria.core.progress import Progress, Tell
from noria.data.table import SnapshotRows, Table
from noria.evaluation.generation import CONVERSATION, QUESTION
from noria.llm.application.answering import Terms
from noria.llm.application.confidence import Calibrated, calibrated
from noria.llm.application.declared import policy, require_parts
from noria.llm.application.known_answers import known_answers
from noria.llm.application.opening import INDEX, PRIVATE, SETTINGS, opened_folder, opening
from noria.llm.application.parts import needs_trust, written
from noria.llm.chunking import ByKind
from noria.llm.chunking.chunk import Chunker
from noria.llm.documents.source import documents_at
from noria.llm.embedding.cached import CachedEmbedder
from noria.llm.embedding.port import Embedder, Reranker
from noria.llm.evaluation.questions import QuestionSet
from noria.llm.evaluation.review import read_reviewed
from noria.llm.generation.definitions import sealed
from noria.llm.generation.port import Generator
from noria.llm.generation.prompt import Prompt
from noria.llm.guardrails.guardrails import Guardrails
from noria.llm.guardrails.policy import Policy
from noria.llm.guardrails.rule import Rule
from noria.llm.index.build import Built, build
from noria.llm.retrieval.retriever import Fusion
from noria.models.export.port import Saved

DECLARED = 2  # calls between the module that declares an application and what checks it
CALIBRATED_ON = 300  # questions at most
PROMPT = Path(__file__).with_name("answer.md")


@dataclass(frozen=True)
class Application:
    """An application that answers questions from a corpus: what an `nr.Model` with `task=nr.Generation()` has as its trainer.

    corpus: the table of its documents, such as `nr.Table("docs", llm.document_files("handbook"), …)`; others need columns `id` and `text`
    embedder: makes the vectors; wrapped in a `CachedEmbedder`, a text that has not changed is not embedded again
    chunker: how documents are cut; reranker: reads what was found once more
    generator: writes the answers; None: the sentences of the sources that say most about the question, word by word
    guardrails: what may be asked, told and answered: rules, or those of all and of tenants; the settings are sealed in the bundle
    prompt: what the generator is told, with the variables `question` and `sources`; a file, or a `Prompt`
    words, candidates, balance, reranked, trust, fusion: of the search, as `Retriever` has them; terms: of the answers
    calibrated_on: questions whose right answers are known, or their file: it answers some of them when it is built, so that confidence is
        the chance that an answer helps; None: it is how near the nearest source is
    name: what it is called
    """

    corpus: Table
    embedder: Embedder
    chunker: Chunker = field(default_factory=ByKind)
    reranker: Reranker | None = None
    generator: Generator | None = None
    prompt: Prompt | Path | str = PROMPT
    guardrails: Policy | Guardrails | Sequence[Rule] = field(default_factory=Guardrails)
    words: float = 1.0
    candidates: int = 50
    balance: float = 1.0
    reranked: int = 50
    trust: float = 1.0
    fusion: Fusion = "scores"
    terms: Terms = field(default_factory=Terms)
    calibrated_on: QuestionSet | Path | str | None = None
    name: str = "application"

    def __post_init__(self) -> None:
        if isinstance(self.prompt, str | Path):
            object.__setattr__(self, "prompt", Prompt.read(beside_caller(self.prompt, DECLARED)))
        object.__setattr__(self, "guardrails", policy(self.guardrails))
        if isinstance(self.calibrated_on, Path | str):
            object.__setattr__(self, "calibrated_on", read_reviewed(beside_caller(self.calibrated_on, DECLARED)).questions)
        require_parts(self)

    @property
    def tables(self) -> tuple[Table, ...]:
        return (self.corpus,)

    @property
    def _search(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("words", "candidates", "balance", "reranked", "trust", "fusion")}

    def parameters(self) -> dict[str, Any]:
        """What its answers depend on, beside the corpus: as a run and a bundle's lineage state it."""
        assert isinstance(self.prompt, Prompt)
        return {
            "chunker": self.chunker.definition(),
            "embedder": self.embedder.definition(),
            "reranker": None if self.reranker is None else self.reranker.definition(),
            "generator": None if self.generator is None else sealed(self.generator),
            "prompt": self.prompt.version,
            "guardrails": policy(self.guardrails).definition(),
            "search": self._search,
            "terms": written(self.terms),
            **({"calibrated_on": self.calibrated_on.version} if isinstance(self.calibrated_on, QuestionSet) else {}),
        }

    def code_hash(self) -> str:
        return digest(self.parameters())

    def build(self, facts: Mapping[str, SnapshotRows], as_of: datetime, tell: Tell) -> Saved:
        """The application with the index of the documents that were known at a moment. Raises `NotAPart`."""
        settings = self._settings()
        with TemporaryDirectory(prefix="noria-index-") as name:
            folder = Path(name) / INDEX
            built = self._index(facts[self.corpus.name], as_of, folder, tell)
            found = self._calibrated(Path(name), settings, tell)
            files = {str(path.relative_to(name)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        settings["built"] = {"documents": built.documents, "chunks": built.chunks, "repeated": built.repeated, "index": built.digest}
        settings["confidence"] = found.to_dict()
        files[SETTINGS] = json.dumps(settings, sort_keys=True, indent=1).encode()
        if policy(self.guardrails).redacts("question"):
            files[PRIVATE] = json.dumps([QUESTION.name, CONVERSATION.name]).encode()
        return Saved("application", opening(trusted=needs_trust(settings)), files, reliability=found)

    def _calibrated(self, folder: Path, settings: dict[str, Any], tell: Tell) -> Calibrated:
        """What confidence means, by answers to questions whose right answers are known. Each costs what an answer costs."""
        if not isinstance(self.calibrated_on, QuestionSet):
            return Calibrated(None, "no questions were given to calibrate it on (calibrated_on)")
        asked = self.calibrated_on.questions[:CALIBRATED_ON]
        return calibrated(known_answers(opened_folder(folder, settings), asked, tell))

    def _index(self, facts: SnapshotRows, as_of: datetime, folder: Path, tell: Tell) -> Built:
        def progress(done: int, of: int) -> None:
            tell(Progress("index", f"{done:,} of {of:,} chunks", share=done / of if of else 1.0))

        return build(documents_at(facts, as_of), self.chunker, self.embedder, folder, progress)

    def _settings(self) -> dict[str, Any]:
        embedder = self.embedder.embedder if isinstance(self.embedder, CachedEmbedder) else self.embedder
        return {
            "embedder": written(embedder),
            "reranker": written(self.reranker),
            "generator": None if self.generator is None else sealed(self.generator),
            "prompt": written(self.prompt),
            "guardrails": policy(self.guardrails).definition(),
            "search": self._search,
            "terms": written(self.terms),
            "definitions": {
                "embedder": self.embedder.definition(),
                "reranker": None if self.reranker is None else self.reranker.definition(),
            },
        }
