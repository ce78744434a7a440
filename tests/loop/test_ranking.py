"""A ranking, from clicks to answers over HTTP: a query's candidates are trained, judged, served, logged and compared together."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import ndcg_score
from typer.testing import CliRunner

from noria.cli.app import app
from noria.core.clock import SystemClock
from noria.evaluation.ranking import NoGroup, NoRelevance, NothingToRank
from noria.features.training_set import NoGroups, TrainingSet, build_training_set
from noria.loop.context import EndpointContext, Policy
from noria.loop.project import load_project
from noria.models.registry import CHALLENGER, CHAMPION
from noria.monitoring.measuring import measure_windows
from noria.monitoring.recorded import windows_of
from noria.release.releases import current_release
from noria.serving.log.segments import read_log
from noria.stores.candidates import candidates_of
from noria.stores.windows import pairs_by_window
from noria.stores.workspace import Workspace
from projects import START, edited
from searches import CANDIDATES, MODULE, TURN, searches, write_searches


def noria(folder: Path, *words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, [*words, "--project", str(folder)])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in words else done.stdout


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_searches(tmp_path_factory.mktemp("ranking") / "searches")
    for command in ("check", "ingest", "replay"):
        noria(folder, command)
    return folder


@contextmanager
def opened(folder: Path) -> Iterator[EndpointContext]:
    """The endpoint as the live loop has it, which went on from the replayed state."""
    project = load_project(folder)
    endpoint = project.endpoint()
    context = EndpointContext.open(project, Workspace.of(folder, project.settings), endpoint, Policy.declared(project, endpoint))
    with closing(context.stores.catalog):
        yield context


@contextmanager
def policy(folder: Path) -> Iterator[EndpointContext]:
    """The declared policy as it was replayed, with its log."""
    project = load_project(folder)
    endpoint = project.endpoint()
    declared = Policy.declared(project, endpoint)
    workspace = Workspace.of(folder, project.settings).beside(declared.name)
    with closing((context := EndpointContext.open(project, workspace, endpoint, declared)).stores.catalog):
        yield context


def test_the_loop_finds_the_turn_and_ends_better(replayed: Path) -> None:
    told = json.loads((replayed / "report.json").read_text())
    assert (told["metric"]["name"], told["discrimination"]["name"]) == ("ndcg_at_3", "group_rank_correlation")
    assert told["policies"]["loop"]["ndcg_at_3"] > told["policies"]["static"]["ndcg_at_3"] + 0.05
    reasons = [d["reason"] for d in told["decisions"] if d["action"] == "train"]
    assert any(r.startswith("regression: ndcg_at_3 moved by -0.") for r in reasons[1:])
    page = (replayed / "report.html").read_text()
    assert "nDCG@3" in page
    assert "Higher is better" in page
    turned = START + timedelta(days=TURN)
    found = [f for f in noria(replayed, "findings", "list", "--all", "--json")["findings"] if f["kind"] == "performance"]
    assert {f["subject"] for f in found} == {"ndcg_at_3", "ranking"}
    assert all(datetime.fromisoformat(f["since"]) >= turned for f in found)


def test_the_figures_of_the_replay_are_the_means_over_queries(replayed: Path) -> None:
    told = json.loads((replayed / "report.json").read_text())
    with policy(replayed) as context:
        logged = read_log(context.stores.log_folder, START, START + timedelta(days=90), context.stores.workspace.files)
        assert logged is not None
        answered = logged.by(CHAMPION)
        clicked = context.facts.outcomes.known_at(answered.keys, datetime(2030, 1, 1, tzinfo=UTC))
    assert told["policies"]["loop"]["ndcg_at_3"] == pytest.approx(np.mean(by_query(answered.keys, clicked, answered.prediction)), rel=1e-9)


def by_query(keys: list[str | None], clicked: np.ndarray, scores: np.ndarray) -> list[float]:
    """The nDCG@3 of each query in which anything was clicked, by scikit-learn."""
    places: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(str(key).split("|")[1], []).append(place)
    return [ndcg_score([clicked[own]], [scores[own]], k=3) for own in places.values() if clicked[own].any()]


def test_a_shadow_is_decided_by_groups(replayed: Path) -> None:
    with policy(replayed) as context:
        judged = 0
        for candidate in candidates_of(context.stores.catalog, context.endpoint.name):
            for start, counts in pairs_by_window(context.stores.catalog, context.endpoint.name, candidate.bundle, CHALLENGER, START):
                if not counts.gains:
                    continue
                judged += 1
                logged = read_log(context.stores.log_folder, start, start + context.grid.tick, context.stores.workspace.files)
                assert logged is not None
                clicked = context.facts.outcomes.known_at(logged.by(CHAMPION).keys, start + timedelta(days=10))
                figures = [by_query(rows.keys, clicked, rows.prediction) for rows in map(logged.by, (CHAMPION, CHALLENGER))]
                assert counts.groups["ndcg_at_3"] == len(figures[0]) <= counts.paired / CANDIDATES
                assert counts.gains["ndcg_at_3"] == pytest.approx(np.mean(figures[1]) - np.mean(figures[0]), abs=1e-9)
    assert judged >= 2
    told = json.loads((replayed / "report.json").read_text())
    assert any(d["action"] == "promote" and d["reason"].startswith("not worse by 0.1: gain +") for d in told["decisions"])


def training_set(context: EndpointContext, day: int) -> TrainingSet:
    model, offline = context.endpoint.model, context.facts.offline
    return build_training_set(
        offline, model.label, context.facts.outcomes, model.task, start=offline.first(), as_of=START + timedelta(days=day)
    )


def test_the_rows_of_a_query_lie_together_and_on_one_side_of_the_holdout(replayed: Path) -> None:
    with opened(replayed) as context:
        made = training_set(context, 20)
    assert made.groups is not None
    queries = made.rows.column("query_id").to_pylist()
    assert len(set(queries)) == made.groups[-1] + 1
    assert (np.diff(made.groups) >= 0).all()
    train = made.dataset()
    assert train.group_sizes.tolist() == list(Counter(queries).values())
    assert set(train.group_sizes.tolist()) == {CANDIDATES}
    late = made.moments > made.moments.max() - np.timedelta64(7, "D")
    before, after = made.dataset(~late), made.dataset(late)
    assert before.group_sizes.sum() + after.group_sizes.sum() == len(queries)
    assert len(before.group_sizes) + len(after.group_sizes) == len(set(queries))


def staggered(table: pa.Table) -> pa.Table:
    """Each candidate of a query two hours after the one before it."""
    hours = np.tile(np.arange(CANDIDATES) * 2, table.num_rows // CANDIDATES)
    at = pc.add(table.column("asked_at"), pa.array(hours * 3_600_000_000, pa.duration("us")))
    return table.set_column(table.schema.get_field_index("asked_at"), "asked_at", at)


def test_a_query_whose_candidates_come_over_time_stays_whole(tmp_path: Path) -> None:
    folder = write_searches(tmp_path / "searches")
    pq.write_table(staggered(searches()["candidates"]), folder / "data" / "candidates.parquet")
    noria(folder, "ingest")
    with opened(folder) as context:
        made = training_set(context, 20)
    assert made.groups is not None
    train = made.dataset()
    assert (np.diff(made.groups) >= 0).all()
    assert set(train.group_sizes.tolist()) == {CANDIDATES}  # one whose last candidate is too young is left out whole
    late = made.moments > made.moments.max() - np.timedelta64(7, "D")
    assert set(made.groups[late]).isdisjoint(made.groups[~late])
    assert ((made.at > made.moments.max() - np.timedelta64(7, "D")) != late).any()


def ask(where: dict[str, Any], keys: list[str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    body = json.dumps({"rows": rows, "keys": keys}).encode()
    request = urllib.request.Request(f"http://{where['host']}:{where['port']}/predict/clicks", body)
    with urllib.request.urlopen(request, timeout=20) as response:
        answer: dict[str, Any] = json.loads(response.read())
    return answer


def test_it_is_served_sampled_by_query_and_its_outcomes_mature(replayed: Path, tmp_path: Path) -> None:
    """Half of the queries are logged, each with all of its candidates; measured once their clicks are due, by the query."""
    folder = shutil.copytree(replayed, tmp_path / "searches")
    data = searches()["candidates"].slice(0, 60 * CANDIDATES).to_pylist()
    command = [sys.executable, "-m", "noria", "serve", "--port", "0", "--json"]
    environment = {**os.environ, "NORIA_SERVING_LOG_SHARE": "0.5"}
    ids = []
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        for query in range(60):
            own = data[query * CANDIDATES : (query + 1) * CANDIDATES]
            rows = [{"clicks_3d": 0.3, "match": c["match"], "price": c["price"]} for c in own]
            answer = ask(where, [f"{c['item_id']}|{c['query_id']}" for c in own], rows)
            assert len(answer["predictions"]) == CANDIDATES
            ids += answer["ids"]
        process.terminate()
        process.communicate(timeout=20)
    with opened(folder) as context:
        now = SystemClock().now()
        logged = read_log(context.stores.log_folder, now - timedelta(hours=1), now + timedelta(hours=1), context.stores.workspace.files)
        assert logged is not None
        kept = Counter(str(key).split("|")[1] for key in logged.keys)
        assert set(kept.values()) == {CANDIDATES}
        assert 15 <= len(kept) <= 45
        context.stores.catalog.take_lease()
        measure_windows(context, now + timedelta(days=5))
        release = current_release(context)
        assert release is not None
        (window,) = [
            w for w in windows_of(context, release.champion, now - timedelta(days=2), statistics=False) if w.performance and w.rows
        ]
        assert window.performance is not None
        assert window.performance.groups is not None
        assert window.performance.groups[0] == len(kept)
        assert 0 < window.performance.losses["ndcg_at_3"] <= 1
    known = next(i for i in ids if i in logged.ids)
    told = noria(folder, "explain", known, "--json")
    assert told["prediction"]["outcome"] in (0, 1)


def test_its_training_its_card_and_its_monitors_speak_of_groups(replayed: Path) -> None:
    with opened(replayed) as context:
        release = current_release(context)
        assert release is not None
        bundle, detail = context.stores.bundle(release.champion), context.stores.candidate_detail(release.champion)
    assert bundle.manifest.runtime == "onnx"
    assert bundle.manifest.task == {"name": "ranking", "group": "query_id", "at": 3}
    card = (bundle.path / "MODEL_CARD.md").read_text()
    assert "scores order the rows of a group" in card
    assert "ndcg_at_3 0." in card
    assert detail.calibration == ()
    assert detail.metrics.holdout_groups is not None
    there, counted = detail.metrics.holdout_groups
    assert 0 < counted < there
    told = noria(replayed, "monitor", "report", "--json")
    assert "performance: ndcg_at_3" in {m["monitor"] for m in told["monitors"]}
    assert not any(m["monitor"].startswith("expected") for m in told["monitors"])  # nothing estimates it, and so nothing is said


def test_a_window_says_of_how_many_queries_it_is(replayed: Path) -> None:
    told = noria(replayed, "monitor", "report", "--window", "2024-02-18T00:00:00Z", "--json")
    [figure] = told["performance"]
    there, counted = figure["groups"]
    assert there * CANDIDATES == figure["rows"]
    assert f", in {there} groups, of which {counted} count" in Path(told["report"]).read_text()


Change = Callable[[dict[str, pa.Table]], None]


def negative(tables: dict[str, pa.Table]) -> None:
    clicks = tables["clicks"]
    tables["clicks"] = clicks.set_column(2, "clicked", pa.array(np.where(np.arange(clicks.num_rows) == 5, -1, 1)))


def texts(tables: dict[str, pa.Table]) -> None:
    clicks = tables["clicks"]
    tables["clicks"] = clicks.set_column(2, "clicked", pa.array(["yes", "no"] * (clicks.num_rows // 2)))


def nothing_clicked(tables: dict[str, pa.Table]) -> None:
    clicks = tables["clicks"]
    tables["clicks"] = clicks.set_column(2, "clicked", pa.array(np.zeros(clicks.num_rows, bool)))


def only_clicks(tables: dict[str, pa.Table]) -> None:
    clicks = tables["clicks"]
    tables["clicks"] = clicks.filter(clicks.column("clicked"))


def queries_of_one(tables: dict[str, pa.Table]) -> None:
    for name, table in tables.items():
        tables[name] = table.set_column(1, "query_id", pa.array([f"q{i}" for i in range(table.num_rows)]))


@pytest.mark.parametrize(
    ("change", "commands", "error", "words"),
    [
        (negative, ("check", "train"), NoRelevance, "-1 is below 0"),
        (texts, ("check", "train"), NoRelevance, "its type is string"),
        (nothing_clicked, ("train",), NothingToRank, "no row is relevant"),
        (only_clicks, ("train",), NothingToRank, "all rows are equally relevant"),
        (queries_of_one, ("train",), NothingToRank, "every group is of one row"),
    ],
)
def test_clicks_that_teach_no_order_are_refused(
    tmp_path: Path, change: Change, commands: tuple[str, ...], error: type[Exception], words: str
) -> None:
    module = edited(MODULE, {'"clicks_3d": nr.mean("clicked", window="3d")': '"clicks_3d": nr.count(window="3d")'})
    folder, tables = write_searches(tmp_path / "searches", module), dict(searches())
    change(tables)
    for name, table in tables.items():
        pq.write_table(table, folder / "data" / f"{name}.parquet")
    noria(folder, "ingest")
    for command in commands:
        done = CliRunner().invoke(app, [command, "--project", str(folder)])
        assert isinstance(done.exception, error), done.output
        assert words in str(done.exception)


def test_a_group_that_is_no_key_is_refused_when_the_project_is_read(tmp_path: Path) -> None:
    folder = write_searches(tmp_path / "searches", edited(MODULE, {'group="query_id"': 'group="queryid"'}))
    with pytest.raises(NoGroup, match=r"did you mean 'query_id'"):
        load_project(folder)


def test_groups_are_not_there_for_other_tasks(replayed: Path) -> None:
    with opened(replayed) as context:
        made = training_set(context, 20)
    with pytest.raises(NoGroups, match="in no groups"):
        _ = type(made.dataset())(made.features, made.labels).group_sizes
