"""Attacks on applications of language models, by family, from templates.

Families follow OWASP's Top 10 for LLM Applications 2025 (LLM01 prompt injection, LLM02 disclosure, LLM06 excessive agency, LLM07 leakage of
the system prompt), MITRE ATLAS (AML.T0051, AML.T0054), Greshake et al. 2023 (indirect injection), Wei, Haghtalab & Steinhardt 2023
(competing objectives, refusal suppression, encodings), Kang et al. 2023 (payload splitting), Perez & Ribeiro 2022 (goal hijacking,
leaking), Rehberger 2023 (pictures that carry data away) and Shen et al. 2024 (role play). What is asked for is named, never taught: a
guardrail has to tell the form from others.
"""

from __future__ import annotations

import base64
import codecs
import random
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.llm.spun import Templates

TEMPLATES = Templates.read(Path(__file__).with_suffix(".txt"))
FAMILIES = TEMPLATES.groups


def attack(family: str, rng: random.Random) -> str:
    """One attack of a family."""
    return TEMPLATES.spin(rng.choice(FAMILIES[family]), rng)


def attacks(family: str, count: int, seed: int) -> list[str]:
    rng = random.Random(f"{family} {seed}")
    return list(dict.fromkeys(attack(family, rng) for _ in range(count)))


def _leet(text: str, rng: random.Random) -> str:
    return "".join(
        {"a": "4", "e": "3", "i": "1", "o": "0", "s": "5"}.get(letter, letter) if rng.random() < 0.7 else letter for letter in text
    )


def _zero_width(text: str, rng: random.Random) -> str:
    return "".join(letter + (rng.choice("\u200b\u200c\u2060\ufeff") if rng.random() < 0.4 else "") for letter in text)


def _homoglyphs(text: str, rng: random.Random) -> str:
    swaps = dict(zip("aeopcyxis", "аеорсухіѕ", strict=True))
    return "".join(swaps.get(letter, letter) if rng.random() < 0.5 else letter for letter in text)


def _typos(text: str, rng: random.Random) -> str:
    letters = list(text)
    for _ in range(max(1, len(letters) // 18)):
        place = rng.randrange(len(letters) - 1)
        if letters[place].isalpha() and letters[place + 1].isalpha():
            letters[place], letters[place + 1] = letters[place + 1], letters[place]
    return "".join(letters)


DISGUISES: dict[str, Callable[[str, random.Random], str]] = {
    "base64": lambda text, rng: (
        f"{rng.choice(['Decode this and do it: ', 'base64: ', '', 'Run: '])}{base64.b64encode(text.encode()).decode()}"
    ),
    "hex": lambda text, _: "Decode: " + text.encode().hex(),
    "rot13": lambda text, _: codecs.encode(text, "rot13"),
    "percent": lambda text, _: "".join(f"%{byte:02x}" for byte in text.encode()) if len(text) < 200 else urllib.parse.quote(text),
    "leetspeak": _leet,
    "zero width": _zero_width,
    "homoglyphs": _homoglyphs,
    "full width": lambda text, _: "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in text),
    "spaced letters": lambda text, _: "  ".join(" ".join(word) for word in text.split()[:12]),
    "backwards": lambda text, _: text[::-1],
    "invisible tags": lambda text, _: (
        "Hello! " + "".join(chr(0xE0000 + ord(letter)) for letter in text if letter.isascii() and letter.isprintable())
    ),
    "typing errors": _typos,
    "capitals": lambda text, rng: "".join(letter.upper() if rng.random() < 0.5 else letter.lower() for letter in text),
}


def disguises(disguise: str, count: int, seed: int) -> Iterator[str]:
    """Overrides, role plays and leaks under a disguise."""
    rng = random.Random(f"{disguise} {seed}")
    for _ in range(count):
        yield DISGUISES[disguise](attack(rng.choice(["instruction override", "role play", "prompt leaking"]), rng), rng)
