"""Which guardrails hold for whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from noria.core.ids import digest
from noria.llm.guardrails.guardrails import Guardrails

Changes = Mapping[str, Mapping[str, Any] | None]


@dataclass(frozen=True)
class Policy:
    """Guardrails for all, and what differs for some tenants: `{"acme": {"injection": {"threshold": 0.9}, "topics": None}}`.

    A tenant that is not named, and a request without one, has the default: a made-up name loosens nothing.
    """

    default: Guardrails
    tenants: Mapping[str, Changes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _ = self._of  # mistakes are told when it is declared, not when somebody asks

    def of(self, tenant: str | None) -> Guardrails:
        """The guardrails of a tenant."""
        return self._of.get(tenant or "", self.default)

    def definition(self) -> dict[str, Any]:
        """All settings, as a bundle has them."""
        changes = {
            tenant: {rule: None if change is None else dict(change) for rule, change in of.items()} for tenant, of in self.tenants.items()
        }
        return {"default": self.default.definition(), "tenants": changes}

    @cached_property
    def version(self) -> str:
        return digest(self.definition())[:16]

    @cached_property
    def _of(self) -> dict[str, Guardrails]:
        return {tenant: self.default.changed(changes) for tenant, changes in self.tenants.items()}
