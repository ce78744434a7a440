"""Who answers the requests of an endpoint, by what is released, on trial and in a shadow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from noria.data.rows import Fields, Rows
from noria.models.registry import CANDIDATE, CHAMPION
from noria.serving.batching.allowance import Allowance, in_candidates_arm
from noria.serving.batching.loaded_model import LoadedModel
from noria.serving.batching.lookup import GuardedLookup
from noria.serving.protocol.request import PredictRequest, rows_of


@dataclass(frozen=True)
class Route:
    """Who answers an endpoint's requests, and who scores them unseen.

    previous: answers what the champion fails on, where that was asked for; default: the answer where nobody has one
    allowance: what the shadow may still be asked; None: everything
    candidate, share: who answers a share of the requests in an A/B test
    variant, fields: of the route of such an arm: as what its answers are logged, and the inputs that requests were decoded to
    """

    champion: LoadedModel
    shadow: LoadedModel | None = None
    lookup: GuardedLookup | None = None
    previous: LoadedModel | None = None
    default: tuple[float, ...] | None = None
    allowance: Allowance | None = None
    candidate: LoadedModel | None = None
    share: float = 0.0
    variant: str = CHAMPION
    fields: Fields = ()

    @property
    def models(self) -> list[LoadedModel]:
        """All that are open for it."""
        return [model for model in (self.champion, self.shadow, self.previous, self.candidate) if model is not None]

    @property
    def decoded(self) -> Fields:
        """The inputs that its requests are decoded to."""
        return self.fields or self.champion.bundle.signature.inputs

    def rows(self, batch: Sequence[PredictRequest]) -> Rows:
        """The rows of requests, as who answers reads them. Raises `BadRequest`."""
        rows = rows_of(batch, self.decoded)
        return self.champion.inputs(rows) if self.fields else rows

    def of(self, asked: PredictRequest, place: int) -> Route:
        """The route of a request, by its arm. place: in its batch, by which those who don't say who they are are told apart"""
        if self.candidate is None:
            return self
        unit = asked.unit or (asked.keys and asked.keys[0]) or f"{asked.stamp[0]}/{place}"
        return self._arm if in_candidates_arm(self.candidate.bundle.id, str(unit), self.share) else self

    @cached_property
    def _arm(self) -> Route:
        assert self.candidate is not None
        fields = self.champion.bundle.signature.inputs
        return replace(self, champion=self.candidate, shadow=None, allowance=None, candidate=None, variant=CANDIDATE, fields=fields)

    def by_arm(self, batch: list[PredictRequest]) -> list[tuple[Route, list[PredictRequest]]]:
        """A batch as one of each arm that has requests in it."""
        if self.candidate is None:
            return [(self, batch)]
        found = dict[str, tuple[Route, list[PredictRequest]]]()
        for place, asked in enumerate(batch):
            route = self.of(asked, place)
            found.setdefault(route.variant, (route, []))[1].append(asked)
        return list(found.values())
