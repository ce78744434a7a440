"""Pinecone's API on loopback, as its client speaks it. It is not Pinecone: each index is a server of its own that keeps records in a dict.

What it answers is what Pinecone documents. A write has a position in its namespace's log, and is seen only some requests later (`lag`); so
are new and removed namespaces in lists. Filters hold before the nearest are taken; sparse searches leave out what scores 0; the limits are
those of the documentation (2 MB and 1,000 records of a request, 40 kB of metadata, 1,000 terms, 10,000 hits). What isn't documented is
refused: `$ne` and `$nin` of a record without the field, an order of texts, unknown keys.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

Record = dict[str, Any]
MOST_BODY, MAX_METADATA = 2 * 1024 * 1024, 40 * 1024


class Refused(Exception):
    """What the server says no to, with its HTTP status and headers."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        self.status, self.headers = status, headers or {}
        super().__init__(message)


def require(met: bool, message: str, status: int = 400) -> None:
    if not met:
        raise Refused(status, message)


@dataclass
class Namespace:
    """A namespace: what is seen of it, and writes that are not. schema: of its creation, if it was created"""

    schema: dict[str, Any] | None = None
    records: dict[str, Record] = field(default_factory=dict)
    pending: list[tuple[int, Callable[[dict[str, Record]], None]]] = field(default_factory=list)  # after how many requests, and what
    position: int = 0
    reached: int = 0

    def write(self, change: Callable[[dict[str, Record]], None], lag: int) -> int:
        self.position += 1
        self.pending.append((lag, change))
        return self.position

    def asked(self) -> None:
        """One request later."""
        self.pending = [(after - 1, change) for after, change in self.pending]
        while self.pending and self.pending[0][0] < 0:
            self.pending.pop(0)[1](self.records)
            self.reached += 1


