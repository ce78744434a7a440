"""Answering: a question is searched for, and answered from what was found, with the sources that the answer cites."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Any

import numpy as np

from noria.data.rows import Rows
from noria.evaluation.generation import ALSO, OUTPUTS, SEARCH
from noria.llm.application.confidence import Curve
from noria.llm.application.declared import BadOptions, require_terms
from noria.llm.chunking.chunk import Chunk
from noria.llm.generation.citations import CitedStream
from noria.llm.generation.extractive import DONT_KNOW, extracted
from noria.llm.generation.failures import BadRequest
from noria.llm.generation.port import Completion, Generator, Options, Usage, parts_of, waits
from noria.llm.generation.prompt import Message, Prompt
from noria.llm.generation.rewriting import SHORT, rewritten
from noria.llm.generation.sources import told
from noria.llm.guardrails.guardrails import Checked, Guardrails
from noria.llm.guardrails.placeholders import PLACEHOLDER
from noria.llm.guardrails.policy import Policy
from noria.llm.guardrails.rule import Context
from noria.llm.guardrails.stream import GuardedStream
from noria.llm.index.port import Hit
from noria.llm.retrieval.conditions import BadCondition, Conditions
from noria.llm.retrieval.retriever import Retriever

AT_ONCE = 8  # questions of a batch that are answered side by side, where a generator is waited for
TIMES = ("seconds", "late")
UNKNOWN = "i don't know"
BLOCKED = "This can't be answered here."
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Terms:
    """How questions are answered. count: of the chunks that are told; least: how near the nearest of them must be in meaning, as a cosine,
    for there to be an answer; most: characters of the sources; options: of the generator
    rewrites: whether a question that leans on the conversation before it is asked in full, by the generator, before it is searched for"""

    count: int = 5
    least: float = 0.2
    most: int = 12_000
    options: Options = field(default_factory=Options)
    rewrites: bool = True

    def __post_init__(self) -> None:
        require_terms(self)


@dataclass(frozen=True)
class Answering:
    """An opened application: what its bundle's process runs. generator: None where the answer is the sentences of the sources themselves

    guardrails: what may be asked, told and answered, of all and of tenants. What they redact is not put back, since answers are logged
    curve: the chance that an answer helps by how near its nearest source is; None: confidence is how near that is
    """

    retriever: Retriever
    prompt: Prompt
    generator: Generator | None = None
    guardrails: Policy | Guardrails = field(default_factory=Guardrails)
    terms: Terms = field(default_factory=Terms)
    curve: Curve | None = None
    # One search at a time, where embedder and reranker compute here: each uses all cores, and not every library is safe for threads (ONNX
    # Runtime and LanceDB are). Where one of them waits for a network, searches stand side by side.
    _searches: AbstractContextManager[Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        apart = waits(self.retriever.embedder) or waits(self.retriever.reranker)
        object.__setattr__(self, "_searches", nullcontext() if apart else Lock())
        if isinstance(self.guardrails, Guardrails):
            object.__setattr__(self, "guardrails", Policy(self.guardrails))

    @property
    def waits(self) -> bool:
        """Whether it waits for a network, so that its answers are made side by side."""
        return any(map(waits, (self.generator, self.retriever.embedder, self.retriever.reranker)))

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
        """The parts of an answer, and last its other outputs. Raises `UnknownTenant` before there is any."""
        for part in self._answered(row):
            yield part if isinstance(part, str) else {**part, "asked": self._asked(row)}

    def _asked(self, row: Row) -> str | None:
        """What was asked, as it may be written down; None where no guardrail takes anything out of it."""
        assert isinstance(self.guardrails, Policy)
        if not self.guardrails.redacts("question"):
            return None
        about = Context(tenant=row.get("tenant") or "")
        written = partial(self.guardrails.of(row.get("tenant")).redacted, where="question", context=about)
        before = [{"role": each.role, "content": written(each.content)} for each in _conversation(row)]
        conversation = json.dumps(before) if before else None
        return json.dumps({"question": written(row["question"] or ""), "conversation": conversation})

    def _answered(self, row: Row) -> Iterator[str | dict[str, Any]]:
        assert isinstance(self.guardrails, Policy)
        tenant = row.get("tenant")
        guardrails = self.guardrails.of(tenant)
        about = Context(tenant=tenant or "")
        asked = guardrails.check((row["question"] or "").strip(), "question", about)
        if asked.blocked:
            yield BLOCKED
            yield _outputs([], finish="blocked", checked=[asked])
            return
        before, doubts = self._before(row, guardrails, about)
        question = self._standalone(asked.text, before, about.tenant)
        searched = " ".join(PLACEHOLDER.sub(" ", question).split())  # what was redacted is nothing to search for
        with self._searches:
            found = self._found(searched, row)
        hits, checked = _allowed(found, guardrails, about)
        checked = [asked, *doubts, *checked]
        if row.get("mode") == SEARCH:
            yield _outputs(hits, finish="searched", checked=checked)
            return
        with self._searches:
            near = self._nearness(searched, hits)
        if not hits or near < self.terms.least:
            yield DONT_KNOW
            yield {**_outputs(hits, finish="unknown", checked=checked), "similarity": near if hits else None}
            return
        sources, given = told([hit.chunk for hit in hits], self.terms.most)
        context = replace(about, question=question, chunks=tuple(chunk.told for chunk in given))
        cited, guarded = CitedStream(given), GuardedStream(guardrails, context, restored=False)
        text, completion = list[str](), Completion("")
        looked_at = any("answer" in rule.places for rule in guardrails.rules)  # otherwise no part has to wait for its sentence's end
        for part in self._written(question, before, sources, given, self._options(row)):
            if isinstance(part, Completion):
                completion = part
            elif kept := cited.add(guarded.add(part) if looked_at else part):
                text.append(kept)
                yield kept
        if rest := cited.add(guarded.end()) + cited.end():
            text.append(rest)
            yield rest
        ended = _ended("".join(text), completion, hits, cited, near, [*checked, guarded.checked])
        yield ended if self.curve is None or ended["finish"] != "answered" else {**ended, "confidence": float(self.curve(near))}

    def _before(self, row: Row, guardrails: Guardrails, about: Context) -> tuple[list[Message], list[Checked]]:
        """The conversation before the question, as a generator may see it, and what was said of what it may not.

        Clients send all of it with each question, so each message is looked at like one; what is blocked is left out."""
        said = _conversation(row) if self.generator is not None else []
        if not guardrails.rules:
            return said, []
        checked = [guardrails.check(each.content, "question", about) for each in said]
        kept = [replace(message, content=each.text) for message, each in zip(said, checked, strict=True) if not each.blocked]
        return kept, [each for each in checked if each.action != "allow"]

    def _standalone(self, question: str, before: Sequence[Message], tenant: str) -> str:
        """The question in full, where it leans on the conversation before it."""
        if self.generator is None or not self.terms.rewrites:
            return question
        return rewritten(question, before, self.generator, replace(SHORT, tenant=tenant)).text

    def _written(
        self, question: str, before: Sequence[Message], sources: str, given: Sequence[Chunk], options: Options
    ) -> Iterator[str | Completion]:
        """The answer as it is made, before anything is taken out of it."""
        if self.generator is None:
            return iter([extracted(PLACEHOLDER.sub(" ", question), given)])
        filled = self.prompt.filled({"question": question, "sources": sources})
        return parts_of(self.generator, [*filled[:-1], *before, filled[-1]], options)

    def _options(self, row: Row) -> Options:
        """How an answer is to be written: as who asks has it, but no longer than the application allows. Raises `BadOptions`."""
        own, given = self.terms.options, row.get("options")
        try:
            asked = json.loads(given) if given else {}
            return replace(
                own,
                most_tokens=min(own.most_tokens, asked.get("max_tokens", own.most_tokens)),
                temperature=asked.get("temperature", own.temperature),
                stop=(*own.stop, *asked.get("stop", ())),
                seed=asked.get("seed", own.seed),
                tenant=row.get("tenant") or "",
            )
        except (AttributeError, TypeError, ValueError, BadRequest) as error:
            raise BadOptions(str(error)) from error

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


def _allowed(hits: Sequence[Hit], guardrails: Guardrails, about: Context) -> tuple[list[Hit], list[Checked]]:
    """The chunks that may be told, as they may be; and what was said of those that are not as they were."""
    if not guardrails.rules:
        return list(hits), []
    checked = guardrails.check_chunks([hit.chunk.told for hit in hits], about)
    kept = [
        hit if each.text == hit.chunk.told else replace(hit, chunk=replace(hit.chunk, text=each.text, wider=""))
        for hit, each in zip(hits, checked, strict=True)
        if not each.blocked
    ]
    return kept, [each for each in checked if each.action != "allow"]


def _conversation(row: Row) -> list[Message]:
    """What was said before the question, by the two who talk. What is no message says nothing."""
    try:
        before = json.loads(row.get("conversation") or "[]")
    except ValueError:
        return []
    said = [each for each in before if isinstance(each, dict)] if isinstance(before, list) else []
    return [Message(each["role"], str(each.get("content") or "")) for each in said if each.get("role") in ("user", "assistant")]


def _ended(
    text: str, completion: Completion, hits: Sequence[Hit], cited: CitedStream, near: float, checked: Sequence[Checked]
) -> dict[str, Any]:
    blocked = checked[-1].blocked
    finish = (
        "blocked"
        if blocked
        else "unknown"
        if text.casefold().startswith(UNKNOWN)
        else "length"
        if completion.finish == "length"
        else "answered"
    )
    found = _outputs(hits, finish=finish, usage=completion.usage, cited=() if blocked else cited.chunks, checked=checked)
    return {**found, "confidence": near if finish == "answered" else 0.0, "similarity": near}


def _outputs(
    hits: Sequence[Hit], *, finish: str, usage: Usage | None = None, cited: Sequence[Chunk] = (), checked: Sequence[Checked] = ()
) -> dict[str, Any]:
    """All outputs but the text, as `nr.Generation` has them."""
    chunks, decided = [hit.chunk for hit in hits], [_decided(each) for each in checked if each.decisions]
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
        "decisions": json.dumps(decided) if decided else None,
        "similarity": None,
        "asked": None,
    }


def _decided(checked: Checked) -> dict[str, Any]:
    """What was decided of a text, without how long that took: the same question has the same outputs."""
    found = checked.to_dict()
    return {**found, "decisions": [{name: value for name, value in each.items() if name not in TIMES} for each in found["decisions"]]}


def _place(chunk: Chunk) -> str:
    """Where a chunk stands, as people find it: the document, the headings above it, the page; and the other documents that say the same."""
    place = ", ".join(part for part in (chunk.document, " > ".join(chunk.headings), chunk.place) if part)
    return place + ALSO + ALSO.join(chunk.also) if chunk.also else place


def _rows(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    lists = {name: column.to_pylist() if hasattr(column, "to_pylist") else list(column) for name, column in columns.items()}
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
