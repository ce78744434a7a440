"""Binary: yes or no. A label is 1 or 0, and a score is the probability of 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.evaluation.estimation import CalibratedChances, Estimator
from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import registered, require_own
from noria.evaluation.metrics.auc import AUC
from noria.evaluation.metrics.calibration import CALIBRATION
from noria.evaluation.task import Reliability, Task
from noria.features.label import Label, in_short

if TYPE_CHECKING:
    import pyarrow as pa


class OneClass(UserMistake):
    """All outcomes that are known are the same: there is nothing to tell apart."""

    code = "NR-228"

    def __init__(self, label: Label, outcome: float, values: pa.Array, *, rows: int) -> None:
        self.label, self.outcome, self.rows = label, outcome, rows
        super().__init__(
            what=f"all {rows:,} outcomes are {outcome:g}: a classifier needs both classes",
            where=f"nr.Label({label.table.name}, {label.column!r}, positive={label.positive!r}), whose values are {in_short(values)}",
            fix="correct `positive`, or train once both outcomes have occurred",
        )


@dataclass(frozen=True)
class Binary(Task):
    """Yes or no: a label is 1 or 0, a score is the probability of 1, between 0 and 1.

    own: metrics of your own, beside those that every binary model has
    """

    own: Sequence[Metric] = ()

    name: ClassVar[str] = "binary"
    title: ClassVar[str] = "binary classification"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    uncalibrated: ClassVar[str] = (
        "Not measured: it needs five windows with both outcomes. Do not assume that these scores are calibrated probabilities."
    )

    def __post_init__(self) -> None:
        require_own(self.own, Binary.name)

    @property
    def possible(self) -> tuple[float, ...]:
        return (0.0, 1.0)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (*registered(Binary.name), *self.own)

    @property
    def bias(self) -> Metric:
        return CALIBRATION

    @property
    def discrimination(self) -> Metric:
        return AUC

    @property
    def estimator(self) -> Estimator:
        return CalibratedChances()

    def require_outcomes(self, label: Label, outcomes: Floats, rows: pa.Table) -> None:
        """Raise `OneClass` where all outcomes are alike."""
        if np.ptp(outcomes) == 0:
            raise OneClass(label, outcomes[0], label.values(rows), rows=len(outcomes))

    def lacking(self, outcomes: Floats) -> str:
        """Both classes have to be there."""
        return f"all have the outcome {outcomes[0]:g}" if np.ptp(outcomes) == 0 else ""

    def reliability(self, outcomes: Floats, scores: Floats, unit: NDArray[np.int64]) -> Reliability | None:
        """Whether scores are the probabilities that they look like; see `noria.evaluation.calibration`."""
        from noria.evaluation.calibration import measure_calibration

        return measure_calibration(outcomes, scores, unit)

    def plain(self, outcome: float) -> int:
        return int(outcome)

    def format_outcome(self, outcome: float) -> str:
        return str(int(outcome))

    def format_rows(self, outcome: float) -> str:
        return f"{outcome:.1%} of them positive"

    def heading(self, label: Label) -> str:
        return f"share of {self.target(label)}"

    def format_bias(self, bias: float, metric: Metric = CALIBRATION) -> str:  # noqa: ARG002
        return f"{'more' if bias > 0 else 'less'} frequent by {abs(bias):.0%} of the rows"