class Server(ThreadingHTTPServer):
    """One whose clients may be killed."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Served:
    """A project. requests, filters: those that came; lag: requests until a write is seen; fault: asked first, what it raises is answered"""

    def __init__(self, lag: int, key: str) -> None:
        self.lag, self.key, self.lock = lag, key, threading.RLock()
        self.indexes, self.servers = dict[str, Index](), list[tuple[ThreadingHTTPServer, threading.Thread]]()
        self.requests, self.filters = list[str](), list[Any]()
        self.fault: Callable[[str], None] = lambda _: None

    def start(self, routes: Callable[[str, str, dict[str, list[str]], Any], tuple[int, Any, dict[str, str]]]) -> str:
        """A server of its own; its address."""
        server = Server(("127.0.0.1", 0), type("OneHandler", (Handler,), {"served": self, "routes": staticmethod(routes)}))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        self.servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    def control(self, method: str, path: str, _: dict[str, list[str]], body: Any) -> tuple[int, Any, dict[str, str]]:
        match method, path.strip("/").split("/"):
            case "GET", ["indexes", name]:
                require(name in self.indexes, f"Resource {name} not found", 404)
                return 200, self.indexes[name].described, {}
            case "POST", ["indexes"]:
                require(set(body) <= {"name", "schema", "deployment", "deletion_protection"}, f"unknown keys: {sorted(body)}", 422)
                name, fields = body["name"], body["schema"]["fields"]
                require(bool(re.fullmatch(r"[a-z0-9](-?[a-z0-9])*", name)) and len(name) <= 45, f"{name} is no name of an index", 422)
                require(name not in self.indexes, "Resource already exists", 409)
                require(set(body["deployment"]) == {"deployment_type", "cloud", "region"}, "a deployment needs its cloud and region", 422)
                made = Index(self, name, fields)
                made.described |= {"host": self.start(made.answer), "schema": body["schema"], "deployment": body["deployment"]}
                self.indexes[name] = made
                return 201, made.described, {}
        raise Refused(404, f"{method} {path}")


class Index:
    """One index, dense or sparse."""

    def __init__(self, served: Served, name: str, fields: dict[str, Any]) -> None:
        require(len(fields) == 1 and set(fields) <= {"_values", "_sparse_values"}, f"this server has indexes of vectors only: {fields}")
        self.served, self.sparse = served, "_sparse_values" in fields
        (settings,) = fields.values()
        self.dimension, metric = settings.get("dimension"), settings.get("metric")
        require(metric == (None if self.sparse else "cosine"), f"this server does not know the metric {metric}")
        self.spaces, self.unlisted = dict[str, Namespace](), dict[str, int]()
        self.gone = dict[str, tuple[int, Namespace]]()  # removed namespaces that are still listed
        self.described: dict[str, Any] = {"name": name, "status": {"ready": True, "state": "Ready"}, "deletion_protection": "disabled"}

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any, dict[str, str]]:
        if path.startswith("/namespaces"):
            return self._namespaces(method, path, query, body)
        route = {
            ("POST", "/vectors/upsert"): self._upsert,
            ("POST", "/vectors/update"): self._update,
            ("POST", "/vectors/delete"): self._delete,
            ("POST", "/query"): self._query,
            ("POST", "/vectors/fetch_by_metadata"): self._by_metadata,
            ("POST", "/describe_index_stats"): self._stats,
        }.get((method, path))
        if route is not None:
            return route(body)
        space = self._space(query.get("namespace", [""])[0], make=False)
        match method, path:
            case "GET", "/vectors/fetch":
                require(len(query["ids"]) <= 1_000, "too many ids")
                found = {id: _shown(space.records[id]) for id in query["ids"] if id in space.records}
                return 200, {"vectors": found, "namespace": query["namespace"][0]}, {}
            case "GET", "/vectors/list":
                return 200, self._list(space, query), {}
        raise Refused(404, f"{method} {path}")

    def _space(self, name: str, *, make: bool) -> Namespace:
        require(bool(name), "this server wants a namespace")
        if name not in self.spaces and make:
            self.spaces[name] = Namespace()
        space = self.spaces.get(name) or Namespace()
        space.asked()
        return space

    def _list(self, space: Namespace, query: dict[str, list[str]]) -> Any:
        prefix, limit = query.get("prefix", [""])[0], int(query.get("limit", ["100"])[0])
        after = query.get("paginationToken", [""])[0]
        require(1 <= limit <= 100, "limit must be 1 to 100")
        ids = sorted(id for id in space.records if id.startswith(prefix) and id > after)
        more = {"pagination": {"next": ids[limit - 1]}} if len(ids) > limit else {}
        return {"vectors": [{"id": id} for id in ids[:limit]], **more}

    # --- writes -------------------------------------------------------------------------------------------------------------

    def _upsert(self, body: Any) -> tuple[int, Any, dict[str, str]]:
        _require_keys(body, {"vectors", "namespace"})
        require(1 <= len(body["vectors"]) <= 1_000, "a request has 1 to 1,000 records")
        made = {each["id"]: self._record(each) for each in body["vectors"]}
        return self._written(body["namespace"], lambda records: records.update(made), {"upsertedCount": len(made)})

    def _record(self, given: Any) -> Record:
        _require_keys(given, {"id", "values", "sparseValues", "metadata"})
        id, values, sparse = given["id"], given.get("values") or [], given.get("sparseValues")
        require(isinstance(id, str) and id.isascii() and 1 <= len(id) <= 512 and "\0" not in id, f"bad id {id!r:.80}")
        if self.sparse:
            require(bool(sparse) and not values, "Sparse index needs sparse values alone")
            indices = sparse["indices"]
            require(1 <= len(indices) <= 1_000 and len(set(indices)) == len(indices) == len(sparse["values"]), "bad sparse values")
            require(all(isinstance(each, int) and 0 <= each < 2**32 for each in indices) and 0 not in sparse["values"], "bad sparse values")
        else:
            wrong = f"Vector dimension {len(values)} does not match the dimension of the index {self.dimension}"
            require(len(values) == self.dimension and sparse is None, wrong)
            require(any(values), "Dense vectors must contain at least one non-zero value")
        metadata = given.get("metadata") or {}
        _require_metadata(metadata)
        return {"id": id, "values": values, "sparseValues": sparse, "metadata": metadata}

    def _update(self, body: Any) -> tuple[int, Any, dict[str, str]]:
        _require_keys(body, {"namespace", "filter", "setMetadata", "dryRun"})
        require(bool(body.get("filter")) and bool(body.get("setMetadata")), "this server updates metadata by a filter")
        _require_metadata(body["setMetadata"])
        if body.get("dryRun"):
            space = self._space(body["namespace"], make=False)
            return 200, {"matchedRecords": sum(met(body["filter"], each["metadata"]) for each in space.records.values())}, {}

        def change(records: dict[str, Record]) -> None:
            for each in records.values():
                if met(body["filter"], each["metadata"]):
                    each["metadata"] = {**each["metadata"], **body["setMetadata"]}

        return self._written(body["namespace"], change, {"matchedRecords": 0})

    def _delete(self, body: Any) -> tuple[int, Any, dict[str, str]]:
        _require_keys(body, {"namespace", "filter", "ids", "deleteAll"})
        require(len({"filter", "ids", "deleteAll"} & set(body)) == 1 and len(body.get("ids", [])) <= 1_000, "one selector, 1,000 ids")
        require(body["namespace"] in self.spaces, "Namespace not found", 404)

        def change(records: dict[str, Record]) -> None:
            gone = [id for id, each in records.items() if "filter" in body and met(body["filter"], each["metadata"])]
            for id in (*gone, *body.get("ids", []), *(list(records) if body.get("deleteAll") else [])):
                records.pop(id, None)

        return self._written(body["namespace"], change, {})

    def _written(self, name: str, change: Callable[[dict[str, Record]], None], answer: Any) -> tuple[int, Any, dict[str, str]]:
        space = self._space(name, make=True)
        return 200, answer, {"x-pinecone-request-lsn": str(space.write(change, self.served.lag))}

    # --- reads --------------------------------------------------------------------------------------------------------------

    def _query(self, body: Any) -> tuple[int, Any, dict[str, str]]:
        _require_keys(body, {"topK", "includeValues", "includeMetadata", "namespace", "vector", "filter", "sparseVector"})
        require(1 <= body["topK"] <= (1_000 if self.sparse else 10_000), f"topK of {body['topK']} is not allowed")
        space = self._space(body["namespace"], make=False)
        self.served.filters.append(body.get("filter"))
        rows = [each for each in space.records.values() if "filter" not in body or met(body["filter"], each["metadata"])]
        scored = sorted(((self._score(body, each), each) for each in rows), key=lambda pair: -pair[0])
        found = [(score, each) for score, each in scored if score > 0 or not self.sparse][: body["topK"]]
        matches = [
            {"id": each["id"], "score": score, **({"metadata": each["metadata"]} if body["includeMetadata"] else {})}
            for score, each in found
        ]
        require(len(json.dumps(matches)) <= 4 * 1024 * 1024, "a result has 4 MB at most")
        return 200, {"matches": matches, "namespace": body["namespace"]}, {"x-pinecone-max-indexed-lsn": str(space.reached)}

    def _score(self, body: Any, record: Record) -> float:
        if self.sparse:
            asked = dict(zip(body["sparseVector"]["indices"], body["sparseVector"]["values"], strict=True))
            own = zip(record["sparseValues"]["indices"], record["sparseValues"]["values"], strict=True)
            return sum(asked.get(place, 0.0) * weight for place, weight in own)
        asked, values = np.array(body["vector"]), np.array(record["values"])
        require(len(asked) == self.dimension, "Query vector dimension does not match the dimension of the index")
        return float(asked @ values / (np.linalg.norm(asked) * np.linalg.norm(values)))

    def _by_metadata(self, body: Any) -> tuple[int, Any, dict[str, str]]:
        _require_keys(body, {"filter", "namespace", "limit"})
        space = self._space(body["namespace"], make=False)
        found = [each for each in space.records.values() if met(body["filter"], each["metadata"])][: body["limit"]]
        return 200, {"vectors": {each["id"]: _shown(each) for each in found}, "namespace": body["namespace"]}, {}

    def _stats(self, _: Any) -> tuple[int, Any, dict[str, str]]:
        counts = {name: {"vectorCount": len(each.records)} for name, each in self.spaces.items()}
        return 200, {"namespaces": counts, "dimension": self.dimension, "indexFullness": 0, "totalVectorCount": 0}, {}

    # --- namespaces -----------------------------------------------------------------------------------------------------------

    def _namespaces(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any, dict[str, str]]:
        name = unquote(path.removeprefix("/namespaces").strip("/"))
        if method == "POST" and not name:
            _require_keys(body, {"name", "schema"})
            require(body["name"] not in self.spaces, f"Namespace {body['name']} already exists", 409)
            self.spaces[body["name"]] = Namespace(body["schema"])
            self.unlisted[body["name"]] = self.served.lag
            return 201, self._described(body["name"], self.spaces[body["name"]]), {}
        if method == "GET" and not name:
            return 200, self._listed(query["prefix"][0], query.get("paginationToken", [""])[0], int(query["limit"][0])), {}
        require(name in self.spaces, "Namespace not found", 404)
        if method == "DELETE":
            self.gone[name] = (self.served.lag, self.spaces.pop(name))
            return 202, {}, {}
        return 200, self._described(name, self.spaces[name]), {}

    def _listed(self, prefix: str, after: str, limit: int) -> Any:
        """Lists are late by some requests, as everything is."""
        self.unlisted = {name: left - 1 for name, left in self.unlisted.items() if left > 0}
        self.gone = {name: (left - 1, each) for name, (left, each) in self.gone.items() if left > 0}
        every = {name: each for name, each in self.spaces.items() if name not in self.unlisted}
        every = {name: each for name, (_, each) in self.gone.items()} | every
        names = sorted(name for name in every if name.startswith(prefix) and name > after)
        more = {"pagination": {"next": names[limit - 1]}} if len(names) > limit else {}
        return {"namespaces": [self._described(name, every[name]) for name in names[:limit]], "total_count": len(names), **more}

    @staticmethod
    def _described(name: str, space: Namespace) -> Any:
        return {"name": name, "record_count": str(len(space.records)), **({"schema": space.schema} if space.schema else {})}


def _shown(record: Record) -> Record:
    return {key: value for key, value in record.items() if value is not None}


def _require_keys(body: Any, known: set[str]) -> None:
    require(isinstance(body, dict) and set(body) <= known, f"unknown keys: {sorted(set(body) - known)}")


def _require_metadata(metadata: Any) -> None:
    require(len(json.dumps(metadata).encode()) <= MAX_METADATA, "Metadata size exceeds the limit of 40960 bytes per vector")
    for name, value in metadata.items():
        texts = isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
        require(not name.startswith("$") and (texts or isinstance(value, str | int | float)), f"bad metadata {name}: {value!r:.60}")


# --- filters -------------------------------------------------------------------------------------------------------------------


def met(asked: Any, metadata: dict[str, Any]) -> bool:
    """Whether a record's metadata meets a filter."""
    found = _met(asked, metadata)
    require(found is not None, f"it hangs on what $ne or $nin say of a record without the field, which isn't documented: {asked!r:.200}")
    return bool(found)


