"""What a person does beside the loop: looks at models and runs, promotes, rolls back, adds an outcome, asks where a setting comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from noria.cli.app import app
from noria.core.errors import NoriaError
from noria.core.settings_explained import explained, explained_one
from noria.loop.context import EndpointContext, Policy
from noria.loop.project import load_project
from noria.release.releases import current_release
from noria.stores.decisions import BY_HAND, decisions_of
from noria.stores.workspace import Workspace
from projects import edit, write_project


def ran(folder: Path, *words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, [*words, "--project", str(folder), "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def said(folder: Path, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--project", str(folder)])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two models: the second was refused, since there were no new rows to judge it on."""
    folder = write_project(tmp_path_factory.mktemp("by_hand") / "shop")
    ran(folder, "ingest")
    ran(folder, "train")
    with pytest.raises(NoriaError, match="there is no champion before it"):
        ran(folder, "models", "rollback")
    edit(folder / "shop.py", {"rounds=20": "rounds=21"})
    ran(folder, "train")
    return folder


def test_models_are_listed_promoted_and_brought_back(shop: Path) -> None:
    second, first = ran(shop, "models", "list")
    assert (first["part"], second["part"]) == ("champion", "")
    assert second["gates"] == {"unknown": 2}
    assert first["metric"] == "log_loss"
    assert 0 < first["value"] < 1
    done = ran(shop, "models", "promote", second["bundle"][:12], "--why", "a bug in the first", "--by", "ada")
    assert [each["action"] for each in done] == ["promote"]
    assert [each["part"] for each in ran(shop, "models", "list")] == ["champion", "previous"]
    assert "champion" in said(shop, "models", "list").splitlines()[0]
    back = ran(shop, "models", "rollback", "--by", "grace")
    assert back[0]["subject"] == first["bundle"]
    project = load_project(shop)
    context = EndpointContext.open(
        project, Workspace.of(shop, project.settings), project.endpoint(), Policy.declared(project, project.endpoint())
    )
    release, decided = current_release(context), decisions_of(context.stores.catalog, "returns")
    context.stores.catalog.close()
    assert release is not None
    assert (release.champion, release.previous) == (first["bundle"], second["bundle"])
    assert [(row.action, row.reason, row.evidence.get("by"), row.done) for row in decided[-2:]] == [
        ("promote", BY_HAND, "ada", True),
        ("promote", BY_HAND, "grace", True),
    ]
    assert decided[-2].evidence["why"] == "a bug in the first"


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["models", "promote", "ffffffff"], "NR-417", "no bundle of 'returns' begins with 'ffffffff'"),
        (["models", "promote", ""], "NR-417", "no bundle"),
        (["models", "show", "zz"], "NR-417", "no bundle"),
        (["outcome", "add", "o00001|x", "1"], "NR-268", "has 2 parts, and the table's is order_id"),
        (["outcome", "add", "o00001", "perhaps"], "NR-268", "'perhaps' is no int64, as the column 'returned' is"),
        (["outcome", "add", "o00001", "1", "2"], "NR-268", "2 values are given"),
        (["config", "explain", "serving.prot"], "NR-107", r"there is no setting 'serving.prot' \(did you mean 'serving.port'"),
    ],
)
def test_mistakes_say_what_to_write(shop: Path, words: list[str], code: str, why: str) -> None:
    with pytest.raises(NoriaError, match=why) as raised:
        ran(shop, *words)
    assert raised.value.code == code


def test_the_champion_is_not_promoted_again(shop: Path) -> None:
    champion = next(each["bundle"] for each in ran(shop, "models", "list") if each["part"] == "champion")
    with pytest.raises(NoriaError, match="is the champion already"):
        ran(shop, "models", "promote", champion)


def test_a_model_shows_where_it_comes_from(shop: Path) -> None:
    newest = ran(shop, "models", "list")[0]["bundle"]
    found = ran(shop, "models", "show", newest[:10])
    assert found["bundle"] == newest
    assert found["inputs"] == [f"{name}: float32" for name in ("visits_6h", "seconds_6h", "seconds", "price", "twice")]
    assert found["card"].startswith("#")
    assert found["lineage"]["parameters"]["rounds"] in (21, "21")
    assert str(newest)[:12] in said(shop, "models", "show", newest)
    runs = ran(shop, "runs")
    assert [run["parameters"]["rounds"] in (rounds, str(rounds)) for run, rounds in zip(runs, (21, 20), strict=True)] == [True, True]
    assert "rounds=21" in said(shop, "runs")


def test_an_outcome_is_added_and_corrected(shop: Path) -> None:
    workspace = Workspace.of(shop, load_project(shop).settings)

    def outcomes(key: str) -> list[int]:
        rows = workspace.tables.read_or_none("returns")
        assert rows is not None
        return [row["returned"] for row in rows.to_pylist() if row["order_id"] == key]

    before = outcomes("o00005")
    ran(shop, "outcome", "add", "o00005", str(1 - before[0]))
    assert sorted(outcomes("o00005")) == [0, 1]
    ran(shop, "outcome", "add", "o99999", "returned=1", "--at", "2024-05-01T12:00:00")
    rows = workspace.tables.read_or_none("returns")
    assert rows is not None
    (added,) = [row for row in rows.to_pylist() if row["order_id"] == "o99999"]
    assert added["settled_at"].isoformat() == "2024-05-01T12:00:00+00:00"


def test_a_setting_says_where_it_comes_from(shop: Path) -> None:
    environ = {"NORIA_LOOP_TICK": "6h", "NORIA_SERVING_PORT": "9000"}
    tick = explained_one(shop, "loop.tick", environ)
    assert (tick["value"], tick["from"], tick["default"]) == ("6h", "the variable NORIA_LOOP_TICK", "1d")
    assert tick["overridden"] == [str(shop / "noria.toml")]
    port = explained_one(shop, "serving.port", environ)
    assert (port["value"], port["from"], port["overridden"]) == (9000, "the variable NORIA_SERVING_PORT", [])
    everything = explained(shop, {})
    assert len(everything) > 50
    assert {each["from"] for each in everything} == {"the default", str(shop / "noria.toml")}
    assert all(each["variable"].startswith("NORIA_") and each["type"] for each in everything)
    assert "serving.port = " in said(shop, "config", "explain", "serving.port")
    assert "loop.tick = '1d'" in said(shop, "config", "list")
