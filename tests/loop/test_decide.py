"""Decisions are a pure function of the state: each rule alone, and what no state may lead to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import noria as nr
from noria.evaluation.binary import Binary
from noria.evaluation.gates import Verdict
from noria.loop.decide import decide
from noria.loop.retrain import Retrain
from noria.loop.state import Pending, State
from noria.monitoring.drift_reading import DriftReading
from noria.monitoring.monitor import Tolerance
from noria.monitoring.monitors.drift import InputDrift
from noria.monitoring.monitors.performance import Performance
from noria.monitoring.monitors.reading import Monitors
from noria.monitoring.performance import PerformanceReading
from noria.release.rollout import Immediate, Rollout, ShadowVerdict

NOW = datetime(2024, 6, 1, tzinfo=UTC)
MODEL: Any = object.__new__(nr.Model)  # nothing of it is read
PASSED = (Verdict("g", "passed", "w"),)


def reading(evidence: float) -> PerformanceReading:
    return PerformanceReading(Binary(), Tolerance("log_loss", by=0.1), 0.5, np.array([0.9]), np.array([evidence]), 100.0)


def worse(*readings: PerformanceReading) -> Monitors:
    return Monitors((Performance(readings),))


def state(**changes: Any) -> State:
    base = State(
        now=NOW,
        endpoint="e",
        rollout=Rollout(),
        retrain=Retrain(MODEL, [nr.regression(), nr.stale("60d")], cooldown="7d"),
        gated=True,
        champion="champion",
        champion_trained_at=NOW - timedelta(days=30),
        tried_at=NOW - timedelta(days=30),
        pending=None,
        challenger=None,
        shadow=None,
    )
    if "performance" in changes:
        changes["monitors"] = worse(*changes.pop("performance"))
    return replace(base, **changes)


def verbs(s: State) -> list[tuple[str, str]]:
    return [(a.verb, a.reason) for a in decide(s)]


def test_nothing_is_done_while_all_is_well() -> None:
    assert decide(state(monitors=worse(reading(99.0)))) == []


def test_without_a_champion_one_is_trained_once() -> None:
    first = state(champion=None, champion_trained_at=None, tried_at=None)
    assert verbs(first) == [("train", "there is no champion yet")]
    assert decide(replace(first, tried_at=NOW)) == []


def test_a_regression_retrains_with_its_evidence() -> None:
    (action,) = decide(state(monitors=worse(reading(100.0))))
    assert (action.verb, action.reason) == ("train", "regression: log_loss moved by +0.400")
    assert action.evidence["threshold"] == 100.0


def test_age_is_the_champions_and_the_cooldown_is_the_last_attempts() -> None:
    old = {"champion_trained_at": NOW - timedelta(days=60)}
    assert verbs(state(**old, tried_at=NOW - timedelta(days=8))) == [("train", "stale: trained 60d ago")]
    assert decide(state(**old, tried_at=NOW - timedelta(days=6))) == []
    assert decide(state(monitors=worse(reading(1e9)), tried_at=NOW - timedelta(days=6))) == []


def test_nothing_is_trained_while_a_challenger_is_on_its_way() -> None:
    assert decide(state(challenger="c", shadow=ShadowVerdict("wait", "w", None), performance=(reading(1e9),))) == []


def test_a_candidate_that_passed_shadows_or_serves_at_once_as_the_plan_says() -> None:
    waiting = Pending("new", True, PASSED)
    assert verbs(state(pending=waiting)) == [("shadow", "all gates passed")]
    assert verbs(state(pending=waiting, rollout=Immediate())) == [("promote", "this policy releases immediately")]
    assert verbs(state(pending=waiting, rollout=nr.ABTest())) == [("test", "all gates passed")]
    assert verbs(state(pending=waiting, champion=None)) == [("promote", "the first model")]


def test_a_gate_that_failed_or_is_unknown_refuses() -> None:
    for outcome in ("failed", "unknown"):
        gates = (*PASSED, Verdict("slice", outcome, "w"))
        assert verbs(state(pending=Pending("new", False, gates))) == [("refuse", f"gate {outcome}: slice (w)")]
        first = state(pending=Pending("new", False, gates), champion=None)
        assert verbs(first) == [("refuse", f"gate {outcome}: slice (w)")]


def test_a_shadow_ends_as_its_verdict_says() -> None:
    for verdict in ("promote", "refuse"):
        (action,) = decide(state(challenger="c", shadow=ShadowVerdict(verdict, "because", None)))  # type: ignore[arg-type]
        assert (action.verb, action.subject, action.reason) == (verdict, "c", "because")


states = st.builds(
    state,
    champion=st.sampled_from([None, "champion"]),
    champion_trained_at=st.sampled_from([NOW - timedelta(days=d) for d in (0, 30, 90)]),
    tried_at=st.sampled_from([None, NOW, NOW - timedelta(days=90)]),
    pending=st.sampled_from([None, Pending("new", True, PASSED), Pending("new", False, (Verdict("g", "unknown", ""),))]),
    challenger=st.sampled_from([None, "c"]),
    shadow=st.sampled_from([None, *(ShadowVerdict(v, "w", None) for v in ("promote", "refuse", "wait"))]),
    performance=st.sampled_from([(), (reading(0.0),), (reading(1e9),)]),
    gated=st.booleans(),
)


@given(states)
def test_the_same_state_gives_the_same_single_step_and_nothing_unproven_is_released(s: State) -> None:
    actions = decide(s)
    assert actions == decide(s)
    assert len(actions) <= 1
    for action in actions:
        if action.verb in ("promote", "shadow", "test") and s.gated and s.pending is not None:
            assert s.pending.passed
        if action.verb == "train":
            assert s.challenger is None or s.champion is None


def drift(pooled: float) -> DriftReading:
    """Two columns in one window, of which `price` has moved up."""
    shift, scores = np.array([[0.01, 0.31]]), np.zeros((1, 2, 10))
    scores[0, 1, 0] = 5.0
    evidence = np.array([[0.1, 2 * pooled]])
    return DriftReading(
        ("city", "price"), (NOW - timedelta(days=1),), evidence, np.zeros((1, 2)), np.array([pooled]), shift, scores,
        np.zeros((1, 2, 10), bool), np.array([0.5, 0.5]), 100.0, learning=False,
    )  # fmt: skip


def test_a_cooldown_is_over_at_its_last_moment_and_no_earlier() -> None:
    old = {"champion_trained_at": NOW - timedelta(days=60)}
    (action,) = decide(state(**old, tried_at=NOW - timedelta(days=7)))
    assert (action.verb, action.endpoint, action.at, action.subject) == ("train", "e", NOW, "champion")
    assert action.evidence == {"age_days": 60.0}
    assert decide(state(**old, tried_at=NOW - timedelta(days=7) + timedelta(microseconds=1))) == []
    assert decide(state(champion_trained_at=NOW - timedelta(days=60) + timedelta(microseconds=1))) == []


def test_a_cooldown_is_a_tick_at_least() -> None:
    weekly = {"champion_trained_at": NOW - timedelta(days=60), "tick": timedelta(days=14)}
    assert decide(state(**weekly, tried_at=NOW - timedelta(days=13))) == []
    assert verbs(state(**weekly, tried_at=NOW - timedelta(days=14))) == [("train", "stale: trained 60d ago")]


def test_after_an_action_that_was_given_up_nothing_is_done_for_a_day() -> None:
    first = state(champion=None, champion_trained_at=None, tried_at=None)
    assert decide(replace(first, failed_at=NOW - timedelta(hours=23))) == []
    assert verbs(replace(first, failed_at=NOW - timedelta(days=1))) == [("train", "there is no champion yet")]


def test_where_the_first_candidate_was_refused_another_is_trained_after_the_pause() -> None:
    first = state(champion=None, champion_trained_at=None, tried_at=NOW - timedelta(days=7))
    assert verbs(first) == [("train", "there is no champion yet")]
    assert decide(replace(first, tried_at=NOW - timedelta(days=6))) == []
    bare = replace(first, retrain=None)
    assert verbs(replace(bare, tried_at=NOW - timedelta(days=1))) == [("train", "there is no champion yet")]
    assert decide(replace(bare, tried_at=NOW - timedelta(hours=23))) == []


def test_drift_retrains_only_where_the_project_says_so_and_names_what_moved() -> None:
    moved = Monitors((InputDrift(drift(100.0)),))
    assert decide(state(monitors=moved)) == []
    on_drift = Retrain(MODEL, [nr.drift()], cooldown="7d")
    (action,) = decide(state(monitors=moved, retrain=on_drift))
    assert (action.verb, action.reason) == ("train", "drift: price moved most")
    assert action.evidence["columns"] == {"price": 0.31, "city": 0.01}
    assert decide(state(monitors=Monitors((InputDrift(drift(99.0)),)), retrain=on_drift)) == []
    assert decide(state(monitors=Monitors(), retrain=on_drift)) == []


def test_the_first_reason_that_speaks_is_the_one_that_is_given() -> None:
    both = state(champion_trained_at=NOW - timedelta(days=90), monitors=worse(reading(0.0), reading(1e9)))
    assert verbs(both) == [("train", "regression: log_loss moved by +0.400")]
    turned = replace(both, retrain=Retrain(MODEL, [nr.stale("60d"), nr.regression()], cooldown="7d"))
    assert verbs(turned) == [("train", "stale: trained 90d ago")]


def test_without_a_policy_or_gates_nothing_is_trained_or_held_back() -> None:
    assert decide(state(retrain=None, champion_trained_at=NOW - timedelta(days=900))) == []
    failed = Pending("new", False, (Verdict("g", "failed", "w"),))
    assert verbs(state(pending=failed, gated=False)) == [("shadow", "all gates passed")]
    (action,) = decide(state(pending=failed))
    assert (action.verb, action.subject, action.evidence) == ("refuse", "new", {"gates": [{"gate": "g", "outcome": "failed", "why": "w"}]})


def test_a_shadow_without_a_verdict_is_left_to_go_on() -> None:
    for s in (
        state(challenger="c"),
        state(shadow=ShadowVerdict("promote", "w", None)),
        state(challenger="c", shadow=ShadowVerdict("wait", "w", None)),
    ):
        assert decide(s) == []
