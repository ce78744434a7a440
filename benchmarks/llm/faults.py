"""Faults planted in an application, and changes that do no harm: what the gates say of each. `python -m benchmarks.llm.faults`"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.figure import Figure, Proof
from benchmarks.llm.docstring_app import DocstringApp, corpus, questions
from benchmarks.llm.planted import FAULTS, HARMLESS, Planted
from noria.llm.evaluation import (
    AnswerMetric,
    Evaluated,
    HumanLabel,
    JudgeRecord,
    SupportModel,
    answer_metrics,
    compare,
    evaluate,
    measured,
    no_slice_worse,
    not_above,
    not_worse,
    retrieval_metrics,
)
from noria.llm.evaluation.gates import AnswerGate
from noria.llm.evaluation.support_pairs import pairs_of

BY = 0.05  # the smallest loss of a mean that matters
GATES: Sequence[AnswerGate] = (
    not_worse("recall@5", by=BY),
    not_worse("ndcg@10", by=BY),
    not_worse("distinct", by=BY),
    not_worse("token_recall", by=BY),
    not_worse("token_f1", by=BY),
    not_worse("refusal", by=BY),
    not_worse("cited_relevant", by=BY),
    not_worse("citation_precision", by=BY),
    not_worse("citation_recall", by=BY),
    not_worse("support", by=BY),
    not_worse("toxicity", by=0.03),
    not_worse("failed", by=0.03),
    no_slice_worse("token_recall", over=["library"], by=0.15),
    no_slice_worse("refusal", over=["kind"], by=0.15),
    not_above("seconds", times=1.5),
    not_above("cost", times=1.5),
)


def metrics_of(support: SupportModel) -> list[AnswerMetric]:
    return [*retrieval_metrics(), *answer_metrics(supports=support.supports)]


def record_of(support: SupportModel) -> JudgeRecord:
    """The judge measured on pairs of whose truth is known how they were made, in the place of people; other pairs than it was trained
    on."""
    pairs = pairs_of([document.text for document in corpus()], seed=99)[:400]
    return measured(support, [HumanLabel("", pair.statement, float(pair.supported), (pair.source,)) for pair in pairs])


def prove(faults: dict[str, Planted] | None = None, harmless: dict[str, Planted] | None = None) -> Proof:
    """Figures: the share of faults that failed, and of harmless changes that did not."""
    faults, harmless = FAULTS if faults is None else faults, HARMLESS if harmless is None else harmless
    support = SupportModel.trained([document.text for document in corpus()])
    record = record_of(support)
    yield f"# {len(questions())} questions on {len(corpus())} docstrings, {len(GATES)} gates at level 5 %, by {BY}; {record.summary()}"
    champion = _evaluated(lambda app: app, "champion", support)
    found, silent, passed = 0, 0, 0
    for name, planted in faults.items():
        outcome, said = _judged(champion, planted, name, support, record)
        found += outcome == "failed"
        yield f"# fault {'found' if outcome == 'failed' else 'MISSED (' + outcome + ')'}: {name}: {said}"
    for name, planted in harmless.items():
        outcome, said = _judged(champion, planted, name, support, record)
        silent, passed = silent + (outcome != "failed"), passed + (outcome == "passed")
        yield f"# harmless {outcome}: {name}{': ' + said if outcome != 'passed' else ''}"
    yield Figure("faults_found", found / max(len(faults), 1), f"of {len(faults)} planted faults", ">=", 1)
    yield Figure(
        "harmless_silent", silent / max(len(harmless), 1), f"of {len(harmless)} harmless changes without a failed gate", ">=", 0.95
    )
    yield Figure("harmless_passed", passed / max(len(harmless), 1), f"of {len(harmless)} harmless changes pass every gate", ">=", 0.9)


def _evaluated(planted: Planted, name: str, support: SupportModel) -> Evaluated:
    app = replace(planted(DocstringApp()), change=name)
    return evaluate(app.answerer(), questions(), metrics_of(support), [support], name=name)


def _judged(champion: Evaluated, planted: Planted, name: str, support: SupportModel, record: JudgeRecord) -> tuple[str, str]:
    compared = compare(champion, _evaluated(planted, name, support), GATES, records=[record])
    wrong = [verdict for verdict in compared.verdicts if verdict.outcome != "passed"]
    failed = [verdict for verdict in wrong if verdict.outcome == "failed"]
    said = "; ".join(f"{verdict.gate}: {verdict.why}"[:160] for verdict in (failed or wrong)[:2])
    return "failed" if failed else "unknown" if wrong else "passed", f"{len(failed)} failed, {len(wrong) - len(failed)} unknown: {said}"


if __name__ == "__main__":
    short = 0
    for line in prove():
        print(line, flush=True)
        short += isinstance(line, Figure) and not line.holds
    sys.exit(bool(short))
