"""`noria doctor`: what is wrong is said with a fix, what could not be looked at is unknown, and a report says nothing private."""

from __future__ import annotations

import getpass
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from noria.core.clock import SystemClock
from noria.start.doctor import examine as examining
from noria.start.doctor.check import Check, passed, ran
from noria.start.doctor.redaction import Private, redacted
from start.conftest import Type

PRIVATE = Private("/home/ada", "/home/ada/shop", "ada", ("node7.example.org", "node7"))


def checks(out: str) -> dict[str, dict[str, str]]:
    return {check["check"]: check for check in json.loads(out)["checks"]}


def test_a_project_that_was_never_ingested_is_well_and_its_stores_are_unknown(noria: Type, shop: Path) -> None:
    code, out, _ = noria("doctor", "--project", str(shop), "--json")
    found = checks(out)
    assert code == 0, out
    assert {about: found[about]["outcome"] for about in ("Python", "libraries", "engine", "project", "file locks", "disk", "tables")} == {
        "Python": "passed",
        "libraries": "passed",
        "engine": "passed",
        "project": "passed",
        "file locks": "passed",
        "disk": "passed",
        "tables": "unknown",
    }
    assert found["tables"]["fix"] == "noria ingest"
    extras = {extra["extra"]: extra for extra in json.loads(out)["extras"]}
    assert extras["sklearn"]["installed"]
    assert extras["torch"]["install"] == 'pip install "noria[torch]"'


def test_every_extra_is_explained() -> None:
    import tomllib

    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {extra.name for extra in examining.extras()} == set(declared) - {"dev", "docs"}


def test_what_is_broken_fails_with_a_fix_and_hides_nothing_else(noria: Type, shop: Path) -> None:
    (shop / "shop.py").write_text("import nowhere_to_be_found\n")
    tables = shop / ".noria" / "tables" / "orders" / "_delta_log"
    tables.mkdir(parents=True)
    (tables / f"{0:020d}.json").write_text("not a log entry\n")
    (shop / ".noria" / "catalog.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 4_096)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (shop / "noria.toml").write_text((shop / "noria.toml").read_text() + f"\n[serving]\nport = {taken.getsockname()[1]}\n")
        code, out, _ = noria("doctor", "--project", str(shop), "--json")
    assert code == 1
    found = checks(out)
    failing = {about for about, check in found.items() if check["outcome"] == "failed"}
    assert {"project", "tables", "catalog", "port"} <= failing
    assert all(found[about]["fix"] for about in failing)
    assert "nowhere_to_be_found" in found["project"]["seen"]
    assert found["Python"]["outcome"] == "passed"


def test_few_open_files_fail() -> None:
    code = "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (256, 256)); from noria.start.doctor.machine import limits; print(*limits())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "outcome='failed'" in done.stdout
    assert "ulimit -n" in done.stdout


def test_a_check_that_raises_is_unknown_and_keeps_what_was_seen_before() -> None:
    def checked() -> Iterator[Check]:
        yield passed("one", "well")
        raise RuntimeError("no such device")

    assert ran("two", checked) == [
        passed("one", "well"),
        Check("two", "unknown", "it could not be checked: RuntimeError: no such device"),
    ]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("/home/ada/shop/.noria can be written to", "<project>/.noria can be written to"),
        ("/home/ada/other/file.csv", "~/other/file.csv"),
        ("/srv/company/data/orders.csv is gone", "<path>/orders.csv is gone"),
        ("postgresql://ada:hunter2@db.example.org/shop is away", "postgresql://<address> is away"),
        ("process 17 on node7 and node7.example.org", "process 17 on <host> and <host>"),
        ("ada may not write; adamant may", "<user> may not write; adamant may"),
        ("10.1.2.3 and fe80:0:0:0:1:2:3:4, not 127.0.0.1", "<address> and <address>, not 127.0.0.1"),
        ("password=hunter2 token: abc Bearer xyz", "password=<secret> token: <secret> Bearer <secret>"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "<secret>"),
        ("mail ada.l@example.org", "mail <mail>"),
        ("CPython 3.11.7, 64 bit", "CPython 3.11.7, 64 bit"),
    ],
)
def test_a_report_says_nothing_private(said: str, kept: str) -> None:
    assert redacted(said, PRIVATE) == kept


def test_a_whole_report_names_no_folder_user_or_host(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORIA_SLACK_URL", "https://hooks.example.org/T0/B0/verysecret")
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    (shop / "shop.py").write_text('raise RuntimeError("ada at " + __file__ + " on postgresql://ada:hunter2@db/shop")\n')
    report = examining.examine(shop, SystemClock()).report()
    assert report.startswith("```text\n")
    assert "NORIA_SLACK_URL" in report
    for private in ("verysecret", "hunter2", str(shop), "ada", socket.gethostname()):
        assert private not in report.replace("can be read", ""), private
