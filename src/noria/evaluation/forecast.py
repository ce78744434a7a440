"""Forecasts: how much, so long after each occasion. A label is a series, and a score is a number, or quantiles, for each horizon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.core.signature import Field
from noria.evaluation.across_horizons import across, cells
from noria.evaluation.estimation import ResidualsByHorizon
from noria.evaluation.metric import Floats, Metric, Part
from noria.evaluation.quantiles import Quantiles
from noria.evaluation.regression import NothingVaries, Regression, same_by_size
from noria.evaluation.task import Reliability, Task
from noria.features.horizons import AtHorizons, require_horizons
from noria.features.label import Label

if TYPE_CHECKING:
    import pyarrow as pa

BY_HORIZON = (
    "absolute_error",
    "mean_residual",
    "pinball_loss",
    "quantile_bias",
    "coverage",
)  # the metrics that each horizon has of its own


class NoOutcomesAhead(UserMistake):
    """A series has no value at a horizon of any occasion that is trained on."""

    code = "NR-254"

    def __init__(self, label: Label, horizon: str, *, rows: int) -> None:
        self.label, self.horizon, self.rows = label, horizon, rows
        super().__init__(
            what=f"none of {rows:,} occasions has an outcome {horizon} ahead",
            where=f"nr.Label({label.table.name}, {label.column!r}), for a forecast",
            fix=f"choose horizons at which {label.table.name!r} has values, multiples of its step, or ingest these values",
        )


@dataclass(frozen=True)
class Forecast(Task):
    """The values of a series, so long after each occasion.

    The label's table is keyed by the entities and a time, as the spine is; the outcome of (store, hour) 6 h ahead is the value of
    (store, hour + 6 h). Where some of a row's outcomes are not known, it is judged by those that are.

    horizons: rising spans of time, such as ("1h", "6h", "24h"); a model answers with an output for each, of that name
    unit: of outcomes, as people write it after a number
    own: metrics of your own, each computed of outcomes and scores `(cells,)`: a cell is a row and a horizon whose outcome is known
    quantiles: rising, between 0 and 1: for each horizon there is then a number for each, below which an outcome lies so often
    """

    horizons: Sequence[str]
    unit: str = ""
    own: Sequence[Metric] = ()
    quantiles: Sequence[float] = ()

    name: ClassVar[str] = "forecast"
    title: ClassVar[str] = "forecast"
    uncalibrated: ClassVar[str] = Regression.uncalibrated

    def __post_init__(self) -> None:
        require_horizons(self.horizons)
        object.__setattr__(self, "horizons", tuple(self.horizons))
        object.__setattr__(self, "quantiles", tuple(self._one.quantiles))

    @cached_property
    def _one(self) -> Regression:
        """The task of a single horizon."""
        return Regression(unit=self.unit, own=tuple(self.own), quantiles=self.quantiles)

    @property
    def _per(self) -> int:
        """How many numbers are answered for a horizon."""
        return max(len(self.quantiles), 1)

    @property
    def coding(self) -> AtHorizons:
        return AtHorizons(tuple(self.horizons))

    @property
    def outputs(self) -> tuple[Field, ...]:
        """One for each horizon."""
        return tuple(_named(field, horizon) for horizon in self.horizons for field in self._one.outputs)

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """Of all horizons together, each row's loss being the mean over those that are known; then some of each by itself."""
        return (*(across(metric, len(self.horizons), self._per) for metric in self._one.metrics), *self._by_horizon)

    @property
    def _by_horizon(self) -> list[Metric]:
        found = []
        for place, horizon in enumerate(self.horizons):
            part = Part((place, place + 1), (place * self._per, (place + 1) * self._per))
            for metric in self._one.metrics:
                if metric.name in BY_HORIZON and metric.part is None:
                    found.append(replace(metric, name=f"{horizon}.{metric.name}", title=f"{metric.title} {horizon} ahead", part=part))
        return found

    @property
    def bias(self) -> Metric:
        return self.metric(self._one.bias.name)

    @property
    def discrimination(self) -> Metric:
        return self.metric(self._one.discrimination.name)

    @property
    def estimator(self) -> ResidualsByHorizon:
        middle = Quantiles(tuple(self.quantiles)).middle if self.quantiles else 0
        return ResidualsByHorizon(len(self.horizons), self._per, middle)

    def definition(self) -> dict[str, Any]:
        return {**self._one.definition(), "name": self.name, "horizons": list(self.horizons)}

    def require_outcomes(self, label: Label, outcomes: Floats, rows: pa.Table) -> None:  # noqa: ARG002
        """Raise `NoOutcomesAhead` for a horizon of which no outcome is known, and `NothingVaries` where one teaches nothing."""
        for horizon, column in zip(self.horizons, self._columns(outcomes).T, strict=True):
            known = column[~np.isnan(column)]
            if not len(known):
                raise NoOutcomesAhead(label, horizon, rows=len(column))
            infinite = int(np.isinf(known).sum())
            if infinite:
                raise NothingVaries(label, f"{infinite:,} are infinite {horizon} ahead", rows=len(known))
            if np.ptp(known) == 0:
                raise NothingVaries(label, f"all are {known[0]:g} {horizon} ahead", rows=len(known))

    def lacking(self, outcomes: Floats) -> str:
        for horizon, column in zip(self.horizons, self._columns(outcomes).T, strict=True):
            known = column[~np.isnan(column)]
            if not len(known):
                return f"have no outcome {horizon} ahead"
            if np.ptp(known) == 0:
                return f"all have the outcome {known[0]:g} {horizon} ahead"
        return ""

    def reliability(self, outcomes: Floats, scores: Floats, unit: NDArray[np.int64]) -> Reliability | None:
        """How many outcomes lie below each quantile, at all horizons together; of single numbers nothing."""
        if not self.quantiles:
            return None
        return self._one.reliability(*cells(outcomes, scores, self._per), unit)

    def ideal(self, outcomes: Floats) -> Floats:
        return np.repeat(self._columns(outcomes), self._per, axis=1)

    def means(self, outcomes: Floats, scores: Floats) -> tuple[Any, Any]:
        """A mean outcome for each horizon, and the mean of each number that was answered where that is known; of one number itself."""
        known = np.repeat(~np.isnan(self._columns(outcomes)), self._per, axis=1)
        told, answered = super().means(self._columns(outcomes), np.where(known, scores.reshape(known.shape), np.nan))
        told = told[:: self._per]
        return (told if len(told) > 1 else _mean(told)), (answered if len(answered) > 1 else _mean(answered))

    def outcome_columns(self, outcomes: Floats) -> dict[str, pa.Array]:
        """One for each horizon, `outcome.6h`; of a single horizon, `outcome`."""
        import pyarrow as pa

        if len(self.horizons) == 1:
            return super().outcome_columns(outcomes.reshape(-1))
        return {f"outcome.{h}": pa.array(outcomes[:, i], from_pandas=True) for i, h in enumerate(self.horizons)}

    def strength(self, scores: Floats) -> Floats:
        return scores if scores.ndim == 1 else np.asarray(scores.mean(axis=1))

    def default(self, given: Any) -> tuple[float, ...] | None:
        """One number for all, or the answer for each horizon by its name."""
        if isinstance(given, Mapping) and set(given) != set(self.horizons):
            return None
        parts = [self._one.default(given[horizon] if isinstance(given, Mapping) else given) for horizon in self.horizons]
        return None if any(part is None for part in parts) else tuple(value for part in parts for value in part or ())

    @property
    def default_words(self) -> str:
        return f"{self._one.default_words}, for all horizons or for each by its name"

    def same(self, before: Floats, after: Floats) -> NDArray[np.bool_]:
        return same_by_size(before, after, self.tolerance)

    def plain(self, outcome: Any) -> dict[str, float | None]:
        """One row's outcomes by horizon, None where they are not known."""
        return {h: None if np.isnan(value) else float(value) for h, value in zip(self.horizons, np.atleast_1d(outcome), strict=True)}

    def format_outcome(self, outcome: Any) -> str:
        values = zip(self.horizons, np.atleast_1d(outcome), strict=True)
        return ", ".join(f"{h} {'unknown' if np.isnan(value) else self._one.format_outcome(value)}" for h, value in values)

    def format_score(self, score: Any) -> str:
        parts = np.asarray(score).reshape(len(self.horizons), self._per)
        told = [self._one.format_score(part if self.quantiles else part[0]) for part in parts]
        return (", " if not self.quantiles else "; ").join(f"{h} {each}" for h, each in zip(self.horizons, told, strict=True))

    def format_mean(self, outcome: Any) -> str:
        return f"{_mean(outcome):.4g}"

    def format_rows(self, outcome: Any) -> str:
        return self._one.format_rows(_mean(outcome))

    def target(self, label: Label) -> str:
        *others, last = self.horizons
        return f"{label.target} {', '.join(others)}{' and ' if others else ''}{last} ahead"

    def heading(self, label: Label) -> str:
        return self._one.heading(label)

    def format_bias(self, bias: float, metric: Metric) -> str:
        return self._one.format_bias(bias, metric)

    def _columns(self, outcomes: Floats) -> Floats:
        """Outcomes as `(rows, horizons)`, of one horizon as well."""
        return outcomes.reshape(len(outcomes), len(self.horizons))


def _named(field: Field, name: str) -> Field:
    """The same field under another name."""
    return Field(name, field.type, field.shape, field.nullable, field.labels)


def _mean(outcome: Any) -> float:
    """Of the mean outcomes of all horizons; of those that there are."""
    known = np.atleast_1d(np.asarray(outcome, np.float64))
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else float("nan")
