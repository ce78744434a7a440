"""Texts that no guardrail should stop: questions, requests, documents, and sentences with the very words that attacks have.

Documents are docstrings of installed libraries; a model learns from some libraries, and is measured on others.
"""

from __future__ import annotations

import base64
import importlib.util
import random
import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.llm.spun import Templates

LEARNED = ("numpy", "pandas", "sqlalchemy", "pyspark", "jinja2", "sphinx", "botocore")  # whose docstrings are learned from
MEASURED = (
    "scipy",
    "sklearn",
    "starlette",
    "polars",
    "networkx",
    "hypothesis",
    "docutils",
    "click",
    "aiohttp",
    "asyncio",
    "email",
    "tkinter",
)
DOCSTRING = re.compile(r'^\s+[rRuU]?"""(.*?)"""', re.DOTALL | re.MULTILINE)
TEMPLATES = Templates.read(Path(__file__).with_suffix(".txt"))
KINDS = TEMPLATES.groups


def harmless(kind: str, count: int, seed: int, templates: tuple[str, ...] | None = None) -> list[str]:
    """Texts of a kind; templates: of these alone, where some are kept for measuring"""
    rng = random.Random(f"{kind} {seed}")
    return list(dict.fromkeys(TEMPLATES.spin(rng.choice(templates or KINDS[kind]), rng) for _ in range(count)))


def documents(packages: tuple[str, ...], count: int, seed: int, words: tuple[int, int] = (6, 90)) -> list[str]:
    """Passages of docstrings of the packages that are installed, as the chunks of an index have them."""
    rng = random.Random(f"documents {seed}")
    found = list[str]()
    for package in packages:
        found += _passages(package, rng, words, count)
    rng.shuffle(found)
    return found[:count]


def _passages(package: str, rng: random.Random, words: tuple[int, int], most: int) -> Iterator[str]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return
    files = sorted(path for path in Path(next(iter(spec.submodule_search_locations))).rglob("*.py") if "test" not in str(path))
    rng.shuffle(files)
    given = 0
    for path in files:
        for found in DOCSTRING.finditer(path.read_text("utf-8", errors="replace")):
            text = " ".join(found[1].split()).split(" ")
            size = rng.randint(*words)
            if len(text) >= words[0]:
                start = rng.randrange(max(len(text) - size, 0) + 1)
                yield " ".join(text[start : start + size])
                given += 1
        if given >= most:
            return


def encoded(texts: list[str], seed: int) -> list[str]:
    """Harmless texts in encodings: the form alone is no attack."""
    rng = random.Random(seed)
    ways = (lambda text: base64.b64encode(text.encode()).decode(), lambda text: text.encode().hex(), lambda text: text[::-1])
    return [rng.choice(ways)(text) for text in texts]
