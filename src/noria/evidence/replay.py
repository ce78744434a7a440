"""A replay and its report: the declared policy beside never retraining and retraining every four weeks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from noria.core.clock import Stopwatch, SystemClock, in_words
from noria.core.ids import canonical_json
from noria.core.progress import Progress, Tell
from noria.evidence.figures import WEEK, feature_shift, replay_figures
from noria.evidence.report import render_report
from noria.loop.history import take_over
from noria.loop.project import Project
from noria.loop.replay import Span, Tick, comparison, open_worlds, replay, replay_span
from noria.loop.workspace import Workspace
from noria.loop.world import World
from noria.release.endpoint import Endpoint

MANY_TICKS = 100_000


@dataclass(frozen=True)
class Replayed:
    """A finished replay: its worlds (the declared policy's first), its span, its figures; home: the endpoint itself, as it is live"""

    worlds: list[World]
    span: Span
    figures: dict[str, Any]
    home: World


def run_replay(project: Project, workspace: Workspace, endpoint: Endpoint, tell: Tell, weeks: int | None = None) -> Replayed:
    """Replay an endpoint's policies over the project's span (its first `weeks`), from where they had come to."""
    worlds = open_worlds(project, workspace, endpoint, comparison(project, endpoint))
    span = replay_span(project, worlds[0])
    if weeks is not None:
        span = Span(span.start, min(span.end, worlds[0].grid.floor(span.start + weeks * WEEK)))
    for summary in _announced(span, worlds[0].grid.tick, len(worlds)):
        tell(Progress("replay", summary))
    replay(worlds, span, lambda tick: _tell_tick(tell, tick))
    home = World.open(project, workspace, endpoint, worlds[0].policy, worlds[0])
    taken = take_over(worlds[0], home, span.end, SystemClock().now())
    if taken:
        tell(Progress("history", "the live loop continues from the state that the declared policy reached"))
    return Replayed(worlds, span, replay_figures(worlds, span), home)


def write_report(project: Project, workspace: Workspace, replayed: Replayed, watch: Stopwatch) -> dict[str, Any]:
    """Write `report.html` and `report.json` into the project's folder (of several endpoints, `report-<endpoint>.…`); returns the figures
    with their place and cost."""
    endpoint = replayed.worlds[0].endpoint.name
    name = "report" if len(project.endpoints) == 1 else f"report-{endpoint}"
    report = workspace.folder / f"{name}.html"
    figures = {**replayed.figures, "report": str(report), "seconds": watch.seconds}
    title = project.settings.project.name if len(project.endpoints) == 1 else f"{project.settings.project.name}: {endpoint}"
    page = render_report(title, figures, feature_shift(replayed.worlds[0], replayed.span))
    workspace.files.write(report, page.encode())
    workspace.files.write(workspace.folder / f"{name}.json", canonical_json(figures).encode())
    for world in (*replayed.worlds, replayed.home):
        world.catalog.close()
    return figures


def replay_and_report(project: Project, workspace: Workspace, endpoint: Endpoint, tell: Tell) -> dict[str, Any]:
    """Replay and write the report; returns the figures."""
    watch = Stopwatch()
    return write_report(project, workspace, run_replay(project, workspace, endpoint, tell), watch)


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
