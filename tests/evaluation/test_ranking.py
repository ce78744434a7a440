"""A ranking: its figures against other libraries' and all orders of ties, groups that say nothing, and what it refuses."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score

import noria as nr
from noria.evaluation.gates import Evaluation
from noria.evaluation.metric import BadMetric, Metric, UnknownMetric
from noria.evaluation.metrics import require_metric
from noria.evaluation.performance import Performance, measure
from noria.evaluation.ranking import BadPlaces, NoGroup, NoRelevance, NothingToRank
from noria.evaluation.task import Task
from noria.features.label import Label

TABLE = nr.Table("clicks", nr.files("clicks.parquet"), key=["item", "query"], event_time="at")
LABEL = Label(TABLE, "clicked")
RANKING = nr.Ranking(group="query", at=3)


def drawn(rows: int = 2_500, groups: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Relevance 0 to 3, mostly 0, scores that tie often, and groups in no order, some of one row and some without anything relevant."""
    rng = np.random.default_rng(seed)
    relevance = rng.integers(0, 4, rows) * (rng.random(rows) < 0.4)
    return relevance.astype(float), rng.integers(0, 6, rows).astype(float), rng.integers(0, groups, rows)


@pytest.mark.parametrize("at", [1, 3, 10, 50])
def test_ndcg_is_that_of_scikit_learn_ties_included(at: int) -> None:
    relevance, scores, groups = drawn()
    found = nr.Ranking(group="query", at=at).metric(f"ndcg_at_{at}").losses(relevance, scores, groups)
    several = 0
    for group, value in zip(np.unique(groups), found, strict=True):
        own = groups == group
        if relevance[own].max() == 0:
            assert np.isnan(value)
        elif own.sum() == 1:
            assert value == 1.0
        else:
            several += 1
            assert value == pytest.approx(ndcg_score([2 ** relevance[own] - 1], [scores[own]], k=at), rel=1e-12)
    assert several > 200


def of_all_orders(figure: Callable[[np.ndarray], float], relevance: np.ndarray, scores: np.ndarray) -> float:
    """The mean of a figure of ranked relevance over all orders that the scores allow."""
    orders = [list(order) for order in permutations(range(len(scores))) if (np.diff(scores[list(order)]) <= 0).all()]
    return float(np.mean([figure(relevance[order]) for order in orders]))


@pytest.mark.parametrize("seed", range(40))
def test_ties_are_the_mean_over_all_orders(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 7))
    relevance, scores, group = rng.integers(0, 2, count) * 1.0, rng.integers(0, 3, count) * 1.0, np.zeros(count, np.int64)
    relevance[rng.integers(count)] = 1.0
    figures: dict[str, Callable[[np.ndarray], float]] = {
        "mrr": lambda ranked: 1 / (1 + np.argmax(ranked > 0)),
        "recall_at_3": lambda ranked: (ranked[:3] > 0).sum() / (ranked > 0).sum(),
        "precision_at_3": lambda ranked: (ranked[:3] > 0).sum() / 3,
    }
    for name, figure in figures.items():
        assert RANKING.metric(name).value(relevance, scores, group) == pytest.approx(of_all_orders(figure, relevance, scores), rel=1e-12)


def test_figures_of_a_list_made_by_hand() -> None:
    """Ranked: relevance 0, 2, 0, 1; the first three places count."""
    relevance, scores, group = np.array([1.0, 0.0, 2.0, 0.0]), np.array([0.1, 9.0, 5.0, 3.0]), np.zeros(4, np.int64)
    found = {metric.name: metric.value(relevance, scores, group) for metric in RANKING.metrics}
    assert found["ndcg_at_3"] == pytest.approx((3 / np.log2(3)) / (3 + 1 / np.log2(3)), rel=1e-12)
    assert found["mrr"] == 0.5
    assert found["recall_at_3"] == 0.5
    assert found["precision_at_3"] == pytest.approx(1 / 3, rel=1e-12)
    assert found["group_rank_correlation"] == pytest.approx(spearmanr(relevance, scores).statistic, rel=1e-12)


