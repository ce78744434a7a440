"""Corpora with questions that install from packages: docstrings, whose summary lines are questions, and descriptions of AWS operations.

Each question's answer is the rest of the text that it was the beginning of, and no text has its question in it.
"""

from __future__ import annotations

import ast
import gzip
import html
import importlib.util
import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from noria.llm.documents import Document

COUNT = 2_000
LIBRARIES = ("numpy", "pandas", "scipy", "sklearn")
MIN_TEXT, QUESTION = 200, (20, 200)  # characters


@dataclass(frozen=True)
class Corpus:
    """questions: each with the id of the document that answers it, in the order of the documents"""

    name: str
    documents: list[Document]
    questions: list[tuple[str, str]]


def docstrings(count: int = COUNT) -> Corpus:
    """Of the public functions and classes of large libraries."""
    return _corpus("docstrings", (each for library in LIBRARIES for each in _docstrings(library)), count)


def operations(count: int = COUNT) -> Corpus:
    """Of what services of AWS do, as botocore describes it: prose of another kind, with product names and rules."""
    return _corpus("AWS operations", _operations(), count)


def _corpus(name: str, found: Iterable[tuple[str, str, str]], count: int) -> Corpus:
    questions, texts, kept = set[str](), set[str](), list[tuple[str, str, str]]()
    for place, question, text in found:
        if question not in questions and text not in texts and question.lower() not in text.lower():
            questions.add(question)
            texts.add(text)
            kept.append((place, question, text))
    random.Random(0).shuffle(kept)
    kept = kept[:count]
    documents = [Document(place, text, "plain") for place, _, text in kept]
    return Corpus(name, documents, [(question, place) for place, question, _ in kept])


def _root(package: str) -> Path:
    found = importlib.util.find_spec(package)
    assert found is not None, f"{package} is not installed"
    assert found.origin is not None
    return Path(found.origin).parent


def _fits(question: str, text: str) -> bool:
    return QUESTION[0] <= len(question) <= QUESTION[1] and len(text) >= MIN_TEXT


def _docstrings(library: str) -> Iterator[tuple[str, str, str]]:
    root = _root(library)
    for path in sorted(root.rglob("*.py")):
        if "test" in str(path.relative_to(root)):
            continue
        try:
            tree = ast.parse(path.read_text(errors="ignore"))
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                head, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
                question, text = " ".join(head.split()), rest.strip()
                if _fits(question, text):
                    yield f"{library}/{path.relative_to(root)}:{node.name}:{node.lineno}", question, text


def _operations() -> Iterator[tuple[str, str, str]]:
    for path in sorted((_root("botocore") / "data").glob("*/*/service-2.json*")):
        read = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for name, operation in json.loads(read).get("operations", {}).items():
            plain = html.unescape(re.sub(r"<[^>]+>", " ", operation.get("documentation", "")))
            question, _, text = " ".join(plain.split()).partition(". ")
            if _fits(question, text):
                yield f"{path.parts[-3]}/{name}", question, text
