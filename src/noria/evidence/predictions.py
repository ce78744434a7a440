"""`judge_predictions`: a table of predictions, wherever the model ran, judged as the predictions of an endpoint are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.clock import moment
from noria.core.errors import MissingExtra
from noria.core.files import LocalFiles
from noria.data.reading import read_rows
from noria.data.source import FileSource, SqlSource
from noria.evaluation.task import Task
from noria.evidence.predictions_figures import headline, predictions_figures
from noria.monitoring.arrow_rows import as_arrow
from noria.monitoring.findings import Finding
from noria.monitoring.monitor import Tolerance
from noria.monitoring.predictions.answers import JudgeOptions
from noria.monitoring.predictions.judge import Plan, by_model, read_predictions
from noria.monitoring.predictions.outcomes import join_outcomes
from noria.monitoring.predictions.reading import PredictionsReading
from noria.monitoring.predictions.values import NotPredictions
from noria.monitoring.windowed_table import NotJudged
from noria.serving.log.as_table import is_log, log_as_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class JudgedPredictions:
    """What `judge_predictions` found.

    readings: of each model by its name; one under the empty name where models are not told apart
    not_judged: models with too little to judge, and why; budget: false alarms a year over all models together
    """

    name: str
    readings: Mapping[str, PredictionsReading] = field(repr=False)
    not_judged: Mapping[str, str]
    budget: float
    unread: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """All that was found, in the order of time. `evidence["over"]` is when it was over, None while it lasts; with several models,
        `evidence["model"]` is the model."""
        found = [
            replace(f, evidence={**f.evidence, "model": model}) if model else f
            for model, reading in self.readings.items()
            for f in reading.findings
        ]
        return tuple(sorted(found, key=lambda f: f.since))

    @property
    def wrong_now(self) -> list[Finding]:
        """The findings that are not over."""
        return [f for f in self.findings if f.evidence["over"] is None]

    @cached_property
    def _figures(self) -> dict[str, Any]:
        return {
            "table": self.name,
            "false_alarms_per_year": self.budget,
            "models": [predictions_figures(reading, model or None) for model, reading in self.readings.items()],
            "not_judged": dict(self.not_judged),
            "wrong_now": len(self.wrong_now),
            **self.unread,
        }

    @property
    def headline(self) -> str:
        """How the predictions are, in one sentence."""
        return headline(self._figures)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data: what `noria monitor predictions --json` prints."""
        return self._figures

    def to_frame(self) -> pd.DataFrame:
        """A row for each window (and model): its rows, its outcomes, whether these are due, each metric and its interval, and the estimated
        loss. Needs pandas."""
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtra(library="pandas", extra="pandas", needed_for="to_frame()") from error
        rows = []
        for model in self._figures["models"]:
            for i, window in enumerate(model["windows"]):
                row = {"model": model["model"], **window, "start": datetime.fromisoformat(window["start"])}
                for one in model["performance"]:
                    bounds = one["intervals"][i] or (None, None)
                    row |= {one["metric"]: one["values"][i], f"{one['metric']}_lower": bounds[0], f"{one['metric']}_upper": bounds[1]}
                if model["estimated"] is not None:
                    row[f"{model['estimated']['metric']}_estimated"] = model["estimated"]["values"][i]
                row["reference"] = i < model["reference"]["windows"]
                rows.append(row)
        return pd.DataFrame(rows)

    def to_html(self) -> str:
        """One self-contained page."""
        from noria.evidence.predictions_report import render_predictions_report

        return render_predictions_report(self._figures)

    def save_html(self, path: str | Path) -> Path:
        """Write the page; returns where."""
        found = Path(path)
        LocalFiles().write(found, self.to_html().encode())
        return found

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{escape(self.to_html())}" style="width:100%;height:720px;border:0"></iframe>'

    def __str__(self) -> str:
        lines = [self.headline, *(f"  {f.since:%Y-%m-%d}  {f.kind}: {f.summary}" for f in self.wrong_now)]
        return "\n".join(lines)


