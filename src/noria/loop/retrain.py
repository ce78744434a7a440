"""The declaration of a retraining policy: which reasons count, and how soon it may happen again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from noria.core.arguments import require, require_each
from noria.core.clock import duration
from noria.core.declarations import declare
from noria.core.errors import UserMistake
from noria.data.table import Table
from noria.models.model import Model


@dataclass(frozen=True)
class Regression:
    """The champion's performance left its tolerance, by the performance monitor's evidence."""


@dataclass(frozen=True)
class Drift:
    """The inputs moved, by the drift monitor's evidence."""


@dataclass(frozen=True)
class Stale:
    """The champion was trained longer ago than this."""

    after: timedelta


@dataclass(frozen=True)
class Changed:
    """Rows of this table became known after the model was last built, whether that candidate was released or refused."""

    table: Table


Trigger = Regression | Drift | Stale | Changed


def regression() -> Regression:
    """Retrain when a performance monitor of the endpoint alarms."""
    return Regression()


def drift() -> Drift:
    """Retrain when the drift monitor of the endpoint alarms."""
    return Drift()


def stale(after: str) -> Stale:
    """Retrain when the last training is older than a duration. after: such as `"63d"`"""
    return Stale(duration(after))


def changed(table: Table) -> Changed:
    """Build again when something new is known of a table that the model is built from, such as the corpus of an application.

    table: the one that is watched
    """
    require("nr.changed", "table", table, Table, "nr.changed(docs): the table that nr.Table(…) gave, not its name")
    return Changed(table)


@dataclass(frozen=True)
class Retrain:
    """When a model is trained again.

    model: which; when: the triggers, of which one is enough: `nr.regression()`, `nr.drift()`, `nr.stale("63d")`, `nr.changed(docs)`
    cooldown: the least time between two trainings, such as `"28d"`, whatever their outcome
    """

    model: Model
    when: Sequence[Trigger]
    cooldown: str = "0s"

    def __post_init__(self) -> None:
        require("nr.Retrain", "model", self.model, Model, "nr.Retrain(model, …): what nr.Model(…) gave")
        require_each(
            "nr.Retrain", "when", self.when, (Regression, Drift, Stale, Changed), 'when=[nr.regression(), nr.drift(), nr.stale("63d")]'
        )
        duration(self.cooldown)
        for trigger in self.when:
            if isinstance(trigger, Changed) and trigger.table not in self.model.built_from:
                raise UserMistake(
                    what=f"model {self.model.name!r} is not built from the table {trigger.table.name!r}",
                    where=f"nr.Retrain({self.model.name}, when=[nr.changed({trigger.table.name})])",
                    fix="name a table that its trainer is given, such as the corpus of an llm.Application",
                )
        declare(self)

    @property
    def pause(self) -> timedelta:
        return duration(self.cooldown)
