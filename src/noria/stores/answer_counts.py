"""Counts of answers in words, as windows and candidates keep them: how they ended, and what they took."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class AnswerCounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """How answers ended. answers: all but searches, which make none

    unanswered: those that say that they don't know; missed: those of them for which nothing near enough was found, so that nobody was asked
    to write; blocked: by a guardrail; cut: at their greatest length
    """

    answers: int = 0
    unanswered: int = 0
    missed: int = 0
    blocked: int = 0
    cut: int = 0


class SpentCounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What answers took. dollars: of those that say so; unpriced: answers that took tokens and have no price"""

    tokens: int = 0
    dollars: float = 0.0
    unpriced: int = 0


def answers_summed(counts: Iterable[AnswerCounts]) -> AnswerCounts:
    """The counts of several as one."""
    every = [msgspec.structs.astuple(each) for each in counts]
    return AnswerCounts(*(sum(column) for column in zip(*every, strict=True))) if every else AnswerCounts()


def spent_summed(counts: Iterable[SpentCounts]) -> SpentCounts:
    """What several took, as one."""
    every = list(counts)
    return SpentCounts(sum(s.tokens for s in every), sum(s.dollars for s in every), sum(s.unpriced for s in every))
