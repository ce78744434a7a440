"""Trainers: the user's function that fits a model, and what identifies it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from noria.core.errors import UserMistake
from noria.core.fingerprint import fingerprint
from noria.features.training_set import Dataset

Fit = Callable[..., Any]


class TrainerFailed(UserMistake):
    """The user's trainer raised."""

    code = "NR-310"

    def __init__(self, trainer: str, error: Exception) -> None:
        self.trainer = trainer
        super().__init__(
            what=f"trainer {trainer!r} raised {type(error).__name__}: {error}",
            where=_last_line(error),
            fix="correct the trainer; nothing was registered",
        )


@dataclass(frozen=True)
class Trainer:
    """A function `(train, *, seed, **parameters) -> fitted model`, with the parameters it is called with."""

    fit: Fit
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return getattr(self.fit, "__name__", "trainer")

    def with_parameters(self, **parameters: Any) -> Trainer:
        """The same trainer with other parameters. Raises on a name that the function does not take."""
        known = set(self.parameters())
        for name in parameters:
            if name not in known:
                raise UserMistake(
                    what=f"trainer {self.name!r} has no parameter {name!r}",
                    where=f"its parameters are {', '.join(sorted(known))}",
                    fix="correct the name",
                )
        return Trainer(self.fit, {**self.overrides, **parameters})

    def parameters(self) -> dict[str, Any]:
        """Every keyword parameter with its value, `seed` left out."""
        signature = inspect.signature(self.fit).parameters.values()
        found = {p.name: p.default for p in signature if p.kind is p.KEYWORD_ONLY and p.name != "seed"}
        return {**found, **self.overrides}

    def code_hash(self) -> str:
        return fingerprint(self.fit)

    def __call__(self, train: Dataset, *, seed: int) -> Any:
        """Fit on `train`. Raises `TrainerFailed` with the place in the user's code."""
        wants_seed = "seed" in inspect.signature(self.fit).parameters
        try:
            return self.fit(train, **({"seed": seed} if wants_seed else {}), **self.parameters())
        except Exception as error:
            raise TrainerFailed(self.name, error) from error


def trainer(fit: Fit) -> Trainer:
    """Declare a function as a trainer: `@nr.trainer def boosted(train, *, seed, rounds=200): …`."""
    return Trainer(fit)


def _last_line(error: Exception) -> str:
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else "in the trainer"
