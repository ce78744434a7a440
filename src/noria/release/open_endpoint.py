"""An endpoint whose stores and facts are open: what training and monitoring read of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from noria.core.calendar import Period
from noria.core.grid import Grid
from noria.core.randomness import Randomness
from noria.features.facts import Facts
from noria.models.endpoint_stores import EndpointStores
from noria.models.own_features import OwnFeatures
from noria.pipelines.tracking import MlflowTracking
from noria.release.endpoint import Endpoint


@dataclass(kw_only=True)
class OpenEndpoint:
    """An endpoint with its stores and facts.

    own: the features of its bundles, each as it was sealed
    grid: the ticks at which its windows begin and end
    slices: the features in whose slices performance is measured
    reference_period: the period whose rows are the reference of drift; None: all that a champion was trained on
    gated: whether a candidate must pass the model's gates
    """

    endpoint: Endpoint
    stores: EndpointStores
    facts: Facts
    own: OwnFeatures
    grid: Grid
    randomness: Randomness
    slices: Sequence[str] = ()
    reference_period: Period | None = None
    gated: bool = True

    @cached_property
    def tracking(self) -> MlflowTracking:
        """The runs and the registry of its project."""
        return MlflowTracking.of(self.stores.workspace)
