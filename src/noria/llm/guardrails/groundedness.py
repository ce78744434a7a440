"""Whether the sentences of an answer are supported by the chunks it was given.

Three things are compared with the best-matching passage: the content words that it has, the numbers and names, which must all be there, and
whether one of the two denies what the other says. It reads no meaning: a sentence that says the same in other words may be taken for
unsupported, and one that turns the meaning round without a word that denies passes. `docs/llm-guardrails.md` has the figures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, pairwise
from typing import TYPE_CHECKING, ClassVar

from noria.llm.guardrails.rule import Action, Context, DeclaredRule, Finding, Where

if TYPE_CHECKING:
    from noria.llm.embedding.port import Embedder

CITATION = re.compile(r"\s?\[\d{1,3}(?:\s*,\s*\d{1,3})*\]")
SENTENCE = re.compile(r"[^\n.!?]+(?:[.!?](?!\s|\Z)[^\n.!?]*)*[.!?]*")
WORD = re.compile(r"[^\W_]+(?:['’_-][^\W_]+)*")
NUMBER = re.compile(r"(?<![\w.])[-+]?\d{1,3}(?:[, ]\d{3})+(?:\.\d+)?|(?<![\w.])[-+]?\d+(?:\.\d+)*")
NAMES = re.compile(r"\b(?:[A-Z][\w’'-]*[A-Z0-9]\w*|[A-Z][a-z]{2,}|[a-z]+_\w+|[A-Z]{2,})\b")
_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred"]
NUMBERS = {word: str(value) for value, word in enumerate(_UNITS)} | {word: str(10 * value) for value, word in enumerate(_TENS, start=2)}
DENIES = re.compile(
    r"\b(?:not|no|never|none|neither|nor|without|cannot|unable|fails? to|except|lacks?"
    r"|nicht|kein\w*|nie(?:mals)?|ohne|ne|pas|jamais|sans|nunca|sin|niet|geen|nooit)\b|n['’]t\b",
    re.IGNORECASE,
)
OPPOSITES = tuple(
    pair.split("/")
    for pair in [
        "always/never",
        "increase/decrease",
        "higher/lower",
        "more/less",
        "before/after",
        "maximum/minimum",
        "enable/disable",
        "allow/forbid",
        "required/optional",
        "include/exclude",
        "ascending/descending",
        "first/last",
        "above/below",
        "true/false",
        "open/close",
        "start/stop",
        "add/remove",
        "mutable/immutable",
        "synchronous/asynchronous",
        "supported/unsupported",
        "valid/invalid",
        "equal/different",
        "accept/reject",
        "all/none",
        "earlier/later",
        "longer/shorter",
        "larger/smaller",
        "faster/slower",
        "most/least",
        "upper/lower",
        "left/right",
        "inside/outside",
        "positive/negative",
        "read/write",
        "input/output",
        "must/may",
        "many/few",
        "success/failure",
        "public/private",
        "local/remote",
    ]
)
_COMMON = (
    "a an the and or but if of in on at to for from by with as is are was were be been being it its this that these those "
    "there which who whom whose what when where how why can could may might will would shall should must do does did has "
    "have had you your we our they their he she his her i me my not no also so such than then into over under about between "
    "through during each any some all most more other only very just"
)
COMMON = frozenset(_COMMON.split(" "))
SUFFIXES = ("ations", "ation", "ings", "ing", "edly", "ied", "ies", "ers", "ed", "es", "er", "ly", "s")


@dataclass(frozen=True)
class Support:
    """A sentence of an answer and how well the chunks support it. score: 0 to 1

    missing: what stands in no passage: numbers, names, a denial
    """

    at: int
    end: int
    score: float
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Passage:
    """One to three sentences that follow one another. denied: the words that each denial in it is about; pairs: words side by side"""

    text: str
    stems: frozenset[str]
    numbers: frozenset[str]
    words: frozenset[str]
    denied: tuple[frozenset[str], ...]
    pairs: frozenset[tuple[str, str]]


def grounded(answer: str, chunks: Sequence[str], embedder: Embedder | None = None) -> list[Support]:
    """Each sentence of the answer that claims something, with its support in the chunks.

    embedder: lifts the score of a sentence in other words to that of its cosine with the passage; numbers, names and denials stay
    """
    passages = [passage for chunk in chunks for passage in _passages(chunk)]
    words = frozenset[str]().union(*(passage.words for passage in passages))
    found = [
        _support(answer[match.start() : match.end()], match.start(), passages, words)
        for match in SENTENCE.finditer(answer)
        if _claims(match[0])
    ]
    return _by_meaning(answer, found, [passage.text for passage in passages], embedder) if embedder and passages else found


@dataclass(frozen=True, kw_only=True)
class Grounded(DeclaredRule):
    """Finds sentences of an answer that its chunks don't support. threshold: the score below which a sentence counts

    It blocks: an answer without support is not given. An answer for which no chunk was found, and that says so, has no claim.
    """

    rule: ClassVar[str] = "groundedness"
    action: Action = "block"
    places: tuple[Where, ...] = ("answer",)
    threshold: float = 0.6
    port_embedder: Embedder | None = None

    def find(self, text: str, _where: Where, context: Context) -> Sequence[Finding]:
        return [
            Finding(each.at, each.end, "unsupported", 1 - each.score)
            for each in grounded(text, context.chunks, self.port_embedder)
            if each.score < self.threshold
        ]


REFUSAL = re.compile(
    r"\b(?:i (?:do not|don['’]t) know|sources? (?:say|says|do|does) (?:nothing|not)|weiß (?:ich )?nicht|je ne sais pas|no lo sé)\b",
    re.IGNORECASE,
)


def _claims(sentence: str) -> bool:
    plain = CITATION.sub("", sentence)
    stems = _stems(plain)
    return len(stems) >= 2 and not REFUSAL.search(plain) and not plain.strip().endswith("?")


@lru_cache(maxsize=256)  # a streamed answer asks for the same chunks sentence by sentence
def _passages(chunk: str) -> tuple[_Passage, ...]:
    """Each one, two and three sentences that follow one another."""
    texts = [match[0] for match in SENTENCE.finditer(chunk) if match[0].strip()]
    joined = dict.fromkeys(" ".join(texts[place : place + size]) for size in (1, 2, 3) for place in range(len(texts)))
    return tuple(_Passage(text, _stems(text), _numbers(text), _lower(text), _denied(text), _pairs(text)) for text in joined)


def _support(sentence: str, at: int, passages: Sequence[_Passage], words: frozenset[str]) -> Support:
    plain = CITATION.sub("", sentence)
    stems, end = _stems(plain), at + len(sentence)
    if not passages:
        return Support(at, end, 0.0, ("no passage",))
    # the shortest of those that have most of its words: passages stand in the order of their length
    best = max(passages, key=lambda passage: (len(stems & passage.stems), -len(passage.stems)))
    missing = [number for number in sorted(_numbers(plain)) if number not in best.numbers]
    missing += [name for name in _names(plain) if name.casefold() not in words]
    if _denies(plain, stems, best):
        missing.append("a denial")
    return Support(at, end, len(stems & best.stems) / len(stems) * 0.3 ** min(len(missing), 2), tuple(missing))


def _by_meaning(answer: str, found: Sequence[Support], passages: Sequence[str], embedder: Embedder) -> list[Support]:
    if not found:
        return []
    cosines = embedder.embed([answer[each.at : each.end] for each in found]) @ embedder.embed(passages).T
    return [
        each if each.missing else Support(each.at, each.end, max(each.score, float(best)))
        for each, best in zip(found, cosines.max(axis=1), strict=True)
    ]


def _denies(sentence: str, stems: frozenset[str], passage: _Passage) -> bool:
    """Whether one denies what the other says: by a word that denies beside the same words, or by the opposite of a word in its place."""
    mine, pairs = _denied(sentence), _pairs(sentence)
    if any(each and not any(each & other for other in passage.denied) for each in mine):
        return True
    if any(each and each <= stems and not any(each & other for other in mine) for each in passage.denied):
        return True
    for one, other in OPPOSITES:
        for word, opposite in ((_stem(one), _stem(other)), (_stem(other), _stem(one))):
            for pair in pairs:
                if word in pair and pair not in passage.pairs:
                    turned = tuple(opposite if each == word else each for each in pair)
                    if turned in passage.pairs and not _stands(word, pair, pairs, passage.pairs):
                        return True
    return False


def _stands(word: str, pair: tuple[str, str], pairs: frozenset[tuple[str, str]], theirs: frozenset[tuple[str, str]]) -> bool:
    """Whether the word stands in the passage too with its neighbour on the other side, so that it was not put in another's place."""
    side = pair.index(word)
    return any(other in theirs for other in pairs if other[1 - side] == word)


