"""The ports that a server would take, and whether they are free."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from noria.core.settings import ServingSettings
from noria.start.doctor.check import Check, failed, passed, unknown

RUNNING = "serving.json"  # where a running server says that it listens


def ports(settings: ServingSettings, root: Path) -> Iterator[Check]:
    own = _own(root)
    wanted = {"port": settings.port, "admin port": settings.admin_port, "gRPC port": settings.grpc_port}
    for about, port in wanted.items():
        if not port:
            continue
        if own is not None and port in own:
            yield passed(about, f"{port} is taken by this project's own server")
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, port))
            except OSError as error:
                option = {"port": "--port", "gRPC port": "--grpc-port"}.get(about)
                fix = f"`noria serve {option} {port + 1}`, or stop what listens there" if option else "change serving.admin_port"
                why = error.strerror or str(error)
                yield failed(about, f"{port} can't be taken: {why.lower()}", fix)
                continue
        yield passed(about, f"{port} is free")


def _own(root: Path) -> set[int] | None:
    """The ports of this project's running server; None if there is none."""
    file = root / RUNNING
    if not file.is_file():
        return None
    try:
        told = json.loads(file.read_bytes())
        os.kill(int(told["pid"]), 0) if "pid" in told else None
        return {value for name, value in told.items() if name.endswith("port") and isinstance(value, int)}
    except (OSError, ValueError, TypeError):
        return None


def loopback() -> Iterator[Check]:
    """Whether this machine can talk to itself, as a client talks to the server. Nothing is asked of any network."""
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        client.settimeout(5)
        try:
            client.connect(server.getsockname())
        except OSError as error:
            yield unknown("loopback", f"127.0.0.1 can't be reached: {error.strerror or error}", "allow connections to 127.0.0.1")
            return
    yield passed("loopback", "127.0.0.1 can be reached; no network is needed")
