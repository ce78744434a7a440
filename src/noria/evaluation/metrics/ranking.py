"""How well scores order the rows of each group, such as the candidates of a query: what is relevant should stand first.

All are means over groups, computed for all groups at once. A row is relevant by any number above 0; larger scores stand first. Rows whose
scores tie stand in no order: a figure is then the mean over all their orders, as in McSherry & Najork, "Computing information retrieval
performance measures efficiently in the presence of tied scores", 2008. A group without any relevant row says nothing: its figure is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import register

AT = 10  # places at the top that count, where nobody says otherwise
MAX_RELEVANCE = 30.0  # a gain is 2 to the power of it

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Ordered:
    """Rows in the order of their groups and, within each, of a number, the greatest first.

    order: the rows' places before; of: of each row in this order, the number of its group from 0; first: where each group begins
    """

    order: Integers
    of: Integers
    first: Integers
    by: Floats

    @staticmethod
    def rows(groups: Integers, by: Floats) -> Ordered:
        """Rows with groups and numbers `(rows,)`."""
        order = np.lexsort((-by, groups))
        begins = _begins(groups[order])
        return Ordered(order, np.cumsum(begins) - 1, np.flatnonzero(begins), by[order])

    def sums(self, values: Floats) -> Floats:
        """The sum of values, in this order, of each group `(groups,)`."""
        return np.asarray(np.bincount(self.of, weights=values, minlength=len(self.first)), np.float64)

    @cached_property
    def place(self) -> Integers:
        """The place of each row in its group, from 1."""
        return np.asarray(np.arange(1, len(self.of) + 1) - self.first[self.of])

    @cached_property
    def ties(self) -> tuple[Integers, Integers, Integers]:
        """Of the rows of a group that have one number: the number of each row's tie, and the first and last place of each tie."""
        begins = _begins(self.of) | _begins(self.by)
        starts = np.flatnonzero(begins)
        ends = np.append(starts[1:], len(self.of)) - 1 if len(starts) else starts
        return np.cumsum(begins) - 1, self.place[starts], self.place[ends]

    def mean_of_places(self, worth: Floats) -> Floats:
        """The mean, over the places that each row may have, of what a place is worth `(rows,)`; worth: of places 1, 2, …"""
        tie, first, last = self.ties
        below = np.append(0.0, np.cumsum(worth))
        single, mean = worth[first - 1], (below[last] - below[first - 1]) / (last - first + 1)
        return np.asarray(np.where(first == last, single, mean)[tie])


