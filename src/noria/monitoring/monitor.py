"""The declaration of a monitor: what is watched, and how many false alarms a year a team will stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Protocol

from noria.core.arguments import WrongArgument, require_each
from noria.core.calendar import Period
from noria.core.clock import moment, require_utc
from noria.core.declarations import declare
from noria.core.errors import UserMistake
from noria.evaluation.generation import Generation
from noria.evaluation.metric import Metric
from noria.evaluation.metrics import require_metric
from noria.evaluation.task import Task
from noria.monitoring.answers.judged import SampledJudge
from noria.monitoring.answers.shares import AnswerShare
from noria.monitoring.answers.spending import SpendingLimit
from noria.monitoring.business import BusinessMetric

# How the budget of false alarms is shared between the lanes (performance pages; drift informs).
PERFORMANCE_SHARE, DRIFT_SHARE, VOLUME_SHARE, METRICS_SHARE = 0.45, 0.35, 0.1, 0.1
# How much lower than the budget's own threshold drift may alarm, by simulation (benchmarks/monitoring): the mean over so many statistics is
# careful, and leaves most of the budget unspent.
SENSITIVITY = 20.0


class NotInWords(UserMistake):
    """A monitor of answers in words is declared for an endpoint that gives none."""

    code = "NR-586"

    def __init__(self, endpoint: str, given: Sequence[str]) -> None:
        super().__init__(
            what=f"endpoint {endpoint!r} does not answer in words, so that {' and '.join(given)} can't be watched",
            where=f"nr.Monitor({', '.join(f'{name}=…' for name in given)})",
            fix="leave them out; they are for models with task=nr.Generation()",
        )


class Named(Protocol):
    """Anything with a name: an endpoint, which is declared further down the stream."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class Tolerance:
    """How much worse a metric may get before it is an alarm.

    A loss gets worse by growing above the champion's baseline, an AUC by falling below it, and a bias, such as the calibration, by its
    distance from zero, either way.

    metric: its name, as the model's task has it, or a metric of your own
    by: the change that is tolerated, in the metric's unit

    Raises `UnknownMetric`.
    """

    metric: Metric | str
    by: float

    def __post_init__(self) -> None:
        require_metric(self.metric, averaged=False, where="nr.Tolerance")