def test_rank_correlation_within_groups_is_spearmans_of_each() -> None:
    relevance, scores, groups = drawn(seed=3)
    for group, value in zip(np.unique(groups), RANKING.discrimination.losses(relevance, scores, groups), strict=True):
        own = groups == group
        if np.ptp(relevance[own]) == 0:
            assert np.isnan(value)
        elif np.ptp(scores[own]) == 0:
            assert value == 0
        else:
            assert value == pytest.approx(spearmanr(relevance[own], scores[own]).statistic, abs=1e-12)


def test_groups_that_say_nothing_count_in_no_mean_and_are_counted() -> None:
    relevance, scores = np.array([0.0, 1.0, 0.0, 0.0, np.nan, 1.0]), np.array([1.0, 2.0, 1.0, 2.0, 5.0, 0.0])
    found = measure(RANKING, relevance, scores, groups=np.array([7, 7, 2, 2, 7, 4]))
    assert (found.rows, found.missing, found.groups) == (5, 1, (3, 2))
    assert found.losses["mrr"] == 1.0  # what is not known yet does not stand before what is
    assert Performance.of(found.to_dict()) == found
    silent = measure(RANKING, np.zeros(4), np.arange(4.0), groups=np.array([0, 0, 1, 1]))
    assert silent.losses == {}
    assert np.isnan(silent.value(RANKING.metric()))
    assert silent.groups == (2, 0)


def test_a_group_is_in_a_slice_where_all_of_its_rows_are() -> None:
    groups, device = np.array([0, 0, 1, 1]), np.array(["a", "a", "a", "b"], object)
    found = measure(RANKING, np.array([1.0, 0.0, 0.0, 1.0]), np.array([2.0, 1.0, 2.0, 1.0]), {"device": device}, groups)
    assert found.slices["device=a"].losses["mrr"] == 1.0
    assert found.slices["device=b"].rows == 0


def test_a_hundred_thousand_rows_in_twenty_thousand_groups_take_well_under_a_second() -> None:
    rng = np.random.default_rng(0)
    relevance, scores, groups = (rng.random(100_000) < 0.2) * 1.0, rng.random(100_000), np.repeat(np.arange(20_000), 5)
    start = time.perf_counter()
    found = measure(RANKING, relevance, scores, groups=groups)
    assert time.perf_counter() - start < 2.0
    assert found.groups is not None
    assert found.groups[0] == 20_000


