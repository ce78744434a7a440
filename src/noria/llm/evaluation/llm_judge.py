"""Judges that ask a model which writes: faithfulness claim by claim, relevance source by source, correctness against a right answer.

Each asks at temperature 0 for JSON of a given schema. What can't be read is asked for once more, and then given up: `unreadable`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from noria.core.clock import Stopwatch
from noria.core.errors import NoriaError
from noria.llm.evaluation.fenced import fenced, fenced_all
from noria.llm.evaluation.judge import Claim, Judgement, Missing, Preference
from noria.llm.evaluation.refusals import says_unknown
from noria.llm.generation.citations import CITED
from noria.llm.generation.port import Completion, Generator, Options, Usage
from noria.llm.generation.prompt import Message, Prompt

PROMPTS = Path(__file__).parent / "prompts"
JUDGED = Options(temperature=0.0, most_tokens=1024, timeout=60.0)
MAX_CLAIMS = 40
TRIES = 2
KINDS: dict[str, Missing] = {"NR-837": "timed_out", "NR-838": "unreadable"}  # of the errors of generation, which have codes of their own
VERDICTS = ("supported", "contradicted", "not_in_sources")
CORRECT = {"right": 1.0, "partly": 0.5, "wrong": 0.0}
PREFERENCE = {"first": 1.0, "second": 0.0, "neither": 0.5}
CLAIMS_SCHEMA = {
    "type": "object",
    "properties": {"claims": {"type": "array", "items": {"type": "string"}, "maxItems": MAX_CLAIMS}},
    "required": ["claims"],
    "additionalProperties": False,
}


@cache
def prompt(name: str) -> Prompt:
    """A prompt of this package, by its file."""
    return Prompt.read(PROMPTS / f"{name}.md")


class Unjudged(Exception):
    """Why there is no judgement."""

    def __init__(self, missing: Missing, why: str) -> None:
        self.missing, self.why = missing, why
        super().__init__(why)


@dataclass
class JudgeCall:
    """What was asked for one judgement. usage: of all of it"""

    generator: Generator
    options: Options
    usage: Usage = field(default_factory=Usage)

    def json(self, messages: Sequence[Message], schema: Mapping[str, Any], read: Callable[[Any], Any]) -> Any:
        """What `read` makes of the answer's JSON. It returns None for what is not as asked for. Raises `Unjudged`."""
        options, last = replace(self.options, schema=schema), ""
        for attempt in range(TRIES):
            if attempt and options.seed is not None:
                options = replace(options, seed=options.seed + attempt)
            last = self._answer(messages, options).text
            value = read(json_of(last))
            if value is not None:
                return value
        raise Unjudged("unreadable", f"the judge did not answer as asked: {last[:120]!r}")

    def text(self, messages: Sequence[Message]) -> str:
        """The answer as it is. Raises `Unjudged`."""
        return self._answer(messages, self.options).text

    def _answer(self, messages: Sequence[Message], options: Options) -> Completion:
        try:
            answer = self.generator.generate(messages, options)
        except NoriaError as error:
            raise Unjudged(KINDS.get(error.code, "failed"), error.what) from error
        except TimeoutError as error:
            raise Unjudged("timed_out", str(error) or "it took too long") from error
        self.usage = self.usage + answer.usage
        if answer.finish == "filtered":
            raise Unjudged("refused", "the provider's filter withheld the judge's answer")
        return answer


def json_of(text: str) -> Any:
    """The JSON object in a model's answer, whatever stands around it; None where there is none."""
    begin, end = text.find("{"), text.rfind("}")
    try:
        return json.loads(text[begin : end + 1]) if 0 <= begin < end else None
    except ValueError:
        return None


@dataclass(frozen=True)
class LlmJudge:
    """What these judges share. generator: what is asked; options: how; it is asked at their temperature, 0 unless said otherwise"""

    generator: Generator
    options: Options = JUDGED

    name = ""
    needs_reference = False
    prompts: tuple[str, ...] = ()

    def judge(self, question: str, answer: str, chunks: Sequence[str], reference: str | None = None) -> Judgement:
        """The judgement; never raises for what the model answers, or fails to."""
        asked, watch = JudgeCall(self.generator, self.options), Stopwatch()
        try:
            found = self._judged(asked, question, answer, chunks, reference)
        except Unjudged as error:
            found = Judgement(None, error.missing, error.why)
        return replace(found, usage=asked.usage, seconds=watch.seconds)

    def _judged(self, asked: JudgeCall, question: str, answer: str, chunks: Sequence[str], reference: str | None) -> Judgement:
        raise NotImplementedError

    def definition(self) -> dict[str, Any]:
        """Its model, its prompts by their content, and how it is asked."""
        return {
            "judge": self.name,
            "generator": self.generator.definition(),
            "prompts": {name: prompt(name).version for name in self.prompts},
            "temperature": self.options.temperature,
            "most_tokens": self.options.most_tokens,
            "seed": self.options.seed,
        }


