"""Performance with late outcomes and before any: early outcomes are not like late ones, and expectations are held against what comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from scipy.special import expit

from noria.core.health import Healthy, Unhealthy, Unknown
from noria.evaluation.binary import Binary
from noria.evaluation.estimation import CalibratedChances, Expected
from noria.evaluation.metrics.log_loss import LOG_LOSS, log_losses
from noria.monitoring.expected import read_expected
from noria.monitoring.label_delay import learn_maturity
from noria.monitoring.monitor import Tolerance

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = 3600.0


def late_fraud(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, outcomes and delays: what is no fraud is known within a day, fraud after a week or so."""
    scores = rng.beta(1.5, 6.0, rows)
    labels = (rng.random(rows) < scores).astype(float)
    delays = np.where(labels == 1, rng.gamma(4.0, 40 * HOUR, rows), rng.gamma(2.0, 6 * HOUR, rows))
    return scores, labels, delays


def either(scores: np.ndarray) -> np.ndarray:
    """What each row would lose by either outcome, `(outcomes, rows)`."""
    return np.stack([log_losses(np.full(len(scores), outcome), scores) for outcome in Binary().possible])


def test_early_outcomes_are_weighted_and_the_bounds_hold() -> None:
    rng = np.random.default_rng(1)
    scores, labels, delays = late_fraud(rng, 40_000)
    maturity = learn_maturity(delays, labels, scores, Binary().possible)
    weighted, plain = [], []
    for _ in range(40):
        scores, labels, delays = late_fraud(rng, 800)
        age = rng.uniform(48 * HOUR, 120 * HOUR, 800)
        seen = np.where(delays <= age, labels, np.nan)
        true = log_losses(labels, scores)
        found = maturity.estimate(seen, scores, age, either(scores))
        weighted.append(found.value - true.mean())
        plain.append(found.plain - true.mean())
        assert found.least <= true.mean() <= found.most
        assert not found.complete
    assert abs(np.mean(weighted)) < 0.02
    assert np.mean(plain) < -0.05  # unweighted, the early ones flatter


def test_a_window_without_outcomes_has_only_bounds_and_an_old_one_is_complete() -> None:
    rng = np.random.default_rng(2)
    scores, labels, delays = late_fraud(rng, 5_000)
    maturity = learn_maturity(delays, labels, scores, Binary().possible)
    nothing = maturity.estimate(np.full(5_000, np.nan), scores, np.zeros(5_000), either(scores))
    assert nothing.missing == 1
    assert np.isnan(nothing.value)
    whole = maturity.estimate(labels, scores, np.full(5_000, 1e9), either(scores))
    assert whole.complete
    assert abs(whole.value - whole.plain) < 1e-9


def stream(rng: np.random.Generator, days: int, shift: float = 0.0, turned: float = 1.0) -> list[tuple[float, float, Expected]]:
    """Realised and expected loss of each day; `shift` moves the inputs, `turned` changes the relation."""
    found = []
    for _ in range(days):
        x = rng.normal(loc=shift + 0.1 * rng.normal(), size=600)
        p = expit(1.2 * x)
        y = (rng.random(600) < expit(turned * 1.2 * x)).astype(float)
        found.append((float(log_losses(y, p).mean()), float(p.mean()), CalibratedChances().expected(LOG_LOSS, p)))
    return found


def read(days: list[tuple[float, float, Expected]], waiting: list[tuple[float, float, Expected]], by: float = 0.05):  # type: ignore[no-untyped-def]
    baseline = float(np.mean([real for real, _, _ in days]))
    windows = [(START + i * timedelta(days=1), e, real) for i, (real, _, e) in enumerate(days)]
    windows += [(START + (len(days) + i) * timedelta(days=1), e, None) for i, (_, _, e) in enumerate(waiting)]
    return read_expected(LOG_LOSS, Tolerance("log_loss", by=by), baseline, windows)


def test_a_shift_of_inputs_that_will_cost_is_told_before_its_outcomes_come() -> None:
    alarms = 0
    for seed in range(30):
        rng = np.random.default_rng([5, seed])
        calm = stream(rng, 25, shift=1.5)
        assert isinstance(read(calm, stream(rng, 4, shift=1.5)).health, Healthy)
        reading = read(calm, stream(rng, 4, shift=0.3))
        alarms += isinstance(reading.health, Unhealthy)
    assert alarms >= 28


def test_where_expectations_did_not_come_true_they_are_not_relied_on() -> None:
    rng = np.random.default_rng(6)
    drifting = [day for k in range(20) for day in stream(rng, 1, turned=1 - 0.12 * k)]
    reading = read(drifting, stream(rng, 4, shift=3.0))
    assert not reading.alarming
    assert isinstance(reading.health, Unknown)
    assert "not used" in reading.health.why
    assert isinstance(read(drifting[:3], []).health, Unknown)


def test_calibration_is_found_again() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=20_000)
    labels = (rng.random(20_000) < expit(-0.5 + 0.7 * x)).astype(float)
    intercept, slope = CalibratedChances().fit(labels, expit(x))
    assert abs(intercept + 0.5) < 0.05
    assert abs(slope - 0.7) < 0.05
    assert CalibratedChances().fit(np.ones(10), np.full(10, 0.5)) == (0.0, 1.0)
