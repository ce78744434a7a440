"""The world of one endpoint under one policy: its declarations, its stores, and what has been opened of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from functools import cached_property
from pathlib import Path

from noria.alerting.incidents import Recipients
from noria.core.clock import YEAR, duration, zone_named
from noria.core.health import Health, word
from noria.core.randomness import Randomness
from noria.features.label import Outcomes
from noria.features.offline import OfflineFeatures
from noria.loop.facts import Facts
from noria.loop.project import Project
from noria.loop.retrain import Retrain
from noria.loop.workspace import Workspace
from noria.models.bundle import PROFILE_FILE, Bundle, open_bundle
from noria.models.runtime import OnnxModel
from noria.monitoring.calendar import Calendar
from noria.monitoring.drift import DriftDetector
from noria.monitoring.monitor import Monitor, Period
from noria.monitoring.volume import VolumeDetector
from noria.profiles.profile import Profile
from noria.release.endpoint import Endpoint
from noria.release.rollout import Immediate, Rollout
from noria.statistics.e_detector import threshold_for
from noria.stores.candidates import CandidateDetail, candidate_of
from noria.stores.catalog import Catalog
from noria.stores.progress import set_progress


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
class Grid:
    """The ticks of the controller: windows of traffic begin and end on them."""

    tick: timedelta
    offset: timedelta
    zone: tzinfo

    def floor(self, moment: datetime) -> datetime:
        """The last tick at or before a moment."""
        return self.calendar.start(self.number(moment))

    def number(self, start: datetime) -> int:
        """The number of the window that starts then, counted from 1970."""
        return self.calendar.number(start)

    @cached_property
    def calendar(self) -> Calendar:
        return Calendar(self.tick, self.offset, self.zone)

    def ceiling(self, moment: datetime) -> datetime:
        floor = self.floor(moment)
        return floor if floor == moment else floor + self.tick


@dataclass
class Remembered:
    """What a round hands on to the next, so that it costs what is new: the detectors with what they have judged, each known by all that it
    depends on, and the tables that were read. What was declared otherwise meanwhile, or has a newer version, begins anew."""

    facts: Facts | None = None
    drift: dict[tuple[object, ...], DriftDetector] = field(default_factory=dict)
    volumes: dict[tuple[str, float, Calendar], VolumeDetector] = field(default_factory=dict)


@dataclass
class World:
    """One endpoint under one policy."""

    project: Project
    workspace: Workspace
    endpoint: Endpoint
    policy: Policy
    catalog: Catalog
    facts: Facts
    live: bool = False
    own_features: dict[str, OfflineFeatures] = field(default_factory=dict)  # by bundle: see `noria.loop.columns`
    _bundles: dict[str, Bundle] = field(default_factory=dict)
    _models: dict[str, OnnxModel] = field(default_factory=dict)
    _profiles: dict[str, Profile] = field(default_factory=dict)
    remembered: Remembered = field(default_factory=Remembered)

    @staticmethod
    def open(
        project: Project,
        workspace: Workspace,
        endpoint: Endpoint,
        policy: Policy,
        shared: World | None = None,
        *,
        live: bool = False,
        remembered: Remembered | None = None,
        held: bool = False,
    ) -> World:
        """Open the stores; `shared` lends the facts it has read already (they are the same for every policy). live: people are told.
        remembered: by an earlier round; held: whether tables are read whole, since all their history is asked for"""
        remembered = remembered or Remembered()
        facts = Facts.read(workspace, endpoint, remembered.facts, held=held) if shared is None else shared.facts
        remembered.facts = facts
        return World(project, workspace, endpoint, policy, workspace.catalog(), facts, live, remembered=remembered)

    @property
    def offline(self) -> OfflineFeatures:
        return self.facts.offline

    @property
    def outcomes(self) -> Outcomes:
        return self.facts.outcomes

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

    @property
    def log_folder(self) -> Path:
        return self.workspace.log(self.endpoint.name)

    def bundle(self, bundle_id: str) -> Bundle:
        """A bundle, verified when it is first opened."""
        if bundle_id not in self._bundles:
            self._bundles[bundle_id] = open_bundle(self.workspace.bundles / bundle_id, self.workspace.files)
        return self._bundles[bundle_id]

    def model(self, bundle_id: str) -> OnnxModel:
        if bundle_id not in self._models:
            self._models[bundle_id] = OnnxModel.of(self.bundle(bundle_id))
        return self._models[bundle_id]

    def profile(self, bundle_id: str) -> Profile:
        if bundle_id not in self._profiles:
            path = self.bundle(bundle_id).file(PROFILE_FILE)
            self._profiles[bundle_id] = Profile.from_json(self.workspace.files.read(path))
        return self._profiles[bundle_id]

    def drift_detector(self, reference: Profile, threshold: float, sensitivity: float) -> DriftDetector:
        """A detector of this endpoint that has judged no window yet."""
        stretch = None if self.monitor is None else self.monitor.rolling
        rolling = None if stretch is None else duration(stretch) // self.grid.tick
        return DriftDetector(reference, threshold, self.grid.calendar, sensitivity, rolling)

    def champion_detector(self, bundle_id: str, monitor: Monitor) -> DriftDetector:
        """The detector of a champion that has judged no window yet."""
        return self.drift_detector(self.profile(bundle_id), self.threshold(monitor.drift_budget), monitor.sensitivity)

    def running_detector(self, bundle_id: str, since: datetime, monitor: Monitor) -> DriftDetector:
        """The detector of a champion, which remembers the windows it has judged since then."""
        threshold = self.threshold(monitor.drift_budget)
        key = (bundle_id, since, threshold, monitor.sensitivity, monitor.rolling, self.grid.calendar)
        if key not in self.remembered.drift:
            self.remembered.drift = {key: self.champion_detector(bundle_id, monitor)}
        return self.remembered.drift[key]

    def volume_detector(self, name: str, threshold: float) -> VolumeDetector:
        """The detector of a series of counts, which remembers the windows it has judged."""
        return self.remembered.volumes.setdefault(
            (name, threshold, self.grid.calendar), VolumeDetector(name, threshold, self.grid.calendar)
        )

    @cached_property
    def source_of(self) -> dict[str, str]:
        """The table that each feature comes from; what is computed from the request comes from the spine."""
        features = self.endpoint.model.features
        found = dict.fromkeys(features.features, features.spine.name)
        return found | {name: view.table.name for view in features.views for name in view.features}

    def threshold(self, alarms_per_year: float) -> float:
        """The threshold at which an e-detector over this endpoint's windows keeps such a budget."""
        return threshold_for(alarms_per_year=alarms_per_year, windows_per_year=YEAR / self.grid.tick)

    def tell_health(self, healths: Sequence[tuple[str, Health]], now: datetime) -> None:
        """Keep what each monitor said at a turn, for those who look at the catalog alone."""
        with self.catalog.transaction() as c:
            set_progress(c, f"health/{self.endpoint.name}", now, {name: word(health) for name, health in healths})

    def candidate_detail(self, bundle: str) -> CandidateDetail:
        """What was found out about a bundle when it was a candidate; empty where it was none of this endpoint's."""
        found = candidate_of(self.catalog, self.endpoint.name, bundle)
        return CandidateDetail() if found is None else found.detail
