"""How good predicted quantiles are: what they cost, how often outcomes lie between them, and how far they are apart.

Each is made for the quantiles of a task. What is registered is for three usual ones, by which names are known.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import register

Levels = tuple[float, ...]
USUAL: Levels = (0.1, 0.5, 0.9)


def pinball_losses(outcomes: Floats, scores: Floats, levels: Levels) -> Floats:
    """The pinball loss of each row, the mean over its quantiles `(rows, quantiles)`; least for the true quantiles (Koenker & Bassett 1978,
    "Regression quantiles"). Of many quantiles it is half the continuous ranked probability score."""
    above = outcomes[:, None] - scores
    return np.asarray(np.maximum(np.array(levels) * above, (np.array(levels) - 1) * above).mean(axis=1))


def covered_less_nominal(outcomes: Floats, scores: Floats, levels: Levels) -> float:
    """The share of outcomes from the least to the greatest quantile, less the share that should lie there."""
    inside = (scores[:, 0] <= outcomes) & (outcomes <= scores[:, -1])
    return float(inside.mean() - (levels[-1] - levels[0]))


def above_less_nominal(outcomes: Floats, scores: Floats, levels: Levels) -> float:
    """The share of outcomes above a quantile less the share that should lie there, the mean over the quantiles."""
    return float((outcomes[:, None] > scores).mean() - (1 - np.mean(levels)))


@cache
def pinball_loss(levels: Levels) -> Metric:
    def pinball(outcomes: Floats, scores: Floats) -> Floats:
        return pinball_losses(outcomes, scores, levels)

    return Metric("pinball_loss", pinball, title="mean pinball loss")


@cache
def coverage(levels: Levels) -> Metric:
    nominal = levels[-1] - levels[0]

    def covered(outcomes: Floats, scores: Floats) -> float:
        return covered_less_nominal(outcomes, scores, levels)

    title = f"coverage less {100 * nominal:g} %"
    return Metric("coverage", covered, over="set", best="zero", bounds=(-nominal, 1 - nominal), title=title)


@cache
def interval_width(levels: Levels) -> Metric:
    del levels  # of whichever quantiles, from the least to the greatest

    def widths(outcomes: Floats, scores: Floats) -> Floats:  # noqa: ARG001 - what comes about does not count
        return np.asarray(scores[:, -1] - scores[:, 0])

    return Metric("interval_width", widths, bounds=(-math.inf, math.inf), title="mean interval width")


@cache
def crossings(levels: Levels) -> Metric:
    del levels

    def crossed(outcomes: Floats, scores: Floats) -> Floats:  # noqa: ARG001
        return np.asarray((np.diff(scores, axis=1) < 0).any(axis=1), np.float64)

    return Metric("crossings", crossed, bounds=(0.0, 1.0), title="rows with crossing quantiles")


@cache
def quantile_bias(levels: Levels) -> Metric:
    def above(outcomes: Floats, scores: Floats) -> float:
        return above_less_nominal(outcomes, scores, levels)

    least = float(np.mean(levels)) - 1
    return Metric("quantile_bias", above, over="set", best="zero", bounds=(least, least + 1), title="outcomes above quantiles less nominal")


FORMS = (pinball_loss, coverage, interval_width, crossings, quantile_bias)
for place, form in enumerate(FORMS):
    register(form(USUAL), tasks=["quantiles"], rank=60 + place)
