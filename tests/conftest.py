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


LONGEST = ("loop/test_live_loop", "cli/test_feature_commands", "cli/test_bad_input", "monitoring/test_no_false_green", "flights/test_demo")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left with one of them when the others are through."""
    items.sort(key=lambda item: next((i for i, name in enumerate(LONGEST) if name in item.nodeid), len(LONGEST)))


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
