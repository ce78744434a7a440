"""What `noria init` proposes: each thing with its reason. Pure values; `module` writes them as a project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from noria.core.clock import in_words
from noria.data.contract import Contract
from noria.start.facts import Facts

if TYPE_CHECKING:
    from noria.start.existing import Existing

Task = Literal["binary", "multiclass", "regression", "forecast"]
TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression", "forecast")


@dataclass(frozen=True)
class TimeChoice:
    """When a row happened. column: of the data, or the one that is made; made: whether rows have none and are dated evenly

    written: how the texts are written, where they have to be rewritten; zone: whose clock they are by, where they don't say
    shuffled: whether the rows are dated in a random order, since they are sorted by what is to be predicted
    """

    column: str
    reason: str
    start: datetime
    end: datetime
    made: bool = False
    written: str | None = None
    zone: str | None = None
    shuffled: bool = False

    @property
    def span(self) -> timedelta:
        return self.end - self.start


@dataclass(frozen=True)
class KeyChoice:
    """What tells rows apart: columns, or a row number that is made."""

    columns: tuple[str, ...]
    reason: str
    made: bool = False


@dataclass(frozen=True)
class LabelChoice:
    """The column to predict. known: the column that says when an outcome is known, where it is not the event time; after: how long after
    it that is"""

    column: str
    reason: str
    known: str | None = None
    after: timedelta = timedelta()


@dataclass(frozen=True)
class TaskChoice:
    """What kind of answer. positive: the value that counts as 1; classes: in the order of the answers; step: of a series"""

    name: Task
    reason: str
    positive: Any = None
    classes: tuple[Any, ...] = ()
    step: timedelta | None = None
    horizons: tuple[timedelta, ...] = ()
    spread: float = 0.0  # the standard deviation of numbers

    @property
    def metric(self) -> str:
        return "log_loss" if self.name in ("binary", "multiclass") else "absolute_error"


@dataclass(frozen=True)
class LeftOut:
    """A column that is no feature, and why. suspect: whether it seems to give the answer away"""

    column: str
    reason: str
    suspect: bool = False


@dataclass(frozen=True)
class Inputs:
    """The columns that become features, by how they are read; pixels: numbers that are an image together"""

    numbers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    prose: tuple[str, ...] = ()
    pixels: tuple[str, ...] = ()
    image: str | None = None
    calendar: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.numbers, *self.categories, *self.prose, *self.pixels, *((self.image,) if self.image else ()))

    @property
    def texts(self) -> tuple[str, ...]:
        return (*self.categories, *self.prose)


@dataclass(frozen=True)
class Proposal:
    """Everything that a project is written from."""

    name: str
    rows: int
    whole: bool
    facts: Mapping[str, Facts] = field(repr=False)
    time: TimeChoice
    key: KeyChoice
    label: LabelChoice
    task: TaskChoice
    inputs: Inputs
    left_out: Sequence[LeftOut]
    contract: Contract
    tick: str
    holdout: str
    notes: Sequence[str] = ()
    model: Existing | None = None

    @property
    def suspects(self) -> list[LeftOut]:
        return [one for one in self.left_out if one.suspect]

    @property
    def prepared(self) -> bool:
        """Whether the rows have to be written anew: a column is made, or times are rewritten."""
        return self.time.made or self.key.made or self.time.written is not None

    def reasons(self) -> list[tuple[str, str, str]]:
        """(what, choice, reason) of every proposal, in the order of the module."""
        from noria.start.trainers import trainer_of

        first = trainer_of(self)
        task = self.task.name + (f" of {len(self.task.classes)} classes" if self.task.name == "multiclass" else "")
        horizons = ", ".join(in_words(h) for h in self.task.horizons)
        found = [
            ("event time", self.time.column, self.time.reason),
            ("key", " + ".join(self.key.columns), self.key.reason),
            ("label", self.label.column, self.label.reason),
            ("task", task + (f" {horizons} ahead" if horizons else ""), self.task.reason),
            ("known", self.label.known or self.time.column, self._known),
            ("features", self._features, "what a row says itself" if self.task.name != "forecast" else "what the series was before"),
            ("contract", self._rules, "what all rows of the sample keep, with a tenth of room"),
            ("trainer", first.name, first.about[0].lower() + first.about[1:].rstrip(".")),
            ("holdout", self.holdout, "the newest rows, on which a candidate is compared with the champion"),
            ("endpoint", self.name, "the first model serves at once; a later one shadows it for 3 to 14 days before it does"),
            ("monitor", self.task.metric, "inputs, traffic and this metric, with two false alarms a year"),
            ("retrain", *self._renewed),
        ]
        return [*found, *((f"leakage suspect: {one.column}", "left out", one.reason) for one in self.suspects)]

    @property
    def _renewed(self) -> tuple[str, str]:
        if self.model is not None:
            return "not yet", "the model is given; it learns from new data once another trainer takes its place"
        return "regression(), stale(90d)", "when it gets worse, or is old; at most every two weeks"

    @property
    def _known(self) -> str:
        if self.label.known:
            return f"outcomes come later: nearly all within {in_words(self.label.after)}"
        return "no other time says when an outcome was known, so it counts as known when the row happened"

    @property
    def _features(self) -> str:
        parts = [(len(self.inputs.numbers), "numbers"), (len(self.inputs.categories), "categories"), (len(self.inputs.prose), "texts")]
        parts += [
            (len(self.inputs.pixels), "pixels"),
            (int(self.inputs.image is not None), "image"),
            (len(self.inputs.calendar), "of the calendar"),
        ]
        if self.task.name == "forecast":
            return "lags and means of the series, and the calendar"
        return ", ".join(f"{count} {kind}" for count, kind in parts if count) or "none"

    @property
    def _rules(self) -> str:
        c = self.contract
        return f"{len(c.not_null)} not null, {len(c.between)} ranges, {len(c.one_of)} lists of values"

    @property
    def needs(self) -> list[str]:
        """What has to be installed before it can be trained, as commands."""
        extras = [("sklearn", "sklearn"), ("skl2onnx", "sklearn")] + ([("pandas", "pandas")] if self.inputs.texts else [])
        extras += [("PIL", "images")] if self.inputs.image else []
        lacking = dict.fromkeys(extra for library, extra in extras if find_spec(library) is None)
        return [f'pip install "noria[{",".join(lacking)}]"'] if lacking else []

    def to_dict(self) -> dict[str, Any]:
        """As `noria init --json` prints it."""
        return {
            "project": self.name,
            "rows": self.rows,
            "sampled": not self.whole,
            "proposals": [{"what": what, "choice": choice, "reason": reason} for what, choice, reason in self.reasons()],
            "features": list(self.inputs.all),
            "left_out": [{"column": one.column, "reason": one.reason, "suspect": one.suspect} for one in self.left_out],
            "notes": list(self.notes),
            "needs": self.needs,
        }
