"""Whether confidence sequences for losses hold: over many streams, the share in which any look at any time errs, with late outcomes."""

from __future__ import annotations

import os

import numpy as np
from scipy.stats import beta

from benchmarks.figure import Figure, Proof
from noria.evaluation.metrics.brier import squared_errors
from noria.evaluation.metrics.log_loss import log_losses
from noria.monitoring.performance import PLANNED
from noria.statistics.confidence import asymptotic_sequence, bounded_sequence, mean_sequence

STREAMS = int(os.environ.get("COVERAGE_STREAMS", "2000"))
ALPHA, ROWS, LATEST = 0.1, 1000, 300
MAX_LOSS = 4.0  # log-losses are clipped there, and the clipped mean is what the sequence is for


def coverage() -> Proof:
    yield f"# {STREAMS} streams of {ROWS} rows; outcomes come up to {LATEST} rows late, and every one of them is looked at; level {ALPHA}"
    for name, erring in (("log_loss, bounded", _bounded), ("brier, bounded", _brier), ("log_loss, asymptotic", _asymptotic)):
        wrong = sum(erring(np.random.default_rng([17, seed])) for seed in range(STREAMS))
        upper = float(beta.ppf(0.95, wrong + 1, STREAMS - wrong))
        yield f"# {name}: {wrong} of {STREAMS} streams erred at any look, at most {upper:.3f} (95 % bound)"
        yield Figure(f"sequence_errs: {name}", wrong / STREAMS, "of streams", "<=", ALPHA)
    for lag1 in (0.0, 0.5):
        wrong = sum(_by_window(np.random.default_rng([23, seed]), lag1) for seed in range(STREAMS))
        upper = float(beta.ppf(0.95, wrong + 1, STREAMS - wrong))
        yield f"# a metric by windows, autocorrelation {lag1}: {wrong} of {STREAMS} streams erred at any look, at most {upper:.3f}"
        yield Figure(f"sequence_errs: windows, autocorrelation {lag1}", wrong / STREAMS, "of streams", "<=", ALPHA)
    wrong = sum(_peeked(np.random.default_rng([17, seed])) for seed in range(STREAMS))
    yield Figure("fixed_interval_peeked_at_errs", wrong / STREAMS, "of streams (the sabotage must show)", ">", ALPHA)


def _late(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores and outcomes in the order in which the outcomes came."""
    scores = np.clip(rng.beta(1.2, 3.0, ROWS), 0.02, 0.98)
    labels = (rng.random(ROWS) < scores).astype(float)
    order = np.argsort(np.arange(ROWS) + rng.integers(0, LATEST, ROWS), kind="stable")
    return scores[order], labels[order]


def _true(loss) -> float:  # type: ignore[no-untyped-def]
    """The mean loss, by a fine grid of the scores' distribution."""
    p = np.clip(beta.ppf((np.arange(200_000) + 0.5) / 200_000, 1.2, 3.0), 0.02, 0.98)
    return float((p * loss(np.ones_like(p), p) + (1 - p) * loss(np.zeros_like(p), p)).mean())


def _clipped(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return np.minimum(log_losses(labels, scores), MAX_LOSS)


TRUE = {"log": _true(_clipped), "brier": _true(squared_errors)}


def _errs(bounds: tuple[np.ndarray, np.ndarray], mean: float) -> bool:
    return bool(((bounds[0] > mean) | (bounds[1] < mean)).any())


def _bounded(rng: np.random.Generator) -> bool:
    scores, labels = _late(rng)
    return _errs(bounded_sequence(_clipped(labels, scores), 0.0, MAX_LOSS, alpha=ALPHA), TRUE["log"])


def _brier(rng: np.random.Generator) -> bool:
    scores, labels = _late(rng)
    return _errs(bounded_sequence(squared_errors(labels, scores), 0.0, 1.0, alpha=ALPHA), TRUE["brier"])


def _asymptotic(rng: np.random.Generator) -> bool:
    scores, labels = _late(rng)
    return _errs(asymptotic_sequence(_clipped(labels, scores), alpha=ALPHA, planned=300), TRUE["log"])


def _by_window(rng: np.random.Generator, lag1: float) -> bool:
    """The mean of a metric as the monitor tells it, from the fourteen windows it was accepted with and up to a hundred since."""
    values = rng.normal(size=114)
    for i in range(1, len(values)):
        values[i] = lag1 * values[i - 1] + np.sqrt(1 - lag1**2) * values[i]
    told = (mean_sequence(values[14 : 14 + n], values[:14], alpha=ALPHA, planned=PLANNED) for n in range(1, 101))
    return any(i is not None and not i.lower <= 0 <= i.upper for i in told)


def _peeked(rng: np.random.Generator) -> bool:
    scores, labels = _late(rng)
    values, n = _clipped(labels, scores), np.arange(1, ROWS + 1)
    means = np.cumsum(values) / n
    half = 1.645 * np.sqrt(np.maximum(np.cumsum(values**2) / n - means**2, 1e-9) / n)
    return _errs((means[30:] - half[30:], means[30:] + half[30:]), TRUE["log"])
