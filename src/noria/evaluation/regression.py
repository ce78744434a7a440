"""Regression: how much. A label is a number, and a score is the number to be expected, or several: below which it will lie how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.core.signature import PREDICTION, SCORE, Field
from noria.evaluation.estimation import Estimator, ResidualsByScore
from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import registered, require_own
from noria.evaluation.metrics.errors_of_numbers import SQUARED_ERROR
from noria.evaluation.metrics.rank_correlation import RANK_CORRELATION
from noria.evaluation.metrics.residual import MEAN_RESIDUAL
from noria.evaluation.quantiles import Quantiles, QuantileShares, require_quantiles
from noria.evaluation.task import Reliability, Task
from noria.features.coding import AsNumbers
from noria.features.label import Coding, Label

if TYPE_CHECKING:
    import pyarrow as pa


QUANTILES = "quantiles"  # what the metrics of quantiles are registered for


class NothingVaries(UserMistake):
    """The outcomes that are known are all the same number, or one of them is infinite: a regression learns nothing from them."""

    code = "NR-233"

    def __init__(self, label: Label, why: str, *, rows: int) -> None:
        self.label, self.rows = label, rows
        super().__init__(
            what=f"of {rows:,} outcomes {why}",
            where=f"nr.Label({label.table.name}, {label.column!r}), for a regression",
            fix="name the column that holds what is to be predicted, correct it in the table's source, or train later",
        )


@dataclass(frozen=True)
class Regression(Task):
    """A number: a label is one, and a score is what is expected of it.

    unit: of both, as people write it after a number, such as "min"; empty: a plain number
    own: metrics of your own, beside those that every regression has
    quantiles: rising, between 0 and 1: a score is then a number for each, below which an outcome lies so often
    """

    unit: str = ""
    own: Sequence[Metric] = ()
    quantiles: Sequence[float] = ()

    name: ClassVar[str] = "regression"
    title: ClassVar[str] = "regression"
    uncalibrated: ClassVar[str] = "Does not apply: scores are numbers, not probabilities."

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantiles", require_quantiles(self.quantiles))
        require_own(self.own, QUANTILES if self.quantiles else Regression.name)

    @property
    def _quantiles(self) -> Quantiles | None:
        return Quantiles(tuple(self.quantiles), self.unit) if self.quantiles else None

    @property
    def outputs(self) -> tuple[Field, ...]:
        """One number, or one that is named for each quantile."""
        told = self._quantiles
        return (SCORE,) if told is None else (Field(PREDICTION, "float64", (len(told.levels),), nullable=False, labels=told.labels),)

    @property
    def coding(self) -> Coding:
        return AsNumbers()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        if self._quantiles is not None:
            return (*self._quantiles.metrics, *self.own)
        return (*(self._in_unit(metric) for metric in registered(Regression.name)), *self.own)

    @property
    def bias(self) -> Metric:
        return self._in_unit(MEAN_RESIDUAL) if self._quantiles is None else self._quantiles.bias

    @property
    def discrimination(self) -> Metric:
        return RANK_CORRELATION if self._quantiles is None else self._quantiles.discrimination

    @property
    def estimator(self) -> Estimator:
        return ResidualsByScore() if self._quantiles is None else ResidualsByScore(column=self._quantiles.middle)

    def _in_unit(self, metric: Metric) -> Metric:
        if metric == RANK_CORRELATION or not self.unit:
            return metric
        return replace(metric, unit=f"{self.unit}²" if metric == SQUARED_ERROR else self.unit)

    def definition(self) -> dict[str, Any]:
        quantiles = {"quantiles": list(self.quantiles)} if self.quantiles else {}
        return {"name": self.name, **({"unit": self.unit} if self.unit else {}), **quantiles}

    def require_outcomes(self, label: Label, outcomes: Floats, rows: pa.Table) -> None:  # noqa: ARG002
        """Raise `NothingVaries` where all outcomes are alike, or one is infinite."""
        infinite = int(np.isinf(outcomes).sum())
        if infinite:
            raise NothingVaries(label, f"{infinite:,} are infinite", rows=len(outcomes))
        if np.ptp(outcomes) == 0:
            raise NothingVaries(label, f"all are {outcomes[0]:g}", rows=len(outcomes))

    def lacking(self, outcomes: Floats) -> str:
        return f"all have the outcome {outcomes[0]:g}" if np.ptp(outcomes) == 0 else ""

    def same(self, before: Floats, after: Floats) -> NDArray[np.bool_]:
        """Which answers count as equal: by their size, where that is above 1."""
        return same_by_size(before, after, self.tolerance)

    def reliability(self, outcomes: Floats, scores: Floats, unit: NDArray[np.int64]) -> Reliability | None:  # noqa: ARG002
        """How many outcomes lie below each quantile; of a single number nothing."""
        return None if self._quantiles is None or not len(outcomes) else QuantileShares.of(self._quantiles, outcomes, scores)

    def ideal(self, outcomes: Floats) -> Floats:
        return outcomes if self._quantiles is None else np.repeat(outcomes[:, None], len(self.quantiles), axis=1)

    def means(self, outcomes: Floats, scores: Floats) -> tuple[Any, Any]:
        """The mean outcome, one number, and the mean of what was answered."""
        outcome, score = super().means(outcomes, scores)
        return outcome if self._quantiles is None else outcome[0], score

    def strength(self, scores: Floats) -> Floats:
        return scores if self._quantiles is None else scores[:, self._quantiles.middle]

    def default(self, given: Any) -> tuple[float, ...] | None:
        return super().default(given) if self._quantiles is None else self._quantiles.default(given)

    @property
    def default_words(self) -> str:
        return super().default_words if self._quantiles is None else "a number, or one for each quantile by its label"

    def format_outcome(self, outcome: float) -> str:
        return self._with_unit(f"{outcome:.6g}")

    def format_score(self, score: Any) -> str:
        if self._quantiles is not None:
            return self._quantiles.format(score, ".4g")
        return self._with_unit(f"{score:.4g}")

    def format_rows(self, outcome: float) -> str:
        return f"with a mean outcome of {self._with_unit(f'{outcome:.4g}')}"

    def heading(self, label: Label) -> str:
        return f"mean {label.target}" + (f" ({self.unit})" if self.unit else "")

    def format_bias(self, bias: float, metric: Metric = MEAN_RESIDUAL) -> str:  # noqa: ARG002
        if self._quantiles is not None:
            return self._quantiles.format_bias(bias)
        return f"{'higher' if bias > 0 else 'lower'} by {self._with_unit(f'{abs(bias):.4g}')} in the mean"

    def _with_unit(self, number: str) -> str:
        return f"{number} {self.unit}" if self.unit else number


def same_by_size(before: Floats, after: Floats, tolerance: float) -> NDArray[np.bool_]:
    """Which rows of numbers `(rows,)` or `(rows, numbers)` count as equal: by their size, where that is above 1."""
    before, after = np.asarray(before), np.asarray(after)
    equal = np.abs(after - before) <= tolerance * np.maximum(1.0, np.abs(before))
    return np.asarray(equal if equal.ndim < 2 else equal.all(axis=1))
