"""What is measured of an answer. Whether a metric says something depends on the question alone, never on the answer: or else an
application could leave out of its mean what it is bad at."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from noria.llm.embedding.port import Embedder
from noria.llm.evaluation.answered import Answered
from noria.llm.evaluation.citations import Supports, citation_precision, citation_recall, cited_relevant
from noria.llm.evaluation.judge import Judge, judge_digest
from noria.llm.evaluation.questions import Question
from noria.llm.evaluation.refusals import is_refusal, refusal_correctness
from noria.llm.evaluation.retrieval_metrics import retrieval_values
from noria.llm.evaluation.text_metrics import exact, similarity, token_f1, token_recall
from noria.llm.evaluation.toxicity import toxicity

Of = Callable[[Question, Answered], float | None]
RETRIEVAL = {"recall@5": "R@5", "recall@20": "R@20", "precision@5": "P@5", "mrr": "RR", "ndcg@10": "nDCG@10"}


@dataclass(frozen=True)
class AnswerMetric:
    """A figure of one answer.

    of: from a question and its answer; None: it says nothing of this question; not read where the application failed
    best: which value is; bounds: between which it lies, infinite where it has no end; judge: what gives it, where a judge does
    """

    name: str
    of: Of
    best: Literal["highest", "lowest"] = "highest"
    bounds: tuple[float, float] = (0.0, 1.0)
    title: str = ""
    unit: str = ""
    judge: Judge | None = None

    @property
    def bounded(self) -> bool:
        """Whether it has ends on both sides."""
        return all(map(math.isfinite, self.bounds))

    @property
    def worst(self) -> float:
        """The end that is worst."""
        return self.bounds[0] if self.best == "highest" else self.bounds[1]

    @property
    def judge_digest(self) -> str:
        """By which its judge is known; empty where it has none."""
        return "" if self.judge is None else judge_digest(self.judge)

    def format(self, value: float) -> str:
        """A value as people read it."""
        return f"{value:.3f}{' ' * bool(self.unit)}{self.unit}"


def retrieval_metrics(cutoffs: Sequence[str] = tuple(RETRIEVAL)) -> list[AnswerMetric]:
    """Of what was found: names such as `recall@10`, `precision@5`, `mrr`, `ndcg@10`."""
    return [AnswerMetric(name, partial(_retrieval, measure=_measure(name)), title=name.replace("@", " at ")) for name in cutoffs]


def answer_metrics(embedder: Embedder | None = None, supports: Supports | None = None) -> list[AnswerMetric]:
    """Of what was answered, without a judge.

    embedder: for the similarity to the references; supports: for the citations, such as a `SupportModel`'s
    """
    found = [
        AnswerMetric("exact", _of_references(exact), title="exact match"),
        AnswerMetric("token_f1", _of_references(token_f1), title="token F1"),
        AnswerMetric("token_recall", _of_references(token_recall), title="token recall"),
        AnswerMetric("refusal", refusal_correctness, title="right to answer, or to refuse"),
        AnswerMetric("cited_relevant", _cited_relevant, title="cites a relevant text"),
        AnswerMetric("toxicity", lambda _question, answered: toxicity(answered.answer), "lowest"),
        AnswerMetric("failed", lambda _question, answered: float(bool(answered.error)), "lowest", title="no answer at all"),
        AnswerMetric("seconds", lambda _question, answered: answered.seconds, "lowest", (0.0, math.inf), unit="s"),
        AnswerMetric("cost", lambda _question, answered: answered.usage.cost, "lowest", (0.0, math.inf), unit="USD"),
        AnswerMetric("tokens", lambda _question, answered: _tokens(answered), "lowest", (0.0, math.inf)),
    ]
    if embedder is not None:
        found.append(
            AnswerMetric("similarity", _of_references(partial(similarity, embedder=embedder)), title="similarity to the reference")
        )
    if supports is not None:
        for name, of in (("citation_precision", citation_precision), ("citation_recall", citation_recall)):
            found.append(AnswerMetric(name, partial(_of_answerable, of=partial(of, supports=supports)), title=name.replace("_", " ")))
    return found


def judged_metric(judge: Judge) -> AnswerMetric:
    """What a judge says of an answer. Its judgements are asked for by `evaluate`, which keeps them and why one is missing."""
    return AnswerMetric(judge.name, _by_the_judge, title=judge.name.replace("_", " "), judge=judge)


def _by_the_judge(question: Question, answered: Answered) -> float | None:
    raise NotImplementedError


def _measure(name: str) -> str:
    kind, _, cutoff = name.partition("@")
    return {"recall": "R", "precision": "P", "mrr": "RR", "ndcg": "nDCG"}[kind] + (f"@{int(cutoff)}" if cutoff else "")


def _retrieval(question: Question, answered: Answered, measure: str) -> float | None:
    return retrieval_values(question, answered, (measure,)).get(measure)


def _of_references(of: Callable[[str, Sequence[str]], float]) -> Of:
    """A metric against right answers; of a refusal it is 0, as there is an answer."""

    def value(question: Question, answered: Answered) -> float | None:
        if not question.references:
            return None
        return 0.0 if is_refusal(answered) else of(answered.answer, question.references)

    return value


def _of_answerable(question: Question, answered: Answered, of: Callable[[Answered], float]) -> float | None:
    return None if question.unanswerable else of(answered)


def _cited_relevant(question: Question, answered: Answered) -> float | None:
    return cited_relevant(question, answered) if any(grade > 0 for grade in question.relevant.values()) else None


def _tokens(answered: Answered) -> float | None:
    every = answered.usage.prompt_tokens + answered.usage.completion_tokens
    return float(every) if every else None
