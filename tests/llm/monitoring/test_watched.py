"""An application in a project, watched: how its answers end, what they cost, and what a judge says of a sample of them."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from desk import MODULE, write_desk
from llm.conftest import Run
from noria.core.clock import ReplayClock, SystemClock, since_epoch
from noria.data.rows import Rows
from noria.evaluation.generation import INPUTS
from noria.llm.guardrails import searched as searched_for
from noria.loop.context import EndpointContext, Policy
from noria.loop.live_loop import LiveLoop
from noria.loop.project import Project, load_project
from noria.models.registry import CHAMPION
from noria.models.runtimes import open_runtime
from noria.release.releases import current_release
from noria.serving.log.predictions import Predictions, Values
from noria.serving.log.segments import PredictionLog
from noria.stores.verdicts import Verdicts
from noria.stores.workspace import Workspace
from projects import edit, edited

WATCHED = """
class Meticulous:
    "Says that an answer is good where it names a form."

    name, needs_reference = "faithfulness", False

    def judge(self, question, answer, chunks, reference=None):
        from noria.llm.evaluation import Judgement
        if "twenty" in answer:
            raise ValueError("it is not good at numbers")
        return Judgement(float("number 7" in answer))

    def definition(self):
        return {"judge": "meticulous"}


monitor = nr.Monitor(
    endpoint,
    false_alarms_per_year=2,
    answers=[nr.AnswerShare("unanswered", by=0.05), nr.AnswerShare("missed", by=0.05)],
    spending=[nr.SpendingLimit("day", tokens=1_000)],
    judged=[llm.sampled(Meticulous(), at_least=0.9, a_day=24 * 40)],
)
"""
HOUR, HOUR_US = timedelta(hours=1), 3_600_000_000
QUESTIONS = ("Which form is it for laptops?", "When do I write to the office of travel?", "Was ist die Hauptstadt von Peru?")


def test_an_application_is_watched_as_other_models_are(tmp_path: Path, noria: Run) -> None:
    write_desk(tmp_path, edited(MODULE, {"monitor = nr.Monitor(endpoint, false_alarms_per_year=2)\n": WATCHED}))
    edit(tmp_path / "data" / "asked.csv", {"How do I ask for": "Which form is it for"})
    assert "unanswered by 0.05, missed by 0.05, faithfulness of 0.9 or more, spending a day" in json.dumps(noria("check"))
    noria("ingest")
    noria("train")
    project = load_project(tmp_path)
    workspace = Workspace.of(tmp_path, project.settings)
    now = SystemClock().now()
    log_answers(project, workspace, now)
    with closing(LiveLoop(project, workspace, ReplayClock(now + 31 * HOUR), HOUR, waits=True)) as loop:
        assert not loop.run().troubles
    [endpoint] = noria("status")["endpoints"]
    told = {each["monitor"]: each for each in endpoint["monitors"]}
    assert told["judged: faithfulness"]["health"] == "unknown"
    assert "it was never measured against people" in told["judged: faithfulness"]["why"]
    assert told["answers: unanswered"]["health"] == "unhealthy"
    assert told["spending: tokens a day"]["health"] == "healthy"
    assert "outcomes" not in {each["subject"] for each in endpoint["findings"]}  # nobody has to say if an answer helped
    found = {each["subject"]: each for each in endpoint["findings"] if each["kind"] in ("answers", "faithfulness")}
    assert {name: each["severity"] for name, each in found.items()} == {"unanswered": "page", "missed": "page", "faithfulness": "inform"}
    assert "nothing near enough was found for most of them; such as prediction" in found["unanswered"]["summary"]
    assert found["faithfulness"]["summary"].startswith("the judge says: faithfulness has fallen below 90%")
    verdicts = Verdicts(workspace.verdicts("desk"))
    [judge] = project.monitors[0].judged
    said = verdicts.of(judge.key, endpoint["champion"], now)
    assert {each.score for each in said} == {0.0, 1.0}
    leaks = searched_for(workspace.verdicts("desk").parent, ["laptops", "number 7"])
    assert leaks.clean, leaks
    assert "faithfulness" in Path(noria("monitor", "report", "--out", str(tmp_path / "report.html"))["report"]).read_text()


def log_answers(project: Project, workspace: Workspace, now: datetime) -> None:
    """Log what the champion answers: a form each quarter of an hour for a day, then hardly any answer, and none that names a form."""
    context = EndpointContext.open(project, workspace, project.endpoint(), Policy.declared(project, project.endpoint()))
    with closing(context.stores.catalog):
        release = current_release(context)
        assert release is not None
        questions = Rows.of_values(INPUTS, [(question, *[None] * 6) for question in QUESTIONS])
        with closing(open_runtime(context.stores.bundle(release.champion), context.stores.options)) as model:
            answers = model.answer(questions)
    finishes, texts = answers.column("finish").to_pylist(), answers.column("answer").to_pylist()
    assert finishes == ["answered", "answered", "unknown"]
    assert ["number 7" in text for text in texts] == [True, False, False]
    log, first = PredictionLog(workspace.log("desk"), "again", workspace.files), since_epoch(now) // HOUR_US * HOUR_US
    for hour in range(1, 31):
        kept = np.array([0] * 4 if hour < 25 else [2] * 6 + [1] * 3)
        times = first + hour * HOUR_US + 60_000_000 * np.arange(len(kept))
        ids = [f"{int(at) // 1000:012x}-again-{number:08x}" for number, at in enumerate(times)]
        values = {release.champion: Values(questions.take(kept), answers.take(kept))}
        count, latency = len(kept), np.full(len(kept), 900, np.int32)
        log.append(Predictions(ids, [None] * count, [CHAMPION] * count, [release.champion] * count, times, latency, values))
    log.close()
