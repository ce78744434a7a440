"""A/A: one application evaluated twice, with a generator that samples and a judge that errs. `python -m benchmarks.llm.aa`

A flip is another verdict on the same thing. What is promised: passed and failed are never both said of one application, beyond the level;
where the questions are as many as the gate asks for, no two runs differ at all, beyond the level; a wrong pass is as rare as the level;
and the intervals of prediction-powered inference cover as often as they say.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.figure import Figure, Proof
from benchmarks.llm.docstring_app import DocstringApp, corpus, questions
from noria.llm.chunking import Chunk
from noria.llm.chunking.sentences import sentences
from noria.llm.evaluation import (
    Answered,
    AnswerMetric,
    Evaluated,
    HumanLabel,
    Judgement,
    JudgeRecord,
    QuestionSet,
    Record,
    SupportModel,
    answer_metrics,
    compare,
    evaluate,
    measured,
    no_slice_worse,
    not_worse,
    retrieval_metrics,
)
from noria.llm.evaluation.evidence import HALF_THE_LEVEL, through_the_judge
from noria.llm.evaluation.gates import POWER
from noria.llm.evaluation.judge_record import slope
from noria.llm.evaluation.pairs import Differences
from noria.llm.evaluation.support_pairs import pairs_of
from noria.llm.generation import DONT_KNOW, extracted
from noria.statistics.agreement import share_bounds
from noria.statistics.bounded_mean import bounded_mean, needed
from noria.statistics.prediction_powered import powered_mean

RUNS = int(os.environ.get("AA_RUNS", "1000"))
REAL = int(os.environ.get("AA_REAL", "30"))
LEVEL = 0.05

Floats = NDArray[np.float64]


def prove() -> Proof:
    yield from simulated()
    yield from wrong_passes()
    yield from coverage()
    yield from through_judges()
    yield from real()


def simulated() -> Proof:
    """Questions of different difficulty, answers that are drawn anew, and a judge that is wrong on a tenth of them."""
    yield f"# A/A, {RUNS} pairs of runs each: answers right with a chance drawn from a beta distribution, judged wrongly on 10 %"
    worst_flips, worst_any, worst_steady = 0.0, 0.0, 0.0
    for count, by in ((50, 0.1), (100, 0.1), (200, 0.1), (600, 0.1), (200, 0.05), (800, 0.05), (2300, 0.05)):
        rng = np.random.default_rng([count, int(by * 100)])
        opposite, differs, unsteady, asked = 0, 0, 0, 0
        for _ in range(RUNS):
            quality = rng.beta(4, 1, count)
            champion = _sampled(quality, rng)
            runs = [_outcome(champion, _sampled(quality, rng), by) for _ in range(2)]
            plain, steady = [run[0] for run in runs], [run[1] for run in runs]
            opposite += set(plain) == {"passed", "failed"}
            differs, unsteady, asked = differs + (plain[0] != plain[1]), unsteady + (steady[0] != steady[1]), asked + runs[0][2]
        enough = count >= asked / RUNS
        worst_flips, worst_steady = max(worst_flips, opposite / RUNS), max(worst_steady, unsteady / RUNS)
        worst_any = max(worst_any, differs / RUNS if enough else 0.0)
        yield (
            f"# {count} questions, by {by}: passed and failed {opposite / RUNS:.1%}, any difference {differs / RUNS:.1%}, "
            f"with steady=True {unsteady / RUNS:.1%}; about {asked / RUNS:.0f} are asked for"
        )
    yield Figure("aa_flips: passed against failed", worst_flips, f"of {RUNS} pairs of runs, worst", "<=", LEVEL)
    yield Figure("aa_flips: any difference, enough questions", worst_any, f"of {RUNS} pairs of runs, worst", "<=", LEVEL)
    yield Figure("aa_flips: any difference, steady gates", worst_steady, f"of {RUNS} pairs of runs, worst", "<=", LEVEL)


def wrong_passes() -> Proof:
    """The candidate is worse by just what matters: how often it passes nevertheless; and the power where nothing changed."""
    worst, worst_slice = 0.0, 0.0
    for count in (20, 50, 100, 300):
        for by in (0.02, 0.05, 0.1):
            rng = np.random.default_rng([count, int(by * 100), 7])
            for name, way in WAYS.items():
                passed = sum(bounded_mean(way(rng, count, by), -1, 1, LEVEL).lower > -by for _ in range(RUNS)) / RUNS
                worst = max(worst, passed)
                if passed > LEVEL:
                    yield f"# {name}, {count} questions, by {by}: {passed:.1%} wrong passes"
    yield Figure("wrong_passes: worst of 48 ways", worst, f"of {RUNS} runs", "<=", LEVEL + 3 * (LEVEL * 0.95 / RUNS) ** 0.5)
    rng = np.random.default_rng(9)
    for parts in (5, 20, 50):
        gate = no_slice_worse("quality", over=["part"], by=0.1, level=LEVEL)
        alarms = 0
        for _ in range(RUNS // 4):
            before, after = (_evaluation((rng.random(400) < 0.8).astype(float), parts) for _ in range(2))
            alarms += compare(before, after, [gate]).verdicts[0].outcome == "failed"
        worst_slice = max(worst_slice, alarms / (RUNS // 4))
    yield Figure("slice_alarms_where_nothing_changed", worst_slice, "of runs, 5, 20 and 50 slices, worst", "<=", LEVEL)
    for severe, count in ((1.0, 8), (0.6, 15), (0.4, 40)):
        gate, found = no_slice_worse("quality", over=["part"], by=0.1, level=LEVEL), 0
        for _ in range(RUNS // 4):
            lost = np.r_[rng.random(count) < 1 - severe, np.ones(300 - count, bool)].astype(float)
            before, after = _evaluation(np.ones(300), 0, count), _evaluation(lost, 0, count)
            found += compare(before, after, [gate]).verdicts[0].outcome == "failed"
        yield f"# a loss of {severe} in a slice of {count} of 300 questions is found in {found / (RUNS // 4):.0%}"


def _rare(rng: np.random.Generator, count: int, by: float) -> Floats:
    return -(rng.random(count) < by).astype(float)


def _small_gains(rng: np.random.Generator, count: int, by: float) -> Floats:
    return np.where(rng.random(count) < (by + 0.1) / 1.1, -1.0, 0.1)


def _both_ways(rng: np.random.Generator, count: int, by: float) -> Floats:
    return np.where(rng.random(count) < (by + 1) / 2, -1.0, 1.0)


def _noise(rng: np.random.Generator, count: int, by: float) -> Floats:
    return np.clip(rng.normal(-by, 0.15, count), -1, 1)


WAYS: dict[str, Callable[[np.random.Generator, int, float], Floats]] = {
    "few losses": _rare,
    "losses and small gains": _small_gains,
    "losses and gains": _both_ways,
    "noise": _noise,
}


def coverage() -> Proof:
    """How often the bounds of prediction-powered inference miss, for judges of every quality; and how much shorter they are."""
    worst = 0.0
    for right in (0.99, 0.95, 0.8, 0.5, 0.0):
        for labels in (30, 100):
            rng, under, over, width = np.random.default_rng([int(right * 100), labels]), 0, 0, list[float]()
            for _ in range(RUNS):
                y = rng.choice([-1.0, 0.0, 1.0], labels + 800, p=[0.1, 0.7, 0.2])
                f = np.where(rng.random(len(y)) < right, y, rng.choice([0.0, 1.0], len(y)))
                found = powered_mean(y[:labels], f[:labels], f[labels:], LEVEL, ends=(-1, 1))
                under, over = under + (found.lower > 0.1), over + (found.upper < 0.1)
                width.append(found.error / powered_mean(y[:labels], f[:labels], f[labels:], LEVEL, power=0).error)
            worst = max(worst, under / RUNS, over / RUNS)
            missed = f"{under / RUNS:.1%} and {over / RUNS:.1%}"
            yield f"# a judge right in {right:.0%}, {labels} labels: bounds miss in {missed}, error {np.mean(width):.2f} of theirs alone"
    yield Figure("ppi_bounds_miss: worst", worst, f"of {RUNS} runs at level {LEVEL}", "<=", LEVEL + 3 * (LEVEL * 0.95 / RUNS) ** 0.5)


def through_judges() -> Proof:
    """A candidate that is worse by just what matters, seen through judges that err and were measured on few labels: how often it passes;
    and how often one that did not change does."""
    worst, by = 0.0, 0.1
    template = measured(_Coin(), [HumanLabel(str(number), "x", float(number % 2)) for number in range(60)])
    for right_good, right_bad in ((0.98, 0.98), (0.95, 0.8), (0.8, 0.95), (0.75, 0.75)):
        for labels in (60, 200):
            rng, wrong, passed = np.random.default_rng([int(right_good * 100), int(right_bad * 100), labels]), 0, 0
            for _ in range(RUNS):
                human = (rng.random(labels) < 0.6).astype(float)
                judged = _seen(human, right_good, right_bad, rng)
                record = replace(template, human=tuple(human), judged=tuple(judged), slope=slope(human, judged), labels=labels)
                champion = _seen((rng.random(1_000) < 0.8).astype(float), right_good, right_bad, rng)
                for loss in (by, 0.0):
                    candidate = _seen((rng.random(1_000) < 0.8 - loss).astype(float), right_good, right_bad, rng)
                    gain = candidate - champion
                    found = through_the_judge(Differences((), gain, gain, 0, (-1, 1)), record, LEVEL)
                    shown = not isinstance(found, str) and found.lower > -by
                    wrong, passed = wrong + (shown and loss > 0), passed + (shown and loss == 0)
            worst = max(worst, wrong / RUNS)
            yield (
                f"# a judge right on {right_good:.0%} of good and {right_bad:.0%} of bad answers, {labels} labels, 1000 questions: "
                f"{wrong / RUNS:.1%} wrong passes; {passed / RUNS:.0%} pass where nothing changed"
            )
    yield Figure("wrong_passes: through judges, worst", worst, f"of {RUNS} runs", "<=", LEVEL + 3 * (LEVEL * 0.95 / RUNS) ** 0.5)


def _seen(truth: Floats, right_good: float, right_bad: float, rng: np.random.Generator) -> Floats:
    """What a judge says of answers that are good (1) or bad (0)."""
    right = rng.random(len(truth)) < np.where(truth > 0, right_good, right_bad)
    return np.where(right, truth, 1 - truth)


class _Coin:
    """A judge that says whether the question's number is odd."""

    name, needs_reference = "coin", False

    def judge(self, question: str, answer: str, chunks: Sequence[str], reference: str | None = None) -> Judgement:  # noqa: ARG002
        return Judgement(float(int(question) % 2))

    def definition(self) -> dict[str, Any]:
        return {"judge": "coin"}


