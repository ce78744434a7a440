"""The options of `noria monitor predictions`, by what they are about."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Text = str | None

# The rows, and where they come from
Files = Annotated[
    str,
    typer.Argument(
        envvar="NORIA_FILES",
        help="Parquet, CSV or JSON-lines files, or inference logs: a path, a glob, or a URL. With --url, a SQL query.",
    ),
]
Url = Annotated[Text, typer.Option("--url", envvar="NORIA_URL", help="The database that FILES is a SQL query of.")]
LogFormat = Annotated[
    Text,
    typer.Option(
        "--format",
        envvar="NORIA_FORMAT",
        help="The format of inference logs: sagemaker, kserve, mlserver, seldon or triton (default: recognized).",
    ),
]

# Their columns
Time = Annotated[str, typer.Option("--time", envvar="NORIA_TIME", help="The column with the time of each prediction.")]
Prediction = Annotated[
    str,
    typer.Option(
        "--prediction", envvar="NORIA_PREDICTION", help="The column with a probability, a number or a class; or one per class: a,b,c."
    ),
]
Outcome = Annotated[Text, typer.Option("--outcome", envvar="NORIA_OUTCOME", help="The column with the outcome, null if unknown.")]
TaskName = Annotated[
    Text, typer.Option("--task", envvar="NORIA_TASK", help="binary, regression or multiclass (default: inferred from the columns).")
]
Classes = Annotated[Text, typer.Option("--classes", envvar="NORIA_CLASSES", help="The classes, in the order of --prediction: a,b,c.")]
Positive = Annotated[Text, typer.Option("--positive", envvar="NORIA_POSITIVE", help="The outcome that counts as 1 in a binary task.")]
Id = Annotated[Text, typer.Option("--id", envvar="NORIA_ID", help="The id of each prediction; repeated ones are reported.")]
ByModel = Annotated[
    Text, typer.Option("--by", envvar="NORIA_BY", help="The column that names the model of each row; each model is judged by itself.")
]
LeaveOut = Annotated[str, typer.Option("--leave-out", envvar="NORIA_LEAVE_OUT", help="Columns not to monitor: a,b.")]
Slices = Annotated[
    str,
    typer.Option("--slice", "--slices", envvar="NORIA_SLICES", help="Columns whose values are judged by themselves as well: a,b."),
]

# Outcomes
OutcomeTime = Annotated[
    Text, typer.Option("--outcome-time", envvar="NORIA_OUTCOME_TIME", help="The column with the time when each outcome became known.")
]
Outcomes = Annotated[Text, typer.Option("--outcomes", envvar="NORIA_OUTCOMES", help="Files with the outcomes, if they are kept elsewhere.")]
On = Annotated[Text, typer.Option("--on", envvar="NORIA_ON", help="The id that joins --outcomes to the predictions (default: --id).")]
Until = Annotated[
    Text,
    typer.Option(
        "--until", envvar="NORIA_UNTIL", help="The table is complete up to this time, with a UTC offset; later outcomes do not count."
    ),
]
Matures = Annotated[
    Text,
    typer.Option("--matures", envvar="NORIA_MATURES", help="How long after a prediction its outcome is certain to be known, such as 30d."),
]

# What is judged, and how
Every = Annotated[str, typer.Option("--every", envvar="NORIA_EVERY", help="The window size: a duration, or a number of rows.")]
Reference = Annotated[
    Text,
    typer.Option(
        "--reference",
        envvar="NORIA_REFERENCE",
        help="The number of reference windows, or the time they end, with a UTC offset (default: 60, or half of all).",
    ),
]
Rolling = Annotated[
    bool, typer.Option("--rolling", envvar="NORIA_ROLLING", help="Compare inputs and answers with the windows just before.")
]
Tolerances = Annotated[
    Text,
    typer.Option(
        "--tolerance",
        envvar="NORIA_TOLERANCE",
        help="Metrics to judge, and the change tolerated in each: log_loss=0.02,auc=0.01 (default: the task's).",
    ),
]
Budget = Annotated[
    float,
    typer.Option("--false-alarms-per-year", "--budget", envvar="NORIA_BUDGET", help="False alarms per year, over everything together."),
]
TimeZone = Annotated[
    Text,
    typer.Option("--time-zone", envvar="NORIA_TIME_ZONE", help="The time zone of hours and days, such as Europe/Berlin (default: UTC)."),
]

# What is written
Html = Annotated[Path | None, typer.Option("--html", "--out", "-o", envvar="NORIA_OUT", help="Also write an HTML page.")]
