"""Endpoints: a served name, the model behind it, and the plan by which its versions change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from noria.core.arguments import require
from noria.core.clock import duration
from noria.core.declarations import declare
from noria.core.errors import UserMistake, nearest
from noria.evaluation.task import Task
from noria.models.model import Model
from noria.release.ab_test import ABTest, ReleasePlan
from noria.release.answer_shadow import answer_plan, require_outcomes_of_rows
from noria.release.rollout import Immediate, Rollout

PREVIOUS = "previous"
Fallback = str | float | Mapping[str, Any]


@dataclass(frozen=True)
class SLO:
    """What an endpoint promises its callers.

    p99_ms: 99 % of answers within so many milliseconds
    errors: the share of rows that may have no answer, or a fallback's
    freshness: of tables, how old the newest row that was known may be when an answer is given, in 99 % of answers: `{"weather": "3h"}`
    """

    p99_ms: float = 50.0
    errors: float = 0.01
    freshness: Mapping[str, str | timedelta] = field(default_factory=dict)

    def __post_init__(self) -> None:
        spans = [duration(span) for span in self.freshness.values()]
        if not (self.p99_ms > 0 and 0 < self.errors < 1 and all(span > timedelta() for span in spans)):
            raise UserMistake(
                what="a service-level objective is out of range",
                where=f"nr.SLO(p99_ms={self.p99_ms:g}, errors={self.errors:g}, freshness={dict(self.freshness)})",
                fix="give p99_ms above 0, errors between 0 and 1, and spans of time above 0",
            )


@dataclass(frozen=True)
class Endpoint:
    """A served name with its release plan.

    name: as clients ask for it: `POST /predict/NAME`
    model: whose champion answers
    release: how a candidate that passed its gates becomes champion: `nr.Immediate()`, after a shadow deployment, `nr.Rollout(…)`, or after
        it answered a share of the requests, `nr.ABTest(…)`
    slo: what callers are promised; a monitor watches it
    fallback: who answers where the champion can't: `"previous"` (the champion before it, on the same features), the answer to give (a
        number, or what its task answers with by name), both in that order, or nobody: then the request fails
    cached_rows: how many answers a worker remembers by their features; 0 for none
    deadline: what one call of its model may take, or the making of one part of a streamed answer, where that runs in a process of its own;
        without one, `serving.model_seconds`
    """

    name: str
    model: Model
    release: ReleasePlan = field(default_factory=Immediate)
    slo: SLO = field(default_factory=SLO)
    fallback: Fallback | tuple[Fallback, ...] = ()
    cached_rows: int = 0
    deadline: str | timedelta | None = None

    def __post_init__(self) -> None:
        call = f"nr.Endpoint({self.name!r})"
        require(call, "model", self.model, Model, f"nr.Endpoint({self.name!r}, model): what nr.Model(…) gave, not its name")
        require(call, "release", self.release, (Rollout, ABTest, Immediate), 'release=nr.Rollout(shadow="3d", at_most="14d")')
        require(call, "slo", self.slo, SLO, "slo=nr.SLO(p99_ms=20)")
        tables = [table.name for table in (*self.model.features.tables, self.model.label.table)]
        for name in self.slo.freshness:
            if name not in tables:
                raise UserMistake(
                    what=f"{self.name} reads no table {name!r}{nearest(name, tables)}",
                    where="nr.SLO(freshness=…)",
                    fix=f"name some of {', '.join(tables)}",
                )
        if isinstance(self.release, Rollout):
            self._check_rollout(self.release)
        elif isinstance(self.release, ABTest):
            self.task.metric(self.release.metric)
        for part in self._fallbacks:
            if part != PREVIOUS and self.task.default(part) is None:
                raise UserMistake(
                    what=f"{part!r} is not a valid fallback",
                    where=f"endpoint {self.name!r}",
                    fix=f'use "previous", {self.task.default_words}, or both: ("previous", …)',
                )
        if self.deadline is not None and duration(self.deadline) <= timedelta():
            raise UserMistake(
                what="a model needs time to answer",
                where=f"nr.Endpoint(deadline={self.deadline!r}) of {self.name!r}",
                fix='give a span of time above 0, such as "500ms", or leave it out',
            )
        declare(self)

    def _check_rollout(self, plan: Rollout) -> None:
        if self.task.outcomes_belong_to_the_answer:
            answer_plan(self.name, self.model, plan)
        else:
            require_outcomes_of_rows(self.name, plan)
            self.task.metric(plan.metric)

    @property
    def deadline_seconds(self) -> float | None:
        """What one call of its model may take; None for what is usual."""
        return None if self.deadline is None else duration(self.deadline).total_seconds()

    @property
    def task(self) -> Task:
        """What its model's labels and answers mean."""
        return self.model.task

    @property
    def _fallbacks(self) -> tuple[Fallback, ...]:
        return self.fallback if isinstance(self.fallback, tuple) else (self.fallback,)

    @property
    def falls_back(self) -> bool:
        """Whether the champion before answers what the champion can't."""
        return PREVIOUS in self._fallbacks

    @property
    def default_answer(self) -> tuple[float, ...] | None:
        """The scores that are answered where no model can; None where the request then fails."""
        return next((self.task.default(part) for part in self._fallbacks if part != PREVIOUS), None)
