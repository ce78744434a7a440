"""Campaigns against the server: killed, powered off, swapped, stopped, flooded. Each says what it did and what went wrong."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import math
import os
import random
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from tests.recorded import Recorded, RecordedFiles, after_power_cut
from tests.servers import FEATURES, Standalone, make_bundle, soon

from noria.core.clock import since_epoch
from noria.core.errors import NoriaError
from noria.core.files import LocalFiles
from noria.core.ids import PredictionIds
from noria.serving.log.predictions import Predictions
from noria.serving.log.segments import PredictionLog, read_segment

PLUS = 10.0  # what the small model adds to its first feature


@dataclass
class Told:
    """What clients were told: prediction id → (bundle, prediction) as answered; and everything that went wrong for them."""

    answers: dict[str, tuple[str, float]] = field(default_factory=dict)
    asked: set[float] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    lost: int = 0  # connections that ended under a request


class Client(threading.Thread):
    """Asks for rows of its own until told to stop; connects again when it is cut off."""

    def __init__(self, port: int, number: int, plus: dict[str, float]) -> None:
        super().__init__(daemon=True)
        self.port, self.plus, self.told, self.going = port, plus, Told(), True
        self.value = float(number * 1_000_000)

    def run(self) -> None:
        while self.going:
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
                try:
                    connection.connect()
                except OSError:  # nobody listens, or who listened was killed: nothing was asked yet
                    time.sleep(0.01)
                    continue
                try:
                    while self.going and self.ask(connection):
                        pass
                except (OSError, http.client.HTTPException):
                    self.told.lost += 1

    def ask(self, connection: http.client.HTTPConnection) -> bool:
        """Ask once; returns whether the connection goes on."""
        self.value += 1
        self.told.asked.add(self.value)
        connection.request("POST", "/predict/small", json.dumps({"rows": [dict(zip(FEATURES, (self.value, 0.0), strict=True))]}))
        response = connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 200:
            self.told.wrong.append(f"{response.status}: {answer}")
            return True
        (identifier,), (prediction,) = answer["ids"], answer["predictions"]
        if prediction != self.value + self.plus[answer["bundle"]]:
            self.told.wrong.append(f"asked {self.value}, answered {prediction} by {answer['bundle'][:8]}")
        self.told.answers[identifier] = answer["bundle"], prediction
        return response.headers.get("connection") != "close"


def clients_of(server: Standalone, count: int, plus: dict[str, float]) -> list[Client]:
    clients = [Client(server.where["port"], number, plus) for number in range(1, count + 1)]
    for client in clients:
        client.start()
    return clients


def stopped(clients: list[Client]) -> Told:
    """Everything that the clients were told."""
    whole = Told()
    for client in clients:
        client.going = False
    for client in clients:
        client.join(15)
        whole.answers |= client.told.answers
        whole.asked |= client.told.asked
        whole.wrong += client.told.wrong
        whole.lost += client.told.lost
    return whole


def logged(folder: Path) -> tuple[dict[str, tuple[str, float]], int]:
    """Prediction id → (bundle, prediction) of the whole log; and how many ids stand in it twice."""
    found, twice = dict[str, tuple[str, float]](), 0
    for path in sorted(folder.glob("*/*.seg")):
        for rows in read_segment(path, LocalFiles()):
            for identifier, bundle, prediction in zip(rows.ids, rows.bundle, rows.prediction.tolist(), strict=True):
                twice += identifier in found
                found[identifier] = bundle, prediction
    return found, twice


def judged(told: Told, folder: Path) -> dict[str, int]:
    """Acknowledged predictions that the log lost, repeats or tells otherwise; and logged ones that nobody asked for."""
    found, twice = logged(folder)
    return {
        "acknowledged": len(told.answers),
        "lost": sum(identifier not in found for identifier in told.answers),
        "different": sum(found.get(identifier, answer) != answer for identifier, answer in told.answers.items()),
        "repeated": twice,
        "invented": sum(prediction - PLUS not in told.asked for _, prediction in found.values()),
        "wrong": len(told.wrong),
    }


def kills(folder: Path, rounds: int, *, worker: str = "noria.serving.process.worker", seed: int = 0) -> dict[str, int]:
    """SIGKILL a worker under load: at random moments, or (with a worker that kills itself) around its writes and syncs."""
    rng = random.Random(seed)
    bundle = make_bundle(folder / "bundles", PLUS)
    server = Standalone(folder / "server", bundle.path, worker=worker)
    try:
        clients = clients_of(server, 4, {bundle.id: PLUS})
        done, seen = 0, set[int]()
        while done < rounds:
            if worker == "noria.serving.process.worker":
                soon(lambda: server.workers(), 20)
                time.sleep(0.4 + rng.random() * 0.4)
                for pid in server.workers():
                    os.kill(pid, signal.SIGKILL)
                    done += 1
            else:
                seen |= set(server.workers())
                done = len(seen) - 1
                time.sleep(0.05)
        told = stopped(clients)
    finally:
        server.kill()
    return {"kills": done, **judged(told, folder / "server" / "log")}


def power_cuts(folder: Path, states: int, *, seed: int = 0, ignore_sync: bool = False) -> dict[str, int]:
    """Write batches, syncing now and then; cut the power after each event in many ways; reopen with the real reader."""
    rng, record = random.Random(seed), Recorded(ignore_sync=ignore_sync)
    log = PredictionLog(folder / "live", "w", RecordedFiles(record))
    start = since_epoch(datetime(2024, 1, 1, tzinfo=UTC))
    acknowledged: list[tuple[int, list[str]]] = []  # (event after which they were acknowledged, ids)
    waiting: list[str] = []
    for number in range(60):
        rows = _batch(number, rng.randrange(1, 6), start)
        log.append(rows)
        waiting += rows.ids
        if rng.random() < 0.4:
            log.sync()
            acknowledged.append((len(record.events), waiting))
            waiting = []
    log.close()
    counts = Counter(states=0, lost=0, not_reopened=0)
    for _ in range(states):
        until = rng.randrange(1, len(record.events) + 1)
        place = folder / "after"
        for path, content in after_power_cut(record, until, rng).items():
            target = place / path.relative_to(folder / "live")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        counts["states"] += 1
        try:
            found = {i for path in place.glob("*/*.seg") for rows in read_segment(path, LocalFiles()) for i in rows.ids}
            again = PredictionLog(place, "w", LocalFiles())
            again.append(_batch(999, 1, start))
            again.sync()
            again.close()
        except NoriaError:
            counts["not_reopened"] += 1
            found = set()
        counts["lost"] += sum(i not in found for at, ids in acknowledged if at <= until for i in ids)
        shutil.rmtree(place, ignore_errors=True)
    return dict(counts)


def _batch(number: int, rows: int, start: int) -> Predictions:
    received = np.arange(rows, dtype=np.int64) + start + number * 1000
    return Predictions.of_block(
        PredictionIds("w", number * 100).take((received // 1000).tolist()),
        [None] * rows,
        ["champion"] * rows,
        ["b"] * rows,
        received,
        np.zeros(rows, np.int32),
        np.full((rows, 2), number, np.float32),
        np.full(rows, float(number)),
    )


def swaps(folder: Path, count: int) -> dict[str, int]:
    """Swap two bundles under load: every answer is one version's, and says which; none fails."""
    bundles = [make_bundle(folder / "bundles", plus) for plus in (PLUS, PLUS + 1e6 + 0.5)]
    plus = {bundles[0].id: PLUS, bundles[1].id: PLUS + 1e6 + 0.5}
    server = Standalone(folder / "server", bundles[0].path, workers=2)
    try:
        clients = clients_of(server, 6, plus)
        for turn in range(count):
            wanted = bundles[(turn + 1) % 2]
            server.aim(wanted.path)
            soon(lambda wanted=wanted: _served(server) == {wanted.id}, 10)  # type: ignore[misc]
        told = stopped(clients)
    finally:
        server.kill()
    found, _ = logged(folder / "server" / "log")
    return {
        "swaps": count,
        "acknowledged": len(told.answers),
        "failed": len(told.wrong) + told.lost,
        "differing_from_log": sum(found.get(i) != answer for i, answer in told.answers.items()),
        "versions_seen": len({bundle for bundle, _ in told.answers.values()}),
    }


