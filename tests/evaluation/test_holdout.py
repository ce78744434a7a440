"""How sure a figure of a holdout is: an interval never reaches where no figure can be."""

from __future__ import annotations

import numpy as np

import noria as nr
from noria.evaluation.gates import Evaluation
from noria.evaluation.holdout import bounds_of_losses


def test_an_error_rate_is_not_below_none_however_few_rows_there_are() -> None:
    labels, scores = np.ones(140), np.full(140, 0.9)
    scores[:2] = 0.1  # both on the first of seven days
    found = bounds_of_losses(Evaluation(nr.Binary(), labels, scores, None, np.repeat(np.arange(7), 20)))
    rate = found["error_rate"]
    assert rate.lower == 0 < rate.mean < rate.upper < 1


def test_a_figure_outside_of_what_was_declared_keeps_its_interval() -> None:
    own = nr.Metric("gain", lambda outcomes, scores: outcomes - scores - 1)  # always negative, and declared from 0 on
    labels, scores = np.tile([0.0, 1.0], 70), np.linspace(0.1, 0.9, 140)
    gain = bounds_of_losses(Evaluation(nr.Binary(own=[own]), labels, scores, None, np.repeat(np.arange(7), 20)))["gain"]
    assert gain.lower < gain.mean < gain.upper
