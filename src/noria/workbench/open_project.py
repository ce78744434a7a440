"""An open project: what a notebook asks of it, each answer a typed result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.clock import Stopwatch, SystemClock, require_utc
from noria.core.clock import moment as moment_of
from noria.core.progress import Tell, silence
from noria.data.ingest import Ingested, ingest
from noria.data.table import Table
from noria.evidence.feature_catalog import feature_catalog
from noria.evidence.figures import findings, replay_figures
from noria.evidence.replay import write_report
from noria.evidence.status import status
from noria.evidence.training import lines, trained
from noria.features.facts import Facts
from noria.features.training_set import build_training_set
from noria.loop.comparison import run_replay
from noria.loop.context import EndpointContext, Policy
from noria.loop.controller import train_now
from noria.loop.project import Project, UnknownName, load_project
from noria.models.model import Model
from noria.stores.catalog import PATIENCE_SECONDS
from noria.stores.workspace import Workspace
from noria.workbench.evaluation import evaluated
from noria.workbench.ingestion import ingested
from noria.workbench.result import Result
from noria.workbench.training_rows import TrainingRows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def open(folder: str | Path = ".") -> OpenProject:
    """The project in a folder, from Python or a notebook: `project = nr.open(".")`.

    folder: where `noria.toml` lies

    Raises what loading a project raises: `BadSettings`, `ProjectFailed`, `DeclaredTwice`.
    """
    project = load_project(Path(folder).resolve())
    return OpenProject(project, Workspace.of(project.folder, project.settings))


@dataclass(frozen=True)
class StoredTable:
    """A table as it was ingested."""

    table: Table
    workspace: Workspace

    @property
    def version(self) -> int | None:
        """The newest version; None before the first ingestion."""
        return self.workspace.tables.latest(self.table.name)

    def to_arrow(self) -> pa.Table:
        """All rows of the newest version. Raises `NotIngested`."""
        from noria.data.ingest import stored

        return stored(self.table, self.workspace.tables).whole.rows

    def to_pandas(self) -> pd.DataFrame:
        """The same as a pandas data frame."""
        return self.to_arrow().to_pandas()

    def ingest(self) -> Result:
        """Bring it up to date with its source."""
        return ingested([self._ingested()])

    def _ingested(self) -> Ingested:
        return ingest(self.table, self.workspace.tables, self.workspace.folder)


class Tables(dict[str, StoredTable]):
    """Tables by name. Raises `UnknownName` for one that the project does not declare."""

    def __missing__(self, name: str) -> StoredTable:
        raise UnknownName("table", name, self)


@dataclass(frozen=True)
class OpenProject:
    """A project, for people who explore. Nothing is kept open between calls."""

    project: Project
    workspace: Workspace

    @property
    def tables(self) -> dict[str, StoredTable]:
        """The tables, by name."""
        return Tables({table.name: StoredTable(table, self.workspace) for table in self.project.tables})

    @property
    def models(self) -> list[str]:
        """The names of the models."""
        return [model.name for model in self.project.models]

    @property
    def endpoints(self) -> list[str]:
        """The names of the endpoints."""
        return [endpoint.name for endpoint in self.project.endpoints]

    def ingest(self) -> Result:
        """Bring every table up to date with its source; a row for each."""
        return ingested([table._ingested() for table in self.tables.values()])

    def features(self) -> Result:
        """The feature catalog: each feature of each view, with its statistics."""
        found = feature_catalog(self.project, self.workspace)
        rows = [{"view": view["view"], **feature} for view in found["views"] for feature in view["features"]]
        return Result(f"{len(rows)} features of {len(found['views'])} views", found, rows)

    def status(self) -> Result:
        """Tables, champion, monitors, the last decisions, and what to do next."""
        found = status(self.project, self.workspace)
        rows = [{"endpoint": e["name"], "champion": e["champion"], "health": e["health"]["health"]} for e in found["endpoints"]]
        return Result(f"{found['project']}: {found['health']['health']}", found, rows)

    def findings(self, *, open_only: bool = False) -> Result:
        """What the monitors found, oldest first. open_only: without those that are over"""
        with closing(self.workspace.catalog()) as catalog:
            found = [each for each in findings(catalog) if not (open_only and each["closed_at"])]
        shown = ("opened_at", "endpoint", "kind", "subject", "severity", "summary", "closed_at")
        return Result(f"{len(found)} findings", found, [{name: each[name] for name in shown} for each in found])

    def training_set(self, model: str | None = None, *, as_of: datetime | str | None = None) -> TrainingRows:
        """What a training at `as_of` (default: now) would learn from: the spine's rows with their features and outcomes, as known then.

        model: its name, where the project has several; as_of: the moment, with a zone

        Raises `NotIngested`, `NothingToTrainOn`, `UnknownName`.
        """
        chosen = self._model(model)
        facts = Facts.read(self.workspace, chosen.features, chosen.label, chosen.task.coding)
        moment = SystemClock().now() if as_of is None else moment_of(as_of) if isinstance(as_of, str) else require_utc(as_of)
        found = build_training_set(facts.offline, chosen.label, facts.outcomes, chosen.task, start=facts.offline.first(), as_of=moment)
        return TrainingRows(chosen, found)

    def train(self, endpoint: str | None = None, tell: Tell = silence) -> Result:
        """Train a candidate now and let the loop decide about it, as `noria train` does.

        endpoint: its name, where the project has several; tell: called with a line of progress, such as `print`
        """
        with self._context(endpoint, live=True) as context:
            context.stores.catalog.take_lease(PATIENCE_SECONDS)
            done = train_now(context, SystemClock(), tell)
            told = trained(context.stores.catalog, done)
        data = [
            {"action": a.verb, "subject": a.subject, "reason": a.reason, **({"trained": told[a.key]} if a.key in told else {})}
            for a in done
        ]
        rows = [{"action": each["action"], "reason": each["reason"]} for each in data]
        said = [line for each in told.values() for line in lines(each)]
        return Result("; ".join(said[:2]) or "nothing was trained", data, [*rows, *({"action": "", "reason": line} for line in said)])

    def evaluate(self, endpoint: str | None = None) -> Result:
        """The champion on all rows with known outcomes that it was not trained on, window by window and as a whole.

        endpoint: its name, where the project has several
        """
        with self._context(endpoint) as context:
            return evaluated(context)

    def replay(self, endpoint: str | None = None, tell: Tell = silence) -> Result:
        """What the declared policy, never retraining and a calendar would have done over the project's span, as `noria replay` says.

        endpoint: its name, where the project has several; tell: called with a line of progress, such as `print`
        """
        watch = Stopwatch()
        replayed = run_replay(self.project, self.workspace, self.project.endpoint(endpoint), tell)
        figures = write_report(self.project, self.workspace, replayed, replay_figures(replayed.contexts, replayed.span), watch)
        replayed.close()
        rows = [
            {"policy": name, **{key: value for key, value in policy.items() if isinstance(value, int | float)}}
            for name, policy in figures["policies"].items()
        ]
        headline = f"{len(rows)} policies for {replayed.home.endpoint.name}, {replayed.span.start:%Y-%m-%d} to {replayed.span.end:%Y-%m-%d}"
        return Result(headline, figures, rows, Path(figures["report"]).read_text())

    @contextmanager
    def _context(self, endpoint: str | None, *, live: bool = False) -> Iterator[EndpointContext]:
        chosen = self.project.endpoint(endpoint)
        context = EndpointContext.open(self.project, self.workspace, chosen, Policy.declared(self.project, chosen), live=live)
        with closing(context.stores.catalog):
            yield context

    def _model(self, name: str | None) -> Model:
        found: list[Model] = [model for model in self.project.models if name in (None, model.name)]
        if len(found) != 1:
            raise UnknownName("model", str(name), self.models)
        return found[0]

    def __repr__(self) -> str:
        return (
            f"project {self.project.settings.project.name}: tables {', '.join(self.tables) or 'none'}; "
            f"models {', '.join(self.models) or 'none'}; endpoints {', '.join(self.endpoints) or 'none'}"
        )

    def _repr_html_(self) -> str:
        found: list[dict[str, Any]] = [
            {"declared": kind, "names": names}
            for kind, names in (("tables", list(self.tables)), ("models", self.models), ("endpoints", self.endpoints))
        ]
        return Result(f"project {self.project.settings.project.name}", found, found)._repr_html_()
