"""Pairs of a passage and a statement that a person wrote, as a hold-out for judges: `written_pairs.txt`, on which none is trained."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("written_pairs.txt")


@dataclass(frozen=True)
class Written:
    """A statement about a passage, whether the passage supports it, and how it was made. question: what may be asked of the passage"""

    source: str
    question: str
    statement: str
    supported: bool
    kind: str


@cache
def written() -> tuple[Written, ...]:
    """All of them, half supported."""
    found = list[Written]()
    lines = [line for line in FILE.read_text("utf-8").split("\n") if not line.startswith("#")]
    for part in "\n".join(lines).strip().split("\n\n"):
        source, question, *statements = part.strip().split("\n")
        for line in statements:
            kind, _, statement = line[2:].partition(": ")
            found.append(Written(source, question[2:], statement, line[0] == "+", kind))
    return tuple(found)


def drawn(count: int, seed: int = 7) -> list[Written]:
    """So many of them, half supported, in an order of their own."""
    rng = random.Random(seed)
    good, bad = ([each for each in written() if each.supported is kind] for kind in (True, False))
    found = rng.sample(good, count // 2) + rng.sample(bad, count - count // 2)
    rng.shuffle(found)
    return found


def rivals() -> list[tuple[Written, Written]]:
    """For each passage a supported statement and one that is not, as two answers of which the first is better."""
    found = list[tuple[Written, Written]]()
    for source in dict.fromkeys(each.source for each in written()):
        good, bad = ([each for each in written() if each.source == source and each.supported is kind] for kind in (True, False))
        found += list(zip(good, bad, strict=False))
    return found
