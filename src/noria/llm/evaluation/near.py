"""Questions that ask the same in almost the same words."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from noria.llm.generation.extractive import COMMON

WORD = re.compile(r"\w+")
ALIKE = 0.7  # of the words of two questions, by Jaccard's index, from which they are one


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return [word.casefold() for word in WORD.findall(text)]


def telling(text: str) -> frozenset[str]:
    """The words that tell one question from another; all of them, where it has only common ones."""
    every = words(text)
    return frozenset(word for word in every if word not in COMMON) or frozenset(every)


def alike(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard's index of two sets of words, 0 to 1."""
    both = len(one | other)
    return len(one & other) / both if both else 1.0


def clusters(texts: Sequence[str], least: float = ALIKE) -> list[list[int]]:
    """The places of texts that ask the same, each cluster led by its first. Each text is compared with the leaders that share a word."""
    found, leaders = list[list[int]](), list[frozenset[str]]()
    by_word = defaultdict[str, set[int]](set)
    for place, text in enumerate(texts):
        own = telling(text)
        near = {number for word in own for number in by_word[word]}
        best = max(near, key=lambda number: (alike(own, leaders[number]), -number), default=None)
        if best is not None and alike(own, leaders[best]) >= least:
            found[best].append(place)
            continue
        for word in own:
            by_word[word].add(len(found))
        leaders.append(own)
        found.append([place])
    return found
