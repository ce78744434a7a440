"""Weaviate's two APIs on loopback, in the client's own protobufs and Weaviate's REST shapes. It is not Weaviate: it is a dict.

What it answers is what Weaviate documents, and where that says nothing, what its source does: a filter holds before the nearest are taken,
`NotEqual` is the contrary of `Equal` and so is met by an object without the property, texts compare by their tokens' bytes, a filter on a
property that the class does not have is an error, an id that is there can't be inserted by REST and is replaced by a batch, one deletion
and one answer have at most 10,000 objects. Whatever it does not know is refused.
"""

from __future__ import annotations

import json
import math
import re
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import grpc
import numpy as np
from google.protobuf.json_format import MessageToDict
from weaviate.proto.v1 import (
    aggregate_pb2,
    base_pb2,
    batch_delete_pb2,
    batch_pb2,
    properties_pb2,
    search_get_pb2,
    weaviate_pb2_grpc,
)

MOST = 10_000
TYPES: dict[str, type] = {"text": str, "number": float, "boolean": bool, "text[]": list}
CLASS_KEYS = {"class", "description", "properties", "vectorizer", "vectorIndexType", "vectorIndexConfig", "invertedIndexConfig"}
PROPERTY_KEYS = {"name", "dataType", "tokenization", "indexFilterable", "indexSearchable", "indexRangeFilters"}
SEARCH_KEYS = {"collection", "consistency_level", "properties", "metadata", "limit", "after", "filters", "near_vector", "bm25_search"}
SEARCH_KEYS |= {"uses_123_api", "uses_125_api", "uses_127_api"}


class Refused(Exception):
    """What the server says no to, with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


@dataclass
class Stored:
    properties: dict[str, Any]
    vector: np.ndarray | None = None


@dataclass
class Class:
    """A class of the schema and its objects, by id. types, tokenization: of each property"""

    schema: dict[str, Any]
    types: dict[str, str] = field(default_factory=lambda: {"_id": "text"})
    tokenization: dict[str, str] = field(default_factory=dict)
    filterable: set[str] = field(default_factory=lambda: {"_id"})
    objects: dict[str, Stored] = field(default_factory=dict)


class Served:
    """What is kept. requests: those that came; filters: of each search; fault: asked before each request, what it raises is answered"""

    def __init__(self) -> None:
        self.classes, self.lock = dict[str, Class](), threading.RLock()
        self.requests, self.filters = list[str](), list[dict[str, Any] | None]()
        self.levels = set[str]()
        self.fault: Callable[[str], None] = lambda _: None

    def of(self, name: str) -> Class:
        if name not in self.classes:
            raise Refused(404, f"class {name} not found in schema")
        return self.classes[name]

    # --- the schema ---------------------------------------------------------------------------------------------------------

    def create(self, schema: dict[str, Any]) -> dict[str, Any]:
        name = schema.get("class", "")
        if not re.fullmatch(r"[A-Z][_0-9A-Za-z]{0,254}", name) or set(schema) - CLASS_KEYS:
            raise Refused(422, f"'{name}' is not a valid class, or has unknown keys: {sorted(set(schema) - CLASS_KEYS)}")
        if name.lower() in map(str.lower, self.classes):
            raise Refused(422, f"class name {name} already exists")
        if schema.get("vectorizer") != "none" or schema.get("vectorIndexConfig", {}).get("distance") != "cosine":
            raise Refused(422, "this server has no vectorizer, and compares by cosine")
        made = Class({**schema, "properties": []})
        for each in schema.get("properties", []):
            self._add(made, each)
        self.classes[name] = made
        return made.schema

    def add_property(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        self._add(self.of(name), given)
        return given

    def _add(self, made: Class, given: dict[str, Any]) -> None:
        given = {key: value for key, value in given.items() if value is not None}
        name, (kind, *others) = given.get("name", ""), given.get("dataType", [""])
        if not re.fullmatch(r"[_A-Za-z][_0-9A-Za-z]{0,230}", name) or name in ("id", "vector", "_id", "_additional"):
            raise Refused(422, f"'{name}' is not a valid property name")
        if name.lower() in map(str.lower, made.types):
            raise Refused(422, f"property name {name!r} already exists")
        if kind not in TYPES or others or set(given) - PROPERTY_KEYS:
            raise Refused(422, f"property {name!r} has an unknown type or key: {given}")
        if not kind.startswith("text") and (given.get("tokenization") or given.get("indexSearchable")):
            raise Refused(422, f"`tokenization` and `indexSearchable` are allowed only for text data types, not for {name!r}")
        if kind.startswith("text") and given.get("tokenization") not in ("field", "whitespace"):
            raise Refused(422, f"this server does not know the tokenization of {name!r}: {given.get('tokenization')}")
        made.types[name], made.tokenization[name] = kind, given.get("tokenization", "")
        if given.get("indexFilterable", True):
            made.filterable.add(name)
        made.schema["properties"].append({"tokenization": None, "indexFilterable": True, "indexSearchable": False, **given})

    # --- objects ------------------------------------------------------------------------------------------------------------

    def put(self, name: str, id: str, given: dict[str, Any], vector: np.ndarray | None) -> None:
        made = self.of(name)
        checked = {each: _typed(made, each, value) for each, value in given.items()}
        there = next((each.vector for each in made.objects.values() if each.vector is not None), None)
        if vector is not None and there is not None and len(vector) != len(there):
            raise Refused(422, f"new node has a vector with length {len(vector)}. Existing nodes have vectors with length {len(there)}")
        made.objects[str(UUID(id))] = Stored(checked, vector)

    def insert(self, body: dict[str, Any]) -> dict[str, Any]:
        if set(body) - {"class", "properties", "id", "vector"}:
            raise Refused(422, f"unknown keys: {sorted(body)}")
        id = str(UUID(body["id"]))
        if id in self.of(body["class"]).objects:
            raise Refused(422, f"id '{id}' already exists")
        self.put(body["class"], id, body["properties"], None)
        return body

    def merge(self, name: str, id: str, body: dict[str, Any]) -> None:
        made = self.of(name)
        if set(body) - {"class", "properties", "id"} or id not in made.objects:
            raise Refused(404 if id not in made.objects else 422, f"no object {id}, or unknown keys: {sorted(body)}")
        changed = {each: _typed(made, each, value) for each, value in body["properties"].items()}
        made.objects[id] = Stored({**made.objects[id].properties, **changed}, made.objects[id].vector)

    def matching(self, made: Class, filters: base_pb2.Filters | None) -> dict[str, Stored]:
        if filters is None:
            return dict(made.objects)
        return {id: each for id, each in made.objects.items() if _met(made, filters, {"_id": id, **each.properties})}


def _typed(made: Class, name: str, value: Any) -> Any:
    """A value as its property's type has it: without autoschema, what the class does not have is refused."""
    if name not in made.types:
        raise Refused(422, f"invalid object: no such prop with name '{name}' found in class '{made.schema['class']}'")
    wanted = TYPES[made.types[name]]
    if isinstance(value, int) and not isinstance(value, bool) and wanted is float:
        value = float(value)
    if not isinstance(value, wanted) or (wanted is list and not all(isinstance(each, str) for each in value)):
        raise Refused(422, f"invalid {made.types[name]} property '{name}': {value!r:.80}")
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused(422, f"no number: {value}")
    return value


# --- filters ------------------------------------------------------------------------------------------------------------------

OPERATOR = base_pb2.Filters.Operator


def _met(made: Class, filters: base_pb2.Filters, properties: dict[str, Any]) -> bool:
    operator = OPERATOR.Name(filters.operator).removeprefix("OPERATOR_")
    if operator in ("AND", "OR"):
        if len(filters.filters) < 2:
            raise Refused(422, f"{operator} needs several operands")
        return (all if operator == "AND" else any)([_met(made, each, properties) for each in filters.filters])
    if filters.filters or filters.WhichOneof("test_value") is None or filters.target.WhichOneof("target") != "property":
        raise Refused(422, f"this server does not know the filter {filters}")
    name = filters.target.property
    if name not in made.types:
        raise Refused(500, f"no such prop with name '{name}' found in class '{made.schema['class']}' in the schema.")
    if name not in made.filterable:
        raise Refused(500, f"Filtering by property '{name}' requires inverted index. Is `indexFilterable` option of property enabled?")
    values = _values(made.types[name], filters, operator)
    found = properties.get(name)
    there = [] if found is None else found if isinstance(found, list) else [found]
    equal = any(each in there for each in values)
    match operator:
        case "EQUAL" | "CONTAINS_ANY":
            return equal
        case "NOT_EQUAL":
            return not equal
        case "GREATER_THAN_EQUAL":
            return any(_key(each) >= _key(values[0]) for each in there)
        case "LESS_THAN_EQUAL":
            return any(_key(each) <= _key(values[0]) for each in there)
    raise Refused(422, f"this server does not know the operator {operator}")


