"""The detectors of an endpoint, kept across rounds with the windows that they have judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from noria.core.calendar import Calendar
from noria.features.facts import Facts
from noria.monitoring.drift import DriftDetector
from noria.monitoring.monitor import Monitor
from noria.monitoring.volume import VolumeDetector
from noria.profiles.profile import Profile


@dataclass
class Remembered:
    """What a round hands on to the next, so that it costs what is new: the detectors with what they have judged, each known by all that it
    depends on, and the tables that were read. What was declared otherwise meanwhile, or has a newer version, begins anew."""

    facts: Facts | None = None
    drift: dict[tuple[object, ...], DriftDetector] = field(default_factory=dict)
    volumes: dict[tuple[str, float, Calendar], VolumeDetector] = field(default_factory=dict)


@dataclass
class Detectors:
    """Makes detectors over an endpoint's windows. rolling: windows of a rolling baseline, if it is one; profile: of a bundle, by its id;
    threshold: of so many false alarms a year"""

    calendar: Calendar
    rolling: int | None
    profile: Callable[[str], Profile]
    threshold: Callable[[float], float]
    remembered: Remembered

    def drift(self, reference: Profile, threshold: float, sensitivity: float) -> DriftDetector:
        """A detector that has judged no window yet."""
        return DriftDetector(reference, threshold, self.calendar, sensitivity, self.rolling)

    def of_champion(self, bundle_id: str, monitor: Monitor) -> DriftDetector:
        """The detector of a champion that has judged no window yet."""
        return self.drift(self.profile(bundle_id), self.threshold(monitor.drift_budget), monitor.sensitivity)

    def running(self, bundle_id: str, since: datetime, monitor: Monitor) -> DriftDetector:
        """The detector of a champion, which remembers the windows it has judged since then."""
        key = (bundle_id, since, self.threshold(monitor.drift_budget), monitor.sensitivity, monitor.rolling, self.calendar)
        if key not in self.remembered.drift:
            self.remembered.drift = {key: self.of_champion(bundle_id, monitor)}
        return self.remembered.drift[key]

    def volume(self, name: str, threshold: float) -> VolumeDetector:
        """The detector of a series of counts, which remembers the windows it has judged."""
        key = (name, threshold, self.calendar)
        return self.remembered.volumes.setdefault(key, VolumeDetector(name, threshold, self.calendar))