def _denied(text: str) -> tuple[frozenset[str], ...]:
    """For each word that denies, the next three words with content."""
    found = list[frozenset[str]]()
    for match in DENIES.finditer(text):
        after = (
            _stem(word[0].casefold()) for word in WORD.finditer(text, match.end(), match.end() + 60) if word[0].casefold() not in COMMON
        )
        found.append(frozenset(islice(after, 3)))
    return tuple(found)


def _pairs(text: str) -> frozenset[tuple[str, str]]:
    return frozenset(pairwise(_stem(match[0].casefold()) for match in WORD.finditer(text)))


def _numbers(text: str) -> frozenset[str]:
    found = {_number(match[0]) for match in NUMBER.finditer(text)}
    return frozenset(found | {NUMBERS[word] for word in _lower(text) if word in NUMBERS})


def _number(text: str) -> str:
    plain = re.sub(r"[, ]", "", text).lstrip("+")
    return plain.rstrip("0").rstrip(".") if plain.count(".") == 1 else plain


def _names(sentence: str) -> list[str]:
    """Words that name something: capitals within the sentence, abbreviations, identifiers."""
    first = re.match(r"\W*(\w+)", sentence)
    begins = first.start(1) if first else 0
    return [
        match[0]
        for match in NAMES.finditer(sentence)
        if match[0].casefold() not in COMMON and (match.start() > begins or not match[0].istitle())
    ]


def _lower(text: str) -> frozenset[str]:
    return frozenset(word for match in WORD.finditer(text) for word in (match[0].casefold(), *re.split("[-'’]", match[0].casefold())))


def _stems(text: str) -> frozenset[str]:
    words = (match[0].casefold() for match in WORD.finditer(text))
    return frozenset(_stem(word) for word in words if word not in COMMON)


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    for suffix in SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word[: -len(suffix)].rstrip("e")
    return word.rstrip("e") if len(word) > 3 else word