def _served(server: Standalone) -> set[str]:
    workers = server.admin("/status")[1]["workers"].values()
    return {endpoint["bundle"] for worker in workers for endpoint in worker["endpoints"]}


def shutdowns(folder: Path, count: int) -> dict[str, int]:
    """SIGTERM under load: what was asked is answered, and is in the log; the process ends well."""
    bundle = make_bundle(folder / "bundles", PLUS)
    failed = unclean = differing = acknowledged = 0
    for number in range(count):
        server = Standalone(folder / f"server{number}", bundle.path)
        clients = clients_of(server, 4, {bundle.id: PLUS})
        soon(lambda clients=clients: all(client.told.answers for client in clients), 10)  # type: ignore[misc]
        balances = server.stop()
        told = stopped(clients)
        result = judged(told, server.folder / "log")
        unclean += not all(balance["holds"] for balance in balances)
        failed += told.lost + len(told.wrong)
        differing += result["lost"] + result["different"]
        acknowledged += len(told.answers)
        shutil.rmtree(server.folder)
    return {"shutdowns": count, "acknowledged": acknowledged, "failed": failed, "differing_from_log": differing, "unclean": unclean}


def many_rows(folder: Path, rows: int) -> dict[str, int]:
    """Rows through the small model in requests of all sizes, from several connections at once: nobody gets another's answer."""
    bundle = make_bundle(folder / "bundles", PLUS)
    server = Standalone(folder / "server", bundle.path, durability="process", budget_ms=5000, max_body_bytes=1 << 22)
    try:
        counts = Counter[str]()
        asyncio.run(_ask_many(server.where["port"], rows, counts))
    finally:
        server.kill()
    return {"rows": counts["rows"], "swapped": counts["swapped"], "ids_twice": counts["twice"], "failed": counts["failed"]}


