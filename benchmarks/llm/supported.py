"""Answers with known support: sentences of documents said again, and the same with one thing wrong."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.llm.harmless import documents

SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
SAID_AGAIN = (
    ("Return ", "It returns "),
    ("Returns ", "It will return "),
    ("This function ", "The function "),
    ("e.g.", "for example"),
    ("which ", "that "),
    (" because ", " since "),
    (" large ", " big "),
    (" use ", " make use of "),
    (" show ", " display "),
    (" create ", " make "),
    (" also ", ""),
    (" however,", ""),
    ("If ", "When "),
    (" may ", " can "),
    ("Whether to ", "It says whether to "),
    ("The number of ", "How many "),
    (" multiple ", " several "),
    (" default ", " usual "),
)
OPPOSITES = (
    (" always ", " never "),
    (" before ", " after "),
    (" maximum ", " minimum "),
    (" first ", " last "),
    (" True", " False"),
    (" increase", " decrease"),
    (" more ", " less "),
    (" all ", " none of the "),
    (" input", " output"),
    (" larger ", " smaller "),
    (" enabled", " disabled"),
    (" ascending", " descending"),
    (" lower ", " upper "),
)
_ENTITIES = "NumPy Python Paris PostgreSQL Windows Linux Excel TensorFlow Kubernetes Berlin JSON XML HTTP Fourier Gauss Oracle Spark Pandas"
ENTITIES = _ENTITIES.split(" ")
ADDITIONS = (
    "It was first released in 1987 by a team in Zurich.",
    "The cost is forty dollars a month.",
    "This feature was removed because of a security problem.",
    "Users in Japan need a separate licence for it.",
    "It is the fastest implementation that is known.",
    "An administrator has to approve each request by telephone.",
    "The authors recommend to restart the computer twice.",
    "It needs a graphics card with 8 GB of memory.",
)


@dataclass(frozen=True)
class Claim:
    """A sentence, the chunks it is said to come from, and whether they support it. kind: what was done to it"""

    sentence: str
    chunks: tuple[str, ...]
    supported: bool
    kind: str


def claims(packages: tuple[str, ...], count: int, seed: int) -> list[Claim]:
    """Sentences of passages of the packages' documentation, said again and wrong by turns."""
    rng = random.Random(seed)
    passages = documents(packages, 6 * count, seed, words=(40, 110))
    found = list[Claim]()
    for text in passages:
        sentences = [
            part for part in SENTENCE.split(text)[1:-1] if 8 <= len(part.split()) <= 35 and part[0].isupper() and part.endswith(".")
        ]
        if not sentences:
            continue
        chunks = (text, rng.choice(passages), rng.choice(passages))
        sentence = rng.choice(sentences)
        right = rng.choice(list(RIGHT))
        if (said := RIGHT[right](sentence, rng)) is not None:
            found.append(Claim(said, chunks, True, right))
        wrong = rng.choice(list(WRONG))
        if (said := WRONG[wrong](sentence, rng)) is not None and said != sentence:
            found.append(Claim(said, chunks, False, wrong))
        if len(found) >= count:
            break
    return found


def _again(sentence: str, _: random.Random) -> str:
    for old, new in SAID_AGAIN:
        sentence = sentence.replace(old, new)
    return sentence


def _turned(sentence: str, _: random.Random) -> str | None:
    head, comma, tail = sentence[:-1].partition(", ")
    return f"{tail[0].upper()}{tail[1:]}, {head[0].lower()}{head[1:]}." if comma and len(tail.split()) > 3 and "," not in tail else None


def _shortened(sentence: str, _: random.Random) -> str | None:
    head, comma, _tail = sentence[:-1].partition(", ")
    return f"{head}." if comma and len(head.split()) >= 6 else None


def _number(sentence: str, rng: random.Random) -> str | None:
    return (
        re.sub(r"(?<![\w.])\d+(?!\w)", lambda found: str(int(found[0]) + rng.randint(1, 40)), sentence, count=1)
        if re.search(r"(?<![\w.])\d+(?!\w)", sentence)
        else None
    )


def _denied(sentence: str, _: random.Random) -> str | None:
    if " not " in sentence:
        return sentence.replace(" not ", " ", 1)
    changed = re.sub(r"\b(is|are|can|will|must|should|was|may|has been)\b", r"\1 not", sentence, count=1)
    return changed if changed != sentence else None


def _opposite(sentence: str, _: random.Random) -> str | None:
    for one, other in OPPOSITES:
        for old, new in ((one, other), (other, one)):
            if old in sentence:
                return sentence.replace(old, new, 1)
    return None


def _entity(sentence: str, rng: random.Random) -> str | None:
    names = re.findall(r"(?<=[a-z,] )[A-Z][A-Za-z]{2,}\b", sentence)
    return sentence.replace(rng.choice(names), rng.choice(ENTITIES), 1) if names else None


def _added(_: str, rng: random.Random) -> str:
    return rng.choice(ADDITIONS)


def _elsewhere(sentence: str, rng: random.Random) -> str:
    """Words of the sentence in an order and a company that says something else."""
    words = [word for word in re.findall(r"\w+", sentence) if len(word) > 4]
    rng.shuffle(words)
    return f"The {' and the '.join(words[:2] or ['result'])} were chosen by the customer and are sold separately in larger shops."


RIGHT: dict[str, Callable[[str, random.Random], str | None]] = {
    "as it is": lambda sentence, _: sentence,
    "in other words": _again,
    "turned round": _turned,
    "shortened": _shortened,
}
WRONG: dict[str, Callable[[str, random.Random], str | None]] = {
    "number": _number,
    "denial": _denied,
    "opposite": _opposite,
    "entity": _entity,
    "addition": _added,
    "made up": _elsewhere,
}
