"""Pairs of sources and statements of which it is known whether the one supports the other, made from texts.

Supported: a sentence of the source, as it is, shortened, with other words, after an opening, or two as one. Not supported: a sentence
with another
number, a negation, an opposite or another name; half of it; with something added; one of another text; one that was taken out of the
source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from noria.llm.chunking.sentences import sentences
from noria.llm.evaluation.support_features import NEGATIONS, NUMBER, OPPOSITE

MIN_WORDS, MAX_WORDS = 5, 40
SYNONYMS = {
    "returns": "gives", "return": "give", "create": "make", "creates": "makes", "use": "employ", "uses": "employs", "used": "employed",
    "show": "display", "shows": "displays", "get": "obtain", "remove": "delete",
    "removes": "deletes", "check": "verify", "checks": "verifies",
    "begin": "start", "whether": "if", "must": "has to", "large": "big", "quick": "fast", "error": "failure", "allows": "lets",
    "given": "provided", "specified": "stated", "method": "function", "array": "list", "needs": "requires",
    "also": "too", "costs": "is priced at",
}  # fmt: skip
OPENINGS = ("According to the documentation, ", "In short, ", "The sources say that ", "Note that ", "Yes: ")
ADDED = (
    " and it was introduced in 1987",
    ", which costs 40 dollars",
    " in every country of Europe",
    " unless the moon is full",
    ", as Einstein showed",
)
VERB = re.compile(r"\b(is|are|was|were|can|will|should|must|may|has|does|do)\b(?! (?:not|never)\b)", re.IGNORECASE)
NEGATED = re.compile(r"\b(?:not|never) ", re.IGNORECASE)
NAME = re.compile(r"(?<=[a-z,] )[A-Z][\w.]+")


@dataclass(frozen=True)
class Pair:
    """A source, a statement, whether the one supports the other, how it was made, and the number of the text that it is from."""

    source: str
    statement: str
    supported: bool
    kind: str
    text: int


Change = Callable[[str, np.random.Generator], str | None]


def pairs_of(texts: Sequence[str], seed: int = 0, most: int = 4_000) -> list[Pair]:
    """At most about so many pairs of texts, about as many supported as not. Each text's sentences stand together."""
    rng, found = np.random.default_rng([seed, len(texts)]), list[Pair]()
    whole = [whole_sentences(text) for text in texts]
    usable = [number for number, those in enumerate(whole) if those]
    for number in rng.permutation(usable).tolist():
        if len(found) >= most:
            break
        other = int(rng.choice(usable))
        for place in rng.permutation(len(whole[number]))[:3].tolist():
            found += _of_sentence(texts[number], whole[number], place, number, whole[other] if other != number else [], rng)
    return found


def _of_sentence(text: str, whole: list[str], place: int, number: int, others: list[str], rng: np.random.Generator) -> Iterator[Pair]:
    said = whole[place]
    following = whole[place + 1] if place + 1 < len(whole) else None
    good, bad = list(SUPPORTED.items()), list(UNSUPPORTED.items())
    for kind, change in [good[i] for i in rng.choice(len(good), 3, replace=False)]:
        if (statement := change(said, rng)) is not None:
            yield Pair(text, statement, True, kind, number)
    if following is not None and f"{said} {following}" in " ".join(text.split()):
        yield Pair(text, f"{said.rstrip('.')}, and {following[:1].lower()}{following[1:]}", True, "two as one", number)
    for kind, change in [bad[i] for i in rng.choice(len(bad), 3, replace=False)]:
        if (statement := change(said, rng)) is not None and statement != said:
            yield Pair(text, statement, False, kind, number)
    left = " ".join(text.split()).replace(said, " ")
    if len(left) > len(said):
        yield Pair(left, said, False, "taken out of the source", number)
    if others:
        other = str(rng.choice(others))
        if other not in " ".join(text.split()):
            yield Pair(text, other, False, "of another text", number)
            yield Pair(text, _halves(said, other), False, "half of another text", number)