def _met(asked: Any, metadata: dict[str, Any]) -> bool | None:
    """The same; None where that isn't documented."""
    require(isinstance(asked, dict) and bool(asked), f"no filter: {asked!r:.80}")
    return _all([_clause(name, each, metadata) for name, each in asked.items()])


def _all(found: list[bool | None]) -> bool | None:
    return False if False in found else None if None in found else True


def _clause(name: str, asked: Any, metadata: dict[str, Any]) -> bool | None:
    if name in ("$and", "$or"):
        require(isinstance(asked, list) and bool(asked), f"{name} needs a list")
        every = [_met(each, metadata) for each in asked]
        return _all(every) if name == "$and" else True if True in every else None if None in every else False
    require(not name.startswith("$") and isinstance(asked, dict) and len(asked) == 1, f"no condition: {name} {asked!r:.80}")
    ((operator, value),) = asked.items()
    found = metadata.get(name)
    there = [] if found is None else found if isinstance(found, list) else [found]
    match operator:
        case "$exists":
            require(isinstance(value, bool), "$exists needs a boolean")
            return (found is not None) == value
        case "$eq" | "$ne":
            require(isinstance(value, str | int | float), f"{operator} needs a value")
            if operator == "$ne" and found is None:
                return None
            return any(_same(each, value) for each in there) == (operator == "$eq")
        case "$in" | "$nin":
            right = isinstance(value, list) and 1 <= len(value) <= 10_000 and not any(isinstance(each, bool) for each in value)
            require(right, f"{operator} needs 1 to 10,000 texts or numbers")
            if operator == "$nin" and found is None:
                return None
            return any(_same(each, one) for each in there for one in value) == (operator == "$in")
        case "$gt" | "$gte" | "$lt" | "$lte":
            require(isinstance(value, int | float) and not isinstance(value, bool), f"{operator} needs a number")
            compare = {"$gt": float.__gt__, "$gte": float.__ge__, "$lt": float.__lt__, "$lte": float.__le__}[operator]
            return any(compare(float(each), float(value)) for each in there if isinstance(each, int | float) and not isinstance(each, bool))
    raise Refused(400, f"unknown operator {operator}")


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and isinstance(one, str) == isinstance(other, str) and one == other


