"""Sets of questions: read from what people write, refused where they are none, reviewed before they count."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from noria.cli.main import command
from noria.llm.chunking import Chunk
from noria.llm.evaluation import (
    BadQuestionSet,
    BadReview,
    Decision,
    NotReviewed,
    QuestionSet,
    decide,
    generated,
    mined,
    read_reviewed,
    review_file,
)
from noria.llm.evaluation.failures import TooFewTexts
from noria.llm.evaluation.near import clusters

ROWS = [
    {
        "id": "a",
        "question": "What does a permit cost?",
        "references": ["Forty euros"],
        "relevant": {"fees.md": 2, "faq.md": 1},
        "language": "en",
    },
    {"id": "b", "question": "Wer war der erste Kaiser? 🏛", "unanswerable": True, "language": "de"},
]


def test_the_same_set_from_json_lines_csv_parquet_and_rows(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text("\ufeff" + "\n".join(json.dumps(row) for row in ROWS) + "\n\n", encoding="utf-8")
    flat = [
        {
            "id": row["id"],
            "question": row["question"],
            "references": json.dumps(row.get("references") or []),
            "relevant": json.dumps(row.get("relevant") or {}),
            "unanswerable": str(row.get("unanswerable", False)),
            "language": row["language"],
        }
        for row in ROWS
    ]
    table = pa.Table.from_pylist(flat)
    pc.write_csv(table, tmp_path / "q.csv")
    pq.write_table(table, tmp_path / "q.parquet")
    sets = [QuestionSet.read(tmp_path / f"q.{kind}") for kind in ("jsonl", "csv", "parquet")]
    assert len({each.version for each in sets} | {QuestionSet.of(ROWS).version, QuestionSet.of(ROWS[::-1]).version}) == 1
    first, second = sets[0].questions
    assert (first.references, first.relevant, first.slices) == (("Forty euros",), {"fees.md": 2.0, "faq.md": 1.0}, {"language": "en"})
    assert (second.unanswerable, second.reviewed, second.origin) == (True, True, "written")
    sets[0].write(tmp_path / "again.jsonl")
    assert QuestionSet.read(tmp_path / "again.jsonl").version == sets[0].version
    assert QuestionSet.of([{**ROWS[0], "references": ["41"]}, ROWS[1]]).version != sets[0].version


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"qestion": "x"}, "did you mean"),
        ({"question": "  "}, "no text in `question`"),
        ({"question": "x" * 30_000}, "30,000 characters"),
        ({"question": "x", "unanswerable": True, "reference": "y"}, "can't be answered, and has an answer"),
        ({"question": "x", "unanswerable": "perhaps"}, "'perhaps'"),
        ({"question": "x", "relevant": {"a": 0.5}}, "whole number"),
        ({"question": "x", "relevant": 7}, "no list of ids"),
        ({"question": "x", "references": {"a": 1}}, "no texts"),
        ({"question": "x", "slices": "de"}, "no mapping"),
        ({"question": "x", "origin": "writen"}, "did you mean 'written'"),
    ],
)
def test_what_is_no_question_is_refused_with_its_place(row: dict[str, object], why: str) -> None:
    with pytest.raises(BadQuestionSet, match=why) as caught:
        QuestionSet.of([ROWS[0], row])
    assert "question 2" in caught.value.where


def test_broken_files_are_refused(tmp_path: Path) -> None:
    for text, why in (
        ("", "no question"),
        ("{", "no JSON"),
        ("[1]", "no JSON object"),
        ('{"id": "a", "question": "x"}\n' * 2, "two questions"),
    ):
        (tmp_path / "q.jsonl").write_text(text)
        with pytest.raises(BadQuestionSet, match=why):
            QuestionSet.read(tmp_path / "q.jsonl")
    with pytest.raises(BadQuestionSet, match="can't be read"):
        QuestionSet.read(tmp_path / "none.jsonl")


def chunk(text: str, number: int) -> Chunk:
    return Chunk(f"c{number}", f"{number}.md", text, 0, len(text))


CORPUS = [
    chunk("The parking permit costs forty euros a year for every resident of the town. It is paid in May.", 1),
    chunk("A dog licence is the right to keep one dog inside the borders of the town. It ends after a year.", 2),
    chunk("A dog licence is the right to keep one dog inside the borders of the town. Ask at the office.", 3),
    chunk("short", 4),
]
ELSEWHERE = [chunk("The lunar ferry costs ninety crowns a crossing on every second Tuesday of the month of June.", 9)]


def test_questions_are_made_from_a_corpus_and_wait_for_a_person() -> None:
    drafted = generated(CORPUS, count=10, removed=ELSEWHERE)
    asked = {question.question: question for question in drafted.questions}
    assert set(asked) == {"What does the parking permit cost?", "What is a dog licence?", "What does the lunar ferry cost?"}
    assert asked["What is a dog licence?"].references[0].startswith("A dog licence is the right")
    assert asked["What does the lunar ferry cost?"].unanswerable
    assert drafted.repeated == 1
    with pytest.raises(NotReviewed, match="3 of 3 questions"):
        drafted.questions.require_reviewed()
    assert generated(CORPUS, removed=ELSEWHERE, find=lambda _: ELSEWHERE).answered_after_all == 1
    with pytest.raises(TooFewTexts):
        generated([chunk("short", 1)])


def test_a_log_is_mined_for_what_went_wrong_each_question_once() -> None:
    rows = [{"question": "What is a permit?", "confidence": 0.9, "finish": "answered", "outcome": 0}] * 3
    rows += [
        {"question": f"{opening} open the blue garage door?", "finish": "unknown"} for opening in ("How do I", "how can I", "How may I")
    ]
    rows += [{"question": "Fine?", "confidence": 0.95, "finish": "answered", "outcome": 1}, {"question": None}, {"confidence": 0.1}]
    rows += [{"question": "Unsure of badgers?", "confidence": 0.2, "finish": "answered", "outcome": float("nan")}]
    found = mined(rows)
    assert (found.rows, found.taken, found.skipped) == (10, 7, 2)
    assert [(question.slices["reason"], question.slices["asked"]) for question in found.questions] == [
        ("thumbs_down", "few"),
        ("unknown", "few"),
        ("low_confidence", "once"),
    ]
    assert found.questions.unreviewed == 3
    assert len(mined(rows, known=["what is a permit"]).questions) == 2


def test_questions_that_ask_the_same_are_one_cluster_however_many() -> None:
    texts = [f"How do I open door number {number}?" for number in range(300)] + ["how do i open door number 7"]
    assert [7, 300] in clusters(texts, 0.9)
    assert clusters(["", " ", "?"]) == [[0, 1, 2]]


def test_decisions_of_people_make_a_set_that_counts(tmp_path: Path) -> None:
    path = tmp_path / "draft.jsonl"
    generated(CORPUS, count=10, removed=ELSEWHERE).questions.write(path)
    ids = {question.question: question.id for question in QuestionSet.read(path)}
    permit, licence, ferry = (
        ids[each] for each in ("What does the parking permit cost?", "What is a dog licence?", "What does the lunar ferry cost?")
    )
    decide(review_file(path), Decision(permit, "reject", "ada", why="by mistake"))
    decide(review_file(path), Decision(permit, "accept", "ada", references=("Forty euros a year.",)))
    decide(review_file(path), Decision(licence, "reject", "ada"))
    found = read_reviewed(path)
    assert (found.accepted, found.rejected, [question.id for question in found.left]) == (1, 1, [ferry])
    assert found.questions.questions[0].references == ("Forty euros a year.",)
    command(["llm", "review", str(path), "--accept", ferry, "--by", "bob"])
    read_reviewed(path).questions.require_reviewed()
    decide(review_file(path), Decision("nobody", "accept", "ada"))
    with pytest.raises(BadReview, match="no question 'nobody'"):
        read_reviewed(path)
    for line, why in (("{", "no JSON"), ('{"id": "a"}', "no decision"), ('{"id": "a", "decision": "accept"}', "who decided")):
        review_file(path).write_text(line)
        with pytest.raises(BadReview, match=why):
            read_reviewed(path)


def test_the_command_lists_what_is_left_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "draft.jsonl"
    generated(CORPUS, count=10).questions.write(path)
    command(["llm", "review", str(path), "--json"])
    assert len(json.loads(capsys.readouterr().out)["left"]) == 2
