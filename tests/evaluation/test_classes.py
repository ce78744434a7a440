"""Tasks of several numbers a row: their metrics against scikit-learn's, their words, what they take, and their estimates by simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import log_loss, roc_auc_score, top_k_accuracy_score

import noria as nr
from noria.core.ids import canonical_json
from noria.core.signature import Field
from noria.data.rows import Rows
from noria.evaluation.class_calibration import measure_class_calibration
from noria.evaluation.multi_output import BadOutputs
from noria.evaluation.performance import Performance, measure
from noria.evaluation.task import Task
from noria.features.classes import AsClasses, AsClassSets, BadClasses, NotOfClasses
from noria.features.outcomes import numbers_of
from noria.features.structs import AsStructs, NotOfOutputs

FATES = nr.Multiclass(("kept", "exchanged", "refunded", "lost"), top=2)
TAGS = nr.Multilabel(("torn", "late"))
BOTH = nr.MultiOutput({"minutes": nr.Regression(unit="min"), "lost": nr.Binary(), "fate": nr.Multiclass(("kept", "lost"))})
TABLE = nr.Table("t", nr.files("t.parquet"), key="k", event_time="at")


def label(column: Any = "fate", **kwargs: Any) -> nr.Label:
    return nr.Label(TABLE, column, **kwargs)


def drawn(rng: np.random.Generator, rows: int, classes: int, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Classes that come about as often as scores say, and the scores, after they were sharpened."""
    chance = rng.dirichlet(np.ones(classes), rows)
    outcome = (chance.cumsum(axis=1) < rng.random(rows)[:, None]).sum(axis=1).astype(float)
    sharpened = chance**sharpness
    return outcome, sharpened / sharpened.sum(axis=1, keepdims=True)


def test_metrics_of_classes_are_those_of_scikit_learn() -> None:
    outcomes, scores = drawn(np.random.default_rng(1), 500, 4)
    told = measure(FATES, outcomes, scores)
    assert told.losses["log_loss"] == pytest.approx(log_loss(outcomes, scores))
    assert told.losses["top_2_error"] == pytest.approx(1 - top_k_accuracy_score(outcomes, scores, k=2))
    assert told.losses["error_rate"] == pytest.approx(1 - (scores.argmax(axis=1) == outcomes).mean())
    assert told.losses["brier"] == pytest.approx(((scores - np.eye(4)[outcomes.astype(int)]) ** 2).sum(axis=1).mean())
    assert told.figures["auc"] == pytest.approx(roc_auc_score(outcomes, scores, multi_class="ovr", average="macro"))
    assert told.figures["lost.auc"] == pytest.approx(roc_auc_score(outcomes == 3, scores[:, 3]))
    calibration = FATES.metric("lost.calibration")
    assert told.value(calibration) == pytest.approx((outcomes == 3).mean() - scores[:, 3].mean())
    again = Performance.of(told.to_dict())
    assert again.value(calibration) == told.value(calibration)
    canonical_json(told.to_dict())


def test_a_class_that_nobody_declared_costs_as_much_as_a_wrong_answer_can() -> None:
    scores = np.array([[0.7, 0.1, 0.1, 0.1]])
    told = measure(FATES, np.array([-1.0]), scores)
    assert told.losses["log_loss"] == pytest.approx(-math.log(1e-7))
    assert (told.losses["error_rate"], told.losses["top_2_error"]) == (1.0, 1.0)
    assert told.losses["brier"] == pytest.approx(1 + 0.7**2 + 3 * 0.1**2)
    assert told.outcome == [0.0, 0.0, 0.0, 0.0]
    assert FATES.format_outcome(-1.0) == "a class that is not declared"


def test_metrics_of_labels_are_means_over_them() -> None:
    rng = np.random.default_rng(2)
    scores = rng.random((400, 2))
    outcomes = (rng.random((400, 2)) < scores).astype(float)
    told = measure(TAGS, outcomes, scores)
    assert told.losses["log_loss"] == pytest.approx(np.mean([log_loss(outcomes[:, i], scores[:, i]) for i in (0, 1)]))
    assert told.losses["error_rate"] == pytest.approx(((scores >= 0.5) != outcomes).mean())
    assert told.figures["auc"] == pytest.approx(roc_auc_score(outcomes, scores, average="macro"))
    assert told.figures["late.auc"] == pytest.approx(roc_auc_score(outcomes[:, 1], scores[:, 1]))


