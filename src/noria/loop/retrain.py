"""The declaration of a retraining policy: which reasons count, and how soon it may happen again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from noria.core.arguments import require, require_each
from noria.core.clock import duration
from noria.core.declarations import declare
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


Trigger = Regression | Drift | Stale


def regression() -> Regression:
    """Retrain when a performance monitor of the endpoint alarms."""
    return Regression()


def drift() -> Drift:
    """Retrain when the drift monitor of the endpoint alarms."""
    return Drift()


def stale(after: str) -> Stale:
    """Retrain when the last training is older than a duration. after: such as `"63d"`"""
    return Stale(duration(after))


@dataclass(frozen=True)
class Retrain:
    """When a model is trained again.

    model: which; when: the triggers, of which one is enough: `nr.regression()`, `nr.drift()`, `nr.stale("63d")`
    cooldown: the least time between two trainings, such as `"28d"`, whatever their outcome
    """

    model: Model
    when: Sequence[Trigger]
    cooldown: str = "0s"

    def __post_init__(self) -> None:
        require("nr.Retrain", "model", self.model, Model, "nr.Retrain(model, …): what nr.Model(…) gave")
        require_each("nr.Retrain", "when", self.when, (Regression, Drift, Stale), 'when=[nr.regression(), nr.drift(), nr.stale("63d")]')
        duration(self.cooldown)
        declare(self)

    @property
    def pause(self) -> timedelta:
        return duration(self.cooldown)
