"""Rankings put together, and rankings without repetition."""

from __future__ import annotations

from collections.abc import Sequence

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
