"""The registry's aliases of an endpoint: its champion and its challenger, for other tools that read the registry."""

from __future__ import annotations

import re

from noria.loop.context import EndpointContext
from noria.models.registry import CHALLENGER, CHAMPION


def set_aliases(context: EndpointContext, champion: str, challenger: str | None) -> None:
    """Let the registry say what the catalog is about to say, before the action counts as done: else a kill between the two
    would leave it wrong for good. The catalog is the truth."""
    tracking, name = context.tracking, context.endpoint.model.name
    versions = {v.bundle: v.version for v in tracking.versions(name)}
    tracking.set_alias(name, _alias(context, CHAMPION), versions[champion])
    if challenger is None:
        tracking.drop_alias(name, _alias(context, CHALLENGER))
    else:
        tracking.set_alias(name, _alias(context, CHALLENGER), versions[challenger])
    if _alias(context, CHAMPION) != CHAMPION:  # from when one endpoint alone served the model
        for role in (CHAMPION, CHALLENGER):
            tracking.drop_alias(name, role)


def _alias(context: EndpointContext, role: str) -> str:
    """The registry's name of a role; where several endpoints serve a model, each has its own, such as `champion-returns`."""
    serving = [e for e in context.project.endpoints if e.model.name == context.endpoint.model.name]
    own = re.sub(r"\W", "-", context.endpoint.name)  # what MLflow allows in an alias
    return role if len(serving) == 1 else f"{role}-{own}"
