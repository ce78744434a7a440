"""Prompt injection and jailbreaks: texts that tell a model what to do in place of what it was told.

A linear model of n-grams, trained on families of attacks from public taxonomies (`benchmarks/llm/train_injection.py`), reads a text as it
is shown, and as it would read decoded: without invisible characters and look-alikes, from base64, hex, rot13 and others. It finds what
resembles known attacks, and nothing else: `docs/llm-guardrails.md` says what gets through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from noria.llm.guardrails.ngrams import LinearModel
from noria.llm.guardrails.phrases import SCORE, phrase_in, phrases_version, unread_language
from noria.llm.guardrails.plain_text import disguised, folded, hidden
from noria.llm.guardrails.rule import BadRule, Context, Decision, DeclaredRule, Finding, Where

MODEL = Path(__file__).parent / "data" / "injection.npz"
WINDOW, STEP = 40, 20  # words that are scored at once: an instruction among a page of others weighs as much as one by itself
SHORT, SHORT_STEP = 14, 7
MOST = 200_000  # characters that are read; `Length` refuses longer questions
THRESHOLD = 0.5
CHUNK_THRESHOLD = 0.7  # of a thousand passages of libraries' docs that it was not trained on, 3 reach it


@dataclass(frozen=True, kw_only=True)
class Injection(DeclaredRule):
    """Scores a question or a chunk; from `threshold` on, it is an attack. chunk_threshold: of chunks, which nobody asked in person

    unread: what becomes of a question in a language of which no attacks are known (`phrases.read_languages`): "allow", or "block", by
    which it fails closed. It takes py3langid, and tells no language below twenty letters.
    """

    rule: ClassVar[str] = "injection"
    places: tuple[Where, ...] = ("question", "chunk")
    threshold: float = THRESHOLD
    chunk_threshold: float = CHUNK_THRESHOLD
    unread: Literal["allow", "block"] = "allow"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("threshold", "chunk_threshold"):
            if not 0 < getattr(self, name) < 1:
                raise BadRule(self.name, f"{name} can't be {getattr(self, name)!r}", "give a number between 0 and 1")
        if self.unread not in ("allow", "block"):
            raise BadRule(self.name, f"unread can't be {self.unread!r}", 'give "allow" or "block"')

    def check(self, text: str, where: Where, _context: Context) -> Decision:
        """The decision, with the score of the worst part also where it is allowed: its distribution is worth watching."""
        score, span = scored(text)
        threshold = self.chunk_threshold if where == "chunk" else self.threshold
        if score < threshold and (found := phrase_in(text[:MOST])) is not None:
            score, span = max(score, SCORE), (0, len(text))
            return Decision(
                self.name, self.action, f"injection_{found}", (Finding(*span, f"injection_{found}", score),), score, self.model_version
            )
        if score < threshold and self.unread == "block" and where == "question" and (language := unread_language(text)):
            unread = f"unread_{language}"
            return Decision(self.name, self.action, unread, (Finding(0, len(text), unread),), score, self.model_version)
        if score < threshold:
            return Decision(self.name, "allow", score=score, version=self.model_version)
        return Decision(self.name, self.action, "injection", (Finding(*span, "injection", score),), score, self.model_version)

    def find(self, text: str, where: Where, context: Context) -> Sequence[Finding]:
        return self.check(text, where, context).found

    def definition(self) -> dict[str, object]:
        return super().definition() | {"version": self.model_version}

    @property
    def model_version(self) -> str:
        return f"{self.version}-{injection_model().version}-{phrases_version()}"


@lru_cache(maxsize=1)
def injection_model() -> LinearModel:
    return LinearModel.read(MODEL)


def scored(text: str, model: LinearModel | None = None) -> tuple[float, tuple[int, int]]:
    """How much the worst part of a text resembles an attack, 0 to 1, and where that part stands; the whole text where it was encoded."""
    model = model or injection_model()
    text = text[:MOST]
    best, span = 0.0, (0, len(text))
    for number, view in enumerate(views(text)):
        scores, places = worst(model, view)
        if scores > best:
            best, span = scores, places if number == 0 and len(view) == len(text) else (0, len(text))
    return best, span


def worst(model: LinearModel, view: str) -> tuple[float, tuple[int, int]]:
    """The highest score of the windows of a text, and where it stands."""
    scores, places = model.windows(view, ((WINDOW, STEP), (SHORT, SHORT_STEP)))
    if not len(scores):
        return 0.0, (0, len(view))
    best = int(np.argmax(scores))
    return float(scores[best]), places[best]


def views(text: str) -> Iterator[str]:
    """The ways in which a model may read a text: as it is first, then decoded."""
    plain = folded(text)
    yield plain
    decoded = list(hidden(text))
    decoded += [inner for each in decoded for inner in hidden(each)]
    yield from dict.fromkeys(map(folded, decoded))
    yield from (folded(each) for each in disguised(text if len(text) < 4000 else text[:4000]))
