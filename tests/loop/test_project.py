"""What a project's module declares is what counts: held by a variable or not, there or in a module beside it, once or twice."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import noria as nr
from noria.core.declarations import collecting
from noria.evidence.declared import declared, headline, lines
from noria.loop.project import DeclaredTwice, NoEndpoint, ProjectFailed, UnknownName, WhichEndpoint, load_project
from projects import MODULE, edit, edited

SETTINGS = '[project]\nname = "p"\nmodule = "p"\n'
FACTS = """
import noria as nr

t = nr.Table("facts", nr.files("facts.parquet"), key="id", event_time="at")
v = nr.FeatureView("recent", t, entity="id", aggregate={"n": nr.count(window="1h")})
f = nr.FeatureSet("f", spine=t, views=[v])


@nr.trainer
def nothing(train):
    return None


"""
ONE = FACTS + 'm = nr.Model("m", f, label=nr.Label(t, "y"), trainer=nothing)\ne = nr.Endpoint("e", m)\n'


def project(folder: Path, module: str, **others: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "noria.toml").write_text(SETTINGS)
    for name, text in {"p": module, **others}.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_what_no_variable_holds_is_declared_all_the_same(tmp_path: Path) -> None:
    bare = edited(
        MODULE, {"monitor = nr.Monitor": "nr.Monitor", "retrain = nr.Retrain": "nr.Retrain", "endpoint = nr.Endpoint": "nr.Endpoint"}
    )
    bare = edited(
        bare,
        {"nr.Monitor(endpoint,": 'nr.Monitor(nr.Endpoint("returns", model, release=nr.Rollout(shadow="2d", at_most="8d", margin=0.1)),'},
    )
    found, held = load_project(project(tmp_path / "bare", bare)), load_project(project(tmp_path / "held", MODULE))
    assert [m.false_alarms_per_year for m in found.monitors] == [6]
    assert [e.name for e in found.endpoints] == ["returns"]
    assert declared(found) == declared(held)


def test_a_loop_declares_as_well_as_a_line(tmp_path: Path) -> None:
    many = (
        ONE + 'for name in ("a", "b"):\n    nr.Monitor(nr.Endpoint(name, m))\nnr.Table("alone", nr.files("x"), key="k", event_time="at")\n'
    )
    found = load_project(project(tmp_path, many))
    assert [e.name for e in found.endpoints] == ["e", "a", "b"]
    assert [m.endpoint.name for m in found.monitors] == ["a", "b"]
    assert [t.name for t in found.tables] == ["facts", "alone"]


def test_what_is_equal_is_one_and_what_differs_is_refused(tmp_path: Path) -> None:
    again = ONE + "nr.Monitor(e)\nnr.Monitor(e)\n"
    assert len(load_project(project(tmp_path, again)).monitors) == 1
    with pytest.raises(DeclaredTwice, match="the monitor of 'e' is declared twice, with a different false_alarms_per_year the second time"):
        load_project(project(tmp_path, ONE + "nr.Monitor(e)\nnr.Monitor(e, false_alarms_per_year=9)\n"))
    with pytest.raises(DeclaredTwice, match="the table 'facts' is declared twice, with a different key"):
        load_project(project(tmp_path, ONE + 'nr.Table("facts", nr.files("facts.parquet"), key="other", event_time="at")\n'))
    with pytest.raises(DeclaredTwice, match="the retraining of 'm'"):
        load_project(project(tmp_path, ONE + 'nr.Retrain(m, when=[nr.drift()])\nnr.Retrain(m, when=[nr.drift()], cooldown="1d")\n'))


def test_a_module_beside_the_project_declares_too_each_time_it_is_loaded(tmp_path: Path) -> None:
    split = project(tmp_path / "one", "from more import e\n", more=ONE + "nr.Monitor(e, false_alarms_per_year=3)\n")
    other = project(tmp_path / "two", "from more import e\n", more=edited(ONE, {'"e"': '"other"'}))
    for _ in range(2):
        assert [m.false_alarms_per_year for m in load_project(split).monitors] == [3]
        found = load_project(other)
        assert ([e.name for e in found.endpoints], found.monitors) == (["other"], ())
    edit(split / "more.py", {"false_alarms_per_year=3": "false_alarms_per_year=4000"})
    assert [m.false_alarms_per_year for m in load_project(split).monitors] == [4000]
    assert str(split) not in sys.path


def test_what_is_made_elsewhere_leaks_into_no_project(tmp_path: Path) -> None:
    stray = nr.Table("stray", nr.files("x"), key="id", event_time="at")
    assert [t.name for t in load_project(project(tmp_path / "p", ONE)).tables] == ["facts"]
    inner = project(tmp_path / "inner", FACTS)
    outer = f"from pathlib import Path\nfrom noria.loop.project import load_project\ninner = load_project(Path({str(inner)!r}))\n"
    assert load_project(project(tmp_path / "outer", outer)).tables == ()
    with collecting() as found:
        pass
    assert (found, stray.name) == ([], "stray")


def test_one_that_was_refused_is_not_declared(tmp_path: Path) -> None:
    tried = ONE + "try:\n    nr.Monitor(e, false_alarms_per_year=0)\nexcept nr.NoriaError:\n    pass\n"
    assert load_project(project(tmp_path, tried)).monitors == ()


def test_a_module_that_leaves_the_process_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectFailed, match="SystemExit: no") as refused:
        load_project(project(tmp_path, "import sys\nsys.exit('no')\n"))
    assert "line 2" in refused.value.where


def test_an_endpoint_is_named_where_there_are_several_and_asked_for_where_there_is_none(tmp_path: Path) -> None:
    none, one = load_project(project(tmp_path / "none", FACTS)), load_project(project(tmp_path / "one", ONE))
    two = load_project(project(tmp_path / "two", ONE + 'nr.Endpoint("f", m)\n'))
    for asked in (none.endpoint, none.chosen):
        with pytest.raises(NoEndpoint, match="declares no endpoint"):
            asked()
    assert one.endpoint().name == "e"
    assert [e.name for e in two.chosen()] == ["e", "f"]
    assert two.endpoint("f").name == "f"
    assert [e.name for e in two.chosen("f")] == ["f"]
    with pytest.raises(WhichEndpoint, match="2 endpoints, and none is named"):
        two.endpoint()
    with pytest.raises(UnknownName, match="did you mean 'e'"):
        one.endpoint("ee")


def test_the_list_says_what_is_lacking(tmp_path: Path) -> None:
    found = declared(
        load_project(
            project(
                tmp_path, FACTS + 'm = nr.Model("m", f, label=nr.Label(t, "y"), trainer=nothing)\nnr.Retrain(m, when=[nr.stale("9d")])\n'
            )
        )
    )
    assert (
        headline("p", 1, found)
        == "p: 1 table can be read; 1 feature view, 1 feature set, 1 model, 0 endpoints, 0 monitors, 1 retraining declared"
    )
    told = {(kind, name): words for kind, name, words in lines(found)}
    assert told["model", "m"] == ["binary classification of facts.y = 1 by nothing; no gates", "no endpoint serves it"]
    assert told["retraining", "m"][0] == "at an age of 9d, no sooner than 0s after the last"
    assert declared(load_project(project(tmp_path, ONE)))["endpoints"][0]["monitored"] is False