def test_an_output_is_judged_where_its_own_outcome_is_known() -> None:
    outcomes = np.array([[10.0, np.nan, 0.0], [np.nan, 1.0, 1.0], [14.0, 0.0, np.nan], [np.nan, np.nan, np.nan]])
    scores = np.array([[12.0, 0.2, 0.9, 0.1], [0.0, 0.6, 0.2, 0.8], [14.0, 0.3, 0.5, 0.5], [0.0, 0.0, 1.0, 0.0]])
    told = measure(BOTH, outcomes, scores)
    assert (told.rows, told.missing) == (3, 1)
    assert told.losses["minutes.absolute_error"] == pytest.approx(1.0)
    assert told.losses["lost.log_loss"] == pytest.approx(np.mean([-math.log(0.6), -math.log(0.7)]))
    assert told.losses["fate.log_loss"] == pytest.approx(np.mean([-math.log(0.9), -math.log(0.8)]))
    assert told.value(BOTH.metric("minutes.mean_residual")) == pytest.approx(12.0 - np.mean([12.0, 0.0, 14.0]))
    nobody = measure(BOTH, np.full((2, 3), np.nan), scores[:2])
    assert (nobody.rows, nobody.missing, nobody.losses) == (0, 2, {})


@pytest.mark.parametrize("task", [FATES, TAGS, BOTH], ids=lambda task: task.name)
def test_a_task_comes_back_from_its_definition(task: Task) -> None:
    import json

    again = Task.of(json.loads(canonical_json(task.definition())))
    assert again.outputs == task.outputs
    assert [metric.name for metric in again.metrics] == [metric.name for metric in task.metrics]
    assert again.metrics == task.metrics


@pytest.mark.parametrize("task", [FATES, TAGS, BOTH], ids=lambda task: task.name)
def test_answers_are_the_same_columns_whoever_reads_them(task: Task) -> None:
    rng = np.random.default_rng(3)
    width = sum(max(len(field.labels), 1) for field in task.outputs)
    scores = rng.dirichlet(np.ones(width), 5)
    answers = Rows.of_scores(task.outputs, scores)
    assert np.array_equal(answers.scores(task.outputs), scores)
    assert np.array_equal(Rows.of_listed(task.outputs, answers.listed()).scores(task.outputs), scores)
    columns = task.answer_columns(answers)
    numbers = [column for column in columns.values() if pa.types.is_floating(column.type)]
    assert np.array_equal(np.column_stack([column.to_numpy() for column in numbers]), scores)
    assert task.answer_columns(Rows.unknown(task.outputs, 0)).keys() == columns.keys()


def test_answers_of_another_class_list_are_read_by_name() -> None:
    [field] = FATES.outputs
    older = Field(field.name, "float64", (2,), nullable=False, labels=("lost", "kept"))
    before = Rows.of_scores((older,), np.array([[0.3, 0.7]]))
    assert FATES.scores(before).tolist() == [[0.7, 0.0, 0.0, 0.3]]
    assert np.array_equal(before.scores(FATES.outputs), [[0.7, np.nan, np.nan, 0.3]], equal_nan=True)
    one = Rows.dense((Field("prediction", "float64", nullable=False),), np.array([[0.4]]))
    assert np.isnan(FATES.scores(one)).all()


def test_an_output_that_a_model_does_not_have_is_unknown_and_a_class_has_no_chance() -> None:
    fields = (Field("minutes", "float64", nullable=False), Field("fate", "float64", (1,), nullable=False, labels=("lost",)))
    read = BOTH.scores(Rows.of_scores(fields, np.array([[12.0, 1.0]])))
    assert np.array_equal(read, [[12.0, np.nan, 0.0, 1.0]], equal_nan=True)


def test_a_quantile_that_a_model_does_not_give_is_unknown() -> None:
    wide = nr.Regression(quantiles=(0.1, 0.5, 0.9))
    read = wide.scores(Rows.of_scores(nr.Regression(quantiles=(0.1, 0.9)).outputs, np.array([[1.0, 3.0]])))
    assert np.array_equal(read, [[1.0, np.nan, 3.0]], equal_nan=True)


@pytest.mark.parametrize(
    ("values", "classes", "expected"),
    [
        (pa.array(["kept", None, "new", "lost"]), ("kept", "lost"), [0, np.nan, -1, 1]),
        (pa.array(["kept", "lost"]).dictionary_encode(), ("lost", "kept"), [1, 0]),
        (pa.array([3, 1, 7, None], pa.int8()), (1, 3), [1, 0, -1, np.nan]),
        (pa.array([3.0, float("nan"), 1.0]), (1, 3), [1, np.nan, 0]),
        (pa.array([True, None, False]), (False, True), [1, np.nan, 0]),
        (pa.nulls(2), ("a", "b"), [np.nan, np.nan]),
    ],
)
def test_a_class_is_read_as_its_place(values: pa.Array, classes: Any, expected: list[float]) -> None:
    coding = AsClasses(classes)
    coding.require_type(label(), values.type)
    found = numbers_of(coding.coded(label(), pa.chunked_array([values])), 1)
    assert np.array_equal(found, expected, equal_nan=True)


