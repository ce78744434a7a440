"""Trainers without a function: `nr.sklearn(estimator)` fits any estimator that has scikit-learn's API, for any task.

What a task asks for follows from it: a model for each label, output, horizon or quantile where there are several, which become one graph
where each of them converts. What the columns need before an estimator can read them is in `preprocessing`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import MissingExtra, UserMistake
from noria.core.fingerprint import fingerprint
from noria.core.ids import digest
from noria.evaluation.forecast import Forecast
from noria.evaluation.multi_output import MultiOutput
from noria.evaluation.multilabel import Multilabel
from noria.evaluation.regression import Regression
from noria.evaluation.task import Task
from noria.features.training_set import Dataset
from noria.models.runtimes.formats import is_estimator
from noria.training.preprocessing import readable
from noria.training.trainer import Trainer, TrainerFailed

SEED = "random_state"
Fitting = Callable[[NDArray[np.float64], float | None], Any]  # outcomes `(rows,)` with NaN where unknown, and a quantile


class NoEstimator(UserMistake):
    """What `nr.sklearn` was given is no estimator."""

    code = "NR-311"

    def __init__(self, given: Any) -> None:
        super().__init__(
            what=f"nr.sklearn() needs an estimator, and got {given!r}",
            where="nr.sklearn(…)",
            fix="give it an instance with fit and predict, such as nr.sklearn(HistGradientBoostingClassifier()); "
            'for several outputs, one or a dict by output: {"minutes": HistGradientBoostingRegressor(), …}',
        )


class NoQuantile(UserMistake):
    """An estimator can't be told which quantile it should predict."""

    code = "NR-312"

    def __init__(self, estimator: Any) -> None:
        super().__init__(
            what=f"{type(estimator).__name__} has no quantile to set",
            where="nr.sklearn(…) of a task with quantiles",
            fix='use one that has: HistGradientBoostingRegressor(loss="quantile"), GradientBoostingRegressor(loss="quantile"), '
            'QuantileRegressor(), or LGBMRegressor(objective="quantile")',
        )


@dataclass(frozen=True)
class EstimatorTrainer(Trainer):
    """A trainer that fits clones of an estimator; of several outputs, of one for each."""

    fit: Any = None
    overrides: dict[str, Any] = field(default_factory=dict)
    estimators: Mapping[str, Any] = field(default_factory=dict)  # by output; that of "" is for all others

    @property
    def name(self) -> str:
        return " and ".join(dict.fromkeys(type(each).__name__ for each in self.estimators.values()))

    def with_parameters(self, **parameters: Any) -> EstimatorTrainer:
        """The same with other parameters, as `set_params` takes them. Raises on a name that the estimators do not have."""
        for name in parameters:
            if not all(name in each.get_params() for each in self.estimators.values()):
                raise UserMistake(
                    what=f"{self.name} has no parameter {name!r}",
                    where="the trainer's parameters",
                    fix="correct the name; see get_params()",
                )
        return EstimatorTrainer(self.fit, {**self.overrides, **parameters}, self.estimators)

    def parameters(self) -> dict[str, Any]:
        """The parameters that are numbers, texts or booleans, with those of estimators within, the seed left out."""
        found = dict[str, Any]()
        for output, each in self.estimators.items():
            before = f"{output}." if output else ""
            plain = {name: value for name, value in each.get_params().items() if isinstance(value, bool | int | float | str)}
            found |= {f"{before}{name}": value for name, value in plain.items() if name.rsplit("__", 1)[-1] != SEED}
        return {**found, **self.overrides}

    def code_hash(self) -> str:
        return digest({output: _described(each) for output, each in self.estimators.items()})

    def __call__(self, train: Dataset, *, seed: int, task: Task | None = None) -> Any:
        """Fit on `train` what the task asks for. Raises `TrainerFailed`, `NoQuantile`."""

        def fitting(output: str) -> Fitting:
            given = self.estimators.get(output, self.estimators.get(""))
            if given is None:
                raise NoEstimator(dict(self.estimators))
            return lambda outcomes, quantile: self._fit_one(given, train, outcomes, quantile, seed)

        try:
            return _by_task(task, train.labels, fitting, "")
        except UserMistake:
            raise
        except Exception as error:
            raise TrainerFailed(self.name, error) from error

    def _fit_one(self, given: Any, train: Dataset, outcomes: NDArray[np.float64], quantile: float | None, seed: int) -> Any:
        from sklearn.base import clone, is_classifier

        estimator = clone(given)
        estimator.set_params(**self.overrides, **_seeds(estimator, seed), **({} if quantile is None else _quantile(estimator, quantile)))
        known = ~np.isnan(outcomes)
        rows = train.rows if known.all() else train.rows.where(known)
        y = outcomes[known].astype(int) if is_classifier(estimator) else outcomes[known]
        weights = None if train.weights is None else train.weights[known]
        model, x = readable(estimator, rows, y)
        return _fitted(model, x, y, weights, train.group_sizes if _ranks(estimator) else None)


