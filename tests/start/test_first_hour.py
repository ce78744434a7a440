"""A first hour with a proposed project, and its seven failures: no network, port busy, read-only folder, old Python, no compiler, file
locked, a bad date."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from noria.core.files import hold
from start.conftest import Type
from start.datasets import orders, write_csv

ROOT = Path(__file__).parents[2]
ALONE = """
import socket, sys

def refused(self, address):
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(101, "Network is unreachable")
    return connect(self, address)

def resolved(host, *arguments, **options):
    if host not in ("127.0.0.1", "::1", "localhost", None, ""):
        raise socket.gaierror(-3, "Temporary failure in name resolution")
    return getaddrinfo(host, *arguments, **options)

connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo
socket.socket.connect, socket.getaddrinfo = refused, resolved
from noria.cli.exits import ended
from noria.cli.main import command
sys.exit(ended(command, sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of a machine without a network and without a compiler: proposed, ingested and trained."""
    folder = tmp_path_factory.mktemp("alone")
    write_csv(folder / "orders.csv", orders(120))
    empty = folder / "empty"
    empty.mkdir()
    environment = {**os.environ, "PATH": str(empty), "CC": "/nowhere/cc", "CXX": "/nowhere/c++"}
    for arguments in (["init", "orders.csv", "--yes"], ["ingest"], ["train"]):
        done = subprocess.run(
            [sys.executable, "-c", ALONE, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        module = folder / "orders.py"
        module.write_text(module.read_text().replace("BoostingClassifier())", "BoostingClassifier(max_iter=2))"))  # to be quick
    return folder


def test_no_network_and_no_compiler_are_needed_to_train(noria: Type, trained: Path) -> None:
    code, out, _ = noria("status", "--project", str(trained), "--json")
    assert code == 0
    assert json.loads(out)["endpoints"][0]["champion"]


def test_new_rows_with_a_broken_column_are_a_finding_until_they_are_right(noria: Type, trained: Path) -> None:
    def open_findings() -> list[dict[str, Any]]:
        _, out, _ = noria("findings", "list", "--project", str(trained), "--json")
        return [finding for finding in json.loads(out)["findings"] if finding["kind"] == "data_quality"]

    old, new = orders(120), [{**row, "order_id": f"n{i}"} for i, row in enumerate(orders(20))]
    write_csv(trained / "orders.csv", [*old, *({**row, "price": ""} for row in new)])
    assert noria("loop", "--project", str(trained))[0] == 0
    [finding] = open_findings()
    assert finding["summary"].startswith("orders: 20 of 140 new rows are in quarantine: price is null (20)")
    assert finding["severity"] == "page"
    assert noria("loop", "--project", str(trained))[0] == 0
    assert len(open_findings()) == 1, "a round without new rows says nothing about them"
    write_csv(trained / "orders.csv", [*old, *new])
    assert noria("loop", "--project", str(trained))[0] == 0
    assert open_findings() == []


def test_a_busy_port_is_named_with_the_option_for_another(noria: Type, trained: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = noria("serve", "--project", str(trained), "--port", str(port))
        assert code == 2
        assert f"port {port} is in use" in err
        assert "--port" in err
        (trained / "noria.toml").write_text((trained / "noria.toml").read_text() + f"\n[serving]\nport = {port}\n")
        _, out, _ = noria("doctor", "--project", str(trained))
        assert f"{port} can't be taken" in out


@pytest.mark.parametrize("kind", ["no rights", "not a folder"])
def test_a_folder_that_can_not_be_written_is_refused_as_such(kind: str, noria: Type, tmp_path: Path) -> None:
    write_csv(tmp_path / "orders.csv", orders(60))
    if kind == "no rights":
        folder = _unwritable(tmp_path)
        if folder is None:
            pytest.skip("this user may write everywhere")
    else:
        (tmp_path / "file").write_text("")
        folder = tmp_path / "file" / "project"
    code, _, err = noria("init", "orders.csv", "--yes", "--project", str(folder))
    assert code == 2
    assert "NR-598" in err
    assert "--project FOLDER" in err


def _unwritable(tmp_path: Path) -> Path | None:
    """A folder in which nothing can be made: for anybody but the superuser, one without rights; for that one, the kernel's."""
    if os.geteuid() != 0:
        folder = tmp_path / "locked"
        folder.mkdir(mode=0o500)
        return folder
    for folder in (Path("/sys/kernel"), Path("/proc/sys")):
        try:
            (folder / "noria").mkdir()
        except PermissionError:
            return folder
        except OSError as error:
            if error.errno == 30:  # a file system that is mounted to be read only
                return folder
        else:
            (folder / "noria").rmdir()
    return None


def test_an_old_python_is_refused_by_the_package_itself() -> None:
    """pip says "requires a different Python" by this field, before anything is installed."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert wanted == ">=3.11"
    assert metadata.metadata("noria")["Requires-Python"] == wanted
    from packaging.specifiers import SpecifierSet

    assert "3.10.14" not in SpecifierSet(wanted)


def test_a_project_that_another_process_has_locked_says_which(noria: Type, trained: Path) -> None:
    lock, holder = hold(trained / ".noria" / "loop.lock")
    assert lock is not None
    try:
        code, _, err = noria("loop", "--project", str(trained))
        assert code == 2
        assert f"process {holder}" in err
        assert "NR-415" in err
    finally:
        lock.close()


def test_a_bad_date_costs_its_row_and_not_the_column(noria: Type, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = orders(100)
    rows[7]["placed_at"], rows[8]["placed_at"] = "31.02.2024", "soon"
    write_csv(tmp_path / "orders.csv", rows)
    code, out, _ = noria("init", "orders.csv", "--yes", "--json")
    assert code == 0
    assert "placed_at: 2 of 100 values are no times and will be quarantined" in json.loads(out)["notes"]
    code, out, _ = noria("ingest")
    assert code == 0
    assert "98 stored" in out
    assert "2 quarantined" in out
