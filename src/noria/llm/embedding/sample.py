"""Texts that every machine has, each with a question that it answers: docstrings of Python's own library, and their first lines."""

from __future__ import annotations

import importlib
import inspect

MODULES = ("argparse", "collections", "csv", "datetime", "difflib", "email.message", "functools", "heapq", "http.client", "inspect",
    "json", "logging", "pathlib", "random", "shutil", "statistics", "string", "subprocess", "tarfile", "tempfile", "textwrap", "threading",
    "traceback", "urllib.parse", "uuid", "zipfile")  # fmt: skip
PAIRS = 32
LETTERS = (200, 1_200)  # of a text, at least and at most


def sample_pairs(count: int = PAIRS) -> list[tuple[str, str]]:
    """So many (question, text), spread over the library; none where Python was told to forget docstrings (`-OO`)."""
    found = dict[str, str]()
    for name in MODULES:
        module = importlib.import_module(name)
        for _, each in sorted(
            inspect.getmembers(module, lambda made: inspect.isclass(made) or inspect.isfunction(made)), key=lambda m: m[0]
        ):
            if getattr(each, "__module__", None) != name:
                continue
            head, _, rest = (inspect.getdoc(each) or "").partition("\n\n")
            question, text = " ".join(head.split()), rest.strip()
            if 20 <= len(question) <= 200 and len(text) >= LETTERS[0] and text not in found.values():
                found.setdefault(question, text[: LETTERS[1]])
    pairs = list(found.items())
    return pairs[:: max(1, len(pairs) // count)][:count]
