"""Rankings put together, and rankings without repetition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

K = 60  # of the paper


def fused(rankings: Sequence[Sequence[str]], weights: Sequence[float] = (), k: int = K) -> list[tuple[str, float]]:
    """Ids with their fused scores, best first: the sum of weight / (k + rank) over the rankings that have them.

    Reciprocal rank fusion (Cormack, Clarke & Büttcher, SIGIR 2009). Ranks say nothing of scores, which differ from one search to another.
    weights: of the rankings, 1 each if left out. Equal scores stand in the order in which they were met
    """
    scores = dict[str, float]()
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for rank, each in enumerate(dict.fromkeys(ranking), start=1):
            scores[each] = scores.get(each, 0.0) + weight / (k + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])


@dataclass(frozen=True)
class Result:
    """What a search found: ids with scores, best first.

    weight: how much it counts; least: the lowest score that there can be; whole: whether nothing more would have been found
    """

    found: Sequence[tuple[str, float]]
    weight: float = 1.0
    least: float = 0.0
    whole: bool = True


def combined(results: Sequence[Result]) -> list[tuple[str, float]]:
    """Ids with their combined scores from 0 to 1, best first: the weighted mean over the results, each scaled to its theoretical least.

    A convex combination of scores (Bruch, Gai & Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", TOIS 2023): unlike ranks,
    it keeps how far a result is ahead of the next, and a search whose results are all alike decides little. What a search did not find
    has the least score that it did find, or 0 if it found all that there is. Equal scores stand in the order in which they were met
    """
    total = sum(result.weight for result in results) or 1.0
    scaled_results = [(result, _scaled_to_least(result)) for result in results]
    scores = dict[str, float]()
    for each in dict.fromkeys(name for _, found in scaled_results for name in found):
        scores[each] = sum(
            result.weight * found.get(each, 0.0 if result.whole else min(found.values(), default=0.0)) for result, found in scaled_results
        )
    return sorted(((each, score / total) for each, score in scores.items()), key=lambda pair: -pair[1])


def _scaled_to_least(result: Result) -> dict[str, float]:
    most = max((score for _, score in result.found), default=0.0)
    scaled_scores = dict[str, float]()
    for each, score in result.found:
        scaled_scores.setdefault(each, (score - result.least) / (most - result.least) if most > result.least else 1.0)
    return scaled_scores


def scaled(scores: Sequence[float]) -> list[float]:
    """Scores between 0, the least of them, and 1, the highest; all 1 where they are equal."""
    if not scores:
        return []
    least, most = min(scores), max(scores)
    return [(each - least) / (most - least) if most > least else 1.0 for each in scores]


def diverse(query: NDArray[np.floating], vectors: NDArray[np.floating], count: int, balance: float = 0.7) -> list[int]:
    """The places of `count` of the vectors, each chosen for being near the query and unlike those chosen before.

    Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998). query `(dimension,)`, vectors `(candidates, dimension)`, of length 1;
    balance: 1 looks at the query alone, 0 at the difference alone
    """
    near = vectors @ query
    chosen, left = list[int](), list(range(len(vectors)))
    likest = np.full(len(vectors), -np.inf)
    while left and len(chosen) < count:
        worth = balance * near[left] - (1 - balance) * np.where(np.isinf(likest[left]), 0.0, likest[left])
        best = left.pop(int(np.argmax(worth)))
        chosen.append(best)
        likest = np.maximum(likest, vectors @ vectors[best])
    return chosen