def sklearn(estimator: Any) -> EstimatorTrainer:
    """A trainer that needs no function: `nr.Model(…, trainer=nr.sklearn(HistGradientBoostingClassifier()))`.

    estimator: an unfitted one with scikit-learn's API (scikit-learn, LightGBM, XGBoost, CatBoost, a pipeline), or a dict of them by output

    A clone is fitted in each training, with the project's seed. Texts with few values become one-hot columns, longer ones weights of words,
    and unknown numbers are imputed where the estimator can't read them; a pipeline that begins with a ColumnTransformer gets the data frame
    as it is. Raises `NoEstimator`; `MissingExtra` without scikit-learn.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingExtra(library="scikit-learn", extra="sklearn", needed_for="nr.sklearn(…)") from error
    given = dict(estimator) if isinstance(estimator, Mapping) else {"": estimator}
    for each in given.values():
        if isinstance(each, type) or not is_estimator(each):
            raise NoEstimator(estimator)
    return EstimatorTrainer(None, {}, {str(name): each for name, each in given.items()})


def _by_task(task: Task | None, outcomes: NDArray[np.float64], fitting: Callable[[str], Fitting], output: str) -> Any:
    """A fitted model for each number that a task answers with, unless one answers with all of them."""
    match task:
        case MultiOutput():
            parts = {out.name: (out.task, out.of(outcomes, outcomes)[0]) for out in task.parts}
            return {name: _by_task(own, told, fitting, name) for name, (own, told) in parts.items()}
        case Forecast():
            columns = outcomes.reshape(len(outcomes), -1).T
            one = Regression(quantiles=task.quantiles)
            return {horizon: _by_task(one, column, fitting, horizon) for horizon, column in zip(task.horizons, columns, strict=True)}
        case Multilabel():
            return {label: fitting(output)(column, None) for label, column in zip(task.classes, outcomes.T, strict=True)}
        case Regression(quantiles=quantiles) if quantiles:
            return {quantile: fitting(output)(outcomes, quantile) for quantile in quantiles}
        case _:
            return fitting(output)(outcomes, None)


def _fitted(model: Any, x: Any, y: NDArray[Any], weights: NDArray[np.float64] | None, groups: NDArray[np.int64] | None) -> Any:
    """A model fitted as its `fit` takes weights and groups; those of a pipeline go to its last step."""
    step = f"{model.steps[-1][0]}__" if hasattr(model, "steps") else ""
    more: dict[str, Any] = {} if groups is None else {f"{step}group": groups}
    if weights is not None:
        more[f"{step}sample_weight"] = weights
    return model.fit(x, y, **more)


def _ranks(estimator: Any) -> bool:
    """Whether `fit` needs the sizes of groups, as LightGBM's and XGBoost's rankers do."""
    return type(estimator).__name__ in ("LGBMRanker", "XGBRanker")


def _seeds(estimator: Any, seed: int) -> dict[str, Any]:
    """A seed for it and what is within it, where none was given."""
    parameters = estimator.get_params()
    return {name: seed % 2**31 for name, value in parameters.items() if name.rsplit("__", 1)[-1] == SEED and value is None}


def _quantile(estimator: Any, quantile: float) -> dict[str, Any]:
    """The parameter that says which quantile, by the names that libraries have for it, of the estimator or of a pipeline's last step."""
    parameters = estimator.get_params()
    step = f"{estimator.steps[-1][0]}__" if hasattr(estimator, "steps") else ""
    for name in ("quantile", "quantile_alpha", "alpha"):
        if f"{step}{name}" in parameters:
            return {f"{step}{name}": quantile}
    if "objective" in parameters:  # LGBMRegressor takes any parameter of LightGBM
        return {"alpha": quantile}
    raise NoQuantile(estimator)


def _described(value: Any) -> Any:
    """What a parameter is, the same in every process: for the identity of runs."""
    if hasattr(value, "get_params") and not isinstance(value, type):
        return [f"{type(value).__module__}.{type(value).__qualname__}", _source(type(value)), _described(value.get_params(deep=False))]
    if isinstance(value, Mapping):
        return {str(name): _described(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_described(each) for each in value]
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), digest(np.ascontiguousarray(value).tobytes())]
    if isinstance(value, FunctionType):
        return fingerprint(value)
    return (
        repr(value)
        if value is None or isinstance(value, bool | int | float | str)
        else getattr(value, "__qualname__", type(value).__name__)
    )


def _source(kind: type) -> str:
    """The code of a class of the user's own; installed ones are known by their versions."""
    try:
        file = inspect.getfile(kind)
        return "" if "site-packages" in file else digest(inspect.getsource(kind))
    except (OSError, TypeError):
        return ""