def _key(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _values(kind: str, filters: base_pb2.Filters, operator: str) -> list[Any]:
    """What a property is compared with: a value of its own type."""
    which = filters.WhichOneof("test_value")
    value = getattr(filters, which)
    single = {"text": "value_text", "text[]": "value_text", "number": "value_number", "boolean": "value_boolean"}[kind]
    if operator == "CONTAINS_ANY" and which == f"{single}_array":
        found = list(value.values)
    elif operator != "CONTAINS_ANY" and which == single:
        found = [value]
    else:
        raise Refused(422, f"data type filter cannot use {which} on type {kind}")
    if any(isinstance(each, str) and not each.strip() for each in found):
        raise Refused(422, "invalid search term, only stopwords provided")
    return found


# --- searches -------------------------------------------------------------------------------------------------------------------


def _nearest(asked: Any, rows: dict[str, Stored]) -> list[tuple[str, float]]:
    """By cosine distance, nearest first."""
    raw = asked.vectors[0].vector_bytes if asked.vectors else asked.vector_bytes
    vector = np.frombuffer(raw, "<f4") if raw else np.array(asked.vector, np.float32)
    with_vectors = [(id, each.vector) for id, each in rows.items() if each.vector is not None]
    if any(len(each) != len(vector) for _, each in with_vectors):
        raise Refused(422, "vector lengths don't match")
    scored = [(id, 1 - float(v @ vector / (np.linalg.norm(v) * np.linalg.norm(vector)))) for id, v in with_vectors]
    return sorted(scored, key=lambda pair: pair[1])


def _bm25(made: Class, asked: Any, rows: dict[str, Stored]) -> list[tuple[str, float]]:
    """By BM25: how rare a term is, and how long a text usually is, is counted over the whole class."""
    (name,) = asked.properties
    if made.tokenization.get(name) != "whitespace":
        raise Refused(422, f"Searching by property '{name}' requires inverted index. Is `indexSearchable` option of property enabled?")
    every = {id: Counter(str(each.properties.get(name, "")).split()) for id, each in made.objects.items()}
    settings = made.schema["invertedIndexConfig"]["bm25"]
    average = sum(sum(each.values()) for each in every.values()) / max(len(every), 1)
    scored = []
    for id in rows:
        score = 0.0
        for term in dict.fromkeys(asked.query.split()):
            often, having = every[id][term], sum(term in each for each in every.values())
            rare = math.log(1 + (len(every) - having + 0.5) / (having + 0.5))
            norm = settings["k1"] * (1 - settings["b"] + settings["b"] * sum(every[id].values()) / average)
            score += rare * often * (settings["k1"] + 1) / (often + norm)
        if score > 0:
            scored.append((id, score))
    return sorted(scored, key=lambda pair: -pair[1])


def _result(id: str, stored: Stored, asked: Any, score: float | None) -> Any:
    wanted = asked.properties
    every = wanted.return_all_nonref_properties or not asked.HasField("properties")
    named = {name: _value(value) for name, value in stored.properties.items() if every or name in wanted.non_ref_properties}
    times = {"creation_time_unix": 1_750_000_000_000, "last_update_time_unix": 1_750_000_000_000}
    present = {"creation_time_unix_present": True, "last_update_time_unix_present": True}
    meta = search_get_pb2.MetadataResult(id=id, id_as_bytes=UUID(id).bytes, **times, **present)
    if score is not None and asked.HasField("near_vector"):
        meta.distance, meta.distance_present = score, asked.metadata.distance
    elif score is not None:
        meta.score, meta.score_present = score, asked.metadata.score
    if asked.metadata.vector and stored.vector is not None:
        meta.vector_bytes = struct.pack(f"<{len(stored.vector)}f", *stored.vector)
    return search_get_pb2.SearchResult(
        properties=search_get_pb2.PropertiesResult(non_ref_props=properties_pb2.Properties(fields=named)), metadata=meta
    )


def _value(value: Any) -> Any:
    match value:
        case bool():
            return properties_pb2.Value(bool_value=value)
        case float():
            return properties_pb2.Value(number_value=value)
        case str():
            return properties_pb2.Value(text_value=value)
    return properties_pb2.Value(list_value=properties_pb2.ListValue(text_values=properties_pb2.TextValues(values=value)))


class Grpc(weaviate_pb2_grpc.WeaviateServicer):
    """The gRPC half. key: that it wants"""

    def __init__(self, served: Served, key: str | None) -> None:
        self._served, self._key = served, key

    def _answer(self, request: Any, context: Any, made: Callable[[], Any]) -> Any:
        name = type(request).__name__
        given = dict(context.invocation_metadata()).get("authorization")
        if self._key is not None and given != f"Bearer {self._key}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "extract auth: unauthorized: invalid api key")
        with self._served.lock:
            self._served.requests.append(name)
            if name != "AggregateRequest":
                self._served.levels.add(base_pb2.ConsistencyLevel.Name(request.consistency_level))
            try:
                self._served.fault(name)
                return made()
            except Refused as error:
                code = {503: grpc.StatusCode.UNAVAILABLE, 429: grpc.StatusCode.RESOURCE_EXHAUSTED}.get(
                    error.status, grpc.StatusCode.UNKNOWN
                )
                refused = code, str(error)
        return context.abort(*refused)

    def Search(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        return self._answer(request, context, lambda: self._search(request))

    def _search(self, request: Any) -> Any:
        unknown = {each.name for each, _ in request.ListFields()} - SEARCH_KEYS
        if unknown or not request.uses_123_api or request.offset + request.limit > MOST:
            raise Refused(422, f"unknown: {sorted(unknown)}; or query maximum results exceeded: {request.limit}")
        made = self._served.of(request.collection)
        filters = request.filters if request.HasField("filters") else None
        self._served.filters.append(None if filters is None else MessageToDict(filters))
        rows = self._served.matching(made, filters)
        if request.HasField("near_vector"):
            found: list[tuple[str, float | None]] = [*_nearest(request.near_vector, rows)]
        elif request.HasField("bm25_search"):
            found = [*_bm25(made, request.bm25_search, rows)]
        else:
            if request.after and filters is not None:
                raise Refused(422, "the cursor API can't be used with a filter")
            found = [(id, None) for id in sorted(rows) if id > request.after]
        return search_get_pb2.SearchReply(results=[_result(id, rows[id], request, score) for id, score in found[: request.limit or 100]])

    def BatchObjects(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer(request, context, lambda: self._batch(request))

    def _batch(self, request: Any) -> Any:
        errors = []
        for place, each in enumerate(request.objects):
            given = MessageToDict(each.properties.non_ref_properties)
            given |= {some.prop_name: list(some.values) for some in each.properties.text_array_properties}
            others = {one.name for one, _ in each.properties.ListFields()} - {"non_ref_properties", "text_array_properties"}
            raw = each.vectors[0].vector_bytes if each.vectors else each.vector_bytes
            try:
                if others:
                    raise Refused(422, f"this server does not know {others}")
                self._served.put(each.collection, each.uuid, given, np.frombuffer(raw, "<f4"))
            except Refused as error:
                errors.append(batch_pb2.BatchObjectsReply.BatchError(index=place, error=str(error)))
        return batch_pb2.BatchObjectsReply(errors=errors)

    def BatchDelete(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer(request, context, lambda: self._delete(request))

    def _delete(self, request: Any) -> Any:
        made = self._served.of(request.collection)
        if not request.HasField("filters") or request.dry_run:
            raise Refused(422, "a deletion needs a filter")
        gone = list(self._served.matching(made, request.filters))[:MOST]
        for id in gone:
            del made.objects[id]
        return batch_delete_pb2.BatchDeleteReply(matches=len(gone), successful=len(gone))

    def Aggregate(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer(request, context, lambda: self._aggregate(request))

    def _aggregate(self, request: Any) -> Any:
        if {each.name for each, _ in request.ListFields()} - {"collection", "objects_count", "filters"}:
            raise Refused(422, f"this server only counts: {request}")
        rows = self._served.matching(self._served.of(request.collection), request.filters if request.HasField("filters") else None)
        return aggregate_pb2.AggregateReply(single_result=aggregate_pb2.AggregateReply.Single(objects_count=len(rows)))


class Server(ThreadingHTTPServer):
    """One whose clients may be killed."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Rest(BaseHTTPRequestHandler):
    """The REST half."""

    protocol_version, wbufsize = "HTTP/1.1", 65_536  # head and body in one packet
    served: Served
    key: str | None

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        path, _, query = self.path.partition("?")
        if self.key is not None and self.headers.get("Authorization") != f"Bearer {self.key}":
            return self._send(401, {"code": 401, "message": "invalid api key, please provide a valid api key"})
        with self.served.lock:
            self.served.requests.append(f"{self.command} {path}")
            try:
                self.served.fault(f"{self.command} {path}")
                status, answer = self._routed(path.removeprefix("/v1/").split("/"), body, query)
            except Refused as error:
                status, answer = error.status, {"error": [{"message": str(error)}]}
        return self._send(status, answer)

    def _routed(self, parts: list[str], body: Any, query: str) -> tuple[int, Any]:
        if parts[0] == "objects":
            self.served.levels.add(query)
        match self.command, *parts:
            case "GET", "meta":
                return 200, {"hostname": "http://[::]:8080", "modules": {}, "version": "1.30.0", "grpcMaxMessageSize": 104858000}
            case "GET", "schema", name:
                return 200, self.served.of(name).schema
            case "POST", "schema":
                return 200, self.served.create(body)
            case "POST", "schema", name, "properties":
                return 200, self.served.add_property(name, body)
            case "POST", "objects":
                return 200, self.served.insert(body)
            case "PATCH", "objects", name, id:
                self.served.merge(name, id, body)
                return 204, None
            case "HEAD", "objects", name, id:
                return (204 if id in self.served.of(name).objects else 404), None
            case "DELETE", "objects", name, id:
                return (204 if self.served.of(name).objects.pop(id, None) else 404), None
        raise Refused(404, f"{self.command} {self.path}")

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _answer  # noqa: N815 - http.server's names

    def _send(self, status: int, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if data or status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@contextmanager
def served_weaviate(key: str | None = None) -> Iterator[tuple[str, Served]]:
    """The address of a server of its own, and what it keeps. key: that it wants"""
    served = Served()
    rest = Server(("127.0.0.1", 0), type("OneRest", (Rest,), {"served": served, "key": key}))
    thread = threading.Thread(target=rest.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    workers = ThreadPoolExecutor(8)
    rpc = grpc.server(workers)
    weaviate_pb2_grpc.add_WeaviateServicer_to_server(Grpc(served, key), rpc)
    port = rpc.add_insecure_port("127.0.0.1:0")
    rpc.start()
    try:
        yield f"http://127.0.0.1:{rest.server_port}?grpc=127.0.0.1:{port}", served
    finally:
        rpc.stop(0).wait()
        workers.shutdown()
        rest.shutdown()
        rest.server_close()
        thread.join()
