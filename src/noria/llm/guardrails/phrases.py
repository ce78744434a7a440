"""Attacks in languages that the model of `Injection` never read, by the beginnings of a few of their words (`data/phrases.txt`).

It finds what is said as most say it: "ignore … instructions", "show … system prompt", "you are now … without rules". Whoever says it
otherwise gets through; `Injection(unread="block")` lets through only what is in a language that one of the two reads.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from noria.core.ids import digest
from noria.llm.guardrails.limits import MAX_READ, languages_of

MIN_LETTERS = 20  # by which a language can be told
FILE = Path(__file__).parent / "data" / "phrases.txt"
NEAR = 90  # characters between the two words of a phrase
TOGETHER = (("ignore", "rules"), ("reveal", "secret"), ("role", "unbound"))
SCORE = 0.95  # of a text with such a phrase
TRAINED = ("en", "de", "fr", "es", "it", "pt", "nl", "ru", "zh", "ja", "pl", "tr")  # languages of `benchmarks/llm/attacks.txt`
ACCENTS = re.compile("[\u0300-\u036f\u064b-\u065f]")  # on Latin, Cyrillic and Arabic letters; marks of other scripts tell words apart
ARABIC = str.maketrans("أإآٱىيیةكک", "اااايييهكك")  # letters that are written one way or another


@dataclass(frozen=True)
class Phrases:
    """Those of one language: two words that stand near each other, in either order.

    pairs: those that may be the one, those that may be the other, and how they stand
    """

    language: str
    pairs: tuple[tuple[tuple[str, ...], tuple[str, ...], re.Pattern[str]], ...]

    def stands_in(self, plain: str) -> bool:
        """Whether a text that is `bare` has one: the words are looked for first, which is much quicker than their distance."""
        return any(
            any(word in plain for word in one) and any(word in plain for word in other) and pattern.search(plain)
            for one, other, pattern in self.pairs
        )


def phrase_in(text: str) -> str | None:
    """The language of a phrase that a text has; None where it has none."""
    plain = bare(text)
    return next((each.language for each in phrases() if each.stands_in(plain)), None)


def read_languages() -> tuple[str, ...]:
    """The languages of which attacks are known, by ISO 639-1."""
    return (*TRAINED, *(each.language for each in phrases()))


def unread_language(text: str) -> str:
    """The language of a text, where it is likely one of which no attacks are known; else empty. Raises `MissingExtra`."""
    if sum(map(str.isalpha, text)) < MIN_LETTERS:
        return ""
    probabilities = languages_of(text[:MAX_READ])
    read = sum(probabilities.get(each, 0.0) for each in read_languages())
    return next(iter(probabilities)) if read < 0.5 else ""


@cache
def phrases_version() -> str:
    """By which the phrases are known."""
    return digest(FILE.read_text("utf-8"))[:8]


@cache
def phrases() -> tuple[Phrases, ...]:
    paragraphs = [part for part in FILE.read_text("utf-8").strip().split("\n\n") if not part.startswith("#")]
    return tuple(_phrases(*part.split("\n")) for part in paragraphs)


def _phrases(language: str, *lines: str) -> Phrases:
    words = {name: tuple(bare(word.strip()) for word in rest.split(",")) for name, _, rest in (line.partition(":") for line in lines)}
    joined = {name: f"(?<!\\w)(?:{'|'.join(map(re.escape, sorted(those, key=len, reverse=True)))})" for name, those in words.items()}
    gap = f"[\\s\\S]{{0,{NEAR}}}?"
    return Phrases(
        language,
        tuple(
            (words[one], words[other], re.compile(f"{joined[one]}{gap}{joined[other]}|{joined[other]}{gap}{joined[one]}"))
            for one, other in TOGETHER
        ),
    )


def bare(text: str) -> str:
    """A text in small letters, without the accents that many leave out, and with one form of letters that are written in two."""
    small = text.casefold()
    if small.isascii():
        return small
    parts = unicodedata.normalize("NFD", small.translate(ARABIC).replace("\u200c", " ").replace("đ", "d"))
    return unicodedata.normalize("NFC", ACCENTS.sub("", parts))
