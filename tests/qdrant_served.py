"""Qdrant's REST API on loopback, answered by the local mode of its own client: the requests are real, the server's engine is not."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models

Body = dict[str, Any]


class Served:
    """What is asked for, by method and path below `/collections/<name>`. requests: those that came, for tests that read them"""

    def __init__(self) -> None:
        self._client, self._lock = QdrantClient(":memory:"), threading.Lock()
        self.requests: list[tuple[str, str]] = []

    def answer(self, method: str, name: str, rest: str, body: Body) -> Any:
        self.requests.append((method, rest))
        with self._lock:
            return ROUTES[method, rest](self._client, name, body)


def _points(body: Body) -> list[models.PointStruct]:
    return TypeAdapter(list[models.PointStruct]).validate_python(body["points"])


def _filter(body: Body) -> models.Filter | None:
    return models.Filter.model_validate(body["filter"]) if body.get("filter") else None


def _query(client: QdrantClient, name: str, body: Body) -> Any:
    asked = models.QueryRequest.model_validate(body)
    query = asked.query.nearest if isinstance(asked.query, models.NearestQuery) else asked.query
    payload = asked.with_payload or False
    return client.query_points(
        name, query=query, using=asked.using, query_filter=asked.filter, limit=asked.limit or 10, with_payload=payload
    )


def _scroll(client: QdrantClient, name: str, body: Body) -> Any:
    page = {"limit": body["limit"], "offset": body.get("offset")}
    points, at = client.scroll(name, _filter(body), **page, with_payload=body["with_payload"], with_vectors=body.get("with_vector", False))
    return {"points": [point.model_dump() for point in points], "next_page_offset": at}


def _delete(client: QdrantClient, name: str, body: Body) -> Any:
    client.delete(name, TypeAdapter(models.PointIdsList | models.FilterSelector).validate_python(body))
    return UPDATED


def _create(client: QdrantClient, name: str, body: Body) -> Any:
    asked = models.CreateCollection.model_validate(body)
    return client.create_collection(name, asked.vectors, asked.sparse_vectors)


def _upsert(client: QdrantClient, name: str, body: Body) -> Any:
    client.upsert(name, _points(body), update_mode=body.get("update_mode"))
    return UPDATED


def _set_payload(client: QdrantClient, name: str, body: Body) -> Any:
    client.set_payload(name, body["payload"], body["points"], body.get("key"))
    return UPDATED


UPDATED = {"operation_id": 1, "status": "completed"}
ROUTES: dict[tuple[str, str], Callable[[QdrantClient, str, Body], Any]] = {
    ("GET", "/exists"): lambda client, name, _: {"exists": client.collection_exists(name)},
    ("PUT", ""): _create,
    ("GET", ""): lambda client, name, _: client.get_collection(name),
    ("PUT", "/index"): lambda *_: UPDATED,
    ("PUT", "/points"): _upsert,
    ("POST", "/points"): lambda client, name, body: client.retrieve(
        name, body["ids"], with_payload=body["with_payload"], with_vectors=body.get("with_vector", False)
    ),
    ("POST", "/points/payload"): _set_payload,
    ("POST", "/points/delete"): _delete,
    ("POST", "/points/query"): _query,
    ("POST", "/points/scroll"): _scroll,
    ("POST", "/points/count"): lambda client, name, body: client.count(name, _filter(body)),
    ("POST", "/facet"): lambda client, name, body: client.facet(name, body["key"], _filter(body), body["limit"]),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", 65_536  # head and body in one packet
    served: Served
    key: str | None

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        found = re.fullmatch(r"/collections/([^/?]+)([^?]*)(\?.*)?", self.path)
        if self.headers.get("api-key") != self.key:
            self._send(401, {"status": {"error": "Invalid API key"}})
        elif found is None or (self.command, found[2]) not in ROUTES:
            self._send(404, {"status": {"error": f"{self.command} {self.path}"}})
        else:
            try:
                result = self.served.answer(self.command, found[1], found[2], body)
            except ValueError as error:
                self._send(409 if "already exists" in str(error) else 400, {"status": {"error": str(error)}})
            else:
                plain = TypeAdapter(Any).dump_python(result, mode="json", serialize_as_any=True)
                self._send(200, {"result": plain, "status": "ok", "time": 0.0})

    do_GET = do_PUT = do_POST = _answer  # noqa: N815 - http.server's names

    def _send(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@contextmanager
def served_qdrant(key: str | None = None) -> Iterator[tuple[str, Served]]:
    """The address of a server of its own, and what it was asked. key: that it wants"""
    served = Served()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneHandler", (Handler,), {"served": served, "key": key}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
