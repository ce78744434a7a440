"""Runs and registry in MLflow on SQLite, in this process: no server is started.

MLflow is taken because every tool of the field reads it. Only its client API is used, and no model is ever loaded
through it: a registered version's source is a bundle, which Noria verifies itself. Importing it takes seconds, so it is
imported when the first run is tracked.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from noria.core.errors import OutsideWorld
from noria.core.files import Files, hold
from noria.models.bundle import Bundle
from noria.models.registry import ModelVersion
from noria.stores.workspace import Workspace

RUN_TAG, BUNDLE_TAG = "noria.run", "noria.bundle"
FINISHED = "FINISHED"
PATIENCE_SECONDS = 60.0  # for another process to make the database, which takes MLflow some seconds


class TrackingBusy(OutsideWorld):
    """Another process makes the database of runs, and does not come to an end."""

    code = "NR-416"

    def __init__(self, database: Path, holder: str) -> None:
        super().__init__(
            what="the run database can't be opened",
            where=f"process {holder or 'unknown'} has been creating {database} for over {PATIENCE_SECONDS:.0f} s",
            fix="check whether that process hangs, and stop it; the training is retried",
        )


class MlflowTracking:
    """Runs and model versions, found again by Noria's own deterministic run id, so that repeating a write adds nothing."""

    def __init__(self, database: Path, artifacts: Path, experiment: str, files: Files) -> None:
        self._database, self._artifacts, self._experiment, self._files = database, artifacts, experiment, files

    @staticmethod
    def of(workspace: Workspace) -> MlflowTracking:
        """The runs and versions of a project."""
        return MlflowTracking(workspace.root / "mlflow.db", workspace.root / "mlflow", workspace.settings.project.name, workspace.files)

    def log_run(
        self, run: str, *, at: datetime, parameters: Mapping[str, Any], metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> str:
        """Track a finished run under Noria's run id; returns MLflow's own id. A run that was cut short is completed."""
        entities = _mlflow().entities
        ms = int(at.timestamp() * 1000)
        found = self._find(run) or self._client.create_run(
            self._experiment_id, start_time=ms, run_name=run[:12], tags={**tags, RUN_TAG: run}
        )
        mlflow_id = str(found.info.run_id)
        if found.info.status != FINISHED:
            self._client.log_batch(
                mlflow_id,
                metrics=[entities.Metric(key, float(value), ms, 0) for key, value in metrics.items()],
                params=[entities.Param(key, str(value)) for key, value in parameters.items()],
            )
            self._client.set_terminated(mlflow_id, FINISHED, end_time=ms)
        return mlflow_id

    def find(self, run: str) -> str | None:
        """MLflow's own id of a run; None if it was never tracked."""
        found = self._find(run)
        return None if found is None else str(found.info.run_id)

    def _find(self, run: str) -> Any:
        found = self._client.search_runs([self._experiment_id], f"tags.`{RUN_TAG}` = '{run}'", max_results=1)
        return found[0] if found else None

    def register(self, name: str, bundle: Bundle, run: str) -> ModelVersion:
        for version in self.versions(name):
            if version.bundle == bundle.id:
                return version
        self._ensure_model(name)
        made = self._client.create_model_version(
            name, source=bundle.path.as_uri(), run_id=self.find(run), tags={BUNDLE_TAG: bundle.id, RUN_TAG: run}
        )
        return ModelVersion(name, int(made.version), bundle.id)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        self._client.set_registered_model_alias(name, alias, str(version))

    def drop_alias(self, name: str, alias: str) -> None:
        if self.alias(name, alias) is not None:
            self._client.delete_registered_model_alias(name, alias)

    def versions(self, name: str) -> list[ModelVersion]:
        found = self._client.search_model_versions(f"name = '{name}'")
        return sorted((ModelVersion(name, int(v.version), v.tags[BUNDLE_TAG]) for v in found), key=lambda v: v.version)

    def alias(self, name: str, alias: str) -> ModelVersion | None:
        try:
            found = self._client.get_model_version_by_alias(name, alias)
        except _mlflow().exceptions.MlflowException:  # its way to say that there is none
            return None
        return ModelVersion(name, int(found.version), found.tags[BUNDLE_TAG])

    @cached_property
    def _client(self) -> Any:
        with self._alone():
            if not self._files.exists(self._database):
                self._create_database()
        return _client_of(self._database)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While inside, no other process makes what there is to be one of: trainings of two endpoints begin at the same moment."""
        self._files.make_folder(self._database.parent)
        lock, holder = hold(self._database.with_suffix(".lock"), PATIENCE_SECONDS)
        if lock is None:
            raise TrackingBusy(self._database, holder)
        with lock:
            yield

    def _create_database(self) -> None:
        """Make the database whole or not at all: MLflow's first migration is many transactions, and one that was cut
        short can neither be finished nor opened."""
        partial = self._database.with_name(f".{self._database.name}.partial")
        self._files.remove(partial)
        _client_of(partial).search_experiments(max_results=1)
        self._files.rename(partial, self._database)

    @cached_property
    def _experiment_id(self) -> str:
        client = self._client
        with self._alone():
            found = client.get_experiment_by_name(self._experiment)
            if found is not None:
                return str(found.experiment_id)
            return str(client.create_experiment(self._experiment, artifact_location=self._artifacts.as_uri()))

    def _ensure_model(self, name: str) -> None:
        client = self._client
        with self._alone():
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name)


def _client_of(database: Path) -> Any:
    uri = f"sqlite:///{database}"
    return _mlflow().MlflowClient(tracking_uri=uri, registry_uri=uri)


@cache
def _mlflow() -> Any:
    """MLflow, which sends nothing anywhere, and says nothing on the way."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")  # of tqdm in a notebook; none of MLflow's bars is ever shown
        import mlflow.entities
        import mlflow.exceptions
    for name in ("mlflow", "mlflow.store.db.utils", "alembic"):  # it announces each table that it makes
        logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow
