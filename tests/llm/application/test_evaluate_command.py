"""`noria llm evaluate`: the champion on a set of questions, and a candidate beside it, judged by the model's gates."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Barrier
from typing import Any

import pyarrow as pa
import pytest

from desk import MODULE, TOPICS, write_desk
from noria.cli.exits import ended
from noria.cli.main import command
from noria.core.ids import digest
from noria.core.signature import Signature
from noria.data.rows import Rows
from noria.evaluation.generation import INPUTS, OUTPUTS
from noria.llm.application.endpoint_evaluation import EndpointEvaluation, Processes
from noria.llm.application.judged import AskedModel, judged
from noria.llm.evaluation import (
    Answered,
    Decision,
    NotReviewed,
    Question,
    QuestionSet,
    at_least,
    compare,
    decide,
    evaluate,
    retrieval_metrics,
    review_file,
)

GATES = """task=nr.Generation(), gates=[
    llm.judged("{file}", [llm.at_least("recall@5", 0.5), llm.not_worse("recall@5", by=0.2)])
])"""
FORMS = ("How do I ask for {}?", "Who hands out {}, and by which form?", "How many {} may I have in a year?", "Tell me all about {}")


def written(path: Path, **more: Any) -> Path:
    """A set of twenty questions that the handbook answers, and of five that it does not; more: of the first question."""
    rows = [{"id": f"{t}-{i}", "question": form.format(t), "relevant": [f"{t}.md"]} for t in TOPICS for i, form in enumerate(FORMS)]
    rows += [{"id": f"none-{i}", "question": f"Was kostet die Fahrkarte nach Peru, Nummer {i}?", "unanswerable": True} for i in range(5)]
    rows[0] |= more
    QuestionSet.of(rows).write(path)
    return path


class Refusing:
    def answer(self, question: Question, repeat: int = 0) -> Answered:  # noqa: ARG002
        return Answered(question.id, "I don't know.", finish="unknown")

    def definition(self) -> dict[str, Any]:
        return {"bundle": "a" * 64}


def test_a_champion_is_measured_and_a_candidate_is_judged_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked, other, report = written(tmp_path / "questions.jsonl"), tmp_path / "other.jsonl", tmp_path / "out.html"
    write_desk(tmp_path)

    def typed(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        found = ended(command, [*arguments, "--project", str(tmp_path)])
        said = capsys.readouterr()
        assert found == code, said.out + said.err
        return said.out if code in (0, 1) else said.err

    typed("ingest", "--json")
    assert "judged on no set of questions" in typed("llm", "evaluate", code=2)
    assert "no champion yet" in typed("llm", "evaluate", "--on", str(asked), code=2)
    bundle = json.loads(typed("train", "--json"))[-1]["subject"]
    (tmp_path / "desk.py").write_text(MODULE.replace("task=nr.Generation())", GATES.format(file=asked)))

    alone = typed("llm", "evaluate")
    assert f"champion {bundle[:12]}; 25 questions of questions" in alone
    assert "recall@5         1.000  1.000 – 1.000" in alone
    assert "Who hands out holidays, and by which form?\n    refusal −1.00" in alone
    page = (tmp_path / "evaluation.html").read_text().partition("</style>")[2]
    assert "The champion was measured" in page
    assert "andidate" not in page

    beside = ("llm", "evaluate", "desk", "--candidate", bundle[:12], "--report", str(report), "--on")
    assert "there is no file" in typed(*beside, "gone.jsonl", code=2)
    written(other, origin="generated", relevant=["of-another-corpus.md"])
    assert "nobody has reviewed them" in typed(*beside, str(other), code=2)
    decide(review_file(other), Decision("holidays-0", "accept", "a person"))
    (tmp_path / "desk.py").write_text((tmp_path / "desk.py").read_text().replace("0.5", "1.0, level=0.5"))
    found = json.loads(typed(*beside, str(other), "--json", code=1))
    assert [verdict["outcome"] for verdict in found["verdicts"]] == ["failed", "passed"]
    assert (found["failed"], found["passed"], found["report"]) == (True, False, str(report))
    assert found["champion"]["bundle"] == found["candidate"]["bundle"] == bundle
    assert found["champion"]["application"] == digest({"bundle": bundle})
    recall = found["candidate"]["metrics"]["recall@5"]
    assert recall["mean"] == pytest.approx(0.95)
    assert recall["lower"] < 0.95 < recall["upper"]
    assert "failed 1 of 2 gates" in report.read_text()


def test_as_many_threads_as_there_are_processes_wait_for_none(tmp_path: Path) -> None:
    both = Barrier(2, timeout=30)

    class Asked:
        signature = Signature(INPUTS, OUTPUTS)
        rows = 0

        def answer(self, rows: Rows) -> Rows:
            self.rows += len(rows)
            if self.rows <= 5:  # each is asked so often while the other one is
                both.wait()
            return (
                Rows.unknown(OUTPUTS, len(rows)).replaced("answer", pa.array(["no"] * len(rows))).replaced("finish", pa.array(["unknown"]))
            )

        def close(self) -> None: ...

    models = [Asked(), Asked()]
    found = evaluate(AskedModel(Processes(models), "champion"), QuestionSet.read(written(tmp_path / "asked.jsonl")), workers=2)
    assert {record.answered.error for record in found.records} == {""}
    assert sum(model.rows for model in models) == 25


def test_a_champion_alone_is_told_as_the_champion(tmp_path: Path) -> None:
    compared = compare(None, evaluate(Refusing(), QuestionSet.read(written(tmp_path / "asked.jsonl"))), ())
    told = EndpointEvaluation("desk", "a" * 64, None, compared).to_dict()
    assert (told["candidate"], told["passed"], told["failed"], told["verdicts"]) == (None, None, False, [])
    assert told["champion"]["bundle"] == "a" * 64
    assert told["champion"]["metrics"]["refusal"]["mean"] == pytest.approx(0.2)
    assert {each["champion"]["answer"] for each in told["worst"]} == {"I don't know."}


def test_gates_on_a_file_count_the_decisions_beside_it_and_their_metrics(tmp_path: Path) -> None:
    asked = written(tmp_path / "asked.jsonl", origin="generated")
    with pytest.raises(NotReviewed):
        judged(asked, []).questions.require_reviewed()
    decide(review_file(asked), Decision("holidays-0", "reject", "a person"))
    found = judged(asked, [at_least("recall@3", 0.5)], metrics=retrieval_metrics(["recall@3"]))
    found.questions.require_reviewed()
    assert len(found.questions) == 24
    assert repr(found) != repr(judged(asked, [at_least("recall@3", 0.5)], metrics=retrieval_metrics(["recall@3", "recall@4"])))


def test_training_leaves_the_answers_side_by_side_of_candidates_that_were_promoted_and_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = written(tmp_path / "questions.jsonl")
    write_desk(tmp_path, MODULE.replace("task=nr.Generation())", GATES.format(file=asked)))

    def typed(*arguments: str) -> Any:
        capsys.readouterr()
        assert ended(command, [*arguments, "--project", str(tmp_path), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    def page_of(trained: dict[str, Any]) -> str:
        [report] = trained["reports"]
        assert report["title"] == "answers to questions"
        shown = typed("models", "show", trained["bundle"])
        link = shown["card"].partition("[answers to questions](")[2].partition(")")[0]
        assert (Path(shown["path"]) / link).resolve() == (tmp_path / report["path"]).resolve()
        return (tmp_path / report["path"]).read_text()

    typed("ingest")
    train, promote = typed("train")
    assert promote["action"] == "promote"
    assert "The candidate passed all 2 gates" in page_of(train["trained"])
    for topic in ("parking", "laptops", "travel"):
        (tmp_path / "handbook" / f"{topic}.md").write_text("# Moved\n\nThis page has moved.")
    typed("ingest")
    train, refuse = typed("train")
    assert refuse["action"] == "refuse"
    assert refuse["reason"].endswith(f"; side by side: `noria models show {refuse['subject'][:12]}`")
    page = page_of(train["trained"])
    assert "The candidate may not go live: 2 of 2 gates are unknown" in page
    assert "<figcaption>Champion</figcaption>" in page
    [endpoint] = typed("status")["endpoints"]
    assert endpoint["reports"] == typed("models", "show", promote["subject"])["trained"]["reports"]
