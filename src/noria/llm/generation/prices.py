"""What tokens cost, and how many they are where nobody says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from noria.llm.generation.port import Usage
from noria.llm.generation.prompt import Message

BYTES_A_TOKEN = 3.6  # of UTF-8: English prose has 4 to 4.5, code 3, others less; benchmarks/llm/generation.py measures it
TOKENS_A_MESSAGE = 4  # that a chat template puts around each


@dataclass(frozen=True)
class Prices:
    """US dollars for a million tokens. cached: of those of the prompt that the provider knew already; None: as the others"""

    prompt: float
    completion: float
    cached: float | None = None

    def cost(self, usage: Usage) -> float:
        """What an answer costs."""
        known = min(usage.cached_tokens, usage.prompt_tokens)
        cached = self.prompt if self.cached is None else self.cached
        return ((usage.prompt_tokens - known) * self.prompt + known * cached + usage.completion_tokens * self.completion) / 1e6

    def of(self, usage: Usage) -> Usage:
        """The same usage with its cost."""
        return replace(usage, cost=self.cost(usage))

    def definition(self) -> dict[str, Any]:
        return asdict(self)


FREE = Prices(0.0, 0.0)


def tokens_in(text: str) -> int:
    """About how many tokens a text is: for texts whose tokenizer is not here."""
    return -int(-len(text.encode("utf-8", "replace")) // BYTES_A_TOKEN)


def tokens_of(messages: Sequence[Message]) -> int:
    """About how many tokens a prompt is."""
    return sum(tokens_in(message.content) + TOKENS_A_MESSAGE for message in messages) + TOKENS_A_MESSAGE


def estimated(messages: Sequence[Message], text: str) -> Usage:
    """About what an answer took."""
    return Usage(tokens_of(messages), tokens_in(text), estimated=True)