@dataclass(frozen=True)
class Monitor:
    """Watches an endpoint's inputs (drift) and, as outcomes arrive, its performance.

    endpoint: what is watched: an endpoint, or its declaration
    false_alarms_per_year: the budget of everything that accumulates evidence over windows, together
    performance: the metrics that are watched, each with the change that is tolerated; without any, performance is not watched
    skew: the largest share of a feature's served values that may differ from what its definition gives; None: not watched
    metrics: numbers that SQL draws from predictions and outcomes, each watched as a series
    slices: features of few values (an airport, a partner) in each of which performance is watched by itself
    reference: a fixed period, such as `("2024-01-01T00:00Z", "2024-03-01T00:00Z")`: of what a champion is trained on, inputs are compared
        with the rows of that period; None: with all
    rolling: a stretch such as `"60d"`: inputs are compared with the newest windows before, whatever those were like, so that a change is
        told once and is usual afterwards; None: with what the champion was trained on, and what was well since
    answers: of an endpoint that answers in words, shares of its answers that may not rise: `nr.AnswerShare("unanswered", by=0.05)`
    spending: what these may cost in a day or a month; judged: judges that are asked about a sample of them: `llm.sampled(…)`
    sensitivity: of the drift lane, as `noria monitor backtest --suggest` finds it for this project's own past
    """

    endpoint: Named
    false_alarms_per_year: float = 2.0
    performance: Sequence[Tolerance] = ()
    skew: float | None = None
    sensitivity: float = SENSITIVITY
    metrics: Sequence[BusinessMetric] = ()
    slices: Sequence[str] = ()
    reference: tuple[str | datetime, str | datetime] | None = None
    rolling: str | timedelta | None = None
    answers: Sequence[AnswerShare] = ()
    spending: Sequence[SpendingLimit] = ()
    judged: Sequence[SampledJudge] = ()

    def __post_init__(self) -> None:
        if not hasattr(self.endpoint, "model"):  # which tells an endpoint from a model of its name; endpoints are declared downstream
            raise WrongArgument("nr.Monitor", "endpoint", self.endpoint, "write nr.Monitor(endpoint, …): what nr.Endpoint(…) gave")
        require_each("nr.Monitor", "performance", self.performance, Tolerance, 'performance=[nr.Tolerance("log_loss", by=0.03)]')
        require_each("nr.Monitor", "metrics", self.metrics, BusinessMetric, 'metrics=[nr.BusinessMetric("revenue", …)]')
        require_each("nr.Monitor", "answers", self.answers, AnswerShare, 'answers=[nr.AnswerShare("unanswered", by=0.05)]')
        require_each("nr.Monitor", "spending", self.spending, SpendingLimit, 'spending=[nr.SpendingLimit("day", dollars=5.0)]')
        require_each("nr.Monitor", "judged", self.judged, SampledJudge, "judged=[llm.sampled(judge, at_least=0.9)]")
        self._require_words()
        require_each("nr.Monitor", "slices", self.slices, str, 'slices=["city"], of names of features')
        if not (self.false_alarms_per_year > 0 and self.sensitivity >= 1):
            raise UserMistake(
                what="the false-alarm budget or the sensitivity is out of range",
                where=f"false_alarms_per_year={self.false_alarms_per_year}, sensitivity={self.sensitivity}",
                fix="give false_alarms_per_year above 0, and a sensitivity of at least 1",
            )
        if self.period is not None and not self.period.start < self.period.end:
            raise self._no_period("the reference period ends before it begins")
        declare(self)

    @cached_property
    def period(self) -> Period | None:
        """The fixed period of the reference, in UTC."""
        if self.reference is None:
            return None
        if isinstance(self.reference, str) or len(self.reference) != 2:
            raise self._no_period("a reference period needs a start and an end")
        start, end = (moment(each) if isinstance(each, str) else require_utc(each) for each in self.reference)
        return Period(start, end)

    def _require_words(self) -> None:
        """What is of answers in words is watched where an endpoint has any."""
        given = [name for name in ("answers", "spending", "judged") if getattr(self, name)]
        task = getattr(getattr(self.endpoint, "model", None), "task", None)
        if given and not isinstance(task, Generation):
            raise NotInWords(self.endpoint.name, given)

    def _no_period(self, what: str) -> UserMistake:
        fix = "give (start, end): rows from the start on and before the end are the reference"
        return UserMistake(what=what, where=f"nr.Monitor(reference={self.reference!r}) of {self.endpoint.name}", fix=fix)

    @property
    def performance_budget(self) -> float:
        """False alarms a year that each tolerance may raise over all rows; half of them are for slices, where there are any."""
        whole = PERFORMANCE_SHARE * self.false_alarms_per_year / max(1, len(self.performance))
        return whole / 2 if self.slices else whole

    def losses(self, task: Task) -> list[Metric]:
        """The watched metrics that are means over rows."""
        watched = [task.metric(tolerance.metric) for tolerance in self.performance]
        return [metric for metric in watched if metric.over == "rows"]

    def slice_budget(self, slices: int) -> float:
        """False alarms a year that each tolerance may raise in each of so many slices."""
        return self.performance_budget / max(1, slices)

    @property
    def drift_budget(self) -> float:
        return DRIFT_SHARE * self.false_alarms_per_year

    @property
    def metric_budget(self) -> float:
        """False alarms a year that each business metric, each share of answers and each judge may raise."""
        return METRICS_SHARE * self.false_alarms_per_year / max(1, len(self.metrics) + len(self.answers) + len(self.judged))

    def volume_budget(self, series: int) -> float:
        """False alarms a year that each series of counts may raise."""
        return VOLUME_SHARE * self.false_alarms_per_year / max(1, series)
