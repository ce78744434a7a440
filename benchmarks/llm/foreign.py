"""Attacks and harmless questions in languages that no model was trained on: `foreign_attacks.txt`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

FILE = Path(__file__).with_name("foreign_attacks.txt")
KNOWN = ("hi", "ar", "bn", "id", "vi", "ko", "fa", "uk", "sw", "ur")  # of those, languages with phrases


def foreign(kind: str, languages: Sequence[str] | None = None) -> list[str]:
    """The texts of a kind, `attack` or `harmless`: of all languages, or of some."""
    found = list[str]()
    for part in FILE.read_text("utf-8").split("\n\n")[1:]:
        head, *lines = [line for line in part.split("\n") if line]
        for line in (head, *lines):
            if line.count(" ") == 1 and line.endswith((" attack", " harmless")):
                language, of = line.split(" ")
            elif of == kind and (languages is None or language in languages):
                found.append(line)
    return found
