"""What generated answers took and how they finished, summed up from their outputs for metrics: tokens, cost, unanswered, blocked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from noria.data.rows import Rows
from noria.serving.generated import BLOCKED, COMPLETION_TOKENS, COST, FINISH, LENGTH, PROMPT_TOKENS, UNKNOWN
from noria.serving.observe.tenants import Tenants

COUNTERS = {
    "generated": "Answers generated, or searches made",
    "unanswered": "Answers that say that nothing relevant was found",
    "blocked": "Answers that a guardrail blocked",
    "cut_short": "Answers that ended at their greatest length",
    "prompt_tokens": "Tokens that prompts had",
    "completion_tokens": "Tokens that answers had",
    "cost_dollars": "What answers cost, in US dollars, where a price is known",
}
FINISHES = {UNKNOWN: "unanswered", BLOCKED: "blocked", LENGTH: "cut_short"}


@dataclass
class Generated:
    """One endpoint's sums in one worker."""

    generated: int = 0
    unanswered: int = 0
    blocked: int = 0
    cut_short: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_dollars: float = 0.0
    tenants: Tenants = field(default_factory=Tenants)

    def saw(self, answers: Rows, tenants: Sequence[str | None] = ()) -> None:
        """Count answers that were given. tenants: on whose behalf they were asked, where their keys say"""
        import pyarrow.compute as pc

        if any(tenants):
            self.tenants.saw(answers, tenants)
        names = answers.names
        self.generated += len(answers)
        if FINISH in names:
            for finish in answers.column(FINISH).to_pylist():
                counted = FINISHES.get(finish)
                if counted is not None:
                    setattr(self, counted, getattr(self, counted) + 1)
        for column, total in ((PROMPT_TOKENS, "prompt_tokens"), (COMPLETION_TOKENS, "completion_tokens"), (COST, "cost_dollars")):
            if column in names:
                setattr(self, total, getattr(self, total) + (pc.sum(answers.column(column)).as_py() or 0))

    def to_dict(self) -> dict[str, Any]:
        return {**{name: getattr(self, name) for name in COUNTERS}, "tenants": self.tenants.to_dict()}