async def _ask_many(port: int, rows: int, counts: Counter[str]) -> None:
    seen: set[str] = set()
    await asyncio.gather(*(_ask_rows(port, number, rows // 8, counts, seen) for number in range(8)))


async def _ask_rows(port: int, number: int, rows: int, counts: Counter[str], seen: set[str]) -> None:
    import msgspec

    rng, value = random.Random(number), number * 1_000_000
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    done = 0
    while done < rows:
        size = rng.choice((1, 1, 1, 2, 7, 64, 500, 3_000))
        values = [float(value + i) for i in range(size)]
        value = (value + size) % 8_000_000  # within what float32 tells apart
        body = msgspec.json.encode({"rows": [{"a": v, "b": None} for v in values]})
        writer.write(b"POST /predict/small HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        head = await reader.readuntil(b"\r\n\r\n")
        answer = msgspec.json.decode(await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0])))
        done += size
        counts["rows"] += size
        if not head.startswith(b"HTTP/1.1 200"):
            counts["failed"] += 1
            print("failed:", head.split(b"\r\n")[0].decode(), size, "rows:", answer)
            continue
        counts["swapped"] += sum(got != asked + PLUS for got, asked in zip(answer["predictions"], values, strict=True))
        ids = set(answer["ids"])
        counts["twice"] += len(ids) != size or not ids.isdisjoint(seen)
        if len(seen) < 2_000_000:  # what memory allows to be checked
            seen |= ids
    writer.close()


def hostile(folder: Path, requests: int, *, seed: int = 0) -> dict[str, int]:
    """Malformed and misleading HTTP by the thousands: no 5xx, no crash, bounded memory."""
    rng = random.Random(seed)
    bundle = make_bundle(folder / "bundles", PLUS)
    server = Standalone(folder / "server", bundle.path, durability="process", request_seconds=5)
    counts = Counter[str]()
    try:
        (worker,) = server.workers()
        before = memory(worker)
        while counts["requests"] < requests:
            with ExitStack() as stack, suppress(ConnectionError, TimeoutError):
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.where["port"]), timeout=10))
                asked = [hostile_request(rng) for _ in range(rng.randrange(1, 4))]
                counts["requests"] += len(asked)
                sock.sendall(b"".join(asked))
                sock.shutdown(socket.SHUT_WR)
                data = b""
                while part := sock.recv(1 << 16):
                    data += part
                for status in _statuses(data):
                    counts[f"status_{status // 100}xx"] += 1
                    counts["server_errors"] += status >= 500
        counts["crashes"] = int(server.workers() != [worker])
        counts["still_answers"] = int(server.ask()[0] == 200)
        counts["memory_growth_mb"] = round(memory(worker) - before)
    finally:
        server.kill()
    return dict(counts)


