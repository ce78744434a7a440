"""Answering: a question is searched for, and answered from what was found, with the sources that the answer cites."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from noria.data.rows import Rows
from noria.evaluation.generation import OUTPUTS, SEARCH
from noria.llm.chunking.chunk import Chunk
from noria.llm.generation.citations import CitedStream
from noria.llm.generation.extractive import DONT_KNOW, extracted
from noria.llm.generation.port import Completion, Generator, Options, Usage
from noria.llm.generation.prompt import Message, Prompt
from noria.llm.generation.sources import told
from noria.llm.index.port import Hit
from noria.llm.retrieval.conditions import BadCondition, Conditions
from noria.llm.retrieval.retriever import Retriever

AT_ONCE = 8  # questions of a batch that are answered side by side, where a generator is waited for
UNKNOWN = "i don't know"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Terms:
    """How questions are answered. count: of the chunks that are told; least: how near the nearest of them must be in meaning, as a cosine,
    for there to be an answer; most: characters of the sources; options: of the generator"""

    count: int = 5
    least: float = 0.2
    most: int = 12_000
    options: Options = field(default_factory=Options)


@dataclass(frozen=True)
class Answering:
    """An opened application: what its bundle's process runs. generator: None where the answer is the sentences of the sources themselves"""

    retriever: Retriever
    prompt: Prompt
    generator: Generator | None = None
    terms: Terms = field(default_factory=Terms)

    def predict(self, columns: Mapping[str, Any]) -> Rows:
        """The answers of a batch, as rows of the task's outputs."""
        rows = _rows(columns)
        if self.generator is None or len(rows) == 1:
            answers = [self.answer(row) for row in rows]
        else:
            with ThreadPoolExecutor(AT_ONCE) as threads:
                answers = list(threads.map(self.answer, rows))
        return Rows.of_values(OUTPUTS, [tuple(answer[field.name] for field in OUTPUTS) for answer in answers])

    def answer(self, row: Row) -> dict[str, Any]:
        """The outputs of one row."""
        parts, rest = list[str](), dict[str, Any]()
        for part in self.stream(row):
            if isinstance(part, str):
                parts.append(part)
            else:
                rest = part
        return {"answer": "".join(parts), **rest}

    def stream(self, row: Row) -> Iterator[str | dict[str, Any]]:
        """The parts of an answer, and last its other outputs."""
        question = (row["question"] or "").strip()
        hits = self._found(question, row)
        if row.get("mode") == SEARCH:
            yield _outputs(hits, finish="searched")
            return
        near = self._nearness(question, hits)
        if not hits or near < self.terms.least:
            yield DONT_KNOW
            yield _outputs(hits, finish="unknown")
            return
        sources, given = told([hit.chunk for hit in hits], self.terms.most)
        if self.generator is None:
            parts: Iterator[str | Completion] = iter([extracted(question, given)])
        else:
            parts = self.generator.stream(self._messages(row, question, sources), self.terms.options)
        cited, text, completion = CitedStream(given), list[str](), Completion("")
        for part in parts:
            if isinstance(part, Completion):
                completion = part
            elif kept := cited.add(part):
                text.append(kept)
                yield kept
        if rest := cited.end():
            text.append(rest)
            yield rest
        yield _ended("".join(text), completion, hits, cited, near)

    def _found(self, question: str, row: Row) -> list[Hit]:
        if not question:
            return []
        given = row.get("conditions")
        try:
            conditions = Conditions.read(json.loads(given) if given else None, tuple(row.get("access") or ()))
        except ValueError as error:
            raise BadCondition(str(given)[:80], f"it is no JSON: {error}") from error
        return self.retriever.find(question, self.terms.count, conditions)

    def _nearness(self, question: str, hits: Sequence[Hit]) -> float:
        """How near the nearest chunk is in meaning, from 0 to 1."""
        if not hits:
            return 0.0
        vectors = self.retriever.index.vectors([hit.chunk.id for hit in hits])
        return float(np.clip((vectors @ self.retriever.embedder.embed_query(question)).max(), 0.0, 1.0))

    def _messages(self, row: Row, question: str, sources: str) -> list[Message]:
        """The prompt's messages, with the conversation before its last one."""
        filled = self.prompt.filled({"question": question, "sources": sources})
        before = json.loads(row.get("conversation") or "[]")
        said = [Message(str(each["role"]), str(each["content"])) for each in before if each.get("role") in ("user", "assistant")]
        return [*filled[:-1], *said, filled[-1]]


def _ended(text: str, completion: Completion, hits: Sequence[Hit], cited: CitedStream, near: float) -> dict[str, Any]:
    finish = "unknown" if text.casefold().startswith(UNKNOWN) else "length" if completion.finish == "length" else "answered"
    found = _outputs(hits, finish=finish, usage=completion.usage, cited=cited.chunks)
    return {**found, "confidence": near if finish == "answered" else 0.0}


def _outputs(hits: Sequence[Hit], *, finish: str, usage: Usage | None = None, cited: Sequence[Chunk] = ()) -> dict[str, Any]:
    """All outputs but the text, as `nr.Generation` has them."""
    chunks = [hit.chunk for hit in hits]
    return {
        "cited": [chunk.id for chunk in cited],
        "found": [chunk.id for chunk in chunks],
        "found_texts": [chunk.told for chunk in chunks],
        "found_places": [_place(chunk) for chunk in chunks],
        "found_scores": [float(hit.score) for hit in hits],
        "confidence": 0.0,
        "finish": finish,
        "prompt_tokens": usage.prompt_tokens if usage else 0,
        "completion_tokens": usage.completion_tokens if usage else 0,
        "cost": usage.cost if usage else None,
        "decisions": None,
    }


def _place(chunk: Chunk) -> str:
    """Where a chunk stands, as people find it: the document, the headings above it, the page."""
    return ", ".join(part for part in (chunk.document, " > ".join(chunk.headings), chunk.place) if part)


def _rows(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    lists = {name: column.to_pylist() if hasattr(column, "to_pylist") else list(column) for name, column in columns.items()}
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