class Faithfulness(LlmJudge):
    """The share of an answer's claims that the sources support: 1 where it claims nothing.

    Claim by claim, as in FActScore (Min et al., EMNLP 2023): the claims are taken out first, without the sources; then each is checked.
    """

    name = "faithfulness"
    prompts = ("claims", "verdicts")

    def _judged(self, asked: JudgeCall, question: str, answer: str, chunks: Sequence[str], reference: str | None) -> Judgement:
        del reference
        clean = CITED.sub("", answer).strip()
        if not clean:
            return Judgement(None, "no_answer", "the answer is empty")
        if says_unknown(answer):
            return Judgement(1.0, why="it claims nothing")
        values = {"question": fenced("question", question), "answer": fenced("answer", clean)}
        claims: list[str] = asked.json(prompt("claims").filled(values), CLAIMS_SCHEMA, _claims)
        if not claims:
            return Judgement(1.0, why="it claims nothing")
        numbered = fenced("claims", "\n".join(f"{number}. {claim}" for number, claim in enumerate(claims, start=1)))
        messages = prompt("verdicts").filled({"sources": fenced_all("source", chunks), "claims": numbered})
        verdicts = asked.json(
            messages, _list_schema("verdicts", {"enum": list(VERDICTS)}, len(claims)), _several("verdicts", VERDICTS, len(claims))
        )
        judged = tuple(Claim(claim, verdict) for claim, verdict in zip(claims, verdicts, strict=True))
        wrong = [f"{claim.verdict}: {claim.text}" for claim in judged if claim.verdict != "supported"]
        return Judgement(1 - len(wrong) / len(claims), why="; ".join(wrong)[:1_000], claims=judged)


class ContextRelevance(LlmJudge):
    """The share of the found texts that help to answer the question; 0 where none was found. It does not look at the answer."""

    name = "context_relevance"
    prompts = ("relevance",)

    def _judged(self, asked: JudgeCall, question: str, answer: str, chunks: Sequence[str], reference: str | None) -> Judgement:
        del answer, reference
        if not chunks:
            return Judgement(0.0, why="nothing was found")
        messages = prompt("relevance").filled({"question": fenced("question", question), "sources": fenced_all("source", chunks)})
        schema = _list_schema("relevant", {"type": "boolean"}, len(chunks))
        relevant: list[bool] = asked.json(messages, schema, _several("relevant", (True, False), len(chunks)))
        return Judgement(sum(relevant) / len(chunks))


class Correctness(LlmJudge):
    """Whether an answer says what the reference says: 1, partly 0.5, or 0. Without a reference it can't say."""

    name = "correctness"
    needs_reference = True
    prompts = ("correctness",)

    def _judged(self, asked: JudgeCall, question: str, answer: str, chunks: Sequence[str], reference: str | None) -> Judgement:
        del chunks
        if reference is None:
            return Judgement(None, "failed", "no right answer is known")
        if not answer.strip():
            return Judgement(0.0, why="the answer is empty")
        values = {
            "question": fenced("question", question),
            "reference": fenced("reference", reference),
            "answer": fenced("answer", CITED.sub("", answer)),
        }
        schema = {
            "type": "object",
            "properties": {"verdict": {"enum": list(CORRECT)}},
            "required": ["verdict"],
            "additionalProperties": False,
        }
        verdict = asked.json(prompt("correctness").filled(values), schema, _one_of("verdict", tuple(CORRECT)))
        return Judgement(CORRECT[verdict])


def both_shown(question: str, one: str, other: str, chunks: Sequence[str]) -> dict[str, str]:
    """What a prompt is filled with that asks which of two answers is better: without what they cite, which is no merit of the words."""
    return {
        "question": fenced("question", question),
        "sources": fenced_all("source", chunks),
        "first": fenced("first", CITED.sub("", one)),
        "second": fenced("second", CITED.sub("", other)),
    }


@dataclass(frozen=True)
class BetterAnswer:
    """Which of two answers a model prefers, by what the sources say. Measure its liking for the first or the second: `position_bias`."""

    generator: Generator
    options: Options = JUDGED

    name = "better_answer"

    def prefer(self, question: str, one: str, other: str, chunks: Sequence[str]) -> Preference:
        asked = JudgeCall(self.generator, self.options)
        values = both_shown(question, one, other, chunks)
        schema = {
            "type": "object",
            "properties": {"better": {"enum": list(PREFERENCE)}},
            "required": ["better"],
            "additionalProperties": False,
        }
        try:
            better = asked.json(prompt("preference").filled(values), schema, _one_of("better", tuple(PREFERENCE)))
        except Unjudged as error:
            return Preference(None, error.missing, error.why, asked.usage)
        return Preference(PREFERENCE[better], usage=asked.usage)

    def definition(self) -> dict[str, Any]:
        return {"judge": self.name, "generator": self.generator.definition(), "prompts": {"preference": prompt("preference").version}}


def _claims(found: Any) -> list[str] | None:
    claims = found.get("claims") if isinstance(found, dict) else None
    if not isinstance(claims, list) or not all(isinstance(claim, str) for claim in claims):
        return None
    return [" ".join(claim.split()) for claim in claims if claim.strip()][:MAX_CLAIMS]


def _several(name: str, allowed: Sequence[str | bool], count: int) -> Callable[[Any], list[Any] | None]:
    """Reads a list of so many of the allowed values."""
    kind = type(allowed[0])

    def read(found: Any) -> list[Any] | None:
        values = found.get(name) if isinstance(found, dict) else None
        if not isinstance(values, list) or len(values) != count:
            return None
        return values if all(isinstance(value, kind) and value in allowed for value in values) else None

    return read


def _one_of(name: str, allowed: Sequence[str]) -> Callable[[Any], str | None]:
    def read(found: Any) -> str | None:
        value = found.get(name) if isinstance(found, dict) else None
        return value if isinstance(value, str) and value in allowed else None

    return read


def _list_schema(name: str, items: Mapping[str, Any], count: int) -> dict[str, Any]:
    each = {"type": "array", "items": dict(items), "minItems": count, "maxItems": count}
    return {"type": "object", "properties": {name: each}, "required": [name], "additionalProperties": False}
