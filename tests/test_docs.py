"""The words are kept: every error code has its entry, every setting and command is described, the README's claims stand."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import msgspec
import typer

import noria
from noria.cli.app import app
from noria.core.errors import NoriaError
from noria.core.settings import Settings

ROOT = Path(__file__).parents[1]


def errors() -> dict[str, set[str]]:
    """Every error code with the classes that carry it."""
    for found in pkgutil.walk_packages(noria.__path__, "noria."):
        if "migrations" not in found.name and not found.name.endswith("__main__"):
            importlib.import_module(found.name)
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
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_shows_two_commands_and_a_picture() -> None:
    first_screen = (ROOT / "README.md").read_text()[:2500]
    assert "make demo" in first_screen
    assert "make test" in first_screen
    assert re.search(r"!\[[^\]]+\]\(docs/[^)]+\.png\)|<img[^>]+docs/[^>]+\.png", first_screen)
