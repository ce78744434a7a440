"""A judge of the gates decides a shadow once it was measured against people; what is no answer counts nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import noria as nr
from noria import llm
from noria.evaluation.answer_scores import ShownAnswer
from noria.llm.application.judge_scores import judge_scores
from noria.llm.evaluation import HumanLabel, SupportModel, measured
from noria.release.answer_shadow import NoSuchComparison, answer_plan

CITIES = {"Bern": "Switzerland", "Rome": "Italy", "Oslo": "Norway", "Cairo": "Egypt", "Quito": "Ecuador", "Lima": "Peru"}
TEXTS = [
    f"{city} is the capital of {country} since {1800 + n}. It has {n + 2} bridges and no harbour. The old town of {city} is by {who}."
    for n, (city, country) in enumerate(CITIES.items())
    for who in ("monks", "merchants", "soldiers", "farmers", "sailors")
]
RIGHT = [HumanLabel("Which?", f"{c} is the capital of {s}.", 1.0, (f"{c} is the capital of {s}.",)) for c, s in list(CITIES.items()) * 5]
WRONG = [
    HumanLabel("Which?", f"{c} is the capital of Moravia.", 0.0, (f"{c} is the capital of {s}.",)) for c, s in list(CITIES.items()) * 5
]


@pytest.fixture(scope="module")
def judge() -> SupportModel:
    return SupportModel.trained(TEXTS)


def shown(answer: str, finish: str = "answered", question: str | None = "Which?") -> ShownAnswer:
    return ShownAnswer(
        {"question": question}, {"answer": answer, "finish": finish, "found_texts": ["Bern is the capital of Switzerland."]}, 0.1
    )


def test_what_the_sources_support_counts_and_what_is_no_answer_does_not(judge: SupportModel) -> None:
    [score] = judge_scores([judge], [measured(judge, [*RIGHT, *WRONG])])
    assert (score.name, score.lacking, score.judged) == ("support", "", True)
    assert score.of(shown("Bern is the capital of Switzerland.")) == 1.0
    assert score.of(shown("Bern is the capital of Moravia.")) == 0.0
    assert score.of(shown("I don't know.", "unknown")) == 0.0
    assert score.of(shown("", "failed")) == 0.0
    assert score.of(shown("", "answered")) == "support: no answer"
    assert score.of(shown("Bern is the capital of Switzerland.", question=None)) == "the question is not logged (serving.redact)"
    least, most = score.slopes(0.05)
    assert 0.5 < least <= most


def test_a_judge_that_nobody_measured_decides_nothing(judge: SupportModel, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "Which?"}\n')
    asked, said = (nr.Table(name, nr.files(f"{name}.csv"), key="id", event_time="at") for name in ("asked", "said"))
    docs = nr.Table("docs", llm.document_files("docs"), key="id", event_time="changed_at", deleted="deleted")

    def declared(**more: object) -> nr.Model:
        gate = llm.judged(tmp_path / "q.jsonl", gates=[], judges=[judge], **more)  # type: ignore[arg-type]
        application = llm.Application(docs, llm.HashedEmbedder())
        label = nr.Label(said, "helpful")
        return nr.Model("m", llm.questions(asked), label=label, trainer=application, task=nr.Generation(), gates=[gate])

    with pytest.raises(NoSuchComparison, match="the judge support was not measured on 50 answers that people have judged"):
        nr.Endpoint("e", declared(), release=nr.Rollout())
    model = declared(records=[measured(judge, [*RIGHT, *WRONG])])
    plan = answer_plan("e", model, nr.Rollout(not_above={"cost": 1.5}))
    assert [score.name for score in plan.scores] == ["support", "cost"]
    assert answer_plan("e", model, nr.Rollout(score="answered")).score.name == "answered"