class Handler(BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", 65_536  # head and body in one packet
    served: Served
    routes: Callable[[str, str, dict[str, list[str]], Any], tuple[int, Any, dict[str, str]]]

    def _answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        headers: dict[str, str] = {}
        with self.served.lock:
            self.served.requests.append(f"{self.command} {parts.path}")
            try:
                self.served.fault(f"{self.command} {parts.path}")
                require(self.headers.get("Api-Key") == self.served.key, "Invalid API Key", 401)
                require(bool(self.headers.get("X-Pinecone-Api-Version")), "no version of the API is named")
                require(len(raw) <= MOST_BODY, "Request size exceeds the limit of 2MB", 413)
                status, answer, headers = self.routes(self.command, parts.path, parse_qs(parts.query), json.loads(raw or b"null"))
            except Refused as error:
                status, headers = error.status, error.headers
                answer = {"error": {"code": status, "message": str(error)}, "status": status}
        data = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@contextmanager
def served_pinecone(lag: int = 1, key: str = "right") -> Iterator[tuple[str, Served]]:
    """The address of a project of its own, and what it keeps. lag: requests until a write is seen"""
    served = Served(lag, key)
    url = served.start(served.control)
    try:
        yield f"{url}?cloud=aws&region=us-east-1", served
    finally:
        for server, thread in served.servers:
            server.shutdown()
            server.server_close()
            thread.join()