def test_a_list_of_classes_is_read_as_which_it_has() -> None:
    values = pa.chunked_array([pa.array([["late", "late"], None, [], ["torn", None, "new"]])])
    coding = AsClassSets(("torn", "late"))
    coding.require_type(label(), values.type)
    found = numbers_of(coding.coded(label(), values), 2)
    assert np.array_equal(found, [[0, 1], [np.nan, np.nan], [0, 0], [1, 0]], equal_nan=True)


def test_a_struct_is_read_output_by_output_and_is_unknown_where_all_of_it_is() -> None:
    coding = AsStructs({"minutes": nr.Regression().coding, "lost": nr.Binary().coding})
    rows = [{"minutes": 3.5, "lost": True}, {"minutes": None, "lost": False}, {"minutes": None, "lost": None}, None]
    values = pa.array(rows, pa.struct([("minutes", pa.float64()), ("lost", pa.bool_())]))
    coding.require_type(label("outcome"), values.type)
    coded = coding.coded(label("outcome"), pa.chunked_array([values]))
    assert coded.null_count == 2
    assert np.array_equal(numbers_of(coded, 2), [[3.5, 1], [np.nan, 0], [np.nan, np.nan], [np.nan, np.nan]], equal_nan=True)


@pytest.mark.parametrize(
    ("coding", "type_"),
    [
        (AsClasses(("a", "b")), pa.int64()),
        (AsClasses((1, 2)), pa.string()),
        (AsClasses((1, 300)), pa.int8()),
        (AsClasses((False, True)), pa.int8()),
        (AsClasses(("a", "b")), pa.list_(pa.string())),
        (AsClassSets(("a", "b")), pa.string()),
        (AsClassSets(("a", "b")), pa.list_(pa.int64())),
    ],
)
def test_a_column_that_can_hold_no_such_class_is_refused(coding: Any, type_: pa.DataType) -> None:
    with pytest.raises(NotOfClasses):
        coding.require_type(label(), type_)


def test_a_label_without_a_value_for_each_output_is_refused() -> None:
    coding = AsStructs({"minutes": nr.Regression().coding, "lost": nr.Binary().coding})
    with pytest.raises(NotOfOutputs, match="its type is double"):
        coding.require_type(label("minutes"), pa.float64())
    with pytest.raises(NotOfOutputs, match="there is no 'lost' among minutes"):
        coding.require_type(label("outcome"), pa.struct([("minutes", pa.float64())]))


@pytest.mark.parametrize("classes", [(), ("a",), ("a", "a"), ("a", 1), ("a", " "), "ab", (1.5, 2.5)])
def test_classes_that_are_none_are_refused(classes: Any) -> None:
    with pytest.raises(BadClasses):
        nr.Multiclass(classes)


@pytest.mark.parametrize(
    "outputs",
    [{}, {"a": nr.Binary()}, {"a b": nr.Binary(), "c": nr.Binary()}, {"a": nr.Binary(), "b": "binary"}, {"a": BOTH, "b": BOTH}, 3],
)
def test_outputs_that_are_none_are_refused(outputs: Any) -> None:
    with pytest.raises(BadOutputs):
        nr.MultiOutput(outputs)


@pytest.mark.parametrize(
    ("task", "given", "expected"),
    [
        (FATES, "lost", (0.0, 0.0, 0.0, 1.0)),
        (FATES, {"kept": 0.5, "exchanged": 0.25, "refunded": 0.25, "lost": 0}, (0.5, 0.25, 0.25, 0.0)),
        (FATES, {"kept": 0.5, "lost": 0.5}, None),
        (FATES, {"kept": 0.9, "exchanged": 0.9, "refunded": 0, "lost": 0}, None),
        (FATES, 0.5, None),
        (TAGS, {"late": 0.25, "torn": 1}, (1.0, 0.25)),
        (TAGS, {"late": 2, "torn": 1}, None),
        (BOTH, {"minutes": 12, "lost": 0.1, "fate": "kept"}, (12.0, 0.1, 1.0, 0.0)),
        (BOTH, {"minutes": 12, "lost": 3, "fate": "kept"}, None),
    ],
)
def test_an_answer_that_is_declared_beforehand_is_by_name(task: Task, given: Any, expected: Any) -> None:
    assert task.default(given) == expected


