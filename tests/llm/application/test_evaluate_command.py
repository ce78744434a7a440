"""`noria llm evaluate`: the champion on a set of questions, and a candidate beside it, judged by the model's gates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from desk import MODULE, TOPICS, write_desk
from noria.cli.exits import ended
from noria.cli.main import command
from noria.core.ids import digest
from noria.llm.application.judged import judged
from noria.llm.evaluation import Decision, NotReviewed, QuestionSet, at_least, decide, retrieval_metrics, review_file

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


def test_a_champion_is_measured_and_a_candidate_is_judged_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked, report = written(tmp_path / "questions.jsonl"), tmp_path / "out.html"
    write_desk(tmp_path, MODULE.replace("task=nr.Generation())", GATES.format(file=asked)))

    def typed(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        found = ended(command, [*arguments, "--project", str(tmp_path)])
        said = capsys.readouterr()
        assert found == code, said.out + said.err
        return said.out if code in (0, 1) else said.err

    typed("ingest", "--json")
    assert "no champion yet" in typed("llm", "evaluate", code=2)
    promote = json.loads(typed("train", "--json"))[-1]
    assert promote["action"] == "promote"

    alone = json.loads(typed("llm", "evaluate", "--json", "--workers", "2"))
    assert alone["champion"]["bundle"] == promote["subject"]
    assert alone["champion"]["application"] == digest({"bundle": promote["subject"]})
    assert (alone["candidate"], alone["passed"], alone["verdicts"]) == (None, None, [])
    recall = alone["champion"]["metrics"]["recall@5"]
    assert recall["mean"] > 0.9
    assert recall["questions"] == 20
    assert recall["lower"] <= recall["mean"] <= recall["upper"]
    assert Path(alone["report"]) == tmp_path.resolve() / "evaluation.html"
    assert "candidate" not in (tmp_path / "evaluation.html").read_text().partition("</style>")[2]

    beside = ("llm", "evaluate", "desk", "--candidate", promote["subject"][:12], "--report", str(report))
    shown = typed(*beside)
    assert "passed recall@5 is 0.5 or better" in shown
    assert "passed not worse in recall@5 by 0.2" in shown
    assert "the worst answers:" in shown
    assert "passed all 2 gates" in report.read_text()

    other = tmp_path / "other.jsonl"
    rows = [{"question": f"How many {t} may I have, {i}?", "relevant": ["of-another-corpus.md"]} for t in TOPICS for i in range(5)]
    QuestionSet.of(rows).write(other)
    failed = json.loads(typed(*beside, "--on", str(other), "--json", code=1))
    assert [verdict["outcome"] for verdict in failed["verdicts"]] == ["failed", "passed"]
    assert failed["failed"]
    assert "there is no file" in typed("llm", "evaluate", "--on", "gone.jsonl", code=2)
    written(other, origin="generated")
    assert "nobody has reviewed them" in typed(*beside, "--on", str(other), code=2)
    decide(review_file(other), Decision("holidays-0", "accept", "a person"))
    assert "passed all 2 gates" in typed(*beside, "--on", str(other))


def test_gates_on_a_file_count_the_decisions_beside_it_and_their_metrics(tmp_path: Path) -> None:
    asked = written(tmp_path / "asked.jsonl", origin="generated")
    with pytest.raises(NotReviewed):
        judged(asked, []).questions.require_reviewed()
    decide(review_file(asked), Decision("holidays-0", "reject", "a person"))
    found = judged(asked, [at_least("recall@3", 0.5)], metrics=retrieval_metrics(["recall@3"]))
    found.questions.require_reviewed()
    assert len(found.questions) == 24
    assert repr(found) != repr(judged(asked, [at_least("recall@3", 0.5)], metrics=retrieval_metrics(["recall@4"])))
