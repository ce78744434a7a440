"""Predictions of a model that runs elsewhere: what is wrong is found and dated, what can't be known is unknown, what can't be judged is
refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import noria as nr
from noria.core.errors import NoriaError
from noria.core.health import Healthy, Unhealthy, Unknown
from noria.evidence.predictions import JudgedPredictions
from noria.monitoring.findings import Finding
from predicted import CHANGED, CLASSES, DAYS, ROWS, columns, day, since, table


def judge(found: dict[str, Any] | pa.Table, **asked: Any) -> JudgedPredictions:
    rows = table(found) if isinstance(found, dict) else found
    return nr.judge_predictions(rows, **{"time": "at", "prediction": "p", "outcome": "y", **asked})


def states(judged: JudgedPredictions, model: str = "") -> dict[str, Any]:
    return dict(judged.readings[model].states)


def of_kind(judged: JudgedPredictions, kind: str) -> list[Finding]:
    return [f for f in judged.findings if f.kind == kind]


@pytest.mark.parametrize("kind", ["binary", "regression", "multiclass"])
def test_a_model_that_is_well_is_healthy_in_everything(kind: str) -> None:
    prediction = [f"p_{name}" for name in CLASSES] if kind == "multiclass" else "p"
    judged = judge(columns(kind), prediction=prediction)
    assert judged.findings == ()
    assert {name: type(state) for name, state in states(judged).items()} == dict.fromkeys(states(judged), Healthy)
    assert judged.readings[""].answers.task.name == kind
    assert judged.readings[""].answers.inferred


def test_outcomes_that_no_longer_follow_are_a_changed_relation_since_that_day() -> None:
    found = columns()
    rows = since(found)
    found["y"][rows] = np.random.default_rng(1).permutation(found["y"][rows])
    (loss, *_) = of_kind(judge(found), "performance")
    assert loss.subject == "log_loss"
    assert loss.since == day(CHANGED)
    assert loss.evidence["looks_like"].startswith("a changed relation")
    assert loss.fix.startswith(f"retrain on rows since {day(CHANGED):%Y-%m-%d}")


def test_numbers_that_are_biased_are_found_in_their_error_and_their_bias() -> None:
    found = columns("regression")
    found["y"][since(found)] += 2
    judged = judge(found, task=nr.Regression(unit="min"))
    assert {f.subject: f.since for f in of_kind(judged, "performance")} == {"absolute_error": day(CHANGED), "mean_residual": day(CHANGED)}
    assert " min in the reference" in of_kind(judged, "performance")[0].summary


def test_one_class_that_is_no_longer_recognized_is_named() -> None:
    found = columns("multiclass")
    answered = np.column_stack([found[f"p_{name}"] for name in CLASSES]).argmax(axis=1)
    labels = np.array(CLASSES)[answered]
    late = np.arange(len(labels)) >= CHANGED * ROWS
    labels[late & (found["y"] == "eel") & (np.random.default_rng(0).random(len(labels)) < 0.6)] = "cat"
    judged = judge({**found, "p": labels}, prediction="p", leave_out=[f"p_{name}" for name in CLASSES])
    assert judged.readings[""].answers.task.name == "class_labels"
    worse = [r.metric.name for r in judged.readings[""].performance if r.alarming]
    assert "eel.accuracy" in worse
    assert isinstance(states(judged)["estimated performance"], Unknown)


def test_answers_and_inputs_that_move_are_told_apart() -> None:
    found = columns()
    found["p"][since(found)] = found["p"][since(found)] ** 2
    judged = judge(found)
    assert isinstance(states(judged)["answers"], Unhealthy)
    assert of_kind(judged, "drift")[0].evidence["columns"][0] == "p"
    assert of_kind(judged, "drift")[0].evidence["answers"]
    missing = columns()
    missing["x"][since(missing)] = np.nan
    (fault,) = of_kind(judge(missing), "data_quality")
    assert fault.summary == f"x: 100% are nulls, first in row {CHANGED * ROWS + 1:,}"
    assert fault.since == day(CHANGED)


def test_an_estimate_warns_before_outcomes_come() -> None:
    found = columns()
    found["y"][since(found, CHANGED - 2)] = np.nan
    rows = since(found)
    found["x"][rows] *= 0.2
    found["p"][rows] = 1 / (1 + np.exp(-2 * found["x"][rows]))  # scores that are less sure, and right about that
    judged = judge(found)
    (warning,) = of_kind(judged, "estimated_performance")
    assert warning.since == day(CHANGED)
    assert warning.severity == "inform"
    assert "outcomes are not known yet" in warning.summary
    assert of_kind(judged, "performance") == []


def test_an_outcome_counts_from_when_it_is_known() -> None:
    found = columns()
    found["y"][since(found, 30)] = np.random.default_rng(1).permutation(found["y"][since(found, 30)])
    known = found["at"] + np.timedelta64(5, "D")
    early = judge({**found, "known": known}, outcome_time="known", until=day(34), reference=25)
    assert of_kind(early, "performance") == []
    assert early.readings[""].maturity.delay == timedelta(days=5)
    assert early.readings[""].maturity.waiting == 5
    later = judge({**found, "known": known}, outcome_time="known", until=day(50), reference=25)
    assert of_kind(later, "performance")[0].since == day(30)


def test_windows_that_wait_are_estimated_by_what_is_known_of_them_already() -> None:
    found = columns()
    slow = np.where(found["y"] == 1, 6, 1).astype("timedelta64[D]")  # bad news is slow
    judged = judge({**found, "known": found["at"] + slow}, outcome_time="known", until=day(50))
    losses = [p for p in judged.readings[""].partial if p.metric.name == "log_loss"]
    assert [p.start for p in losses] == [day(number) for number in range(44, 50)]
    known = losses[2].estimate
    assert 0.3 < known.missing < 0.7
    assert known.least < known.value < known.most
    assert len(judged.to_dict()["models"][0]["partial"]) == 2 * len(losses)
    assert "Windows with partial outcomes" in judged.to_html()


def test_outcomes_that_are_overdue_are_a_finding_and_without_a_known_delay_they_wait() -> None:
    found = columns()
    found["y"][since(found, 46)] = np.nan
    judged = judge(found, matures="3d")
    (late,) = of_kind(judged, "no_data")
    assert late.since == day(46)
    assert late.summary.startswith("outcomes are missing: 0 of ")
    unstated = judge(found)
    assert unstated.findings == ()
    assert unstated.readings[""].maturity.waiting == DAYS - 46
    assert "performance is known up to 2024-02-15" in unstated.headline


def test_what_is_not_known_is_unknown_and_never_healthy() -> None:
    found = columns()
    nothing = judge({**found, "y": np.full(len(found["y"]), np.nan)})
    assert isinstance(states(nothing)["performance"], Unknown)
    assert isinstance(states(nothing)["estimated performance"], Unknown)
    assert "unknown" in nothing.headline
    old = columns()
    old["y"][since(old, 20)] = np.nan
    assert isinstance(states(judge(old))["performance: log-loss"], Unknown)
    no_column = judge(found, outcome=None, leave_out=["y"])
    assert isinstance(states(no_column)["performance"], Unknown)
    assert no_column.readings[""].shares == {"inputs, answers and row counts": 1.0}


def test_outcomes_are_joined_by_id_and_the_latest_of_an_id_counts() -> None:
    found = columns()
    outcomes = {"id": found["id"], "y": 1 - found["y"], "known": found["at"] + np.timedelta64(1, "D")}
    corrected = {"id": found["id"], "y": found["y"], "known": found["at"] + np.timedelta64(2, "D")}
    both = {name: np.concatenate([outcomes[name], corrected[name], values]) for name, values in outcomes.items()}
    both["id"][-len(found["id"]) :] = "unknown"
    both["known"][: len(found["id"])] = outcomes["known"]
    del found["y"]
    judged = judge(found, outcomes=table({"at": both["known"], **both}).drop_columns(["at"]), on="id", outcome_time="known")
    assert judged.findings == ()
    assert any("outcomes repeat an id" in note for note in judged.readings[""].notes)
    assert any("1 outcomes belong to no prediction" in note for note in judged.readings[""].notes)


def test_repeated_ids_are_a_fault_and_count_once() -> None:
    found = columns()
    rows = np.arange(len(found["at"]))
    twice = np.sort(np.concatenate([rows, rows[since(found, 50)]]))
    judged = judge({name: values[twice] for name, values in found.items()}, id="id")
    assert any(f.subject.startswith("(ids that came before)") for f in judged.findings)
    assert judged.readings[""].maturity.known.max() == ROWS
    assert judge(found, id="id").findings == ()


def test_models_are_judged_by_themselves_within_one_budget() -> None:
    good, bad, new = columns(), columns(seed=1), columns(days=5, seed=2)
    bad["y"][since(bad)] = 1 - bad["y"][since(bad)]
    rows = pa.concat_tables(
        table(found).append_column("model", pa.array([name] * len(found["at"])))
        for name, found in (("good", good), ("bad", bad), ("new", new))
    )
    judged = judge(rows, by="model")
    assert {f.evidence["model"] for f in judged.findings} == {"bad"}
    assert set(judged.not_judged) == {"new"}
    assert [reading.budget for reading in judged.readings.values()] == [2 / 3, 2 / 3]
    assert judged.to_dict()["wrong_now"] == len(judged.wrong_now) > 0


def test_what_is_no_answer_is_counted_and_left_out() -> None:
    found = columns()
    found["p"][::10] = np.nan
    judged = judge(found)
    assert judged.findings == ()
    assert f"{-(-len(found['p']) // 10):,} rows have no prediction (null, NaN or infinite)" in judged.readings[""].notes
    later = columns()
    later["p"][since(later)] *= 100
    judged = judge(later)
    assert any(f.subject == "p: outside" and f.since == day(CHANGED) for f in judged.findings)
    assert any("lie outside 0 to 1" in note for note in judged.readings[""].notes)


@pytest.mark.parametrize(
    ("change", "asked", "code", "words"),
    [
        ({"p": lambda p: 100 * p}, {}, "NR-580", "look like percentages"),
        ({"p": lambda p: 3 * p - 1}, {}, "NR-580", "are no probabilities"),
        ({}, {"prediction": "q"}, "NR-580", "there is no column 'q'"),
        ({}, {"outcome": "why"}, "NR-580", "there is no column 'why'"),
        ({}, {"task": "ranking"}, "NR-580", "is not a task"),
        ({}, {"prediction": "y"}, "NR-580", "column 'y' is named for two things"),
        ({}, {"by": "id"}, "NR-580", "models, and at most 100"),
        ({"y": lambda y: np.where(y == 1, "good", "bad")}, {}, "NR-581", "unknown which outcome counts as 1"),
        ({"y": lambda y: np.where(y == 1, "good", "bad")}, {"positive": "best"}, "NR-581", "no outcome is 'best'"),
        ({"p": lambda p: np.round(4 * p), "y": lambda y: 4 * y}, {}, "NR-582", "may be numbers or the codes of classes"),
        ({"y": lambda y: np.resize(["a", "b", "c"], len(y))}, {}, "NR-582", "predictions are numbers, and outcomes are"),
        ({"at": lambda at: np.arange(len(at))}, {}, "NR-606", "not a timestamp"),
        ({}, {"every": "30d"}, "NR-606", "too few"),
        ({}, {"false_alarms_per_year": 0}, "NR-606", "budget is out of range"),
        ({}, {"performance": [nr.Tolerance("rmse", by=1)]}, "NR-320", "'rmse' is not a metric of"),
        ({}, {"outcomes": pa.table({"id": ["z"], "y": [1.0]}), "on": "id"}, "NR-581", "no outcome belongs to any prediction"),
        ({}, {"outcomes": pa.table({"id": ["z"], "y": [1.0]})}, "NR-580", "no id joins them"),
    ],
)
def test_what_can_not_be_judged_is_refused_with_what_to_do(change: dict[str, Any], asked: dict[str, Any], code: str, words: str) -> None:
    found = columns()
    changed = {**found, **{name: of(found[name]) for name, of in change.items()}}
    rows = pa.table({name: pa.array(values) for name, values in changed.items()})
    with pytest.raises(NoriaError) as refused:
        judge(rows, **asked)
    assert refused.value.code == code
    assert words in refused.value.what
    assert refused.value.fix


@pytest.mark.parametrize("form", ["several", "mapping", "list", "struct", "text"])
def test_probabilities_of_classes_may_have_any_form(form: str) -> None:
    found = columns("multiclass")
    rows = table(found)
    chances = [found[f"p_{name}"] for name in CLASSES]
    prediction: Any = [f"p_{name}" for name in CLASSES]
    classes = None
    if form == "mapping":
        prediction = {name: f"p_{name}" for name in CLASSES}
    elif form != "several":
        inner = pa.StructArray.from_arrays([pa.array(c) for c in chances], names=list(CLASSES))
        numbers = np.column_stack(chances).tolist()
        column = inner if form == "struct" else pa.array(map(str, numbers)) if form == "text" else pa.array(numbers, pa.list_(pa.float64()))
        rows = rows.drop_columns(prediction).append_column("p", column)
        prediction, classes = "p", CLASSES if form in ("list", "text") else None
    judged = judge(rows, prediction=prediction, classes=classes)
    assert judged.findings == ()
    assert judged.readings[""].answers.task.labels == CLASSES  # type: ignore[attr-defined]
    assert judged.readings[""].watched == ("predicted class", "confidence")


def test_texts_booleans_and_percent_signs_of_outcomes_are_read() -> None:
    found = columns()
    for outcomes, positive in (
        (np.where(found["y"] == 1, "Yes", "No"), None),
        (found["y"] == 1, None),
        (np.where(found["y"] == 1, "good", "bad"), "good"),
    ):
        judged = judge({**found, "y": outcomes}, positive=positive)
        assert judged.findings == ()
        assert judged.readings[""].answers.task.name == "binary"


def test_times_may_be_texts_with_and_without_zones_or_numbers() -> None:
    found = columns()
    whole = [f"{moment}Z" if i % 2 else str(moment) for i, moment in enumerate(found["at"])]
    rows = pa.table({name: pa.array(values) for name, values in {**found, "at": np.array(whole)}.items()})
    assert [w.start for w in judge(rows).readings[""].windows] == [day(i) for i in range(DAYS)]
    for numbers, unit in ((found["at"].astype("int64") // 1000, "milliseconds"), (found["at"].astype("int64") / 1e6, "seconds")):
        told = judge(pa.table({name: pa.array(values) for name, values in {**found, "at": numbers}.items()})).readings[""]
        assert [w.start for w in told.windows] == [day(i) for i in range(DAYS)]
        assert told.notes == (f"the times are read as {unit} since 1970-01-01 UTC",)


def test_quantiles_are_judged_by_their_own_metrics() -> None:
    found = columns("regression")
    levels = {"low": -1.2816, "middle": 0.0, "high": 1.2816}
    found |= {name: found["p"] + away for name, away in levels.items()}
    del found["p"]
    judged = judge(found, prediction=list(levels), task=nr.Regression(quantiles=(0.1, 0.5, 0.9)))
    assert judged.findings == ()
    assert [r.metric.name for r in judged.readings[""].performance] == ["pinball_loss", "coverage", "quantile_bias"]
    found["low"][since(found)] -= 2
    found["high"][since(found)] += 2
    wide = judge(found, prediction=list(levels), task=nr.Regression(quantiles=(0.1, 0.5, 0.9)))
    assert {f.subject: f.since for f in of_kind(wide, "performance")}["coverage"] == day(CHANGED)


def test_windows_by_count_and_a_reference_up_to_a_moment() -> None:
    found = columns()
    found["y"][since(found)] = 1 - found["y"][since(found)]
    judged = judge(found, every=ROWS, reference=day(25))
    assert judged.readings[""].reference == 25
    assert of_kind(judged, "performance")[0].since == day(CHANGED)
    assert judged.to_dict()["models"][0]["every"] == f"{ROWS} rows"


class Streamed:
    """A data frame as Arrow sees it: texts as views, and a dictionary of them, as polars has them."""

    def __init__(self, rows: pa.Table) -> None:
        place = rows.column("place").combine_chunks().dictionary_encode()
        views = pa.DictionaryArray.from_arrays(place.indices, place.dictionary.cast(pa.string_view()))
        rows = rows.set_column(rows.column_names.index("place"), "place", views)
        self.rows = rows.set_column(rows.column_names.index("id"), "id", rows.column("id").cast(pa.string_view()))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.rows.__arrow_c_stream__(requested_schema)


def test_any_data_frame_that_arrow_can_read_is_judged_alike() -> None:
    found = columns()
    found["y"][since(found)] = 1 - found["y"][since(found)]
    rows = table(found)
    summaries = [f.summary for f in judge(rows).findings]
    assert summaries
    assert [f.summary for f in judge(Streamed(rows), id="id").findings] == [f.summary for f in judge(rows, id="id").findings] == summaries
    assert [f.summary for f in judge(rows.to_pandas()).findings] == summaries


def test_times_of_outcomes_that_can_not_be_are_told_and_hold_up_nothing() -> None:
    found = columns()
    known = found["at"] + np.timedelta64(1, "D")
    known[7] = np.datetime64("9999-12-31", "us")
    known[100:110] -= np.timedelta64(2, "D")
    judged = judge({**found, "known": known}, outcome_time="known")
    assert judged.findings == ()
    assert "10 outcomes were known before their predictions were made: check the times" in judged.readings[""].notes
    assert judged.readings[""].maturity.delay == timedelta(days=1)


def test_windows_by_count_wait_for_their_outcomes_as_well() -> None:
    found = columns()
    found["y"][since(found, 52)] = np.nan
    judged = judge(found, every=ROWS, matures="4d")
    assert judged.findings == ()
    assert judged.readings[""].maturity.waiting == 5  # a window ends where the next begins, and the newest row is not at the end of its day
    assert judge(found, every=ROWS, matures="1d").findings[0].kind == "no_data"


def test_outcomes_of_few_rows_are_judged_and_of_almost_none_are_unknown() -> None:
    found = columns()
    rng = np.random.default_rng(0)
    found["y"][since(found)] = 1 - found["y"][since(found)]
    some = {**found, "y": np.where(rng.random(len(found["y"])) < 0.25, found["y"], np.nan)}
    assert of_kind(judge(some), "performance")[0].since == day(CHANGED)
    few = judge({**found, "y": np.where(rng.random(len(found["y"])) < 0.01, found["y"], np.nan)})
    assert states(few)["performance"] == Unknown(
        "too few windows of the reference have enough outcomes to compare with; longer windows have more"
    )


def with_a_worse_slice() -> dict[str, Any]:
    """Outcomes of a quarter of the rows follow nothing any more."""
    found = columns()
    rng = np.random.default_rng(3)
    found["place"] = rng.choice(["N", "S", "W"], len(found["at"]), p=[0.5, 0.25, 0.25])
    late = (np.arange(len(found["at"])) >= CHANGED * ROWS) & (found["place"] == "S")
    found["y"][late] = rng.permutation(found["y"][late])
    return found


def test_a_slice_that_gets_worse_is_found_though_the_whole_is_within_its_tolerance() -> None:
    asked = {"performance": [nr.Tolerance("log_loss", by=0.3)], "slices": ["place"], "every": 160}
    judged = judge(with_a_worse_slice(), **asked)
    assert [f.subject for f in of_kind(judged, "performance")] == ["log_loss of place=S"]
    assert abs(of_kind(judged, "performance")[0].since - day(CHANGED)) <= timedelta(days=4)  # two windows
    assert isinstance(states(judged)["performance: log-loss"], Healthy)
    assert isinstance(states(judged)["performance: log-loss of place=S"], Unhealthy)
    assert isinstance(states(judged)["performance: log-loss of place=W"], Healthy)
    frame = judged.to_frame()
    assert frame["log_loss of place=S"].notna().sum() > 20
    assert "log-loss of place=S" in judged.to_html()
    assert not of_kind(judge(columns(), **asked), "performance")


def test_a_whole_that_gets_worse_says_in_which_slice_most() -> None:
    asked = {"performance": [nr.Tolerance("log_loss", by=0.01)], "slices": ["place"], "every": 160}
    (found,) = of_kind(judge(with_a_worse_slice(), **asked), "performance")
    assert found.subject == "log_loss"
    assert "; most in place=S; likely cause: " in found.summary
    assert found.evidence["slices"][0] == "place=S"


def test_slices_by_amounts_or_by_columns_that_are_not_there_are_refused() -> None:
    with pytest.raises(NoriaError, match="'x' has more than 100 different numbers"):
        judge(columns(), slices=["x"])
    with pytest.raises(NoriaError, match=r"no column 'plac'.*'place'"):
        judge(columns(), slices=["plac"])
