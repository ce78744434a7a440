"""What is said of a table of predictions: the state of each monitor, and the findings of all of them within one budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np

from noria.core.clock import in_words
from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.evaluation.estimation import Expected
from noria.evaluation.metric import Floats, Metric
from noria.monitoring.expected import ExpectedReading
from noria.monitoring.findings import Finding, began, episodes, summed_up
from noria.monitoring.performance import PerformanceReading
from noria.monitoring.predictions.answers import Answers
from noria.monitoring.predictions.maturity import Maturity
from noria.monitoring.predictions.measured import Bounds, MeasuredWindow
from noria.monitoring.predictions.partial import PartialWindow
from noria.monitoring.table import TableReading

SUDDEN = timedelta(days=14)  # about a fall of performance, within which drift of the inputs is its likely cause


@dataclass(frozen=True)
class Estimated:
    """Losses expected from scores alone. reading: the evidence of the expected losses; trust: how they compared with what came

    expected: of every window, None where there is none; bias: by how much realized losses lay above expected ones in the reference
    """

    reading: PerformanceReading
    trust: ExpectedReading
    expected: tuple[Expected | None, ...]
    bias: float


@dataclass(frozen=True)
class PredictionsReading:
    """What is to be said of the predictions of one model.

    budget: false alarms a year over everything; shares: what each part of the monitoring has of it
    table: data quality, drift and volumes of inputs and answers; watched: the columns by which answers are monitored
    windows: all, those of the reference first; performance: of each judged metric; estimated: None where the task has no estimate, or
        nothing to learn it from; unestimated: why
    partial: the newest windows that wait for outcomes; notes: what was found on reading the table, in sentences
    """

    name: str
    answers: Answers = field(repr=False)
    budget: float
    shares: Mapping[str, float]
    table: TableReading = field(repr=False)
    maturity: Maturity = field(repr=False)
    windows: tuple[MeasuredWindow, ...] = field(repr=False)
    performance: tuple[PerformanceReading, ...] = field(repr=False)
    estimated: Estimated | None = field(repr=False)
    unestimated: str
    outcome: str | None
    partial: tuple[PartialWindow, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def reference(self) -> int:
        """How many windows are the reference."""
        return self.table.reference

    @property
    def watched(self) -> tuple[str, ...]:
        return tuple(self.answers.watched)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """All that was found, in the order of time; its evidence has `over`, when it was over, or None."""
        found = [*map(self._of_answers, self.table.findings), *self._worse(), *self._expected_worse(), *self._late()]
        return tuple(sorted(found, key=lambda f: f.since))

    @property
    def wrong_now(self) -> list[Finding]:
        """What is not over."""
        return [f for f in self.findings if f.evidence["over"] is None]

    @cached_property
    def states(self) -> tuple[tuple[str, Health], ...]:
        """The health of each monitor by its name."""
        now = self.wrong_now
        inputs = [f for f in now if f.kind in ("drift", "data_quality") and not self._is_of_answers(f)]
        answers = [f for f in now if f.kind in ("drift", "data_quality") and self._has_answers(f)]
        volume = [f for f in now if f.kind == "volume"]
        judged = {"windows": len(self.table.drift.starts), "columns": len(self.table.drift.columns)}
        found: list[tuple[str, Health]] = [
            ("inputs", self._state(inputs, judged)),
            ("answers", self._state(answers, judged)),
        ]
        if self.table.volume is not None:
            found.append(("row counts", self._state(volume, {"windows": judged["windows"]})))
        found += [(f"performance: {title_of(r)}", self._performance_state(r)) for r in self.performance]
        if not self.performance:
            found.append(("performance", Unknown(self._unmeasured)))
        found.append(("estimated performance", self._estimated_state))
        return tuple(found)

    @property
    def _unmeasured(self) -> str:
        """Why there is no performance."""
        if self.outcome is None:
            return "no column of outcomes was named"
        if not self.maturity.known.any():
            return "no outcome is known yet"
        return "too few windows of the reference have enough outcomes to compare with; longer windows have more"

    def _state(self, found: Sequence[Finding], evidence: Mapping[str, int]) -> Health:
        if found:
            return Unhealthy(summed_up(found))
        return Healthy(evidence) if evidence["windows"] else Unknown("no window after the reference has rows")

    def _performance_state(self, reading: PerformanceReading) -> Health:
        """Its own health, in the words of its finding; unknown where the newest windows were never judged."""
        if not len(reading.values):
            return Unknown("no window after the reference has enough outcomes")
        if not reading.scored:
            return Unknown("too few windows with outcomes to learn how it varies")
        if began(reading.evidence, reading.threshold) is not None:
            own = [f for f in self.wrong_now if (f.kind, f.subject) == ("performance", reading.name)]
            return Unhealthy(summed_up(own) if own else f"{reading.moved} from the reference")
        unseen = self.maturity.waiting
        if unseen > len(reading.values):
            return Unknown(f"{unseen} windows wait for outcomes, and only {len(reading.values)} could be judged")
        to = f"{reading.starts[-1]:%Y-%m-%d}"
        return Healthy(
            {"windows": len(reading.values), "up to": to, "evidence": float(reading.evidence[-1]), "threshold": reading.threshold}
        )

    @property
    def _estimated_state(self) -> Health:
        if self.estimated is None:
            return Unknown(self.unestimated)
        trust = self.estimated.trust
        if trust.covered is None or not trust.reliable:
            return trust.health
        worse = [f for f in self.wrong_now if f.kind == "estimated_performance"]
        if worse:
            return Unhealthy(worse[0].summary)
        return Healthy({"windows": len(trust.expected), "covered": trust.covered})

    def _is_of_answers(self, finding: Finding) -> bool:
        """Whether answers lead it."""
        columns = finding.evidence.get("columns", ())
        return bool(columns) and columns[0] in self.watched

    def _has_answers(self, finding: Finding) -> bool:
        return any(name in self.watched for name in finding.evidence.get("columns", ()))

    def _of_answers(self, finding: Finding) -> Finding:
        """A finding of the table; of answers, with what to do about those."""
        if not self._is_of_answers(finding):
            return finding
        fix = "check whether another model version answers, and what happened to its inputs"
        evidence = {**finding.evidence, "answers": True}
        return Finding(finding.kind, finding.subject, finding.since, finding.severity, finding.summary, fix, evidence)

    def _worse(self) -> Iterator[Finding]:
        """Metrics that are or were worse than the reference and their tolerance allow; of classes and slices, those whose whole is not."""
        parts = [r for r in self.performance if r.metric.name.endswith(".accuracy") or r.slice]
        of_parts = {reading.name for reading in parts}
        over_all = [finding for reading in self.performance if reading.name not in of_parts for finding in self._episodes(reading)]
        yield from over_all
        for reading in parts:
            yield from (f for f in self._episodes(reading) if not any(_overlap(f, other) for other in over_all))

    def _episodes(self, reading: PerformanceReading) -> Iterator[Finding]:
        before = 0
        for start, end in _whole(episodes(reading.evidence, reading.threshold)):
            first, before = _onset(reading, start, before), end
            since, alarmed = reading.starts[first], reading.starts[start]
            over = None if end == len(reading.evidence) else reading.starts[end].isoformat()
            now, metric = float(reading.values[first:end].mean()), reading.metric
            cause = reading.looks_like(inputs_moved=self._inputs_moved(since)) if over is None else "over by itself"
            usual = f"{metric.format(float(reading.past.mean()))} in the reference" + (" and best at 0" if metric.best == "zero" else "")
            title = title_of(reading)
            words = f"{title} is {metric.format(now)} since then" if over is None else f"{title} was {metric.format(now)}"
            worst = () if reading.slice or over is not None else self._worst_slices(metric, first)
            summary = f"{words}, {usual} (tolerance {reading.tolerance.by:.3g})" + (f"; most in {worst[0]}" if worst else "")
            summary += f"; likely cause: {cause}" if over is None else ""
            evidence = {**reading.to_dict(), "looks_like": cause, "alarmed": alarmed.isoformat(), "over": over, "now": now}
            evidence |= {"slices": list(worst)} if worst else {}
            yield Finding("performance", reading.name, since, "page", summary, _fix(cause, since), evidence, episode=True)

    def _worst_slices(self, metric: Metric, first: int) -> tuple[str, ...]:
        """The slices in which a metric is worse by itself, the worst first. first: the place of the window since when the whole is"""
        own = [r for r in self.performance if r.slice and r.metric == metric and began(r.evidence, r.threshold) is not None]
        return tuple(r.slice for r in sorted(own, key=lambda r: metric.improvement(float(r.values[first:].mean()), r.baseline)))

    def _inputs_moved(self, since: datetime) -> bool:
        drifted = (f for f in self.table.findings if f.kind in ("drift", "data_quality") and not self._is_of_answers(f))
        return any(abs(f.since - since) <= SUDDEN for f in drifted)

    def _expected_worse(self) -> Iterator[Finding]:
        """An expected loss beyond the tolerance in windows without outcomes, where estimates have held so far."""
        if self.estimated is None or not self.estimated.trust.reliable or self.outcome is None:
            return
        reading = self.estimated.reading
        start = began(reading.evidence, reading.threshold)
        judged = [w.start for w in self.windows if w.performance is not None]
        newest = judged[-1] if judged else datetime.min.replace(tzinfo=self.windows[0].start.tzinfo)
        if start is None or reading.starts[-1] <= newest:
            return
        first, metric = _onset(reading, start, 0), reading.metric
        if any(r.metric == metric and began(r.evidence, r.threshold) is not None for r in self.performance):
            return  # what came says so already
        now = float(reading.values[first:].mean() + self.estimated.bias)
        before = metric.format(reading.baseline + self.estimated.bias)
        summary = f"{metric.title} is estimated at {metric.format(now)} since then, {before} in the reference; outcomes are not known yet"
        fix = "check the inputs that moved, and hold decisions that depend on this model until outcomes come"
        evidence = {"estimate": now, "covered": self.estimated.trust.covered, "over": None}
        yield Finding("estimated_performance", metric.name, reading.starts[first], "inform", summary, fix, evidence)

    def _late(self) -> Iterator[Finding]:
        """Outcomes that are due and do not come."""
        late = self.maturity.late_since
        if late is None:
            return
        assert self.maturity.delay is not None
        known, rows = int(self.maturity.known[late:].sum()), int(self.maturity.rows[late:][self.maturity.due[late:]].sum())
        summary = f"outcomes are missing: {known:,} of {rows:,} predictions have one after {in_words(self.maturity.delay)}"
        fix = "check the job that delivers outcomes: performance is not known without them"
        yield Finding("no_data", "outcomes", self.windows[late].start, "page", summary, fix, {"known": known, "rows": rows, "over": None})

    def values(self, reading: PerformanceReading) -> tuple[list[float | None], list[Bounds | None]]:
        """A metric of every window, with its interval; None where it was not judged."""
        values, bounds = list[float | None](), list[Bounds | None]()
        for window in self.windows:
            measured = window.performance
            if measured is not None and reading.slice:
                measured = measured.slices.get(reading.slice)
            value = np.nan if measured is None else measured.value(reading.metric)
            values.append(None if np.isnan(value) else float(value))
            own = window.intervals.get(f"{reading.metric.name} of {reading.slice}" if reading.slice else reading.metric.name)
            bounds.append(None if own is None or np.isnan(own[0]) else own)
        return values, bounds


def title_of(reading: PerformanceReading) -> str:
    """What a metric is called, and of which slice it is."""
    return f"{reading.metric.title} of {reading.slice}" if reading.slice else reading.metric.title


def _overlap(one: Finding, other: Finding) -> bool:
    """Whether two findings are of the same time."""
    ends = [f.evidence["over"] or "9" for f in (one, other)]
    return one.since.isoformat() < ends[1] and other.since.isoformat() < ends[0]


def _whole(found: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Episodes `(first, end)`, of which one that begins where another ends belongs to it: a metric that gets worse again is one problem."""
    whole = list[tuple[int, int]]()
    for start, end in found:
        if whole and whole[-1][1] == start:
            whole[-1] = (whole[-1][0], end)
        else:
            whole.append((start, end))
    return whole


def _onset(reading: PerformanceReading, alarmed: int, after: int) -> int:
    """The window in which a change began that alarmed in a later one: the most likely moment (Page 1954), not before the window `after`."""
    best, found = -np.inf, alarmed
    for sign in reading.metric.worse:
        away = sign * (reading.values[after : alarmed + 1] - reading.baseline)
        level = max(float(away[-windows:].mean()) for windows in (1, 2, 3))  # what it has become, as the newest windows say
        steps: Floats = away - max(level, reading.tolerance.by) / 2
        gains = np.cumsum(steps[::-1])[::-1]
        if gains.max() > best:
            best, found = float(gains.max()), after + int(gains.argmax())
    return found


def _fix(cause: str, since: datetime) -> str:
    """What to do about a model that has become worse."""
    if cause.startswith("a changed relation"):
        return f"retrain on rows since {since:%Y-%m-%d}: what the model learned before no longer holds"
    if cause.startswith("label shift"):
        return f"recalibrate the model, or retrain it, on rows since {since:%Y-%m-%d}"
    if cause == "input drift":
        return "check the inputs that moved first; if the change is real, retrain"
    if cause == "over by itself":
        return "nothing: it is over"
    return "check what changed since then, and retrain if it lasts"
