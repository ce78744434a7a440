"""The admin port: how all workers are, in one place, answered by a process that no model can hold up.

GET /health/live          this process lives
GET /v2/health/ready      200 when every worker answers its golden rows; 503 with the reason otherwise
GET /status               every worker's state, as JSON
GET /metrics              Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from noria.core.errors import NoriaError
from noria.core.health import Healthy, Unhealthy, word
from noria.serving.access.keys import Role, secret_of
from noria.serving.observe.metrics import collect
from noria.serving.rest import LOOPBACK

if TYPE_CHECKING:
    from noria.serving.supervisor import Supervisor


Page = Callable[[Request], Awaitable[Response]]


def admin_app(supervisor: Supervisor) -> Starlette:
    """The admin port's pages."""

    async def live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_: Request) -> Response:
        state = overview(supervisor)
        return JSONResponse(state, 200 if state["ready"] else 503)

    def readers(page: Page) -> Page:
        """A page for those whose key may read."""

        async def guarded(request: Request) -> Response:
            secret = secret_of(request.headers.get("authorization", ""), request.headers.get("x-api-key", ""))
            try:
                supervisor.access.require(secret, Role.READ)
            except NoriaError as error:
                return JSONResponse(error.to_dict(), error.http_status)
            return await page(request)

        return guarded

    async def status(_: Request) -> Response:
        return JSONResponse({**overview(supervisor), "restarts": supervisor.restarts, "workers": supervisor.states()})

    async def metrics(_: Request) -> Response:
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(supervisor))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return Starlette(
        routes=[
            Route("/health/live", live),
            Route("/v2/health/live", live),
            Route("/v2/health/ready", ready),
            Route("/status", readers(status)),
            Route("/metrics", readers(metrics)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK])] if supervisor.where.admin_host in LOOPBACK else [],
    )


def overview(supervisor: Supervisor) -> dict[str, Any]:
    """Whether predictions are answered, and what does not work as it should."""
    health = supervisor.health
    why = None if isinstance(health, Healthy) else health.cause if isinstance(health, Unhealthy) else health.why
    return {"ready": isinstance(health, Healthy), "health": word(health), "why": why, "degraded": supervisor.degraded}


class _Collector:
    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterator[Any]:
        return collect(self._supervisor.states())


class AdminServer(uvicorn.Server):
    """Uvicorn inside the supervisor, which handles the signals itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def admin_server(supervisor: Supervisor) -> AdminServer:
    settings = supervisor.settings
    config = uvicorn.Config(
        admin_app(supervisor),
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    return AdminServer(config)
