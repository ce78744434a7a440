"""A replay as a command runs it: an endpoint's policies side by side over the project's span, told as they go on, and taken over.

In:  a project, an endpoint, and whom to tell
Out: what each policy has logged and decided, in a catalog of its own each, and the endpoint's own home, which goes on from there
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from noria.core.clock import SystemClock, in_words
from noria.core.progress import Progress, Tell
from noria.loop.context import EndpointContext
from noria.loop.history import take_over
from noria.loop.project import Project
from noria.loop.replay import Span, Tick, comparison, open_contexts, replay, replay_span
from noria.release.endpoint import Endpoint
from noria.stores.workspace import Workspace

MANY_TICKS = 100_000
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Replayed:
    """A finished replay: its contexts (the declared policy's first) and its span; home: the endpoint itself, as it is live"""

    contexts: list[EndpointContext]
    span: Span
    home: EndpointContext

    def close(self) -> None:
        """Close the catalogs of all contexts."""
        for context in (*self.contexts, self.home):
            context.stores.catalog.close()


def run_replay(project: Project, workspace: Workspace, endpoint: Endpoint, tell: Tell, weeks: int | None = None) -> Replayed:
    """Replay an endpoint's policies over the project's span (its first `weeks`), from where they had come to."""
    contexts = open_contexts(project, workspace, endpoint, comparison(project, endpoint))
    span = replay_span(project, contexts[0])
    if weeks is not None:
        span = Span(span.start, min(span.end, contexts[0].grid.floor(span.start + weeks * WEEK)))
    for summary in _announced(span, contexts[0].grid.tick, len(contexts)):
        tell(Progress("replay", summary))
    replay(contexts, span, lambda tick: _tell_tick(tell, tick))
    home = EndpointContext.open(project, workspace, endpoint, contexts[0].policy, contexts[0])
    taken = take_over(contexts[0], home, span.end, SystemClock().now())
    if taken:
        tell(Progress("history", "the live loop continues from the state that the declared policy reached"))
    return Replayed(contexts, span, home)


def _announced(span: Span, tick: timedelta, policies: int) -> list[str]:
    """What a replay is about to do, and a warning where that is more than anybody waits for."""
    ticks = (span.end - span.start) // tick
    stretch = f"{span.start:%-d %b %Y} to {span.end:%-d %b %Y}"
    told = [f"{stretch}, {ticks:,} ticks of {in_words(tick)}, {policies} policies side by side"]
    if ticks > MANY_TICKS:
        told.append(f"{ticks:,} ticks take hours: for less, set a longer `tick` in [loop], or a shorter span in [replay] of noria.toml")
    return told


def _tell_tick(tell: Tell, tick: Tick) -> None:
    tell(Progress("replay", f"{tick.now:%-d %b %Y}", track=tick.policy, share=tick.share))
    for action in tick.actions:
        tell(Progress("decision", f"{action.at:%-d %b %Y}  {tick.policy:<9}{action.verb:<8}{action.reason}"))
