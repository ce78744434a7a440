"""An answer without a model: the sentences of the sources that are nearest to the question, word by word.

It says nothing that the sources do not say, so it is what stands in where a model is away, and what others are compared with.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from noria.llm.chunking.chunk import Chunk
from noria.llm.chunking.sentences import sentences

DONT_KNOW = "I don't know: the sources say nothing about it."
WORD = re.compile(r"\w+")
HEADING = re.compile(r"#{1,6} ")  # which says what a part is about, and nothing of it
LONGEST = 400  # characters of a sentence that is quoted
K1, B = 1.2, 0.75  # of BM25 (Robertson & Zaragoza 2009)
COMMON_WORDS = (
    "a an and are as at be by can do does for from has have how i in is it its me my no not of on or our so that "
    "the their this to was we were what when where which who why will with you your"
)
COMMON = frozenset(COMMON_WORDS.split(" "))


def extracted(question: str, chunks: Sequence[Chunk], count: int = 2, least: float = 0.5) -> str:
    """At most `count` sentences of the chunks that say most about the question, each with its source `[1]`.

    `DONT_KNOW` where the best has words that make up less than `least` of the question's weight.
    """
    asked = [word for word in _words(question) if word not in COMMON]
    found = [
        (number, sentence)
        for number, chunk in enumerate(chunks, start=1)
        for at, end in sentences(chunk.told, LONGEST)
        if (sentence := " ".join(chunk.told[at:end].split())) and not HEADING.match(sentence)
    ]
    if not asked or not found:
        return DONT_KNOW
    bags = [Counter(_words(sentence)) for _, sentence in found]
    weights = {word: _rarity(sum(word in bag for bag in bags), len(bags)) for word in set(asked)}
    mean = sum(map(Counter.total, bags)) / len(bags)
    scores = [_score(bag, weights, mean) for bag in bags]
    best = sorted(range(len(found)), key=lambda place: -scores[place])[:count]
    covered = sum(weight for word, weight in weights.items() if word in bags[best[0]])
    if covered < least * sum(weights.values()):
        return DONT_KNOW
    chosen = [place for place in best if scores[place] >= 0.5 * scores[best[0]]]
    return " ".join(f"{found[place][1]} [{found[place][0]}]" for place in sorted(chosen))


def _words(text: str) -> list[str]:
    return [word.casefold() for word in WORD.findall(text)]


def _rarity(holding: int, count: int) -> float:
    return math.log(1 + (count - holding + 0.5) / (holding + 0.5))


def _score(bag: Counter[str], weights: dict[str, float], mean: float) -> float:
    length = K1 * (1 - B + B * bag.total() / mean)
    return sum(weight * bag[word] * (K1 + 1) / (bag[word] + length) for word, weight in weights.items() if word in bag)
