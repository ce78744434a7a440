"""The site: it builds without a warning, a link that leads nowhere breaks it, and what is made from the code says what the code says."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

import noria as nr
from docs.blocks import ROOT
from noria.core.settings import Settings

SITE = ROOT / "docs" / "site"


def part(name: str) -> ModuleType:
    """A module of `docs/site`, which is no package."""
    spec = importlib.util.spec_from_file_location(f"site_{name}", SITE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def built(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SITE / "build.py"), str(folder)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = built(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_has_every_page_and_the_names_of_the_api(site: Path) -> None:
    for page in ("index", "docs/start", "docs/operations", "docs/adr/0001-one-turn-first", "docs/api/tables-and-sources", "CHANGELOG"):
        assert "<h1>" in (site / "html" / f"{page}.html").read_text()
    tables = (site / "html" / "docs" / "api" / "tables-and-sources.html").read_text()
    assert 'id="noria.Table"' in tables
    assert "the column that says when a fact happened" in tables
    assert 'href="../errors.html#nr-221-badcontract"' in tables


def test_a_link_that_leads_nowhere_and_a_page_that_is_not_listed_break_it(tmp_path: Path) -> None:
    """The same build over three pages, of which one is wrong in three ways."""
    site = tmp_path / "docs" / "site"
    site.mkdir(parents=True)
    for name in ("build.py", "reference.py", "conf.py"):
        (site / name).write_text((SITE / name).read_text())
    (site / "static").mkdir()
    (tmp_path / "docs" / "adr").mkdir()
    for name, text in {
        "README.md": "# Home\n",
        "docs/README.md": "# Pages\n\n## Start\n\n- [one](one.md)\n- [api](api.md)\n- [adr](adr/README.md)\n",
        "docs/api.md": "# API\n",
        "docs/errors.md": "# Errors\n\n## General\n",
        "docs/adr/README.md": "# Decisions\n",
        "docs/one.md": "# One\n\n[a](gone.md), [b](errors.md#nowhere), [c](errors.md#general), [d](https://example.org/d)\n",
    }.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run([sys.executable, str(site / "build.py"), str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    for said in ("gone.md", "nowhere", "isn't included in any toctree"):
        assert said in done.stderr
    assert "general" not in done.stderr
    assert (tmp_path / "out" / "external-links.txt").read_text() == "https://example.org/d\tdocs/one.md\n"


def test_every_public_name_stands_on_exactly_one_page() -> None:
    found = [name for names in part("reference").groups((ROOT / "docs" / "api.md").read_text()).values() for name in names]
    assert sorted(name for name in found if name.startswith("nr.")) == sorted(f"nr.{name}" for name in nr.__all__)
    assert len(found) == len(set(found))


def test_every_parameter_of_what_is_public_is_explained() -> None:
    """Those of aggregates once, above them all."""
    reference, unexplained = part("reference"), set()
    for name in nr.__all__:
        if callable(thing := getattr(nr, name)):
            found = re.findall(r"^:param (\w+):(?: `[^`]+`)?$", reference.text_of(thing, {}), re.MULTILINE)
            of_aggregates = {"expression", "window", "share"} if thing.__module__ == "noria.features.view" else set()
            unexplained |= {(name, parameter) for parameter in set(found) - of_aggregates}
    assert unexplained == set()


def test_the_options_on_their_page_are_those_of_the_command_line() -> None:
    assert (ROOT / "docs" / "command-options.md").read_text() == part("commands").page(), "`make format` writes the page anew"


def test_the_settings_on_their_page_have_the_defaults_of_the_code() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    shown = {}
    for names, default in re.findall(r"^\| (`[a-z_.`, ]+) \| ([^|]+) \|", page, re.MULTILINE):
        keys = re.findall(r"`([a-z_]+\.[a-z_]+)`", names)
        values = default.split(", ") if len(keys) > 1 and default.count(", ") == len(keys) - 1 else [default] * len(keys)
        shown |= dict(zip(keys, values, strict=True))
    for section in msgspec.structs.fields(Settings):
        for field in msgspec.structs.fields(section.type):
            assert written(shown[f"{section.name}.{field.name}"]) == code_default(field), f"{section.name}.{field.name}"


def written(default: str) -> str:
    return {"PagerDuty's": "none", "`none`": "`none`"}.get(default, default.replace(",", "") if default[0].isdigit() else default).strip(
        "`"
    )


def code_default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None or value == [] or value == "":
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return msgspec.json.encode(value).decode()
    return f"{value:g}" if isinstance(value, float) and value != 1.0 else str(value)
