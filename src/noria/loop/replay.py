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
from noria.features.compile import AT, KEY
from noria.loop.context import EndpointContext, Policy
from noria.loop.controller import reconcile
from noria.loop.project import Project
from noria.loop.retrain import Retrain, stale
from noria.loop.state import Action
from noria.models.columns import in_order
from noria.models.registry import CANDIDATE, CHALLENGER, CHAMPION
from noria.monitoring.measuring import measure_windows
from noria.monitoring.offline_shadow import unserved
from noria.release.ab_test import ABTest
from noria.release.endpoint import Endpoint
from noria.release.releases import Release, current_release
from noria.release.rollout import Immediate
from noria.serving.batching.allowance import in_candidates_arm
from noria.serving.log.predictions import Predictions, Values
from noria.serving.log.segments import PredictionLog, read_log
from noria.stores.balances import add_balance
from noria.stores.progress import progress_of, set_progress
from noria.stores.workspace import Workspace

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


def replay_span(project: Project, context: EndpointContext) -> Span:
    """The span that `noria.toml` names, moved onto ticks."""
    chosen = project.settings.replay
    if chosen.start is None or chosen.end is None:
        raise UserMistake(
            what="the replay has no span",
            where="[replay] in noria.toml",
            fix="set start and end, for example 2013-02-26T05:00:00Z",
        )
    span = Span(context.grid.ceiling(require_utc(chosen.start)), context.grid.floor(require_utc(chosen.end)))
    if span.start >= span.end:
        raise UserMistake(
            what="the replay's span is empty",
            where=f"[replay] start {chosen.start}, end {chosen.end}",
            fix="set end after start",
        )
    return span


def open_contexts(project: Project, workspace: Workspace, endpoint: Endpoint, policies: Sequence[Policy]) -> list[EndpointContext]:
    """A context per policy, each with a catalog and a log of its own beside the project's, all on the same facts: history and live share no
    clock."""
    contexts: list[EndpointContext] = []
    for policy in policies:
        context = EndpointContext.open(
            project, workspace.beside(policy.name), endpoint, policy, contexts[0] if contexts else None, held=True
        )
        context.stores.catalog.take_lease()
        contexts.append(context)
    return contexts


def replay(contexts: Sequence[EndpointContext], span: Span, watch: Watch) -> None:
    """Turn every one over the span, each from where it had come to; a killed replay goes on where it was."""
    logs = [PredictionLog(w.stores.log_folder, WRITER, w.stores.workspace.files) for w in contexts]
    clocks = [ReplayClock(_replayed_to(w) or span.start) for w in contexts]
    now = min(clock.now() for clock in clocks)
    while now < span.end:
        for context, log, clock in zip(contexts, logs, clocks, strict=True):
            if clock.now() <= now:
                watch(_tick(context, log, clock, span))
        now += contexts[0].grid.tick
    for context, log in zip(contexts, logs, strict=True):
        log.close()
        measure_windows(context, span.end)


def _replayed_to(context: EndpointContext) -> datetime | None:
    """How far an endpoint was replayed; a project of one endpoint may have begun under the name that was once for all."""
    alone = len(context.project.endpoints) == 1
    found = progress_of(context.stores.catalog, f"replay/{context.endpoint.name}") or (
        progress_of(context.stores.catalog, "replay") if alone else None
    )
    return None if found is None else found.at


def _tick(context: EndpointContext, log: PredictionLog, clock: ReplayClock, span: Span) -> Tick:
    now, after = clock.now(), clock.now() + context.grid.tick
    actions = reconcile(context, now)
    release = current_release(context)
    assert release is not None, "the first turn trains a champion"
    requests = context.facts.offline.rows(now, after)
    answered = answer(context, release, requests)
    logged = log.last_received()
    if len(answered) and (logged is None or logged < now):  # else it was written before a kill, and is the same
        log.append(answered)
        log.sync()
    balance = _requests_logged(context, requests.num_rows, now, after)
    with context.stores.catalog.transaction() as c:
        add_balance(c, "requests", context.endpoint.name, balance.rows_in, balance.rows_out)
        set_progress(c, f"replay/{context.endpoint.name}", after)
    clock.advance_to(after)
    return Tick(context.policy.name, after, span.share(after), actions)


def _requests_logged(context: EndpointContext, requests: int, now: datetime, after: datetime) -> Balance:
    """Every request of a tick has one answer of the champion in the log, as read back from it."""
    logged = read_log(context.stores.log_folder, now, after, context.stores.workspace.files)
    rows = 0 if logged is None else len(logged.by(CHAMPION, CANDIDATE))
    return Balance(f"requests of {context.endpoint.name}", requests, {"logged": rows}).checked()


def answer(context: EndpointContext, release: Release, requests: pa.Table) -> Predictions:
    """The champion's answers to requests (rows of offline features) on its own features, and the challenger's where one shadows on them.
    In an A/B test, each request is answered by its arm.

    A challenger that reads other features is scored from the tables (`noria.monitoring.offline_shadow`), in replay as live.
    """
    champion = context.stores.bundle(release.champion)
    inputs = context.own.inputs(champion.id, requests)
    received = requests.column(AT).to_numpy().astype("datetime64[us]").astype(np.int64)
    keys = np.array(requests.column(KEY).to_pylist(), object)
    everybody = np.ones(len(keys), np.bool_)
    parts = [(CHAMPION, champion.id, inputs, everybody)]
    if release.challenger is not None and not unserved(context, release):
        theirs, plan = in_order(context.stores.bundle(release.challenger), champion, inputs), context.policy.rollout
        if isinstance(plan, ABTest):
            arm = np.array([in_candidates_arm(release.challenger, str(key), plan.share) for key in keys], np.bool_)
            parts = [(CHAMPION, champion.id, inputs.where(~arm), ~arm), (CANDIDATE, release.challenger, theirs.where(arm), arm)]
            parts = [part for part in parts if len(part[2])]
        else:
            parts.append((CHALLENGER, release.challenger, theirs, everybody))
    ids = PredictionIds(f"{WRITER}-{context.endpoint.name}")  # an id names one prediction in the whole project
    return Predictions(
        ids=[i for *_, own in parts for i in ids.take((received[own] // 1000).tolist())],
        keys=[key for *_, own in parts for key in keys[own]],
        variant=[role for role, *_, own in parts for _ in range(int(own.sum()))],
        bundle=[bundle for _, bundle, _, own in parts for _ in range(int(own.sum()))],
        received_us=np.concatenate([received[own] for *_, own in parts]),
        latency_us=np.zeros(sum(int(own.sum()) for *_, own in parts), np.int32),
        values={bundle: Values(given, context.stores.model(bundle).answer(given)) for _, bundle, given, _ in parts},
    )
