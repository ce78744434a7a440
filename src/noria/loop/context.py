"""The context of one endpoint under one policy: what is declared of it, its stores, its facts, and its detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from noria.alerting.incidents import Recipients
from noria.core.clock import YEAR, duration, zone_named
from noria.core.randomness import Randomness
from noria.features.offline import OfflineFeatures
from noria.loop.detectors import Detectors, Remembered
from noria.loop.endpoint_stores import EndpointStores
from noria.loop.facts import Facts
from noria.loop.grid import Grid
from noria.loop.project import Project
from noria.loop.retrain import Retrain
from noria.loop.workspace import Workspace
from noria.monitoring.monitor import Monitor, Period
from noria.release.endpoint import Endpoint
from noria.release.rollout import Immediate, Rollout
from noria.statistics.e_detector import threshold_for


@dataclass(frozen=True)
class Policy:
    """How an endpoint is renewed. A project declares one; a replay compares it with others."""

    name: str
    retrain: Retrain | None
    rollout: Rollout | Immediate
    gated: bool = True

    @staticmethod
    def declared(project: Project, endpoint: Endpoint) -> Policy:
        return Policy("loop", project.retrain(endpoint), endpoint.release)


@dataclass
class EndpointContext:
    """One endpoint under one policy. live: whether people are told"""

    project: Project
    endpoint: Endpoint
    policy: Policy
    stores: EndpointStores
    facts: Facts
    live: bool = False
    remembered: Remembered = field(default_factory=Remembered)
    own_features: dict[str, OfflineFeatures] = field(default_factory=dict)  # by bundle: see `noria.loop.columns`

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
        remembered = remembered or Remembered()
        facts = Facts.read(workspace, endpoint, remembered.facts, held=held) if shared is None else shared.facts
        remembered.facts = facts
        stores = EndpointStores(endpoint.name, workspace, workspace.catalog())
        return EndpointContext(project, endpoint, policy, stores, facts, live, remembered)

    @cached_property
    def detectors(self) -> Detectors:
        """The detectors of this endpoint, with what they have judged."""
        rolling = None if self.monitor is None or self.monitor.rolling is None else duration(self.monitor.rolling) // self.grid.tick
        return Detectors(self.grid.calendar, rolling, self.stores.profile, self.threshold, self.remembered)

    @property
    def monitor(self) -> Monitor | None:
        return self.project.monitor(self.endpoint) if self.policy.gated else None

    @property
    def slices(self) -> Sequence[str]:
        """The features in whose slices performance is watched."""
        return () if self.monitor is None else self.monitor.slices

    @property
    def reference_period(self) -> Period | None:
        """The period whose rows are the reference of drift; None: all that a champion was trained on."""
        return None if self.monitor is None else self.monitor.period

    @property
    def watched(self) -> bool:
        """Whether anything reads this endpoint's windows: a monitor, or a rollout that compares losses."""
        return self.monitor is not None or isinstance(self.policy.rollout, Rollout)

    @property
    def recipients(self) -> Recipients:
        """Who is told of findings: nobody, where history is replayed."""
        return Recipients(tuple(self.project.settings.alerts.channels) if self.live else ())

    @cached_property
    def grid(self) -> Grid:
        loop = self.project.settings.loop
        return Grid(duration(loop.tick), duration(loop.offset), zone_named(loop.time_zone))

    @property
    def randomness(self) -> Randomness:
        return Randomness(self.project.settings.project.seed)

    @cached_property
    def source_of(self) -> dict[str, str]:
        """The table that each feature comes from; what is computed from the request comes from the spine."""
        features = self.endpoint.model.features
        found = dict.fromkeys(features.features, features.spine.name)
        return found | {name: view.table.name for view in features.views for name in view.features}

    def threshold(self, alarms_per_year: float) -> float:
        """The threshold at which an e-detector over this endpoint's windows keeps such a budget."""
        return threshold_for(alarms_per_year=alarms_per_year, windows_per_year=YEAR / self.grid.tick)