def whole_sentences(text: str) -> list[str]:
    """The sentences of a text that can be understood as such."""
    found = (" ".join(text[at:end].split()) for at, end in sentences(text, 400))
    return [each for each in found if each[-1:] in ".!" and MIN_WORDS <= len(each.split()) <= MAX_WORDS and each[:1].isalpha()]


def _as_it_is(said: str, rng: np.random.Generator) -> str | None:
    del rng
    return said


def _shortened(said: str, rng: np.random.Generator) -> str | None:
    """Without a word or two that are no negation, no number and no opposite."""
    words = said.split()
    free = [place for place, word in enumerate(words) if place and not _matters(word)]
    if len(free) < 4:
        return None
    gone = set(rng.choice(free, max(1, len(words) // 8), replace=False).tolist())
    return " ".join(word for place, word in enumerate(words) if place not in gone)


def _to_the_comma(said: str, rng: np.random.Generator) -> str | None:
    """Up to a comma, where that is a sentence."""
    del rng
    head, _, tail = said.rpartition(", ")
    return f"{head}." if len(head.split()) >= MIN_WORDS and tail and not tail.startswith(("not ", "but ", "unless ", "except ")) else None


def _other_words(said: str, rng: np.random.Generator) -> str | None:
    del rng
    changed = re.sub(r"[A-Za-z]+", lambda match: SYNONYMS.get(match[0], match[0]), said)
    return changed if changed != said else None


def _opened(said: str, rng: np.random.Generator) -> str | None:
    return str(rng.choice(OPENINGS)) + said[:1].lower() + said[1:]


def _other_number(said: str, rng: np.random.Generator) -> str | None:
    """With another number where there is one; or else with one added."""
    numbers = list(NUMBER.finditer(said))
    if not numbers:
        return None
    at = numbers[int(rng.integers(len(numbers)))]
    fresh = str(int(rng.integers(2, 9)) + 10 * len(at[0]))
    return said[: at.start()] + fresh + said[at.end() :] if fresh != at[0] else None


def _negated(said: str, rng: np.random.Generator) -> str | None:
    """The opposite by "not": taken out where there is one, or else put in."""
    del rng
    if NEGATED.search(said):
        return NEGATED.sub("", said, count=1)
    return VERB.sub(r"\1 not", said, count=1) if VERB.search(said) else None


def _opposed(said: str, rng: np.random.Generator) -> str | None:
    del rng
    changed, count = re.subn(r"[A-Za-z]+", lambda match: OPPOSITE.get(match[0].lower(), match[0]), said)
    return changed if count and changed != said and OPPOSITE.keys() & set(said.lower().split()) else None


def _other_name(said: str, rng: np.random.Generator) -> str | None:
    if not NAME.search(said):
        return None
    return NAME.sub(str(rng.choice(["Moravia", "Zenith", "Halcyon", "Quorum", "Bexley"])), said, count=1)


def _with_more(said: str, rng: np.random.Generator) -> str | None:
    return said.rstrip(".!") + str(rng.choice(ADDED)) + "."


def _halves(said: str, other: str) -> str:
    """The first half of one sentence and the second of another."""
    one, two = said.split(), other.split()
    return " ".join(one[: len(one) // 2] + two[len(two) // 2 :])


def _matters(word: str) -> bool:
    bare = word.strip(".,;:()").lower()
    return bare in NEGATIONS or bare.endswith("n't") or bare in OPPOSITE or bool(NUMBER.search(word))


SUPPORTED: dict[str, Change] = {
    "as it is": _as_it_is,
    "shortened": _shortened,
    "to the comma": _to_the_comma,
    "other words": _other_words,
    "opened": _opened,
}
UNSUPPORTED: dict[str, Change] = {
    "another number": _other_number,
    "negated": _negated,
    "an opposite": _opposed,
    "another name": _other_name,
    "something added": _with_more,
}