def judge_predictions(
    predictions: Any,
    *,
    time: str,
    prediction: str | Sequence[str] | Mapping[str, str],
    outcome: str | None = None,
    task: Task | str | None = None,
    classes: Sequence[Any] | None = None,
    positive: Any = None,
    id: str | None = None,
    outcome_time: str | None = None,
    outcomes: Any = None,
    on: str | None = None,
    by: str | None = None,
    every: str | timedelta | int = "1d",
    reference: int | str | datetime | None = None,
    rolling: bool = False,
    until: str | datetime | None = None,
    matures: str | timedelta | None = None,
    performance: Sequence[Tolerance] = (),
    slices: Sequence[str] = (),
    false_alarms_per_year: float = 2.0,
    time_zone: str | None = None,
    leave_out: Sequence[str] = (),
    format: str | None = None,
    name: str | None = None,
) -> JudgedPredictions:
    """Judge predictions of a model that runs elsewhere, as Noria judges those of its own endpoints.

    predictions: a data frame of pandas or polars, an Arrow table, a path, glob or URL of Parquet, CSV or JSON-lines files, the folder of
        a prediction log of Noria's own, or a source such as `nr.sql("SELECT …", url="…")`
    time: the column with the time of each prediction; without a zone it is UTC
    prediction: the column with a probability, a number, a class label, or a list or struct with the probability of each class; several
        columns, one for each class; or a mapping of classes to columns
    outcome: the column with what came about, null where it is not known; task: `"binary"`, `"regression"`, `"multiclass"`, or a task
        such as `nr.Regression(unit="min")`; inferred if left out
    classes: in the order of the probabilities; positive: the outcome that counts as 1 in a binary task
    id: of each prediction: of rows that repeat one, the first counts; outcome_time: when each outcome became known
    outcomes: outcomes that are kept elsewhere, in any of the forms of `predictions`; on: the column that joins them (default: `id`)
    by: the column that names the model of each row: each model is judged by itself, within the one budget
    every: how long a window is, or how many rows it has
    reference: how many windows, the first, the others are compared with; or the moment before which they lie; if left out, 60, or half of
        them; rolling: inputs and answers are compared with as many windows just before instead
    until: the moment up to which the table is complete: later outcomes do not count; matures: how long after a prediction its outcome is
        certain to be known, such as `"30d"`; if left out, it follows from `outcome_time`, or from how many outcomes usually come
    performance: the metrics to judge with the change that is tolerated, such as `[nr.Tolerance("log_loss", by=0.02)]`; if left out, the
        usual ones of the task, each with a tolerance by its value in the reference
    slices: columns whose values make slices, in each of which the metrics are judged by themselves: the 16 most frequent values of each
    false_alarms_per_year: over everything together
    time_zone: whose clock hours and days follow; leave_out: columns that are not monitored
    name: of what is judged, as the page has it
    format: of inference logs in `predictions`, such as `"sagemaker"`: see `noria.data.inference_logs`

    Raises `NotPredictions`, `NotOutcomes`, `UndecidedTask`, `NotJudged`, and what reading the rows raises.
    """
    rows, title, unread, notes = _rows(predictions, name, format)
    if not rows.num_rows:
        raise NotPredictions(what="there are no rows", where=title, fix="name files, or a query, with predictions")
    columns, given = _columns(prediction, classes)
    if outcomes is not None:
        told, _, _, _ = _rows(outcomes, "outcomes", None)
        if outcome is None or (on or id) is None:
            raise NotPredictions(
                what="outcomes are kept elsewhere, and " + ("no column of them is named" if outcome is None else "no id joins them"),
                where="outcomes",
                fix="give `outcome`, the column of the outcomes, and `on`, the id that both tables have",
            )
        rows, joined = join_outcomes(rows, told, str(on or id), outcome, outcome_time)
        notes = [*notes, *joined]
    asked = JudgeOptions(
        time,
        columns,
        outcome,
        outcome_time,
        id or (on if outcomes is not None else None),
        task,
        given,
        None if positive is None else str(positive),
    )
    plan = replace(
        Plan.of(every, matures),
        reference=moment(reference) if isinstance(reference, str) else reference,
        rolling=rolling,
        until=moment(until) if isinstance(until, str) else until,
        time_zone=time_zone,
        leave_out=tuple(leave_out),
        slices=tuple(slices),
        tolerances={str(tolerance.metric): tolerance.by for tolerance in performance},
        budget=false_alarms_per_year,
    )
    if by is None:
        return JudgedPredictions(title, {"": read_predictions(rows, asked, plan, title, notes)}, {}, false_alarms_per_year, unread)
    return _each_model(by_model(rows, by, title), asked, plan, title, notes, unread)


def _each_model(
    models: Mapping[str, pa.Table], asked: JudgeOptions, plan: Plan, title: str, notes: Sequence[str], unread: Mapping[str, Any]
) -> JudgedPredictions:
    """Each model by itself, with its part of the budget. A model with too few windows is not judged; raises if none can be."""
    readings, not_judged, first = dict[str, PredictionsReading](), dict[str, str](), None
    part = replace(plan, budget=plan.budget / max(len(models), 1))
    for model, rows in models.items():
        try:
            readings[model] = read_predictions(rows, asked, part, f"{title}, {model}", notes)
        except NotJudged as error:
            not_judged[model], first = error.what, first or error
    if not readings:
        raise first or NotPredictions(what="no row names a model", where=title, fix="name another column with `by`")
    return JudgedPredictions(title, readings, not_judged, plan.budget, unread)


def _rows(source: Any, name: str | None, format: str | None) -> tuple[pa.Table, str, dict[str, Any], list[str]]:
    """Rows from any of the forms that they may have; what they are called, what could not be read, and notes about it."""
    if isinstance(source, str | Path) and is_log(Path(source)):
        return log_as_table(Path(source), LocalFiles()), name or Path(source).resolve().name, {"not_rows": 0, "unreadable": {}}, []
    if isinstance(source, str | Path | FileSource | SqlSource):
        found = read_rows(source, Path(), format)
        title = name or (Path(source).name if isinstance(source, str | Path) else "query")
        notes = [f"{found.malformed:,} records are malformed or are no predictions"] if found.malformed else []
        notes += [f"{path} can't be read: {why}" for path, why in found.unreadable.items()]
        return found.rows, title, {"not_rows": found.malformed, "unreadable": dict(found.unreadable)}, notes
    title = name or "predictions"
    return as_arrow(source, title), title, {"not_rows": 0, "unreadable": {}}, []


def _columns(
    prediction: str | Sequence[str] | Mapping[str, str], classes: Sequence[Any] | None
) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """The columns with predictions, and the classes that are given."""
    if isinstance(prediction, Mapping):
        return tuple(prediction.values()), tuple(map(str, prediction))
    columns = (prediction,) if isinstance(prediction, str) else tuple(prediction)
    if not columns:
        raise NotPredictions(what="no column of predictions is named", where="prediction", fix="name one column, or one for each class")
    return columns, None if classes is None else tuple(map(str, classes))
