"""An application of a language model without one: a bundle of the task `generation` that answers by the words of its question.

What it finds, says and costs follows from the question and the access labels alone, so that tests can say what must come.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from noria.core.signature import SCORE, Field, Signature
from noria.evaluation.generation import INPUTS, Generation
from noria.models.bundle import Bundle
from python_bundles import python_bundle

TASK = {"name": "generation"}
SIGNATURE = Signature(INPUTS, Generation().outputs)

SOURCE = """
import json, time

CHUNKS = [
    ("c1", "Noria sends predictions over HTTP.", "serving.md#http", 0.9, None),
    ("c2", "Salaries are paid on the 25th.", "people.md#pay", 0.8, "people"),
    ("c3", "Keys are kept as hashes.", "serving.md#keys", 0.5, None),
]


class Assistant:
    def found(self, row):
        labels = set(row["access"] or ())
        only = json.loads(row["conditions"]).get("document") if row["conditions"] else None
        return [c for c in CHUNKS if (c[4] is None or c[4] in labels) and (only is None or c[2].startswith(only))]

    def outputs(self, row, finish="answered"):
        found = self.found(row)
        return {
            "cited": [c[0] for c in found[:1]],
            "found": [c[0] for c in found],
            "found_texts": [c[1] for c in found],
            "found_places": [c[2] for c in found],
            "found_scores": [c[3] for c in found],
            "confidence": 0.75,
            "finish": finish,
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "cost": 0.001 if row["question"] != "unpriced" else None,
            "decisions": None,
            "similarity": 0.75,
            "asked": None,
        }

    def stream(self, row):
        question = row["question"]
        if row["mode"] == "search":
            yield {"answer": "", **self.outputs(row, "searched")}
            return
        what, *words = question.split(" ")
        if what == "unknown":
            yield "I don't know."
            yield self.outputs(row, "unknown")
        elif what == "blocked":
            yield "I may "
            yield {**self.outputs(row, "blocked"), "answer": ""}
        elif what == "memory":
            yield row["conversation"] or "nothing"
            yield self.outputs(row)
        elif what == "labels":
            yield ",".join(sorted(row["access"] or ())) or "none"
            yield self.outputs(row)
        elif what == "slowly":
            for word in words[1:]:
                time.sleep(float(words[0]))
                yield word + " "
            yield self.outputs(row)
        elif what == "fails":
            yield "a "
            raise ValueError("no more words")
        elif what == "breaks":
            raise ValueError("no words at all")
        elif what == "without":
            yield "a "
        elif what == "lacking":
            yield "a "
            yield {"cited": [], "found": []}
        elif what == "misfit":
            yield "a "
            yield {**self.outputs(row), "cited": "c1"}
        elif what == "infinite":
            yield {**self.outputs(row), "confidence": float("nan")}
        elif what == "after":
            yield self.outputs(row)
            yield "more"
        else:
            for word in words or [what]:
                yield word + " "
            yield self.outputs(row)


def load(folder):
    return Assistant()
"""
WHOLE = (
    SOURCE
    + """

class Whole:
    "The same, at once."

    def predict(self, columns):
        rows = columns.rows.dicts()
        found = []
        for row in rows:
            *parts, rest = Assistant().stream(row)
            found.append({"answer": "".join(parts), **rest})
        return {name: [each[name] for each in found] for name in found[0]}


def load(folder):
    return Whole()
"""
)
EMBEDDER = """
import numpy as np


class Embedder:
    def predict(self, columns):
        return np.array([[len(text), text.count("a"), 0.5] for text in columns["text"].to_pylist()], np.float32)


def load(folder):
    return Embedder()
"""
RERANKER = """
class Reranker:
    def predict(self, columns):
        pairs = zip(columns["question"].to_pylist(), columns["text"].to_pylist())
        return [float(len(set(q.lower().split()) & set(t.lower().split()))) for q, t in pairs]


def load(folder):
    return Reranker()
"""
EMBEDDING = Signature((Field("text", "string", nullable=False),), (Field("embedding", "float32", (3,), nullable=False),))
PAIRS = Signature((Field("question", "string", nullable=False), Field("text", "string", nullable=False)), (SCORE,))


def sample_row(question: str = "say golden rows", answer: str = "golden rows ") -> tuple[list[Any], list[Any]]:
    """A row of the sample and its answer."""
    found = [["c1"], ["c1", "c3"], ["Noria sends predictions over HTTP.", "Keys are kept as hashes."]]
    places, scores = ["serving.md#http", "serving.md#keys"], [0.9, 0.5]
    return [question, None, None, None, None, None, None], [answer, *found, places, scores, 0.75, "answered", 7, 3, 0.001, None, 0.75, None]


def application(root: Path, source: str = SOURCE, run: str = "run", said: str = "golden rows ") -> Bundle:
    """said: what it answers to its sample"""
    row, answer = sample_row(answer=said)
    return python_bundle(root, source, signature=SIGNATURE, sample=([row], [answer]), run=run, task=TASK)


def embedder(root: Path) -> Bundle:
    return python_bundle(root, EMBEDDER, signature=EMBEDDING, sample=([["an apple"]], [[[8.0, 2.0, 0.5]]]))


def reranker(root: Path) -> Bundle:
    return python_bundle(root, RERANKER, signature=PAIRS, sample=([["what are keys", "keys are hashes"]], [[2.0]]))


def as_json(value: Any) -> bytes:
    return msgspec.json.encode(value)
