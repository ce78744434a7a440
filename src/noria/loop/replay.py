"""Replay: the controller that runs live, turned over history on a virtual clock.

At every tick the clock moves on, the controller takes its turn with what was known by then, and the traffic of the next
tick is answered by whoever is champion, logged as a server would log it. Several policies are replayed side by side on the
same traffic, each with a catalog and a log of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from noria.core.clock import ReplayClock, require_utc
from noria.core.conservation import Balance
from noria.core.errors import UserMistake
from noria.core.ids import PredictionIds
from noria.data.rows import Rows
from noria.features.compile import AT, KEY
from noria.loop.columns import inputs_of
from noria.loop.controller import reconcile
from noria.loop.offline_shadow import unserved
from noria.loop.project import Project
from noria.loop.releases import Release, current_release
from noria.loop.retrain import Retrain, stale
from noria.loop.state import Action
from noria.loop.windows import measure_windows
from noria.loop.workspace import Workspace
from noria.loop.world import Policy, World
from noria.models.columns import in_order
from noria.models.registry import CHALLENGER, CHAMPION
from noria.release.endpoint import Endpoint
from noria.release.rollout import Immediate
from noria.serving.log.predictions import Predictions, Values
from noria.serving.log.segments import PredictionLog, read_log
from noria.stores.balances import add_balance
from noria.stores.progress import progress_of, set_progress

if TYPE_CHECKING:
    import pyarrow as pa

WRITER = "replay"


@dataclass(frozen=True)
class Tick:
    """What a watcher is told after each tick of one policy."""

    policy: str
    now: datetime
    share: float
    actions: list[Action]


Watch = Callable[[Tick], None]


@dataclass(frozen=True)
class Span:
    """The stretch of history that is replayed, on the grid's ticks."""

    start: datetime
    end: datetime

    def share(self, now: datetime) -> float:
        return (now - self.start) / (self.end - self.start)


def comparison(project: Project, endpoint: Endpoint) -> list[Policy]:
    """The declared policy, and the two it has to be better than: never retraining, and retraining every four weeks."""
    model = endpoint.model
    return [
        Policy.declared(project, endpoint),
        Policy("calendar", Retrain(model, [stale("28d")]), Immediate(), gated=False),
        Policy("static", None, Immediate(), gated=False),
    ]


def replay_span(project: Project, world: World) -> Span:
    """The span that `noria.toml` names, moved onto ticks."""
    chosen = project.settings.replay
    if chosen.start is None or chosen.end is None:
        raise UserMistake(
            what="the replay has no span",
            where="[replay] in noria.toml",
            fix="set start and end, for example 2013-02-26T05:00:00Z",
        )
    span = Span(world.grid.ceiling(require_utc(chosen.start)), world.grid.floor(require_utc(chosen.end)))
    if span.start >= span.end:
        raise UserMistake(
            what="the replay's span is empty",
            where=f"[replay] start {chosen.start}, end {chosen.end}",
            fix="set end after start",
        )
    return span


def open_worlds(project: Project, workspace: Workspace, endpoint: Endpoint, policies: Sequence[Policy]) -> list[World]:
    """A world per policy, each with a catalog and a log of its own beside the project's, all on the same facts: history and live share no
    clock."""
    worlds: list[World] = []
    for policy in policies:
        world = World.open(project, workspace.beside(policy.name), endpoint, policy, worlds[0] if worlds else None, held=True)
        world.catalog.take_lease()
        worlds.append(world)
    return worlds


def replay(worlds: Sequence[World], span: Span, watch: Watch) -> None:
    """Turn every world over the span, each from where it had come to; a killed replay goes on where it was."""
    logs = [PredictionLog(w.log_folder, WRITER, w.workspace.files) for w in worlds]
    clocks = [ReplayClock(_replayed_to(w) or span.start) for w in worlds]
    now = min(clock.now() for clock in clocks)
    while now < span.end:
        for world, log, clock in zip(worlds, logs, clocks, strict=True):
            if clock.now() <= now:
                watch(_tick(world, log, clock, span))
        now += worlds[0].grid.tick
    for world, log in zip(worlds, logs, strict=True):
        log.close()
        measure_windows(world, span.end)


def _replayed_to(world: World) -> datetime | None:
    """How far an endpoint was replayed; a project of one endpoint may have begun under the name that was once for all."""
    alone = len(world.project.endpoints) == 1
    found = progress_of(world.catalog, f"replay/{world.endpoint.name}") or (progress_of(world.catalog, "replay") if alone else None)
    return None if found is None else found.at


def _tick(world: World, log: PredictionLog, clock: ReplayClock, span: Span) -> Tick:
    now, after = clock.now(), clock.now() + world.grid.tick
    actions = reconcile(world, now)
    release = current_release(world)
    assert release is not None, "the first turn trains a champion"
    requests = world.offline.rows(now, after)
    answered = answer(world, release, requests)
    logged = log.last_received()
    if len(answered) and (logged is None or logged < now):  # else it was written before a kill, and is the same
        log.append(answered)
        log.sync()
    balance = _requests_logged(world, requests.num_rows, now, after)
    with world.catalog.transaction() as c:
        add_balance(c, "requests", world.endpoint.name, balance.rows_in, balance.rows_out)
        set_progress(c, f"replay/{world.endpoint.name}", after)
    clock.advance_to(after)
    return Tick(world.policy.name, after, span.share(after), actions)


def _requests_logged(world: World, requests: int, now: datetime, after: datetime) -> Balance:
    """Every request of a tick has one answer of the champion in the log, as read back from it."""
    logged = read_log(world.log_folder, now, after, world.workspace.files)
    rows = 0 if logged is None else logged.variant.count(CHAMPION)
    return Balance(f"requests of {world.endpoint.name}", requests, {"logged": rows}).checked()


def answer(world: World, release: Release, requests: pa.Table) -> Predictions:
    """The champion's answers to requests (rows of offline features) on its own features, and the challenger's where one shadows on them.

    A challenger that reads other features is scored from the tables (`noria.loop.offline_shadow`), in replay as live.
    """
    champion = world.bundle(release.champion)
    inputs = Rows.dense(champion.signature.inputs, inputs_of(world, champion.id, requests))
    received = requests.column(AT).to_numpy().astype("datetime64[us]").astype(np.int64)
    keys = requests.column(KEY).to_pylist()
    parts = [(CHAMPION, champion.id, inputs)]
    if release.challenger is not None and not unserved(world, release):
        parts.append((CHALLENGER, release.challenger, in_order(world.bundle(release.challenger), champion, inputs)))
    rows = len(keys)
    ids = PredictionIds(f"{WRITER}-{world.endpoint.name}")  # an id names one prediction in the whole project
    milliseconds = (received // 1000).tolist()
    return Predictions(
        ids=[i for _ in parts for i in ids.take(milliseconds)],
        keys=keys * len(parts),
        variant=[role for role, _, _ in parts for _ in range(rows)],
        bundle=[bundle for _, bundle, _ in parts for _ in range(rows)],
        received_us=np.tile(received, len(parts)),
        latency_us=np.zeros(rows * len(parts), np.int32),
        values={bundle: Values(given, world.model(bundle).answer(given)) for _, bundle, given in parts},
    )