def _statuses(data: bytes) -> list[int]:
    return [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]


GOOD_BODY = b'{"rows": [{"a": 1, "b": 2}]}'
TARGETS = b"/predict/small /v2/models/small/infer /predict/small/entities /v2 /status / * // /%00 /predict/.. /predict/small?x=1".split(
    b" "
)
LENGTHS = (b"-1", b"+5", b"0x10", b"1e3", b"9" * 20, b" ", b"5, 5")
ENCODINGS = (b"chunked", b"Chunked", b"chunked, identity", b"xchunked", b"gzip", b"\x0bchunked")
NUMBERS = (b"1e400", b"-0", b"NaN", b"Infinity", b"1e38", b"3.5e38", b"01", b'"1"', b"true", b"[]")
KEYS = (b"1", b'"\\ud800"', b"null", b'"' + b"k" * 5_000 + b'"')


def hostile_request(rng: random.Random) -> bytes:
    """One request, in some way not as it should be (and sometimes as it should)."""
    body = hostile_body(rng)
    length: bytes = str(len(body)).encode()
    headers = [b"host: localhost", b"content-length: " + length]
    trick = rng.randrange(20)
    if trick == 0:
        headers[1] = b"content-length: " + rng.choice(
            (b"-1", b"+5", b"0x10", b"1e3", b"99999999999999999999", b" ", b"5, 5", length + b"\t")
        )
    elif trick == 1:
        headers += [b"content-length: " + rng.choice((b"0", b"5", length))]
    elif trick == 2:
        headers += [
            b"transfer-encoding: " + rng.choice((b"chunked", b"Chunked", b"chunked, identity", b"xchunked", b"gzip", b"\x0bchunked"))
        ]
    elif trick == 3:
        headers[1] = b"transfer-encoding: chunked"
        size = rng.choice((b"%x" % len(body), b"-1", b"zz", b"ffffffffffffffffff", b"%x;ext=1" % len(body), b"0x5", b""))
        body = size + b"\r\n" + body + b"\r\n0\r\n" + rng.choice((b"\r\n", b"x: y\r\n\r\n", b"content-length: 5\r\n\r\n"))
    elif trick == 4:
        headers += [b"x" * rng.randrange(1, 200) + b": " + rng.randbytes(rng.randrange(100)) for _ in range(rng.randrange(1, 60))]
    elif trick == 5:
        headers[0] = rng.choice((b"host : localhost", b"host:localhost\r\n folded", b"host\x00: x", b": x", b"host", b"h\xc3\xb6st: x"))
    elif trick == 6:
        headers += [b"expect: " + rng.choice((b"100-continue", b"200-ok", b""))]
    elif trick == 7:
        headers += [
            b"connection: " + rng.choice((b"close", b"upgrade", b"keep-alive, upgrade")),
            b"upgrade: " + rng.choice((b"h2c", b"websocket")),
        ]
    elif trick == 8:
        headers += [b"inference-header-content-length: " + rng.choice((b"0", b"5", b"-1", b"x", b"9" * 30, length, b"\xb2"))]
    elif trick == 9:
        headers += [b"authorization: " + rng.choice((b"Bearer x", b"Bearer", b"Basic \xff\xfe", b""))]
    method = rng.choice((b"POST",) * 20 + (b"GET", b"PUT", b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT", b"PO ST", b"\x16\x03\x01", b"PRI"))
    version = rng.choice((b"HTTP/1.1",) * 40 + (b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"HTTP", b"http/1.1"))
    ending = rng.choice((b"\r\n",) * 20 + (b"\n", b"\r", b"\r\r\n"))
    request = (
        b" ".join((method, rng.choice(TARGETS) if rng.random() < 0.5 else TARGETS[0], version))
        + ending
        + ending.join(headers)
        + ending * 2
        + body
    )
    if rng.random() < 0.1:
        place = rng.randrange(len(request))
        request = request[:place] + rng.randbytes(1) + request[place + 1 :]
    return request


def hostile_body(rng: random.Random) -> bytes:
    kind = rng.randrange(14)
    if kind == 0:
        return b"[" * rng.randrange(1, 5_000)
    if kind == 1:
        return rng.randbytes(rng.randrange(300))
    if kind == 2:
        return b'{"rows": [{"a": %b, "b": 1}]}' % rng.choice(NUMBERS)
    if kind == 3:
        return b'{"rows": [' + b",".join([b'{"a": 1, "b": null}'] * rng.randrange(50)) + b"]}"
    if kind == 4:
        return b'{"rows": [{"a": 1, "b": 2, "\\u0000": 3}], "keys": [%b]}' % rng.choice(KEYS)
    if kind == 5:
        shape = rng.choice((b"[1, 2]", b"[-1, 2]", b"[9999999999, 2]", b"[]", b"[1, 2, 3]", b"[0, 2]", b"[1.5, 2]"))
        data = rng.choice((b"[1, 2]", b"[[1, 2]]", b"[[1], [2, 3]]", b'"x"', b"{}", b"[1e999, 2]", b"null"))
        datatype = rng.choice((b"FP32", b"BYTES", b"FP8", b"", b"BOOL"))
        return b'{"inputs": [{"name": "features", "shape": %b, "datatype": "%b", "data": %b}]}' % (shape, datatype, data)
    if kind == 6:
        return GOOD_BODY[: rng.randrange(len(GOOD_BODY))]
    return GOOD_BODY


def memory(pid: int) -> float:
    """Resident megabytes of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1e3


def leaks(folder: Path, requests: int, reloads: int) -> dict[str, Any]:
    """Requests and reloads without end: memory, file handles and threads stay where they were."""
    bundles = [make_bundle(folder / "bundles", plus) for plus in (PLUS, PLUS + 1)]
    server = Standalone(folder / "server", bundles[0].path, durability="process")
    try:
        (worker,) = server.workers()
        asyncio.run(_flood(server.where["port"], requests // 5))
        for turn in range(6):  # what a first reload leaves in the allocator is not a leak
            server.aim(bundles[(turn + 1) % 2].path)
            soon(lambda turn=turn: _served(server) == {bundles[(turn + 1) % 2].id}, 10)  # type: ignore[misc]
        before = _held(worker)
        asyncio.run(_flood(server.where["port"], requests))
        after_requests = _held(worker)
        for turn in range(reloads):
            server.aim(bundles[(turn + 1) % 2].path)
            soon(lambda turn=turn: _served(server) == {bundles[(turn + 1) % 2].id}, 10)  # type: ignore[misc]
        after = _held(worker)
    finally:
        server.kill()
    return {
        "requests": requests,
        "reloads": reloads,
        "growth_by_requests_mb": after_requests[0] - before[0],
        "growth_mb": after[0] - before[0],
        "files": len(after[1]) - len(before[1]),
        "threads": after[2] - before[2],
        "open": sorted(after[1] - before[1]),
    }


def _held(pid: int) -> tuple[float, set[str], int]:
    """Memory, open files and threads: what is there at every look of a second, since a probe holds a file or a thread for a moment."""
    files, threads = _open_files(pid), math.inf
    for _ in range(20):
        time.sleep(0.05)
        files &= _open_files(pid)
        threads = min(threads, len(list(Path(f"/proc/{pid}/task").iterdir())))
    return memory(pid), files, int(threads)


def _open_files(pid: int) -> set[str]:
    """The numbers of a process's open files, and what they are of."""
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # it was closed meanwhile
            found.add(f"{path.name} {path.readlink()}")
    return found


async def _flood(port: int, requests: int, connections: int = 32) -> None:
    request = b"POST /predict/small HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (len(GOOD_BODY), GOOD_BODY)

    async def ask(count: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count // 20):
            writer.write(request * 20)
            for _ in range(20):
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(ask(requests // connections) for _ in range(connections)))


def overload(folder: Path, seconds: float, *, times: float = 5.0) -> dict[str, float]:
    """So many times what the server can do, asked at a steady pace whatever it answers: early refusals, goodput, memory, recovery."""
    from benchmarks.serving.model import make_slow_bundle

    bundle, milliseconds = make_slow_bundle(folder / "bundles")
    server = Standalone(folder / "server", bundle.path, durability="process", max_batch=1)
    try:
        port, (worker,) = server.where["port"], server.workers()
        capacities = [_capacity(port, milliseconds)]
        before = memory(worker)
        found = uvloop.run(_paced(port, seconds, times * capacities[0]))
        growth = memory(worker) - before
        time.sleep(1)
        after = uvloop.run(_paced(port, 3.0, 0.5 * capacities[0]))
        capacities.append(_capacity(port, milliseconds))
    finally:
        server.kill()
    capacity = sum(capacities) / 2  # before and after: the machine's own speed wanders
    return {
        "capacity": capacity,
        "asked_a_second": (found["good"] + found["refused"]) / seconds,
        "goodput_of_capacity": found["good"] / seconds / capacity,
        "refusals_p99_ms": found["refusal_p99_ms"],
        "other_errors": found["other"],
        "memory_growth_mb": growth,
        "refused_after": after["refused"],
        "p99_after_ms": after["good_p99_ms"],
    }


def _capacity(port: int, milliseconds: float) -> float:
    """Answers a second that a server gives when it is asked for half as many again as a row's cost allows."""
    return uvloop.run(_paced(port, 8.0, 1.5e3 / milliseconds))["good"] / 8.0


async def _paced(port: int, seconds: float, rate: float) -> dict[str, float]:
    """Ask at a pace that answers do not slow down, one request at a time on a connection; latencies from when a request was due."""
    loop = asyncio.get_running_loop()
    found: dict[str, list[float]] = {"200": [], "503": [], "other": []}
    body = json.dumps({"rows": [{f"f{i}": 0.5 for i in range(30)}]}).encode()
    request = b"POST /predict/small HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(due: float) -> None:
        reader, writer = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        status = head[9:12].decode()
        found[status if status in found else "other"].append(loop.time() - due)
        free.append((reader, writer))

    gc.collect()
    gc.freeze()
    gc.disable()  # a pause of the client's would count as the server's
    start, asking = loop.time(), set[asyncio.Task[None]]()
    for place in range(int(seconds * rate)):
        due = start + place / rate
        if (wait := due - loop.time()) > 0:
            await asyncio.sleep(wait)
        asking.add(task := asyncio.create_task(ask(due)))
        task.add_done_callback(asking.discard)
    await asyncio.gather(*asking)
    gc.enable()
    for _, writer in free:
        writer.close()
    return {
        "good": len(found["200"]),
        "refused": len(found["503"]),
        "other": len(found["other"]),
        "good_p99_ms": 1e3 * float(np.quantile(found["200"], 0.99)) if found["200"] else 0.0,
        "refusal_p99_ms": 1e3 * float(np.quantile(found["503"], 0.99)) if found["503"] else 0.0,
    }
