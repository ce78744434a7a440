"""Somebody who follows a page: types its commands and runs its code in order, in one folder and one namespace."""

from __future__ import annotations

import configparser
import json
import linecache
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from docs.blocks import Block, commands_of
from noria.cli.app import app
from noria.cli.exits import ended
from noria.cli.main import command
from noria.core.settings import load_settings

ENDLESS = (["serve"], ["loop", "--forever"], ["watch"], ["top"])  # commands that run until they are stopped
FILE = re.compile(r"# (\w+\.py)\b")


class Reader:
    """names: what a page's code begins with; port: of the server that a page's requests go to, instead of 8080."""

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        self.folder, self.request = folder, request
        self.capsys: pytest.CaptureFixture[str] = request.getfixturevalue("capsys")
        self.names: dict[str, Any] = {"__name__": "a_page"}
        self.port: int | None = None
        self.server: subprocess.Popen[str] | None = None
        self.identifiers: list[str] = []
        self.unit_before: dict[str, dict[str, str]] = {}

    def follow(self, block: Block) -> None:
        kinds = {"python": self.python, "sh": self.typed, "console": self.typed, "toml": self.settings, "json": self.document}
        {**kinds, "yaml": self.manifests, "ini": self.unit}[block.language](block)

    # --- code ---

    def python(self, block: Block) -> None:
        """Run a block, or write it as the file whose name is its first line."""
        named = FILE.match(block.text)
        path = self.folder / (named[1] if named else f"block_{block.line}.py")
        text = block.text.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")
        path.write_text(text)  # a file in any case: metrics and trainers are known by their code
        if not named:
            linecache.checkcache()
            exec(compile(text, str(path), "exec"), self.names)

    # --- commands ---

    def typed(self, block: Block) -> None:
        for line, shown in commands_of(block):
            for words in (shlex.split(part, comments=True) for part in line.split(" && ")):
                said = self.run(words, endless=block.language == "sh")
                if block.language == "console":
                    compare(shown, said, f"{block.where}: {line}")

    def run(self, words: list[str], *, endless: bool) -> str:
        """Type a command; returns what it prints. endless: whether those that run until they are stopped are left to the parser's test"""
        if words[0] == "curl":
            words = [word.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}") for word in words]
            said = subprocess.run(["curl", "-sS", *words[1:]], capture_output=True, text=True, check=True, timeout=60).stdout
            self.identifiers = json.loads(said)["ids"]
            return said
        assert words[0] == "noria", f"{' '.join(words)}: a block with other commands must say why it is not run"
        words = [self.identifiers[0] if self.identifiers and re.fullmatch(r"[0-9a-f]{12}-w\w+-\d{8}", word) else word for word in words]
        if any(set(each) <= set(words) for each in ENDLESS):
            return "" if endless else self.serve(words)
        self.capsys.readouterr()
        code = ended(command, words[1:])
        said = self.capsys.readouterr()
        assert code == 0, f"{' '.join(words)} ended with {code}: {said.out}{said.err}"
        return said.out

    def serve(self, words: list[str]) -> str:
        """Start the page's server on a free port; returns its first lines, or its message where it does not start."""
        environment = {**os.environ, "NORIA_SERVING_PORT": "0", "PYTHONUNBUFFERED": "1"}
        server = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert server.stdout is not None
        first = server.stdout.readline()
        if not first:
            return server.communicate(timeout=30)[1]
        self.server = server
        address = re.search(r"127\.0\.0\.1:(\d+)", first)
        assert address is not None, first
        self.port = int(address[1])
        return first + server.stdout.readline() + server.stdout.readline()

    def stop(self) -> None:
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)
            self.server.communicate(timeout=30)

    # --- other languages ---

    def settings(self, block: Block) -> None:
        """A piece of `noria.toml` is read as the settings are; its project is made up where it has none."""
        folder = self.folder / f"settings_{block.line}"
        folder.mkdir()
        head = "" if "[project]" in block.text else '[project]\nname = "shop"\nmodule = "shop"\n'
        (folder / "noria.toml").write_text(head + block.text)
        load_settings(folder, {})

    def document(self, block: Block) -> None:
        """JSON is read, and kept as the file that the line above it names."""
        msgspec.json.decode(block.text)
        above = block.page.read_text().splitlines()[block.line - 4]
        if named := re.search(r"`(\w+\.json)`:$", above):
            (self.folder / named[1]).write_text(block.text)

    def manifests(self, block: Block) -> None:
        """Kubernetes manifests are held against its own schema."""
        import kubernetes_validate
        import yaml

        for manifest in yaml.safe_load_all(block.text):
            kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)

    def unit(self, block: Block) -> None:
        """A unit of systemd, or the lines in which it differs from the one before. systemd judges it, where that is installed."""
        unit = configparser.ConfigParser(interpolation=None)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read_dict(self.unit_before)
        unit.read_string(block.text)
        self.unit_before = {name: dict(unit[name]) for name in unit.sections()}
        program, *words = shlex.split(unit["Service"]["ExecStart"])
        assert Path(program).name == "noria"
        assert words[0] in typer.main.get_command(app).commands, block.where  # type: ignore[attr-defined]
        if shutil.which("systemd-analyze"):
            unit["Service"]["ExecStart"] = shlex.join([sys.executable, *words])  # a program that is there
            path = self.folder / f"noria-{words[0]}.service"
            with path.open("w") as file:
                unit.write(file, space_around_delimiters=False)
            done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False, timeout=60)
            assert (done.returncode, done.stderr) == (0, ""), f"{block.where}: {done.stderr}"


def compare(shown: str, said: str, where: str) -> None:
    """That what a page shows is what was said, but for times, ids, ports and measured numbers; `…` stands for any text."""
    pattern = re.escape(plain(shown)).replace("…", ".*")
    assert re.fullmatch(pattern, plain(said), re.DOTALL), f"{where}\n--- the page ---\n{plain(shown)}\n--- really ---\n{plain(said)}"


def plain(text: str) -> str:
    for pattern, instead in (
        (r"127\.0\.0\.1:\d+", "HOST"),
        (r"\d{4}-\d\d-\d\d(T[\d:.+]+)?|\d{8}T\d{4}", "TIME"),
        (r"\b[0-9a-f]{12,}\b(-w\w+-\d{8})?", "ID"),
        (r"\d+(\.\d+)?%", "SHARE"),
        (r"\d+\.\d+(e-\d+)?|\b\d+(?= unseen rows)", "NUMBER"),
        (r"\s+", ""),
    ):
        text = re.sub(pattern, instead, text)
    return text
