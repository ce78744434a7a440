"""Guardrails from plain data: what a bundle or a settings file says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from noria.core.errors import nearest
from noria.llm.guardrails.credentials import Secrets
from noria.llm.guardrails.groundedness import Grounded
from noria.llm.guardrails.guardrails import Guardrails, Log
from noria.llm.guardrails.injection import Injection
from noria.llm.guardrails.judged import Judged
from noria.llm.guardrails.limits import Languages, Length, OutputSchema, Topics
from noria.llm.guardrails.markup import SafeMarkup
from noria.llm.guardrails.personal import PersonalData
from noria.llm.guardrails.policy import Policy
from noria.llm.guardrails.rule import BadRule, DeclaredRule
from noria.llm.guardrails.toxicity import Toxicity

RULES: dict[str, type[DeclaredRule]] = {
    each.rule: each
    for each in (Length, Injection, PersonalData, Secrets, Topics, Languages, Toxicity, SafeMarkup, OutputSchema, Grounded, Judged)
}


def guardrails_of(definition: Mapping[str, Any], ports: Mapping[str, Any] | None = None, log: Log | None = None) -> Guardrails:
    """The guardrails of `Guardrails.definition()`. Raises `BadRule`.

    ports: the models that rules ask, by name (`embedder`, `generator`, `analyzer`). A rule that had one needs one
    """
    return Guardrails(tuple(_rule(each, ports or {}) for each in definition["rules"]), log)


def policy_of(definition: Mapping[str, Any], ports: Mapping[str, Any] | None = None, log: Log | None = None) -> Policy:
    """The policy of `Policy.definition()`. Raises `BadRule`."""
    return Policy(guardrails_of(definition["default"], ports, log), definition["tenants"], definition.get("unknown", "default"))


def _rule(said: Mapping[str, Any], ports: Mapping[str, Any]) -> DeclaredRule:
    name = str(said.get("rule"))
    if name not in RULES:
        raise BadRule(name, f"there is no such rule{nearest(name, RULES)}", f"use one of {', '.join(RULES)}")
    known = {field.name for field in fields(RULES[name])}
    given = {key: value for key, value in said.items() if key not in ("rule", "version", "prompt")}
    for key in given:
        if key not in known:
            raise BadRule(name, f"it has no setting {key!r}{nearest(key, known)}", f"use some of {', '.join(sorted(known))}")
        if key.startswith("port_"):
            port = key.removeprefix("port_")
            if port not in ports:
                raise BadRule(name, f"it was declared with a model, and none is given as {port!r}", f"give `ports={{{port!r}: …}}`")
            given[key] = ports[port]
    return RULES[name](**given)
