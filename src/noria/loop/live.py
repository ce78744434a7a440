"""From the catalog to a live server: the champion of an endpoint, opened, verified and ready to be served."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from noria.core.clock import SystemClock
from noria.core.errors import UserMistake
from noria.core.heartbeat import require_this_host
from noria.core.settings import ServingSettings
from noria.release.ab_test import ABTest
from noria.release.endpoint import Endpoint
from noria.release.releases import Release, latest_release
from noria.release.rollout import Rollout
from noria.serving.access.keys import KeyFile
from noria.serving.batching.allowance import ShadowTerms
from noria.serving.process.supervisor import Supervisor
from noria.serving.process.worker import Serve
from noria.stores.workspace import Workspace


class NothingToServe(UserMistake):
    """An endpoint has no champion yet."""

    code = "NR-420"

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        super().__init__(
            what=f"endpoint {endpoint!r} has no champion yet",
            where="no model was ever promoted here",
            fix="run `noria ingest` and `noria train`, or `noria replay`",
        )


def open_supervisor(workspace: Workspace, endpoints: Sequence[Endpoint], settings: ServingSettings) -> Supervisor:
    """A server for the endpoints' champions, and for the challengers that shadow them, as the catalog says from moment to moment.

    Raises `NothingToServe` when none of them has a champion yet, and `OtherHost`.
    """
    require_this_host(workspace.root, SystemClock().now(), workspace.files)

    def targets() -> list[Serve]:
        with closing(workspace.catalog()) as catalog:
            releases = {endpoint.name: latest_release(catalog, endpoint.name) for endpoint in endpoints}
        return [_serve(workspace, endpoint, release) for endpoint in endpoints if (release := releases[endpoint.name]) is not None]

    if not targets():
        raise NothingToServe(endpoints[0].name)
    keys = KeyFile(workspace.root, workspace.files).read
    worker = "noria.loop.live_worker", str(workspace.folder)
    return Supervisor(targets, settings, SystemClock(), keys=keys, worker=worker, folder=workspace.root)


def _serve(workspace: Workspace, endpoint: Endpoint, release: Release) -> Serve:
    previous = release.previous if endpoint.falls_back else None
    tested = endpoint.release if isinstance(endpoint.release, ABTest) else None
    shadow_of, arm = (release.challenger, None) if tested is None else (None, release.challenger)
    champion, shadow, before, candidate = (b and str(workspace.bundles / b) for b in (release.champion, shadow_of, previous, arm))
    assert champion is not None
    log = str(workspace.log(endpoint.name))
    return Serve(
        endpoint.name,
        champion,
        shadow,
        log,
        before,
        endpoint.default_answer,
        endpoint.cached_rows,
        endpoint.model.trust,
        endpoint.deadline_seconds,
        _shadow_terms(endpoint, release),
        candidate,
        0.0 if tested is None else tested.share,
    )


def _shadow_terms(endpoint: Endpoint, release: Release) -> ShadowTerms | None:
    """What a shadow may be asked, where its answers are scored by themselves and may cost money."""
    plan = endpoint.release
    if release.challenger is None or not isinstance(plan, Rollout) or not endpoint.task.outcomes_belong_to_the_answer:
        return None
    return ShadowTerms(plan.share, plan.answers, release.challenger_since)
