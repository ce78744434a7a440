"""What every test stands on: no network beyond loopback, and small projects of real data."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import settings

from projects import write_project

settings.register_profile("noria", deadline=None)  # no test depends on how fast a machine is
settings.load_profile("noria")

LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches beyond loopback fails."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in LOOPBACK:
            raise AssertionError(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A small project, data included, nothing ingested."""
    return write_project(tmp_path / "shop")
