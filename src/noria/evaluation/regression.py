"""Regression: how much. A label is a number, and a score is the number to be expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.evaluation.estimation import Estimator, ResidualsByScore
from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import registered, require_own
from noria.evaluation.metrics.errors_of_numbers import SQUARED_ERROR
from noria.evaluation.metrics.rank_correlation import RANK_CORRELATION
from noria.evaluation.metrics.residual import MEAN_RESIDUAL
from noria.evaluation.task import Task
from noria.features.coding import AsNumbers
from noria.features.label import Coding, Label

if TYPE_CHECKING:
    import pyarrow as pa


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
    """

    unit: str = ""
    own: Sequence[Metric] = ()

    coding: ClassVar[Coding] = AsNumbers()
    name: ClassVar[str] = "regression"
    title: ClassVar[str] = "regression"
    uncalibrated: ClassVar[str] = "Does not apply: scores are numbers, not probabilities."

    def __post_init__(self) -> None:
        require_own(self.own, Regression.name)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (*(self._in_unit(metric) for metric in registered(Regression.name)), *self.own)

    @property
    def bias(self) -> Metric:
        return self._in_unit(MEAN_RESIDUAL)

    @property
    def discrimination(self) -> Metric:
        return RANK_CORRELATION

    @property
    def estimator(self) -> Estimator:
        return ResidualsByScore()

    def _in_unit(self, metric: Metric) -> Metric:
        if metric == RANK_CORRELATION or not self.unit:
            return metric
        return replace(metric, unit=f"{self.unit}²" if metric == SQUARED_ERROR else self.unit)

    def definition(self) -> dict[str, Any]:
        return {"name": self.name, **({"unit": self.unit} if self.unit else {})}

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
        before, after = np.asarray(before), np.asarray(after)
        return np.asarray(np.abs(after - before) <= self.tolerance * np.maximum(1.0, np.abs(before)))

    def format_outcome(self, outcome: float) -> str:
        return self._with_unit(f"{outcome:.6g}")

    def format_score(self, score: float) -> str:
        return self._with_unit(f"{score:.4g}")

    def format_rows(self, outcome: float) -> str:
        return f"with a mean outcome of {self._with_unit(f'{outcome:.4g}')}"

    def heading(self, label: Label) -> str:
        return f"mean {label.column}" + (f" ({self.unit})" if self.unit else "")

    def format_bias(self, bias: float) -> str:
        return f"{'higher' if bias > 0 else 'lower'} by {self._with_unit(f'{abs(bias):.4g}')} in the mean"

    def _with_unit(self, number: str) -> str:
        return f"{number} {self.unit}" if self.unit else number
