"""A judge without a language model: whether the sources support what an answer says, by a small model that is trained here.

For applications that answer in the words of their sources. It is a logistic regression on what can be counted: words, pairs of words,
numbers, names, negations, opposites. It knows no language. What says something in words of its own it is therefore not sure of, and says so
(`sure`): an answer of which it is sure of less than half has no score. How good it is on sentences held out is part of it (`quality`); how
well it agrees with people is measured as for any judge (`measured`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import Stopwatch
from noria.core.ids import digest
from noria.llm.embedding.port import Embedder
from noria.llm.evaluation.citations import SUPPORTED, statements
from noria.llm.evaluation.failures import TooFewTexts
from noria.llm.evaluation.judge import Claim, Judgement
from noria.llm.evaluation.refusals import says_unknown
from noria.llm.evaluation.support_features import NAMES, feature_rows
from noria.llm.evaluation.support_pairs import Pair, pairs_of

HELD_OUT = 5  # one text in so many is kept for measuring
LEAST = 60  # pairs to be trained on
WORDS = {"not_in_sources": "not supported", "unsure": "not sure"}
PENALTY = 1.0
SURE = 0.3  # from which distance of even odds a chance counts
IN_ITS_WORDS = 0.3  # of the pairs of neighbouring words that may be missing where a statement is in the words of its source
OF_ANOTHER = 0.9  # of a statement's words that a source must lack to be about something else


@dataclass(frozen=True)
class SupportModel:
    """The trained judge. weights: of the features, and last the constant; quality: on texts that it was not trained on

    embedder: whose cosine of source and statement is a feature, if it was trained with one
    """

    weights: tuple[float, ...]
    quality: Mapping[str, Any] = field(default_factory=dict)
    embedder: Embedder | None = field(default=None, compare=False)

    name, needs_reference = "support", False

    @staticmethod
    def trained(texts: Sequence[str], embedder: Embedder | None = None, seed: int = 0) -> SupportModel:
        """Trained on pairs made from texts, such as the chunks of the corpus. Raises `TooFewTexts`."""
        pairs = pairs_of(list(texts), seed)
        held = {number for number in {pair.text for pair in pairs} if number % HELD_OUT == 0}
        learnt, kept = [p for p in pairs if p.text not in held], [p for p in pairs if p.text in held]
        if len(learnt) < LEAST or len({pair.supported for pair in kept}) < 2:
            raise TooFewTexts("the texts that a support model is trained on", len(learnt), LEAST)
        labels = np.array([pair.supported for pair in learnt], np.float64)
        weights = _fitted(_rows(learnt, embedder), labels)
        model = SupportModel(tuple(np.round(weights, 6).tolist()), {}, embedder)
        return SupportModel(model.weights, _quality(model, kept), embedder)

    def supports(self, source: str, statement: str) -> float:
        """How likely it is that a source supports a statement, 0 to 1."""
        return float(self._chances([(source, statement)])[0])

    def sure(self, source: str, statement: str) -> bool:
        """Whether `supports` is to be gone by: not where a statement is about the same, and in other words than its source."""
        pairs = [(source, statement)]
        rows = self._rows(pairs)
        return bool(_sure(rows, self._of_rows(rows))[0])

    def judge(self, question: str, answer: str, chunks: Sequence[str], reference: str | None = None) -> Judgement:
        """The share of the answer's sentences that one of the chunks supports; a sentence that it is not sure of counts by its chance, and
        where these are more than half of them, it can't say."""
        del question, reference
        watch, told = Stopwatch(), [text for text, _ in statements(answer)]
        if says_unknown(answer):
            return Judgement(1.0, why="it claims nothing", seconds=watch.seconds)
        if not told:
            return Judgement(None, "no_answer", "the answer is empty", seconds=watch.seconds)
        if not chunks:
            return Judgement(0.0, why="nothing was found", seconds=watch.seconds)
        rows = self._rows([(chunk, text) for text in told for chunk in chunks])
        shape, every = (len(told), len(chunks)), self._of_rows(rows)
        chances, sure = every.reshape(shape), _sure(rows, every).reshape(shape)
        good = np.asarray(((chances >= SUPPORTED) & sure).any(axis=1))
        bad = np.asarray(((chances < SUPPORTED) & sure).all(axis=1))
        claims = tuple(
            Claim(text, "supported" if is_good else "not_in_sources" if is_bad else "unsure")
            for text, is_good, is_bad in zip(told, good.tolist(), bad.tolist(), strict=True)
        )
        why = "; ".join(f"{WORDS[claim.verdict]}: {claim.text}" for claim in claims if claim.verdict != "supported")[:1_000]
        if 2 * int((good | bad).sum()) < len(told):
            return Judgement(None, "unsure", why, claims, seconds=watch.seconds)
        scores = np.where(good, 1.0, np.where(bad, 0.0, chances.max(axis=1)))
        return Judgement(float(scores.mean()), why=why, claims=claims, seconds=watch.seconds)

    def definition(self) -> dict[str, Any]:
        """Its weights, and the embedder where it has one."""
        return {
            "judge": self.name,
            "features": list(NAMES),
            "weights": list(self.weights),
            "embedder": None if self.embedder is None else self.embedder.definition(),
        }

    def to_dict(self) -> dict[str, Any]:
        return {**self.definition(), "quality": dict(self.quality), "version": self.version}

    @cached_property
    def version(self) -> str:
        """By which it is known."""
        return digest(self.definition())

    def _chances(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        return self._of_rows(self._rows(pairs))

    def _rows(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        return feature_rows(pairs, _cosines(pairs, self.embedder))

    def _of_rows(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(1 / (1 + np.exp(-np.clip(rows @ np.array(self.weights[:-1]) + self.weights[-1], -30, 30))))


def _sure(rows: NDArray[np.float64], chances: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Of which pairs `(pairs,)` the chances are to be gone by: far from even, and the statement in its source's words; or not supported,
    with a number or a name that its source lacks, or about something else."""
    literal = rows[:, NAMES.index("pairs_missing")] <= IN_ITS_WORDS
    lacks = (rows[:, NAMES.index("number_missing_of_all")] > 0) | (rows[:, NAMES.index("name_missing")] > 0)
    foreign = lacks | (rows[:, NAMES.index("words_missing_of_all")] >= OF_ANOTHER)
    return np.asarray((np.abs(chances - 0.5) >= SURE) & (literal | (foreign & (chances < SUPPORTED))))


def _rows(pairs: Sequence[Pair], embedder: Embedder | None) -> NDArray[np.float64]:
    texts = [(pair.source, pair.statement) for pair in pairs]
    return feature_rows(texts, _cosines(texts, embedder))


def _cosines(pairs: Sequence[tuple[str, str]], embedder: Embedder | None) -> list[float] | None:
    if embedder is None or not pairs:
        return None
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    vectors, place = embedder.embed(texts), {text: number for number, text in enumerate(texts)}
    return [float(vectors[place[source]] @ vectors[place[statement]]) for source, statement in pairs]


def _fitted(rows: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weights of a logistic regression with a penalty on their squares, the constant last."""
    from scipy.optimize import minimize

    signs, constant = 2 * labels - 1, np.ones((len(rows), 1))
    given = np.hstack([rows, constant])

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margins = signs * (given @ weights)
        slope = given.T @ (-signs / (1 + np.exp(np.clip(margins, -30, 30))))
        penalty = np.append(weights[:-1], 0.0)
        return float(np.logaddexp(0, -margins).sum() + PENALTY / 2 * (penalty**2).sum()), slope + PENALTY * penalty

    return np.asarray(minimize(loss, np.zeros(given.shape[1]), jac=True, method="L-BFGS-B").x, np.float64)


def _quality(model: SupportModel, pairs: Sequence[Pair]) -> dict[str, Any]:
    """How well it tells pairs apart: the area under the ROC curve, the accuracy, and that of each kind of pair."""
    from scipy.stats import rankdata

    rows = _rows(pairs, model.embedder)
    chances = model._of_rows(rows)
    sure = _sure(rows, chances)
    labels = np.array([pair.supported for pair in pairs])
    right = (chances >= SUPPORTED) == labels
    ranks, good = rankdata(chances), int(labels.sum())
    area = (ranks[labels].sum() - good * (good + 1) / 2) / (good * (len(labels) - good))
    of_kind = defaultdict[str, list[bool]](list)
    for pair, hit in zip(pairs, right.tolist(), strict=True):
        of_kind[pair.kind].append(hit)
    return {
        "pairs": len(pairs),
        "auc": round(float(area), 4),
        "accuracy": round(float(right.mean()), 4),
        "unsure": round(1 - float(sure.mean()), 4),
        "accuracy_where_sure": round(float(right[sure].mean()), 4) if sure.any() else None,
        "accuracy_by_kind": {kind: round(sum(hits) / len(hits), 4) for kind, hits in sorted(of_kind.items())},
    }
