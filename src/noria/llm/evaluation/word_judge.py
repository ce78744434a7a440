"""Judges that are answered in one word, for language models that can't write JSON: a call for each answer, without its claims."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from noria.llm.evaluation.fenced import fenced, fenced_all
from noria.llm.evaluation.judge import Judgement, Preference
from noria.llm.evaluation.llm_judge import PREFERENCE, JudgeCall, LlmJudge, Unjudged, both_shown, prompt
from noria.llm.evaluation.refusals import says_unknown
from noria.llm.generation.citations import CITED
from noria.llm.generation.port import Generator, Options

IN_A_WORD = Options(temperature=0.0, most_tokens=8, timeout=60.0)


@dataclass(frozen=True)
class Supported(LlmJudge):
    """Whether the sources say all that an answer says: 1 or 0. `Faithfulness` says how much of it, and takes a model that writes JSON."""

    options: Options = IN_A_WORD

    name = "supported"
    prompts = ("supported",)

    def _judged(self, asked: JudgeCall, question: str, answer: str, chunks: Sequence[str], reference: str | None) -> Judgement:
        del question, reference
        clean = CITED.sub("", answer).strip()
        if not clean:
            return Judgement(None, "no_answer", "the answer is empty")
        if says_unknown(answer):
            return Judgement(1.0, why="it claims nothing")
        if not chunks:
            return Judgement(0.0, why="nothing was found")
        messages = prompt("supported").filled({"sources": fenced_all("source", chunks), "answer": fenced("answer", clean)})
        return Judgement(1.0 if word_of(asked.text(messages), ("yes", "no")) == "yes" else 0.0)


@dataclass(frozen=True)
class Preferred:
    """`BetterAnswer`, answered in one word."""

    generator: Generator
    options: Options = IN_A_WORD

    name = "preferred"

    def prefer(self, question: str, one: str, other: str, chunks: Sequence[str]) -> Preference:
        asked = JudgeCall(self.generator, self.options)
        values = both_shown(question, one, other, chunks)
        try:
            found = word_of(asked.text(prompt("preferred").filled(values)), tuple(PREFERENCE))
        except Unjudged as error:
            return Preference(None, error.missing, error.why, asked.usage)
        return Preference(PREFERENCE[found], usage=asked.usage)

    def definition(self) -> dict[str, Any]:
        return {"judge": self.name, "generator": self.generator.definition(), "prompts": {"preferred": prompt("preferred").version}}


def word_of(text: str, allowed: Sequence[str]) -> str:
    """The one of the words that a reply has. Raises `Unjudged` where it has none of them, or several."""
    words: list[str] = re.findall(r"[a-z]+", text.casefold())
    found = set(words) & set(allowed)
    if len(found) != 1:
        raise Unjudged("unreadable", f"the judge did not answer as asked: {text[:120]!r}")
    return found.pop()
