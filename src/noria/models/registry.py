"""The registry: names, versions and aliases of bundles. A port; MLflow on SQLite is the embedded default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from noria.models.bundle import Bundle

CHAMPION, CHALLENGER = "champion", "challenger"
CANDIDATE = "candidate"  # who answers a share of the requests in an A/B test


@dataclass(frozen=True)
class ModelVersion:
    """One bundle under a name."""

    name: str
    version: int
    bundle: str


class Registry(Protocol):
    """Where people and tools look up which bundle is which version.

    Registering a bundle twice gives the same version; setting or dropping an alias twice changes nothing.
    """

    def register(self, name: str, bundle: Bundle, run: str) -> ModelVersion: ...
    def set_alias(self, name: str, alias: str, version: int) -> None: ...
    def drop_alias(self, name: str, alias: str) -> None: ...
    def versions(self, name: str) -> list[ModelVersion]: ...
    def alias(self, name: str, alias: str) -> ModelVersion | None: ...
