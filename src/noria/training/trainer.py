"""Trainers: the user's function that fits a model, and what identifies it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noria.core.arguments import described
from noria.core.errors import UserMistake
from noria.core.fingerprint import fingerprint
from noria.evaluation.task import Task
from noria.features.training_set import Dataset
from noria.models.runtimes.formats import is_estimator

Fit = Callable[..., Any]
LIBRARIES = ("sklearn", "lightgbm", "xgboost")  # whose estimators say whether they were fitted
PACKAGE = Path(__file__).parents[1]


class TrainerFailed(UserMistake):
    """The user's trainer raised."""

    code = "NR-310"

    def __init__(self, trainer: str, error: Exception) -> None:
        self.trainer = trainer
        advice = error.fix if isinstance(error, UserMistake) else "correct the trainer"
        super().__init__(
            what=f"trainer {trainer!r} raised {type(error).__name__}: {_first_line(error)}",
            where=_last_line(error),
            fix=f"{advice}; nothing was registered",
        )


class BadTrainer(UserMistake):
    """A function that can't be called as trainers are, or does not return a fitted model."""

    code = "NR-555"

    def __init__(self, fit: Any, what: str, fix: str) -> None:
        code = getattr(inspect.unwrap(fit), "__code__", None) if callable(fit) else None
        where = "@nr.trainer" if code is None else f"{code.co_filename}, line {code.co_firstlineno}"
        super().__init__(what=what, where=where, fix=fix)


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

    def __call__(self, train: Dataset, *, seed: int, task: Task | None = None) -> Any:  # noqa: ARG002
        """Fit on `train`. task: the model's, for trainers that follow it. Raises `TrainerFailed` with the place in the user's code."""
        wants_seed = "seed" in inspect.signature(self.fit).parameters
        try:
            found = self.fit(train, **({"seed": seed} if wants_seed else {}), **self.parameters())
        except Exception as error:
            raise TrainerFailed(self.name, error) from error
        if wrong := _wrong(found):
            raise BadTrainer(self.fit, f"trainer {self.name!r} returned {wrong[0]}", f"{wrong[1]}; nothing was registered")
        return found


def trainer(fit: Fit) -> Trainer:
    """Declare a function as a trainer: `@nr.trainer def boosted(train, *, seed, rounds=200): …`.

    fit: a function of a `Dataset`. Its keyword parameters are recorded with each run; `seed` comes from the project. It returns a fitted
        model of LightGBM, XGBoost, scikit-learn, CatBoost, PyTorch, Keras or JAX, an ONNX model, an `nr.PythonModel`, any object with
        `predict(columns)`, or a dict of these by output, horizon or quantile

    Raises `BadTrainer`.
    """
    if not callable(fit):
        raise BadTrainer(fit, f"nr.trainer was given {described(fit)}", "write @nr.trainer above the function, without brackets")
    parameters = list(inspect.signature(fit).parameters.values())
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    name = getattr(fit, "__name__", "trainer")
    more = [p.name for p in parameters if p not in places[:1] and p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if not places or set(more) - {"seed"}:
        takes = ", ".join(p.name for p in parameters) or "nothing"
        fix = f"write def {name}(train, *, seed): train.X and train.y are what to fit on; give every other argument a default"
        raise BadTrainer(fit, f"trainer {name!r} takes {takes}, and is given a dataset and a seed", fix)
    return Trainer(fit)


def _wrong(found: Any) -> tuple[str, str] | None:
    """(what a trainer returned, what to write instead), where that is no fitted model; None for what may be one."""
    kind = type(found).__name__
    if found is None:
        return "nothing", "end it with `return model`, the fitted model"
    if isinstance(found, tuple | list):
        return f"a {kind} of {', '.join(type(each).__name__ for each in found) or 'nothing'}", "return the fitted model alone"
    if isinstance(found, type):
        return described(found), f"return a fitted one: {found.__name__}().fit(train.X, train.y)"
    if kind in ("ndarray", "DataFrame", "Series"):
        return f"an {kind}" if kind == "ndarray" else f"a {kind}", "return the fitted model, not its predictions"
    if _is_unfitted(found):
        return f"a {kind} that was never fitted", "return it fitted: `return model.fit(train.X, train.y)`"
    return None


def _is_unfitted(model: Any) -> bool:
    """Whether a library that can tell says that an estimator was never fitted. Of classes of the user's own, nobody can."""
    last = model.steps[-1][1] if getattr(model, "steps", None) else model
    if type(last).__module__.partition(".")[0] not in LIBRARIES or "sklearn" not in sys.modules or not is_estimator(last):
        return False
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(last)
    except NotFittedError:
        return True
    return False


def _first_line(error: Exception) -> str:
    what = error.what if isinstance(error, UserMistake) else str(error)
    return (what.strip().splitlines() or [""])[0]


def _last_line(error: Exception) -> str:
    """The last line of the user's own on the way to an error: not of Noria, nor of an installed library."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "site-packages" not in Path(f.filename).parts and not Path(f.filename).is_relative_to(PACKAGE)]
    found = (own or frames)[-1:]
    return f"{found[0].filename}, line {found[0].lineno}" + (f": {found[0].line}" if own else "") if found else "in the trainer"