def _begins(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Where a value differs from the one before it."""
    return np.append(True, values[1:] != values[:-1])[: len(values)]


def _share(of: Floats, total: Floats) -> Floats:
    """NaN where the total is zero."""
    return np.asarray(np.divide(of, total, out=np.full(len(total), np.nan), where=total > 0))


def ndcg(outcomes: Floats, scores: Floats, groups: Integers, at: int) -> Floats:
    """Normalised discounted cumulative gain of each group `(groups,)`: the gains 2^relevance − 1 of the first `at` places, discounted by
    the logarithm of the place, as a share of the best there could be (Järvelin & Kekäläinen 2002; Burges et al. 2005)."""
    gains = np.exp2(np.clip(outcomes, 0.0, MAX_RELEVANCE)) - 1
    ranked, best = Ordered.rows(groups, scores), Ordered.rows(groups, gains)
    places = np.arange(1, len(outcomes) + 1)
    discounts = (places <= at) / np.log2(places + 1)
    ideal = best.sums(gains[best.order] * discounts[best.place - 1])
    return _share(ranked.sums(gains[ranked.order] * ranked.mean_of_places(discounts)), ideal)


def hits(outcomes: Floats, scores: Floats, groups: Integers, at: int) -> tuple[Floats, Floats]:
    """How many relevant rows are among the first `at` of each group, and how many it has `(groups,)`."""
    ranked = Ordered.rows(groups, scores)
    relevant = np.asarray(outcomes[ranked.order] > 0, np.float64)
    counted = np.asarray(np.arange(1, len(outcomes) + 1) <= at, np.float64)
    return ranked.sums(relevant * ranked.mean_of_places(counted)), ranked.sums(relevant)


def recall(outcomes: Floats, scores: Floats, groups: Integers, at: int) -> Floats:
    """The share of each group's relevant rows that is among its first `at` `(groups,)`."""
    return _share(*hits(outcomes, scores, groups, at))


def precision(outcomes: Floats, scores: Floats, groups: Integers, at: int) -> Floats:
    """The share of relevant rows among the first `at` of each group `(groups,)`; places that it has no rows for count as not relevant."""
    found, relevant = hits(outcomes, scores, groups, at)
    return np.where(relevant > 0, found / at, np.nan)


def reciprocal_rank(outcomes: Floats, scores: Floats, groups: Integers) -> Floats:
    """One over the place of the first relevant row of each group `(groups,)`; its mean is the MRR (Craswell 2009)."""
    ranked = Ordered.rows(groups, scores)
    relevant = outcomes[ranked.order] > 0
    tie, first, last = ranked.ties
    relevant_of_tie = np.bincount(tie, weights=relevant, minlength=len(first)).astype(np.int64)
    group_of_tie = ranked.of[np.flatnonzero(_begins(tie))]
    having = np.flatnonzero(relevant_of_tie)
    leading = having[_begins(group_of_tie[having])]  # each group's first tie with a relevant row
    found = np.full(len(ranked.first), np.nan)
    found[group_of_tie[leading]] = _first_of_tie(first[leading], (last - first + 1)[leading], relevant_of_tie[leading])
    return found


def _first_of_tie(first: Integers, rows: Integers, relevant: Integers) -> Floats:
    """The mean of one over the place of the first relevant row, over all orders of ties `(ties,)` that begin at a place."""
    found = 1.0 / first
    for i in np.flatnonzero(rows > relevant):
        # that none is relevant among the first j: as many ways as there are to place all of them behind these
        behind = (rows[i] - relevant[i] - np.arange(rows[i] - relevant[i])) / (rows[i] - np.arange(rows[i] - relevant[i]))
        none_before = np.append(1.0, np.cumprod(behind))
        found[i] = ((none_before - np.append(none_before[1:], 0.0)) / (first[i] + np.arange(len(none_before)))).sum()
    return found


def rank_correlation_within(outcomes: Floats, scores: Floats, groups: Integers) -> Floats:
    """Spearman's correlation of outcomes and scores within each group `(groups,)`, with mid-ranks for equal values: NaN where outcomes do
    not vary, and 0 where only they do."""
    y, p = (_centred_ranks(values, groups) for values in (outcomes, scores))
    _, of = np.unique(groups, return_inverse=True)
    both, mine, theirs = (np.bincount(of, weights=values) for values in (y * p, y * y, p * p))
    found = np.divide(both, np.sqrt(mine * theirs), out=np.zeros(len(both)), where=mine * theirs > 0)
    return np.where(mine > 0, found, np.nan)


def _centred_ranks(values: Floats, groups: Integers) -> Floats:
    """The mid-rank of each value in its group, less their mean `(rows,)`, in the rows' order."""
    ordered = Ordered.rows(groups, values)
    tie, first, last = ordered.ties
    sizes = np.bincount(ordered.of, minlength=len(ordered.first))
    found = np.empty(len(values))
    found[ordered.order] = ((sizes[ordered.of] + 1) - (first + last)[tie]) / 2
    return found


def _of_groups(name: str, of: object, title: str, *, least: float = 0.0) -> Metric:
    return Metric(name, of, "groups", "highest", (least, 1.0), title, at_once=True)  # type: ignore[arg-type]


@cache
def ndcg_at(at: int) -> Metric:
    """nDCG of the first so many places."""

    def of(outcomes: Floats, scores: Floats, groups: Integers) -> Floats:
        return ndcg(outcomes, scores, groups, at)

    return _of_groups(f"ndcg_at_{at}", of, f"nDCG@{at}")


@cache
def recall_at(at: int) -> Metric:
    """The recall of the first so many places."""

    def of(outcomes: Floats, scores: Floats, groups: Integers) -> Floats:
        return recall(outcomes, scores, groups, at)

    return _of_groups(f"recall_at_{at}", of, f"recall@{at}")


@cache
def precision_at(at: int) -> Metric:
    """The precision of the first so many places."""

    def of(outcomes: Floats, scores: Floats, groups: Integers) -> Floats:
        return precision(outcomes, scores, groups, at)

    return _of_groups(f"precision_at_{at}", of, f"precision@{at}")


MRR = register(_of_groups("mrr", reciprocal_rank, "MRR"), tasks=["ranking"], rank=20)
GROUP_RANK_CORRELATION = register(
    _of_groups("group_rank_correlation", rank_correlation_within, "rank correlation within groups", least=-1.0), tasks=["ranking"], rank=50
)
for _metric, _rank in ((ndcg_at(AT), 10), (recall_at(AT), 30), (precision_at(AT), 40)):
    register(_metric, tasks=["ranking"], rank=_rank)
