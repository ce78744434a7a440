"""Which guardrails hold for whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from noria.core.errors import UserMistake
from noria.core.ids import digest
from noria.llm.guardrails.guardrails import Guardrails
from noria.llm.guardrails.rule import BadRule, Where

Changes = Mapping[str, Mapping[str, Any] | None]


class UnknownTenant(UserMistake):
    """A policy refuses tenants that it does not name, and requests of none."""

    code = "NR-567"
    http_status = 403

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        super().__init__(
            what=f"tenant {tenant!r} is not known here" if tenant else "the key or token names no tenant",
            where="the policy of the application's guardrails",
            fix="use the key of a tenant that the policy names, or name this one in it",
        )


@dataclass(frozen=True)
class Policy:
    """Guardrails for all, and what differs for some tenants: `{"acme": {"injection": {"threshold": 0.9}, "topics": None}}`.

    A tenant that is not named, and a request without one, has the default: a made-up name loosens nothing.

    unknown: `refuse`: they are not answered at all
    """

    default: Guardrails
    tenants: Mapping[str, Changes] = field(default_factory=dict)
    unknown: Literal["default", "refuse"] = "default"

    def __post_init__(self) -> None:
        if self.unknown not in ("default", "refuse"):
            raise BadRule("policy", f"unknown={self.unknown!r} says nothing", "give one of default, refuse")
        _ = self._of  # mistakes are told when it is declared, not when somebody asks

    def of(self, tenant: str | None) -> Guardrails:
        """The guardrails of a tenant; None: of what no request asks, such as a bundle's sample. Raises `UnknownTenant`."""
        if self.unknown == "refuse" and tenant is not None and tenant not in self._of:
            raise UnknownTenant(tenant)
        return self._of.get(tenant or "", self.default)

    def redacts(self, where: Where) -> bool:
        """Whether something is taken out of such texts, of all or of a tenant."""
        return any(guardrails.redacts(where) for guardrails in (self.default, *self._of.values()))

    def definition(self) -> dict[str, Any]:
        """All settings, as a bundle has them."""
        changes = {
            tenant: {rule: None if change is None else dict(change) for rule, change in of.items()} for tenant, of in self.tenants.items()
        }
        return {"default": self.default.definition(), "tenants": changes, "unknown": self.unknown}

    @cached_property
    def version(self) -> str:
        return digest(self.definition())[:16]

    @cached_property
    def _of(self) -> dict[str, Guardrails]:
        return {tenant: self.default.changed(changes) for tenant, changes in self.tenants.items()}
