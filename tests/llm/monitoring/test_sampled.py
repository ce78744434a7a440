"""A judge as a monitor takes it: with the record of just this judge, and what a judgement took."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm.evaluation.scripted import Scripted
from noria.llm.evaluation import Correctness, Faithfulness, HumanLabel, measured
from noria.llm.monitoring import sampled
from noria.llm.monitoring.sampled import BadSampling

LABELS = [HumanLabel("?", f"It is {n}.", float(n % 2), ("It is odd.",)) for n in range(60)]


def says(text: str) -> object:
    """One claim of each answer, which is supported where its number is odd."""
    if "1. It is" in text:
        number = int(text.split("1. It is ")[1].split(".")[0])
        return {"verdicts": ["supported" if number % 2 else "not_in_sources"]}
    return {"claims": [text.split("It is ")[-1].join(["It is ", ""]).split("\n")[0]]}


def test_a_judge_is_measured_by_its_own_record_alone(tmp_path: Path) -> None:
    judge = Faithfulness(Scripted(says))
    record = measured(judge, LABELS, again=0)
    assert record.accuracy == 1
    record.write(tmp_path / "record.json")
    for given in (record, tmp_path / "record.json", str(tmp_path / "record.json")):
        assert sampled(judge, at_least=0.9, record=given).lacking == ""
    other = Faithfulness(Scripted(says, name="another model"))
    assert sampled(other, at_least=0.9, record=record).lacking == "it was never measured against people"
    assert sampled(judge, at_least=0.9).lacking == "it was never measured against people"


def test_what_a_judgement_took_is_told_and_what_is_missing_why() -> None:
    said = sampled(Faithfulness(Scripted(says)), at_least=0.9).ask("?", "It is 3.", ("It is odd.",))
    assert (said.score, said.missing) == (1.0, "")
    assert said.tokens > 20
    assert said.dollars == pytest.approx(0.002)
    silent = sampled(Faithfulness(Scripted(lambda _: TimeoutError("late"))), at_least=0.9).ask("?", "It is 3.", ())
    assert (silent.score, silent.missing) == (None, "timed_out")


def test_what_can_not_be_sampled_is_refused() -> None:
    judge = Faithfulness(Scripted(says))
    with pytest.raises(BadSampling, match="needs a right answer"):
        sampled(Correctness(Scripted(says)), at_least=0.9)
    for at_least in (0.0, 1.0, float("nan")):
        with pytest.raises(BadSampling, match="at_least"):
            sampled(judge, at_least=at_least)
    for more in ({"a_day": 0}, {"dollars": 0.0}):
        with pytest.raises(BadSampling, match="a_day is"):
            sampled(judge, at_least=0.9, **more)  # type: ignore[arg-type]
