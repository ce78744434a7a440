"""Plain limits: how long a text may be, the languages and topics it may have, the form of an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import MissingExtra
from noria.llm.guardrails.rule import BadRule, Context, DeclaredRule, Finding, Where

if TYPE_CHECKING:
    from noria.llm.embedding.port import Embedder

MAX_READ = 4_000  # characters by which a language is told
FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(?P<inner>.*?)\n?```\s*\Z", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Length(DeclaredRule):
    """Characters that a text may have, from `least` to `most`. An answer that is streamed is held back until its length is known."""

    rule: ClassVar[str] = "length"
    whole: ClassVar[bool] = True
    places: tuple[Where, ...] = ("question",)
    least: int = 1
    most: int = 8_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.least <= self.most:
            raise BadRule(self.name, f"no text has from {self.least} to {self.most} characters", "give `least` below `most`")

    def find(self, text: str, _where: Where, _context: Context) -> Sequence[Finding]:
        size = len(text.strip())
        kind = "too_short" if size < self.least else "too_long" if len(text) > self.most else ""
        return [Finding(0, len(text), kind)] if kind else []


@dataclass(frozen=True, kw_only=True)
class Languages(DeclaredRule):
    """The languages that a text may be written in, by ISO 639-1. least: letters from which one can be told; below, any may be meant

    sure: the probability of all others together from which they count, so that Danish is not refused where Norwegian is allowed.
    Found by py3langid (97 languages)
    """

    rule: ClassVar[str] = "language"
    whole: ClassVar[bool] = True
    places: tuple[Where, ...] = ("question",)
    allowed: tuple[str, ...] = ("en",)
    least: int = 20
    sure: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.allowed or not all(re.fullmatch("[a-z]{2}", each) for each in self.allowed):
            raise BadRule(self.name, f"{self.allowed!r} are no languages", "give codes such as `en`, `de`")

    def find(self, text: str, _where: Where, _context: Context) -> Sequence[Finding]:
        words = re.sub(r"```[\s\S]{0,4000}?```|`[^`\n]{1,200}`|https?://\S+", " ", text[:MAX_READ])  # code is no language
        if sum(map(str.isalpha, words)) < self.least:
            return []
        probabilities = languages_of(words)
        others = 1.0 - sum(probabilities.get(each, 0.0) for each in self.allowed)
        if others < self.sure:
            return []
        return [Finding(0, len(text), f"language_{next(iter(probabilities))}", others)]


def languages_of(text: str) -> dict[str, float]:
    """The probability of each language that is known, the likeliest first. Raises `MissingExtra` without py3langid."""
    return {str(language): float(probability) for language, probability in _identifier().rank(text)}


@lru_cache(maxsize=1)
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise MissingExtra(library="py3langid", extra="llm", needed_for="limits on languages") from error
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@dataclass(frozen=True, kw_only=True)
class Topics(DeclaredRule):
    """What may be talked about. forbidden, allowed: by the topic's name, examples of what is said of it

    A text is of a topic if it has one of its `keywords`, or, with an embedder, if it is nearer than `threshold` (cosine) to one of its
    examples. Where `allowed` is given, a text that is of none of these is found as well (`off_topic`).
    """

    rule: ClassVar[str] = "topics"
    places: tuple[Where, ...] = ("question",)
    forbidden: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    allowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keywords: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    threshold: float = 0.45
    port_embedder: Embedder | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        known = {*self.forbidden, *self.allowed}
        for topic in self.keywords:
            if topic not in known:
                raise BadRule(self.name, f"there are keywords of {topic!r}, which is no topic", "name it in `forbidden` or in `allowed`")
        for topic in known:
            if not self.keywords.get(topic) and not (self.port_embedder and {**self.forbidden, **self.allowed}[topic]):
                raise BadRule(self.name, f"nothing says when a text is about {topic!r}", "give it keywords, or examples and an embedder")

    def find(self, text: str, _where: Where, _context: Context) -> Sequence[Finding]:
        if not text.strip():
            return []
        scores = self.scores(text)
        found = [Finding(0, len(text), f"topic_{topic}", scores[topic]) for topic in self.forbidden if scores[topic] >= self.threshold]
        if not found and self.allowed and max(scores[topic] for topic in self.allowed) < self.threshold:
            found = [Finding(0, len(text), "off_topic", 1 - max(scores[topic] for topic in self.allowed))]
        return found

    def scores(self, text: str) -> dict[str, float]:
        """How near the text is to each topic: 1 by a keyword, otherwise the largest cosine to its examples."""
        scores = dict.fromkeys({**self.forbidden, **self.allowed}, 0.0)
        for topic, pattern in self._patterns.items():
            if pattern.search(text):
                scores[topic] = 1.0
        if self.port_embedder is not None and any(score < 1 for score in scores.values()):
            vector = self.port_embedder.embed_query(text)
            for topic, vectors in self._vectors.items():
                scores[topic] = max(scores[topic], float((vectors @ vector).max()))
        return scores

    @cached_property
    def _patterns(self) -> dict[str, re.Pattern[str]]:
        return {
            topic: re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)", re.IGNORECASE)
            for topic, words in self.keywords.items()
            if words
        }

    @cached_property
    def _vectors(self) -> dict[str, NDArray[np.float32]]:
        assert self.port_embedder is not None
        return {topic: self.port_embedder.embed(list(of)) for topic, of in {**self.forbidden, **self.allowed}.items() if of}


@dataclass(frozen=True, kw_only=True)
class OutputSchema(DeclaredRule):
    """An answer that must be JSON of a schema (JSON Schema 2020-12). fenced: whether it may stand in a block of code

    The generation stage asks again where it is not; this rule is the last word. What it finds says where, never what.
    """

    rule: ClassVar[str] = "schema"
    whole: ClassVar[bool] = True
    places: tuple[Where, ...] = ("answer",)
    schema: Mapping[str, Any] = field(default_factory=dict)
    fenced: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _validator(json.dumps(self.schema, sort_keys=True))

    def find(self, text: str, _where: Where, _context: Context) -> Sequence[Finding]:
        fence = FENCE.match(text) if self.fenced else None
        try:
            value = json.loads(fence["inner"] if fence else text, parse_constant=_no_number)
        except (ValueError, RecursionError):
            return [Finding(0, len(text), "not_json")]
        error = next(iter(_validator(json.dumps(self.schema, sort_keys=True)).iter_errors(value)), None)
        return [] if error is None else [Finding(0, len(text), f"schema_{error.validator}")]


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    try:
        from jsonschema import Draft202012Validator, SchemaError
    except ImportError as error:
        raise MissingExtra(library="jsonschema", extra="llm", needed_for="answers of a schema") from error
    try:
        Draft202012Validator.check_schema(json.loads(schema))
    except SchemaError as error:
        raise BadRule("schema", f"the schema is none: {error.message}", "write JSON Schema 2020-12") from error
    return Draft202012Validator(json.loads(schema))
