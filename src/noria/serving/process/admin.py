"""The admin port: how all workers are, in one place, answered by a process that no model can hold up.

GET /health/live          this process lives
GET /v2/health/ready      200 when every worker answers its golden rows; 503 with the reason otherwise
GET /status               every worker's state, as JSON
GET /metrics              Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from noria.core.errors import NoriaError
from noria.core.health import Health, Healthy, Unhealthy, word
from noria.core.settings import ServingSettings
from noria.serving.access.keys import Access, Role, secret_of
from noria.serving.observe.metrics import collect
from noria.serving.process.rest import LOOPBACK

Page = Callable[[Request], Awaitable[Response]]


class Workers(Protocol):
    """What the admin port shows of a server: what its supervisor knows of the workers."""

    settings: ServingSettings
    access: Access

    @property
    def health(self) -> Health: ...
    @property
    def degraded(self) -> list[str]: ...
    @property
    def restarts(self) -> int: ...
    @property
    def admin_host(self) -> str: ...
    def states(self) -> dict[str, dict[str, Any]]: ...


def admin_app(workers: Workers) -> Starlette:
    """The admin port's pages."""

    async def live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_: Request) -> Response:
        state = overview(workers)
        return JSONResponse(state, 200 if state["ready"] else 503)

    def readers(page: Page) -> Page:
        """A page for those whose key may read."""

        async def guarded(request: Request) -> Response:
            secret = secret_of(request.headers.get("authorization", ""), request.headers.get("x-api-key", ""))
            try:
                workers.access.require(secret, Role.READ)
            except NoriaError as error:
                return JSONResponse(error.to_dict(), error.http_status)
            return await page(request)

        return guarded

    async def status(_: Request) -> Response:
        return JSONResponse({**overview(workers), "restarts": workers.restarts, "workers": workers.states()})

    async def metrics(_: Request) -> Response:
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(workers))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return Starlette(
        routes=[
            Route("/health/live", live),
            Route("/v2/health/live", live),
            Route("/v2/health/ready", ready),
            Route("/status", readers(status)),
            Route("/metrics", readers(metrics)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK])] if workers.admin_host in LOOPBACK else [],
    )


def overview(workers: Workers) -> dict[str, Any]:
    """Whether predictions are answered, and what does not work as it should."""
    health = workers.health
    why = None if isinstance(health, Healthy) else health.cause if isinstance(health, Unhealthy) else health.why
    return {"ready": isinstance(health, Healthy), "health": word(health), "why": why, "degraded": workers.degraded}


class _Collector:
    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def collect(self) -> Iterator[Any]:
        return collect(self._workers.states())


class AdminServer(uvicorn.Server):
    """Uvicorn inside the supervisor, which handles the signals itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def admin_server(workers: Workers) -> AdminServer:
    settings = workers.settings
    config = uvicorn.Config(
        admin_app(workers),
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    return AdminServer(config)