def evaluation(better: float, count: int = 600) -> Evaluation:
    """A candidate beside a champion without any knowledge, on three days; every fifth group has nothing relevant."""
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(count), 5)
    relevance = (rng.random(5 * count) < 0.3) * (groups % 5 > 0) * 1.0
    champion = rng.random(5 * count)
    candidate = champion + better * relevance
    device = np.where(groups % 2 == 0, "desk", "phone").astype(object)
    return Evaluation(RANKING, relevance, candidate, champion, groups // (count // 3), {"device": device}, groups=groups)


def test_gates_and_gains_are_of_groups() -> None:
    verdict = nr.beats_champion("ndcg_at_3", by=0.05).judge(evaluation(0.5))
    assert verdict.outcome == "passed"
    judged = int(re.search(r" on (\d+) groups$", verdict.why)[1])  # type: ignore[index]
    assert 350 < judged < 480
    assert nr.beats_champion("ndcg_at_3", by=0.05).judge(evaluation(-0.5)).outcome == "failed"
    assert nr.no_slice_worse("mrr", over=["device"], by=0.05).judge(evaluation(0.5, 1500)).outcome == "passed"
    assert nr.no_slice_worse("mrr", over=["device"], by=0.05).judge(evaluation(-0.5, 1500)).outcome == "failed"
    assert nr.no_slice_worse("mrr", over=["device"], by=0.05).judge(evaluation(0.5, 450)).why == "no slice has 200 groups"
    gains = evaluation(0.5).improvement_by_unit("ndcg_at_3")
    assert (gains.shape, bool((gains > 0.05).all())) == ((3,), True)


def test_a_metric_of_ones_own_is_given_one_group_or_all_at_once() -> None:
    relevance, scores, groups = drawn()

    def best(outcomes: np.ndarray, given: np.ndarray) -> float:
        return float(outcomes[np.argmax(given)])

    def all_best(outcomes: np.ndarray, given: np.ndarray, of: np.ndarray) -> np.ndarray:
        return np.array([best(outcomes[of == group], given[of == group]) for group in np.unique(of)])

    one = Metric("first", best, over="groups", best="highest")
    every = Metric("first_of_all", all_best, over="groups", best="highest", at_once=True)
    task = nr.Ranking(group="query", own=[one, every])
    assert task.metric("first").value(relevance, scores, groups) == task.metric("first_of_all").value(relevance, scores, groups)
    np.testing.assert_array_equal(one.losses(relevance, scores, groups), every.losses(relevance, scores, groups))
    with pytest.raises(BadMetric, match="has the name of another"):
        nr.Ranking(group="query", at=7, own=[Metric("ndcg_at_7", best, over="groups")])


def test_it_comes_back_from_its_definition_and_knows_its_metrics_by_name() -> None:
    assert RANKING.definition() == {"name": "ranking", "group": "query", "at": 3}
    assert Task.of(RANKING.definition()) == RANKING
    assert Task.of(nr.Ranking(group="query").definition()) == nr.Ranking(group="query")
    assert [metric.name for metric in RANKING.metrics] == ["ndcg_at_3", "mrr", "recall_at_3", "precision_at_3", "group_rank_correlation"]
    assert RANKING.metric() == RANKING.metric("ndcg_at_3")
    require_metric("ndcg_at_5", averaged=True, where="a gate")  # whose task says how many places
    with pytest.raises(UnknownMetric, match="did you mean 'ndcg_at_3'"):
        RANKING.metric("ndcg_at_5")
    with pytest.raises(UnknownMetric, match="ndcg_at_many"):
        require_metric("ndcg_at_many", averaged=True, where="a gate")


@pytest.mark.parametrize("at", [0, -1, 2.5, True])
def test_no_places_are_refused(at: Any) -> None:
    with pytest.raises(BadPlaces, match="no number of places"):
        nr.Ranking(group="query", at=at)


@pytest.mark.parametrize(
    ("group", "keys", "words"),
    [
        ("queri", ("item", "query"), "no key column of the spine 'shown' (did you mean 'query'?)"),
        ("item", ("item",), "'item' alone is the key"),
    ],
)
def test_a_group_that_keys_do_not_say_is_refused(group: str, keys: tuple[str, ...], words: str) -> None:
    with pytest.raises(NoGroup, match=re.escape(words)):
        nr.Ranking(group=group).require_spine("shown", keys)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (pa.array([0.0, 2.0, -1.0]), "-1 is below 0"),
        (pa.array([0, 31]), "31 is above 30"),
        (pa.array(["yes"]), "its type is string"),
    ],
)
def test_what_is_no_relevance_is_refused(values: pa.Array, words: str) -> None:
    def check() -> None:
        RANKING.coding.require_type(LABEL, values.type)
        RANKING.require_label(LABEL, pa.table({"clicked": values}))

    with pytest.raises(NoRelevance, match=words):
        check()


@pytest.mark.parametrize("values", [pa.array([True, False, None]), pa.array([0, 4, 30]), pa.array([None, 1.0, np.nan]), pa.nulls(2)])
def test_grades_and_yes_or_no_are_relevance(values: pa.Array) -> None:
    RANKING.coding.require_type(LABEL, values.type)
    RANKING.require_label(LABEL, pa.table({"clicked": values}))


@pytest.mark.parametrize(
    ("relevance", "groups", "words"),
    [
        ([1.0, 0.0, 1.0], [0, 1, 2], "every group is of one row"),
        ([0.0, 0.0, 0.0], [0, 0, 1], "no row is relevant"),
        ([1.0, 1.0, 2.0, 2.0], [0, 0, 1, 1], "all rows are equally relevant"),
    ],
)
def test_outcomes_that_teach_no_order_are_refused(relevance: list[float], groups: list[int], words: str) -> None:
    with pytest.raises(NothingToRank, match=words):
        RANKING.require_groups(LABEL, np.array(relevance), np.array(groups))
    RANKING.require_groups(LABEL, np.array([1.0, 0.0, 0.0]), np.array([0, 0, 1]))
