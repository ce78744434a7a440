"""The words are kept: every error code has its entry, every setting and command is described, the README's claims stand."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shlex
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import typer

import noria
from docs.blocks import PAGES
from noria.cli.app import app
from noria.core.errors import NoriaError
from noria.core.settings import Settings

ROOT = Path(__file__).parents[1]


def errors() -> dict[str, set[str]]:
    """Every error code with the classes that carry it."""
    for found in pkgutil.walk_packages(noria.__path__, "noria."):
        if "migrations" in found.name or found.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            if not found.name.startswith("noria.integrations.") or str(error.name).startswith("noria"):
                raise  # an adapter may need a library that is too large for every test run
    kinds, waiting = {}, [NoriaError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.code != "NR-000":
            kinds.setdefault(kind.code, set()).add(kind.__name__)
    return kinds


def test_every_error_code_is_one_error_and_has_an_entry() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    documented = dict(re.findall(r"^### (NR-\d+) (\w+)$", page, re.MULTILINE))
    assert all(len(names) == 1 for names in errors().values())
    assert documented == {code: names.copy().pop() for code, names in errors().items()}


def test_every_setting_is_described() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    for section in msgspec.structs.fields(Settings):
        for key in msgspec.structs.fields(section.type):
            assert f"`{section.name}.{key.name}`" in page


def test_every_command_is_described() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    for name in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert f"`noria {name}" in page


def test_links_between_the_pages_lead_somewhere() -> None:
    """On a code host; `tests/docs/test_site.py` sees that they do on the site, anchors included."""
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_shows_two_commands_and_a_picture() -> None:
    first_screen = (ROOT / "README.md").read_text()[:2500]
    assert "make demo" in first_screen
    assert "make test" in first_screen
    assert re.search(r"!\[[^\]]+\]\(docs/[^)]+\.png\)|<img[^>]+docs/[^>]+\.png", first_screen)


def shown(page: str) -> tuple[list[str], list[str]]:
    """The command lines that a page shows to be typed, and those that it names within its text."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    prose = re.sub(r"^```[a-z]*\n.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    named = [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", prose)]
    return [line for line in lines if re.match(r"noria( |$)", line)], [text for text in named if re.match(r"noria( |$)", text)]


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words begin with, and the words after its name."""
    command: Any = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"there is no command {' '.join(words)!r}"
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def variants(text: str) -> list[str]:
    """A command as prose names it, with one of each choice: `noria findings ack|mute KEY`."""
    words = text.replace("\\|", "|").replace("[", "").replace("]", "").split(" | ")[0].split()
    return [" ".join(chosen) for chosen in product(*(word.split("|") for word in words))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_shows_can_be_typed(page: Path) -> None:
    typed, named = shown(page.read_text())
    for line in typed:
        words = shlex.split(line, comments=True)
        if "|" in words:
            words = words[: words.index("|")]
        command, rest = command_of(words)
        with command.make_context(words[0], [word for word in rest if word != "&"]):  # raises for what the command line would refuse
            pass
    for words in (variant.split() for text in named for variant in variants(text)):
        command, rest = command_of(words)
        options = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)} | {"--help", "-h"}
        assert {word for word in rest if word.startswith("-")} <= options, " ".join(words)


def test_the_module_that_the_page_on_models_shows_is_a_project(tmp_path: Path) -> None:
    from noria.evidence.declared import declared
    from noria.loop.project import load_project

    module, *_ = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "models.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "noria.toml").write_text('[project]\nname = "shop"\nmodule = "shop"\n')
    (tmp_path / "shop.py").write_text(module)
    found = declared(load_project(tmp_path))
    assert {kind: len(nouns) for kind, nouns in found.items()} == dict.fromkeys(found, 1)
    assert found["endpoints"][0]["monitored"]
    assert found["endpoints"][0]["retrained"]


def test_the_metric_and_the_task_that_the_page_on_metrics_shows_are_ones(tmp_path: Path) -> None:
    from noria.evaluation.gates import Evaluation
    from noria.evaluation.metrics import registered

    page, shown_here = (ROOT / "docs" / "metrics.md").read_text(), {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        path = tmp_path / f"block{len(shown_here)}.py"  # a file: a metric is known by its code
        path.write_text(block)
        exec(compile(block, str(path), "exec"), shown_here)
    outcomes, good, bad = np.ones(10), np.full(10, 0.9), np.full(10, 0.1)
    verdict = shown_here["gate"].judge(Evaluation(shown_here["task"], outcomes, good, bad, np.zeros(10, int)))
    assert (verdict.outcome, verdict.why) == ("passed", "cost 0.0000 €, champion 10.0000 € on 10 rows")
    assert repr(shown_here["gate"]).startswith("BeatsChampion(metric=Metric('cost', ")
    assert shown_here["Delay"]().bias.title == "bias"
    for task, part in zip(("binary", "regression"), page.split("\n## ")[1:3], strict=True):
        rows = re.findall(r"^\| `(\w+)`[^|]*\| ([^|]+) \| ", part, re.MULTILINE)
        assert rows == [(metric.name, metric.title) for metric in registered(task)]
    [ranking] = [part for part in page.split("\n## ") if part.startswith("The metrics of a ranking")]
    rows = re.findall(r"^\| `(\w+)`[^|]*\| ([^|]+) \| ", ranking, re.MULTILINE)
    assert rows == [(metric.name, metric.title) for metric in registered("ranking")]