def _sampled(quality: Floats, rng: np.random.Generator) -> Floats:
    """Answers that are right or wrong, as judged by a judge that is wrong on a tenth."""
    return ((rng.random(len(quality)) < quality) ^ (rng.random(len(quality)) < 0.1)).astype(float)


def _outcome(before: Floats, after: Floats, by: float) -> tuple[str, str, int]:
    """What `not_worse` says, plain and steady, and how many questions it asks for."""
    gain = after - before
    found, asked = bounded_mean(gain, -1, 1, LEVEL), needed(float(gain.std(ddof=1)), by, -1, LEVEL, POWER)
    plain = "passed" if found.lower > -by else "failed" if found.upper < -by else "unknown"
    clear = found.mean - HALF_THE_LEVEL * (found.mean - found.lower) > 0
    return plain, "unknown" if plain == "passed" and asked > len(gain) and not clear else plain, asked


def _evaluation(values: Floats, parts: int, first: int = 0) -> Evaluated:
    part = [str(number % parts) if parts else str(number < first) for number in range(len(values))]
    rows = [{"id": str(number), "question": "?", "part": each} for number, each in enumerate(part)]
    records = tuple(Record(Answered(str(number)), 0, {"quality": value}) for number, value in enumerate(values.tolist()))
    metric = AnswerMetric("quality", lambda _question, _answered: None)
    return Evaluated("app", "a", {}, QuestionSet.of(rows), {"quality": metric}, records)