def test_people_read_classes_and_not_numbers() -> None:
    assert FATES.format_score(np.array([0.1, 0.2, 0.6, 0.1])) == "refunded (60.0%)"
    assert (FATES.format_outcome(2.0), FATES.plain(1.0)) == ("refunded", "exchanged")
    assert FATES.format_bias(-0.12, FATES.metric("lost.calibration")) == "less often lost, by 12% of the rows"
    assert TAGS.format_score(np.array([0.9, 0.7])) == "torn (90.0%), late (70.0%)"
    assert TAGS.format_score(np.array([0.2, 0.3])) == "none (late 30.0%)"
    assert (TAGS.format_outcome(np.array([0.0, 0.0])), TAGS.plain(np.array([1.0, 1.0]))) == ("none", ["torn", "late"])
    assert BOTH.format_score(np.array([12.0, 0.25, 0.2, 0.8])) == "minutes 12 min, lost 0.2500, fate lost (80.0%)"
    assert BOTH.format_outcome(np.array([12.0, np.nan, 0.0])) == "minutes 12 min, lost unknown so far, fate kept"
    assert BOTH.plain(np.array([12.0, np.nan, 1.0])) == {"minutes": 12.0, "lost": None, "fate": "lost"}


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0])
def test_a_loss_is_estimated_before_classes_come_however_sharp_scores_are(sharpness: float) -> None:
    """The mean of 200 windows' realised less expected losses lies within three of its standard errors of 0, and 95 % intervals by the
    stated deviation hold in 90 to 99 of a hundred."""
    rng = np.random.default_rng(7)
    estimator = FATES.estimator
    fitted = estimator.fit(*drawn(rng, 20_000, 4, sharpness))
    assert fitted[0] == pytest.approx(sharpness, rel=0.05)
    metric, apart, held = FATES.metric("log_loss"), [], 0
    for _ in range(200):
        outcomes, scores = drawn(rng, 300, 4, sharpness)
        expected = estimator.expected(metric, scores, fitted)
        apart.append(metric.value(outcomes, scores) - expected.mean)
        held += abs(apart[-1]) < 1.96 * expected.sd
    assert abs(np.mean(apart)) < 3 * np.std(apart) / math.sqrt(200) + 0.01
    assert 180 <= held <= 198


def test_each_output_is_estimated_as_its_own_task_is() -> None:
    """Within a tenth, of outcomes of which every other part is unknown; nothing where nothing was fitted."""
    rng = np.random.default_rng(9)
    kind, chances = drawn(rng, 3_000, 2)
    minutes, chance = rng.normal(20, 5, 3_000), rng.random(3_000)
    scores = np.column_stack([minutes, chance, chances])
    outcomes = np.column_stack([minutes + rng.normal(0, 3, 3_000), rng.random(3_000) < chance, kind])
    hidden = outcomes.copy()
    hidden[::2, 0], hidden[1::2, 1] = np.nan, np.nan
    fitted = BOTH.estimator.fit(hidden, scores)
    for name in ("minutes.absolute_error", "minutes.squared_error", "lost.log_loss", "fate.log_loss"):
        metric = BOTH.metric(name)
        assert BOTH.estimator.expected(metric, scores, fitted).mean == pytest.approx(metric.value(outcomes, scores), rel=0.1)
        assert math.isnan(BOTH.estimator.expected(metric, scores).mean)


def test_calibrated_classes_are_called_so_and_sharpened_ones_are_not() -> None:
    """At 1 %: of a hundred calibrated models at most four are called none."""
    rng = np.random.default_rng(8)
    wrong = 0
    for _ in range(100):
        outcomes, scores = drawn(rng, 800, 3)
        found = measure_class_calibration(("a", "b", "c"), outcomes, scores, np.repeat(np.arange(16), 50))
        assert found is not None
        wrong += bool(found.missed)
    assert wrong <= 4
    outcomes, scores = drawn(rng, 3_000, 3, 2.5)
    found = measure_class_calibration(("a", "b", "c"), outcomes, scores, np.repeat(np.arange(30), 100))
    assert found is not None
    assert set(found.missed) == {"a", "b", "c"}
    assert found.confidence > found.right + 0.1
    assert "Not calibrated are the probabilities of" in found.summary
    assert measure_class_calibration(("a",), outcomes, scores, np.zeros(3_000, np.int64)) is None
