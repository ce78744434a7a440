"""The port of judges: what says how good an answer is, and says so where it can't."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from noria.core.ids import digest
from noria.llm.generation.port import Usage

ClaimVerdict = Literal["supported", "contradicted", "not_in_sources", "unsure"]
Missing = Literal["", "timed_out", "refused", "unreadable", "failed", "no_answer", "unsure"]


@dataclass(frozen=True)
class Claim:
    """One claim of an answer, and what the sources say of it."""

    text: str
    verdict: ClaimVerdict


@dataclass(frozen=True)
class Judgement:
    """What a judge says. score: 0 to 1, higher is better; None: it can't say, and `missing` and `why` say why not

    claims: of an answer, where the judge goes by them; usage, seconds: what it took
    """

    score: float | None
    missing: Missing = ""
    why: str = ""
    claims: tuple[Claim, ...] = ()
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if (self.score is None) != bool(self.missing):
            raise ValueError("a judgement has a score, or says why it has none")
        if self.score is not None and not 0 <= self.score <= 1:
            raise ValueError(f"a score of {self.score} does not lie between 0 and 1")


class Judge(Protocol):
    """What judges answers. It does not raise for an answer that it can't judge.

    name: of the metric that its scores are; needs_reference: whether it judges only where a right answer is known
    """

    @property
    def name(self) -> str: ...
    @property
    def needs_reference(self) -> bool: ...

    def judge(self, question: str, answer: str, chunks: Sequence[str], reference: str | None = None) -> Judgement:
        """The judgement of one answer to a question. chunks: the texts that were found; reference: a right answer, where one is known"""
        ...

    def definition(self) -> dict[str, Any]:
        """What its scores depend on, as plain data: model and prompts. Another definition is another judge, not measured yet."""
        ...


@dataclass(frozen=True)
class Preference:
    """Which of two answers is better. first: 1 the first, 0 the second, 0.5 neither; None: it can't say, and `missing` says why not"""

    first: float | None
    missing: Missing = ""
    why: str = ""
    usage: Usage = field(default_factory=Usage)


class PairJudge(Protocol):
    """What compares two answers to a question."""

    @property
    def name(self) -> str: ...
    def prefer(self, question: str, one: str, other: str, chunks: Sequence[str]) -> Preference: ...
    def definition(self) -> dict[str, Any]: ...


def judge_digest(judge: Judge | PairJudge) -> str:
    """By which a judge is known."""
    return digest([judge.name, judge.definition()])