class Sampling:
    """An answerer that draws one of the three sentences nearest to the question, or the usual answer."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng([seed, 17])

    def __call__(self, question: str, chunks: Sequence[Chunk]) -> str:
        usual = extracted(question, chunks)
        if usual == DONT_KNOW or self.rng.random() < 0.7:
            return usual
        number = int(self.rng.integers(len(chunks)))
        spans = sentences(chunks[number].told, 400)[:3]
        at, end = spans[int(self.rng.integers(len(spans)))]
        return f"{' '.join(chunks[number].told[at:end].split())} [{number + 1}]"


class NoisyJudge:
    """The support model with a coin: every tenth judgement is the opposite, every hundredth is missing."""

    name, needs_reference = "support", False

    def __init__(self, model: SupportModel, seed: int) -> None:
        self.model, self.rng = model, np.random.default_rng([seed, 23])

    def judge(self, question: str, answer: str, chunks: Sequence[str], reference: str | None = None) -> Judgement:
        found, luck = self.model.judge(question, answer, chunks, reference), self.rng.random()
        if luck < 0.01:
            return Judgement(None, "timed_out", "a late answer")
        return found if luck > 0.11 or found.score is None else Judgement(1 - found.score)

    def definition(self) -> dict[str, Any]:
        return {"judge": "noisy support", "model": self.model.version}


def real() -> Proof:
    """The application over docstrings, sampling, evaluated again and again against one run of itself."""
    support = SupportModel.trained([document.text for document in corpus()])
    pairs = pairs_of([document.text for document in corpus()], seed=99)[:400]
    people = [HumanLabel("", pair.statement, float(pair.supported), (pair.source,)) for pair in pairs]
    record = measured(NoisyJudge(support, 999), people)
    yield f"# the real application, {len(questions())} questions, {REAL} runs; {record.summary()}"
    names = ("ndcg@10", "token_recall", "refusal", "cited_relevant", "citation_precision", "support")
    slices = [no_slice_worse(name, over=["library", "kind"], by=0.15, least=30) for name in ("token_recall", "refusal")]
    gates = [*(not_worse(name, by=0.1, steady=True) for name in names), *slices]
    champion = _run(support, 0)
    outcomes = [_verdicts(champion, _run(support, seed), gates, record) for seed in range(1, REAL + 1)]
    failed = sum("failed" in each for each in outcomes)
    usual = [max(set(told), key=told.count) for told in zip(*outcomes, strict=True)]
    differs = sum(said != most for each in outcomes for said, most in zip(each, usual, strict=True)) / (REAL * len(gates))
    for place, gate in enumerate(gates):
        told = [each[place] for each in outcomes]
        yield f"# {gate.name}: {', '.join(f'{told.count(kind)} {kind}' for kind in ('passed', 'unknown', 'failed') if kind in told)}"
    most = share_bounds(failed, REAL, 0.1)[1]
    yield f"# upper 95 % bound of runs with a failure: {most:.1%}"
    yield Figure("aa_real: verdicts unlike the gate's usual one", differs, f"of {REAL * len(gates)} verdicts", "<=", LEVEL)
    yield Figure("aa_real: runs with a failed gate", failed / REAL, f"of {REAL} runs of the same application", "<=", LEVEL)


def _verdicts(before: Evaluated, after: Evaluated, gates: Sequence[Any], record: JudgeRecord) -> tuple[str, ...]:
    return tuple(verdict.outcome for verdict in compare(before, after, gates, records=[record]).verdicts)


def _run(support: SupportModel, seed: int) -> Evaluated:
    app = replace(DocstringApp(), answer=Sampling(seed))
    metrics = [*retrieval_metrics(), *answer_metrics(supports=support.supports)]
    return evaluate(app.answerer(), questions(), metrics, [NoisyJudge(support, seed)])


if __name__ == "__main__":
    short = 0
    for line in prove():
        print(line, flush=True)
        short += isinstance(line, Figure) and not line.holds
    sys.exit(bool(short))
