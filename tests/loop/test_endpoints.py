"""Several endpoints in one project: each lives as it would alone, and no figure of one is another's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from noria.alerting.incidents import Recipients, open_finding
from noria.core.clock import Stopwatch
from noria.data.ingest import ingest
from noria.evidence.explain import explain
from noria.evidence.figures import replay_figures
from noria.evidence.monitoring import monitor_figures
from noria.evidence.replay import write_report
from noria.evidence.status import status
from noria.loop.comparison import Replayed
from noria.loop.context import EndpointContext
from noria.loop.history import take_over
from noria.loop.project import Project, load_project
from noria.loop.replay import Span, comparison, open_contexts, replay
from noria.monitoring.findings import Finding
from noria.release.releases import current_release
from noria.serving.log.segments import read_log
from noria.stores.workspace import Workspace
from projects import MODULE, START, write_project

SPAN = Span(START + timedelta(days=40), START + timedelta(days=45))
NOUNS = MODULE[: MODULE.index("endpoint = nr.Endpoint")]
ENDPOINTS = {
    "returns": 'returns_endpoint = nr.Endpoint("returns", model, release=nr.Rollout(shadow="1d", at_most="4d", margin=0.2))\n'
    'monitor = nr.Monitor(returns_endpoint, false_alarms_per_year=6, performance=[nr.Tolerance("log_loss", by=0.05)])\n',
    "again": 'again_endpoint = nr.Endpoint("again", model, release=nr.Immediate())\n'
    'again_monitor = nr.Monitor(again_endpoint, false_alarms_per_year=50, performance=[nr.Tolerance("log_loss", by=0.001)])\n',
    "cheap": 'small = nr.FeatureSet("cheap", spine=orders, request=[basket])\n'
    'cheap = nr.Model("cheap", small, label=nr.Label(returns, "returned", matures="30h"), trainer=boosted, holdout="7d")\n'
    'cheap_endpoint = nr.Endpoint("cheap", cheap, release=nr.Immediate())\n'
    'cheap_retrain = nr.Retrain(cheap, when=[nr.stale("3d")], cooldown="1d")\n',
}
TOGETHER = NOUNS + "".join(ENDPOINTS.values())


def replayed(project: Project, name: str) -> Replayed:
    """The declared policy over the span, of one endpoint never retraining as well; their catalogs stay open."""
    workspace, endpoint = Workspace.of(project.folder, project.settings), project.endpoint(name)
    policies = [p for p in comparison(project, endpoint) if p.name == "loop" or (p.name == "static" and name == "cheap")]
    contexts = open_contexts(project, workspace, endpoint, policies)
    replay(contexts, SPAN, lambda _: None)
    home = EndpointContext.open(project, workspace, endpoint, contexts[0].policy, contexts[0])
    take_over(contexts[0], home, SPAN.end, SPAN.end)
    for context in contexts:
        context.stores.catalog.release_lease()
    return Replayed(contexts, SPAN, home)


def figures_of(replayed: Replayed) -> dict[str, Any]:
    return replay_figures(replayed.contexts, SPAN)


def without_costs(figures: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(figures))
    for policy in plain["policies"].values():
        del policy["seconds"]
    return plain


def prepared(folder: Path, module: str) -> Project:
    write_project(folder, module)
    project = load_project(folder)
    workspace = Workspace.of(folder, project.settings)
    for table in project.tables:
        ingest(table, workspace.tables, folder)
    return project


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, dict[str, Replayed]]]:
    project = prepared(tmp_path_factory.mktemp("together") / "shop", TOGETHER)
    with ExitStack() as stack:
        found = {}
        for name in ENDPOINTS:
            found[name] = replayed(project, name)
            for context in (*found[name].contexts, found[name].home):
                stack.callback(context.stores.catalog.close)
        yield project, found


def test_endpoints_of_one_model_have_aliases_of_their_own(together: tuple[Project, dict[str, Replayed]]) -> None:
    for name in ("returns", "again"):
        home = together[1][name].home
        alias, release = home.tracking.alias("returns", f"champion-{name}"), current_release(home)
        assert alias is not None
        assert release is not None
        assert alias.bundle == release.champion
    assert home.tracking.alias("returns", "champion") is None


def test_each_endpoint_is_replayed_as_it_would_be_alone(together: tuple[Project, dict[str, Replayed]], tmp_path: Path) -> None:
    project, found = together
    for name, declared in ENDPOINTS.items():
        folder = tmp_path / name
        shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns("catalog*", "log", "replays"))  # what was trained is kept
        (folder / "shop.py").write_text(NOUNS + declared)
        alone = replayed(load_project(folder), name)
        for context in (*alone.contexts, alone.home):
            context.stores.catalog.close()
        assert without_costs(figures_of(alone)) == without_costs(figures_of(found[name]))
    retrainings = {name: figures_of(each)["policies"]["loop"]["retrainings"] for name, each in found.items()}
    assert retrainings["cheap"] >= 1
    assert retrainings["returns"] == retrainings["again"] == 0
    assert figures_of(found["cheap"])["policies"]["static"]["retrainings"] == 0


def test_status_monitors_and_explanations_show_each_endpoint_its_own(together: tuple[Project, dict[str, Replayed]]) -> None:
    project, found = together
    for name in ("again", "project"):
        finding = Finding("data_quality", "price", SPAN.end, "page", "words", "fix", {})
        for context in (found["again"].contexts[0], found["again"].home):
            open_finding(context.stores.catalog, name, finding, SPAN.end, Recipients())
    shown = status(project, Workspace.of(project.folder, project.settings))
    by_name = {e["name"]: e for e in shown["endpoints"]}
    for name, each in found.items():
        context = each.home
        ours = [(d["time"], d["action"]) for d in figures_of(each)["decisions"]]
        assert [(d["time"], d["action"]) for d in by_name[name]["decisions"]] == ours[-6:]
        told_of = {"again", "project"} if name == "again" else {"project"}  # what is about the project is about each of them
        assert {f["endpoint"] for f in by_name[name]["findings"]} == told_of
        assert {f["endpoint"] for f in monitor_figures(context)["findings"]} == told_of
        assert {f["endpoint"] for f in replay_figures(each.contexts, SPAN)["findings"]} == told_of - {"project"}
        logged = read_log(context.stores.log_folder, SPAN.start, SPAN.end, context.stores.workspace.files)
        assert logged is not None
        told = explain(project, context.stores.workspace, logged.ids[-1])
        [promoted] = [d["time"] for d in figures_of(each)["decisions"] if d["action"] == "promote" and d["subject"] == logged.bundle[-1]]
        assert told["released_by"]["at"] == promoted


def test_each_endpoint_has_a_report_of_its_own(together: tuple[Project, dict[str, Replayed]]) -> None:
    project, found = together
    for name in ("returns", "cheap"):
        policies = dict.fromkeys(("calendar", "static"), figures_of(found["cheap"])["policies"]["static"])
        figures = {**figures_of(found[name]), "policies": policies | figures_of(found[name])["policies"]}
        for week in figures["weeks"]:
            week["log_loss"] = dict.fromkeys(("calendar", "static"), 0.5) | week["log_loss"]
        workspace = Workspace.of(project.folder, project.settings)
        told = write_report(project, workspace, found[name], figures, Stopwatch())
        assert told["report"].endswith(f"report-{name}.html")
        assert json.loads((project.folder / f"report-{name}.json").read_text())["endpoint"] == name
    assert not (project.folder / "report.html").exists()
