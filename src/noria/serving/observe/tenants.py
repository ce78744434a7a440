"""What generated answers took, by tenant. The first tenants that ask have sums of their own; those beyond are summed up as one, so that no
number of tenants makes a worker's metrics grow without end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from noria.data.rows import Rows
from noria.serving.generated import BLOCKED, COMPLETION_TOKENS, COST, FINISH, PROMPT_TOKENS

MAX_TENANTS = 100  # with sums of their own
OTHERS = "(others)"
COUNTERS = {
    "answers": "Answers generated on behalf of a tenant, or searches made",
    "blocked": "Those that a guardrail blocked",
    "tokens": "Tokens of their prompts and answers",
    "cost_dollars": "What they cost, in US dollars, where a price is known",
}


class Tenants:
    """The sums of one endpoint in one worker."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, float]] = {}

    def saw(self, answers: Rows, tenants: Sequence[str | None]) -> None:
        """Count answers, each of the tenant at its place; those of none are not counted here."""
        columns = [self._column(answers, name) for name in (FINISH, PROMPT_TOKENS, COMPLETION_TOKENS, COST)]
        for tenant, finish, prompt, completion, cost in zip(tenants, *columns, strict=True):
            if tenant:
                sums = self._of(tenant)
                sums["answers"] += 1
                sums["blocked"] += finish == BLOCKED
                sums["tokens"] += (prompt or 0) + (completion or 0)
                sums["cost_dollars"] += cost or 0.0

    def _of(self, tenant: str) -> dict[str, float]:
        if tenant not in self._sums and len(self._sums) >= MAX_TENANTS:
            tenant = OTHERS
        return self._sums.setdefault(tenant, dict.fromkeys(COUNTERS, 0))

    @staticmethod
    def _column(answers: Rows, name: str) -> list[Any]:
        return list(answers.column(name).to_pylist()) if name in answers.names else [None] * len(answers)

    def to_dict(self) -> dict[str, dict[str, float]]:
        return {tenant: dict(sums) for tenant, sums in self._sums.items()}
