"""Qdrant's REST API on loopback: every request is read by the models of Qdrant's own OpenAPI, which refuse keys that it does not have, and
answered by the local mode of its client. The requests are real, the server's engine is not.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models

Body = dict[str, Any]


class Served:
    """What is asked for, by method and path below `/collections/<name>`, in strict mode: a filter on a field without an index is refused.

    requests: those that came, for tests that read them; indexed: the fields of each collection that have an index
    """

    def __init__(self) -> None:
        self.client, self._lock = QdrantClient(":memory:"), threading.Lock()
        self.requests: list[tuple[str, str]] = []
        self.indexed: dict[str, dict[str, models.PayloadSchemaType]] = {}

    def answer(self, method: str, name: str, rest: str, body: Body) -> Any:
        self.requests.append((method, rest))
        kind, answer = ROUTES[method, re.sub("(?<=^/index/).+", "*", rest)]
        asked = None if kind is None else TypeAdapter(kind).validate_python(body)  # the API's own models, which know no other keys
        with self._lock:
            for field in _fields(asked):
                if field not in self.indexed.get(name, {}):
                    raise ValueError(f'Bad request: Index required but not found for "{field}" of one of the following types: [keyword]')
            return answer(self, name, asked if kind is not None else rest)


def _fields(asked: Any) -> Iterator[str]:
    """The fields that a request's filter, or its facet, names."""
    match asked:
        case models.FieldCondition():
            yield asked.key
        case models.IsEmptyCondition():
            yield asked.is_empty.key
        case models.Filter():
            for some in (asked.must, asked.must_not, asked.should):
                for each in some if isinstance(some, list) else [some]:
                    yield from _fields(each)
        case models.FacetRequest():
            yield from (asked.key, *_fields(asked.filter))
        case models.QueryRequest() | models.ScrollRequest() | models.CountRequest() | models.FilterSelector():
            yield from _fields(asked.filter)


def _query(served: Served, name: str, asked: models.QueryRequest) -> Any:
    query = asked.query.nearest if isinstance(asked.query, models.NearestQuery) else asked.query
    shown = {"limit": asked.limit or 10, "with_payload": asked.with_payload or False}
    return served.client.query_points(name, query=query, using=asked.using, query_filter=asked.filter, **shown)


def _scroll(served: Served, name: str, asked: models.ScrollRequest) -> Any:
    page = {"limit": asked.limit or 10, "offset": asked.offset, "with_payload": asked.with_payload}
    points, at = served.client.scroll(name, asked.filter, **page, with_vectors=asked.with_vector or False)
    return {"points": [point.model_dump() for point in points], "next_page_offset": at}


def _retrieve(served: Served, name: str, asked: models.PointRequest) -> Any:
    return served.client.retrieve(name, asked.ids, with_payload=asked.with_payload or False, with_vectors=asked.with_vector or False)


def _delete(served: Served, name: str, asked: models.PointIdsList | models.FilterSelector) -> Any:
    served.client.delete(name, asked)
    return UPDATED


def _create(served: Served, name: str, asked: models.CreateCollection) -> Any:
    return served.client.create_collection(name, asked.vectors, asked.sparse_vectors)


def _described(served: Served, name: str, _: str) -> Any:
    known = {field: {"data_type": kind, "points": 0} for field, kind in served.indexed.get(name, {}).items()}
    return {**served.client.get_collection(name).model_dump(), "payload_schema": known}


def _upsert(served: Served, name: str, asked: models.PointsList) -> Any:
    served.client.upsert(name, asked.points, update_mode=asked.update_mode)
    return UPDATED


def _set_payload(served: Served, name: str, asked: models.SetPayload) -> Any:
    served.client.set_payload(name, asked.payload, asked.points or [], asked.key)
    return UPDATED


def _index(served: Served, name: str, asked: models.CreateFieldIndex) -> Any:
    served.indexed.setdefault(name, {})[asked.field_name] = models.PayloadSchemaType(asked.field_schema)
    return UPDATED


def _unindex(served: Served, name: str, rest: str) -> Any:
    served.indexed[name].pop(rest.removeprefix("/index/"))
    return UPDATED


def _facet(served: Served, name: str, asked: models.FacetRequest) -> Any:
    return served.client.facet(name, asked.key, asked.filter, asked.limit or 10)


UPDATED = {"operation_id": 1, "status": "completed"}
ROUTES: dict[tuple[str, str], tuple[Any, Callable[[Served, str, Any], Any]]] = {
    ("GET", "/exists"): (None, lambda served, name, _: {"exists": served.client.collection_exists(name)}),
    ("PUT", ""): (models.CreateCollection, _create),
    ("GET", ""): (None, _described),
    ("PUT", "/index"): (models.CreateFieldIndex, _index),
    ("DELETE", "/index/*"): (None, _unindex),
    ("PUT", "/points"): (models.PointsList, _upsert),
    ("POST", "/points"): (models.PointRequest, _retrieve),
    ("POST", "/points/payload"): (models.SetPayload, _set_payload),
    ("POST", "/points/delete"): (models.PointIdsList | models.FilterSelector, _delete),
    ("POST", "/points/query"): (models.QueryRequest, _query),
    ("POST", "/points/scroll"): (models.ScrollRequest, _scroll),
    ("POST", "/points/count"): (models.CountRequest, lambda served, name, asked: served.client.count(name, asked.filter)),
    ("POST", "/facet"): (models.FacetRequest, _facet),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", 65_536  # head and body in one packet
    served: Served
    key: str | None

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        found = re.fullmatch(r"/collections/([^/?]+)([^?]*)(\?.*)?", unquote(self.path))
        unknown = set(parse_qs(urlsplit(self.path).query)) - {"wait", "timeout", "ordering", "consistency"}
        if self.headers.get("api-key") != self.key:
            self._send(401, {"status": {"error": "Invalid API key"}})
        elif unknown or found is None or (self.command, re.sub("(?<=^/index/).+", "*", found[2])) not in ROUTES:
            self._send(404, {"status": {"error": f"{self.command} {self.path}"}})
        else:
            try:
                result = self.served.answer(self.command, found[1], found[2], body)
            except ValueError as error:
                self._send(409 if "already exists" in str(error) else 400, {"status": {"error": str(error)}})
            else:
                plain = TypeAdapter(Any).dump_python(result, mode="json", serialize_as_any=True)
                self._send(200, {"result": plain, "status": "ok", "time": 0.0})

    do_GET = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

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
