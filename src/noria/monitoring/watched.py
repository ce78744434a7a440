"""An open endpoint as monitors see it: with what is declared of its watching, and the detectors that go on from round to round."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from noria.core.clock import YEAR, duration
from noria.features.known_rows import KnownTimes
from noria.monitoring.detectors import Detectors, Remembered
from noria.monitoring.monitor import Monitor
from noria.release.ab_test import ReleasePlan
from noria.release.open_endpoint import OpenEndpoint
from noria.release.rollout import Immediate
from noria.statistics.e_detector import threshold_for


@dataclass(kw_only=True)
class WatchedEndpoint(OpenEndpoint):
    """An open endpoint, its monitor, and the plan by which its versions change. live: whether people are told, and findings kept

    remembered: by an earlier round
    """

    monitor: Monitor | None = None
    rollout: ReleasePlan = field(default_factory=Immediate)
    live: bool = False
    remembered: Remembered = field(default_factory=Remembered)

    @cached_property
    def detectors(self) -> Detectors:
        """The detectors of this endpoint, with what they have judged."""
        rolling = None if self.monitor is None or self.monitor.rolling is None else duration(self.monitor.rolling) // self.grid.tick
        return Detectors(self.grid.calendar, rolling, self.stores.profile, self.threshold, self.remembered)

    @property
    def known(self) -> KnownTimes:
        """When the rows of its tables became known."""
        return KnownTimes(self.facts, self.grid.calendar, self.stores.catalog, keep=self.live)

    @property
    def watched(self) -> bool:
        """Whether anything reads this endpoint's windows: a monitor, or a rollout or A/B test that compares losses."""
        return self.monitor is not None or not isinstance(self.rollout, Immediate)

    def threshold(self, alarms_per_year: float) -> float:
        """The threshold at which an e-detector over this endpoint's windows keeps such a budget."""
        return threshold_for(alarms_per_year=alarms_per_year, windows_per_year=YEAR / self.grid.tick)
