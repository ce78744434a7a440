"""Everything that is wrong with an endpoint at a moment: what its monitors find, and what the loop decided and could not do."""

from __future__ import annotations

from collections.abc import Iterator

from noria.loop.attempts import in_trouble
from noria.loop.context import EndpointContext
from noria.monitoring.findings import Finding, Kind, Observed
from noria.monitoring.monitors.reading import Monitors

ACTION: Kind = "action"


def observed(context: EndpointContext, monitors: Monitors) -> Observed:
    """Everything that is wrong, and what could be judged at all."""
    if not context.live:
        return Observed(tuple(monitors.findings()), frozenset(monitors.judged()))
    return Observed((*monitors.findings(), *_failed_actions(context)), frozenset(monitors.judged() | {ACTION}))


def _failed_actions(context: EndpointContext) -> Iterator[Finding]:
    trouble = in_trouble(context)
    if trouble is not None:
        action, error = trouble.action, trouble.error
        summary = f"{action.verb} failed: {error.get('what', 'its process ended')} ({error.get('where', 'before it finished')})"
        evidence = {"decision": action.key, "reason": action.reason, "attempts": trouble.attempts, **error}
        yield Finding(ACTION, action.verb, action.at, "page", summary, error.get("fix", "it is retried"), evidence)
