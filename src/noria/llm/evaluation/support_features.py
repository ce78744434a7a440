"""What can be counted of a source and a statement that says whether the one supports the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.llm.chunking.sentences import sentences
from noria.llm.generation.extractive import COMMON

NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d.,]*(?:e[-+]?\d+)?%?", re.IGNORECASE)
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
UNITS = "zero one two three four five six seven eight nine ten eleven twelve"  # of 0, 1, …
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
SPELLED = {word: str(number) for number, word in enumerate(UNITS.split(" ")) if word != "one"} | {  # "one" is seldom meant as a number
    word: str(number) for number, word in zip(range(20, 100, 10), TENS.split(" "), strict=True)
}
NO = "not no never none neither nor without cannot isn't aren't wasn't weren't don't doesn't didn't won't can't couldn't"
NEGATIONS = frozenset(NO.split(" "))
OPPOSITES = (
    "true/false increase/decrease increases/decreases increased/decreased more/less higher/lower greater/smaller before/after first/last "
    "all/none "
    "always/never minimum/maximum min/max enable/disable enabled/disabled allow/forbid allowed/forbidden include/exclude included/excluded "
    "open/closed opens/closes start/end starts/ends begin/end positive/negative left/right above/below inside/outside same/different "
    "required/optional ascending/descending success/failure valid/invalid public/private sync/async input/output read/write older/newer "
    "early/late earlier/later faster/slower larger/smaller long/short many/few major/minor mutable/immutable present/absent"
)
OPPOSITE = {one: other for pair in OPPOSITES.split(" ") for one, other in (pair.split("/"), pair.split("/")[::-1])}
LONGEST = 400  # characters of a sentence
NAMES = (
    "words_missing",
    "words_missing_of_all",
    "pairs_missing",
    "number_missing",
    "number_missing_of_all",
    "negation_differs",
    "opposite",
    "name_missing",
    "longer",
    "exact",
    "distance",
)


@dataclass(frozen=True)
class Sentence:
    """A sentence as it is counted. words: that count; pairs: of neighbours among them; names: written with a capital inside a sentence"""

    words: tuple[str, ...]
    telling: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    numbers: frozenset[str]
    names: frozenset[str]
    negations: int


@lru_cache(maxsize=20_000)
def sentence(text: str) -> Sentence:
    """What is counted of a sentence."""
    plain = text.replace("’", "'")
    every = WORD.findall(plain)
    words = tuple(SPELLED.get(word.casefold(), word.casefold()) for word in every)
    telling = [_stem(word) for word in words if word not in COMMON and word not in NEGATIONS]
    numbers = {number.strip(".,").replace(",", "") for number in NUMBER.findall(plain)} | {word for word in words if word.isdecimal()}
    names = {word.casefold() for word in every[1:] if word[:1].isupper() or any(sign.isupper() for sign in word[1:])}
    negations = sum(word in NEGATIONS or word.endswith("n't") for word in words)
    return Sentence(words, frozenset(telling), frozenset(pairwise(telling)), frozenset(numbers), frozenset(names), negations)


@lru_cache(maxsize=5_000)
def sentences_of(source: str) -> tuple[Sentence, ...]:
    """The sentences of a source, and each two neighbours as one, since a statement may be made of both."""
    single = [text for at, end in sentences(source, LONGEST) if (text := " ".join(source[at:end].split()))]
    joined = [f"{one} {other}" for one, other in pairwise(single)]
    return tuple(map(sentence, single + joined))


def features(source: str, statement: str, near: float | None = None) -> NDArray[np.float64]:
    """`(features,)` of whether a source supports a statement, in the order of `NAMES`. near: their cosine, where it is known"""
    told, parts = sentence(statement), sentences_of(source)
    if not parts or not told.words:
        return np.array([1, 1, 1, bool(told.numbers), bool(told.numbers), 0, 0, bool(told.names), 1, 0, 1.0 if near is None else 1 - near])
    best = max(parts, key=lambda part: (_share(told.telling, part.telling) + _share(told.pairs, part.pairs), -len(part.words)))
    every = frozenset[str]().union(*(part.telling for part in parts))
    numbers = frozenset[str]().union(*(part.numbers for part in parts))
    words = frozenset(best.words)
    opposite = any(OPPOSITE.get(word) in words and word not in words for word in told.words)
    names = told.names - words
    return np.array(
        [
            1 - _share(told.telling, best.telling),
            1 - _share(told.telling, every),
            1 - _share(told.pairs, best.pairs),
            bool(told.numbers - best.numbers),
            bool(told.numbers - numbers),
            (told.negations - best.negations) % 2 if _share(told.telling, best.telling) > 0.5 else 0,
            opposite,
            bool(names - frozenset[str]().union(*(frozenset(part.words) for part in parts))),
            min(max(len(told.words) / max(len(best.words), 1) - 1, 0), 2),
            told.words == best.words,
            0.0 if near is None else 1 - near,
        ],
        np.float64,
    )


def feature_rows(pairs: Sequence[tuple[str, str]], near: Sequence[float] | None = None) -> NDArray[np.float64]:
    """`(pairs, features)` of sources and statements."""
    cosines = near if near is not None else [None] * len(pairs)
    rows = [features(source, statement, cosine) for (source, statement), cosine in zip(pairs, cosines, strict=True)]
    return np.array(rows, np.float64).reshape(len(pairs), len(NAMES))


def _share(wanted: frozenset[Any], given: frozenset[Any]) -> float:
    return len(wanted & given) / len(wanted) if wanted else 1.0


def _stem(word: str) -> str:
    """A word without the commonest endings of English, so that "opens" is "open"."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word
