"""The stores of one endpoint: its catalog, its log, and the bundles that were opened of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from noria.core.health import Health, word
from noria.models.bundle import PROFILE_FILE, Bundle, open_bundle
from noria.models.profiled import projections_of
from noria.models.runtimes import open_runtime
from noria.models.runtimes.port import Runtime, RuntimeOptions
from noria.profiles.inputs import InputProjections
from noria.profiles.profile import Profile
from noria.stores.candidates import CandidateDetail, candidate_of
from noria.stores.catalog import Catalog
from noria.stores.progress import set_progress
from noria.stores.workspace import Workspace


@dataclass
class EndpointStores:
    """What outlives a process, of the endpoint of this name. options: how its models may run"""

    endpoint: str
    workspace: Workspace
    catalog: Catalog
    options: RuntimeOptions = field(default_factory=RuntimeOptions)
    _bundles: dict[str, Bundle] = field(default_factory=dict)
    _models: dict[str, Runtime] = field(default_factory=dict)
    _profiles: dict[str, Profile] = field(default_factory=dict)
    _projections: dict[str, InputProjections | None] = field(default_factory=dict)

    @property
    def log_folder(self) -> Path:
        return self.workspace.log(self.endpoint)

    def bundle(self, bundle_id: str) -> Bundle:
        """A bundle, verified when it is first opened."""
        if bundle_id not in self._bundles:
            self._bundles[bundle_id] = open_bundle(self.workspace.bundles / bundle_id, self.workspace.files)
        return self._bundles[bundle_id]

    def model(self, bundle_id: str) -> Runtime:
        """A bundle's model, opened when it is first asked for. Raises as `open_runtime` does."""
        if bundle_id not in self._models:
            self._models[bundle_id] = open_runtime(self.bundle(bundle_id), self.options)
        return self._models[bundle_id]

    def profile(self, bundle_id: str) -> Profile:
        if bundle_id not in self._profiles:
            path = self.bundle(bundle_id).file(PROFILE_FILE)
            self._profiles[bundle_id] = Profile.from_json(self.workspace.files.read(path))
        return self._profiles[bundle_id]

    def projections(self, bundle_id: str) -> InputProjections | None:
        """How a bundle's inputs become the columns of its profile; None where they are these as they are."""
        if bundle_id not in self._projections:
            self._projections[bundle_id] = projections_of(self.bundle(bundle_id), self.workspace.files)
        return self._projections[bundle_id]

    def category_labels(self, bundle_id: str) -> dict[str, tuple[str, ...]]:
        """What the codes of a bundle's profile stand for, in columns of categories."""
        projections, outputs = self.projections(bundle_id), self.bundle(bundle_id).signature.outputs
        answers = {field.name: field.labels for field in outputs if field.labels}
        return answers | ({} if projections is None else projections.labels)

    def tell_health(self, healths: Sequence[tuple[str, Health]], now: datetime) -> None:
        """Keep what each monitor said at a turn, for those who look at the catalog alone."""
        with self.catalog.transaction() as c:
            set_progress(c, f"health/{self.endpoint}", now, {name: word(health) for name, health in healths})

    def candidate_detail(self, bundle: str) -> CandidateDetail:
        """What was found out about a bundle when it was a candidate; empty where it was none of this endpoint's."""
        found = candidate_of(self.catalog, self.endpoint, bundle)
        return CandidateDetail() if found is None else found.detail
