"""The context of one endpoint under one policy: the open endpoint, and what the loop may do with it."""

from __future__ import annotations

from dataclasses import dataclass

from noria.alerting.incidents import Recipients
from noria.core.clock import duration, zone_named
from noria.core.grid import Grid
from noria.core.randomness import Randomness
from noria.core.settings import LoopSettings
from noria.features.facts import Facts
from noria.loop.project import Project
from noria.loop.retrain import Retrain
from noria.models.endpoint_stores import EndpointStores
from noria.models.model import Model
from noria.models.own_features import OwnFeatures
from noria.models.runtimes.port import RuntimeOptions
from noria.monitoring.detectors import Remembered
from noria.monitoring.watched import WatchedEndpoint
from noria.release.ab_test import ReleasePlan
from noria.release.endpoint import Endpoint
from noria.stores.workspace import Workspace


@dataclass(frozen=True)
class Policy:
    """How an endpoint is renewed. A project declares one; a replay compares it with others."""

    name: str
    retrain: Retrain | None
    rollout: ReleasePlan
    gated: bool = True

    @staticmethod
    def declared(project: Project, endpoint: Endpoint) -> Policy:
        return Policy("loop", project.retrain(endpoint), endpoint.release)


@dataclass(kw_only=True)
class EndpointContext(WatchedEndpoint):
    """One endpoint of a project under one policy."""

    project: Project
    policy: Policy

    @staticmethod
    def open(
        project: Project,
        workspace: Workspace,
        endpoint: Endpoint,
        policy: Policy,
        shared: EndpointContext | None = None,
        *,
        live: bool = False,
        remembered: Remembered | None = None,
        held: bool = False,
    ) -> EndpointContext:
        """Open the stores; `shared` lends the facts it has read already (they are the same for every policy). live: people are told.
        remembered: by an earlier round; held: whether tables are read whole, since all their history is asked for"""
        remembered, model = remembered or Remembered(), endpoint.model
        facts = _facts(workspace, model, remembered, held=held) if shared is None else shared.facts
        remembered.facts = facts
        stores = EndpointStores(endpoint.name, workspace, workspace.catalog(), RuntimeOptions(trust=model.trust))
        monitor = project.monitor(endpoint) if policy.gated else None
        return EndpointContext(
            endpoint=endpoint,
            stores=stores,
            facts=facts,
            own=OwnFeatures(stores, facts, project.tables, project.transforms),
            grid=_grid(project.settings.loop),
            randomness=Randomness(project.settings.project.seed),
            slices=() if monitor is None else monitor.slices,
            reference_period=None if monitor is None else monitor.period,
            gated=policy.gated,
            monitor=monitor,
            rollout=policy.rollout,
            live=live,
            remembered=remembered,
            project=project,
            policy=policy,
        )

    @property
    def recipients(self) -> Recipients:
        """Who is told of findings: nobody, where history is replayed."""
        return Recipients(tuple(self.project.settings.alerts.channels) if self.live else ())


def _facts(workspace: Workspace, model: Model, remembered: Remembered, *, held: bool) -> Facts:
    return Facts.read(workspace, model.features, model.label, model.task.coding, remembered.facts, others=model.built_from, held=held)


def _grid(loop: LoopSettings) -> Grid:
    return Grid(duration(loop.tick), duration(loop.offset), zone_named(loop.time_zone))
