"""Feedback is given by who likes to: that there is little of it is no fault, that it stops is one."""

from __future__ import annotations

from noria.evaluation.performance import Performance
from noria.monitoring.monitors.no_data import ratings_stopped


def window(rated: int, answers: int) -> Performance:
    return Performance(rated, answers - rated, 1.0, 0.5, {})


def test_feedback_that_was_always_rare_has_not_stopped() -> None:
    rare = [window(1, 50), window(0, 50), window(2, 50)]
    assert not ratings_stopped(rare, [window(0, 50)] * 7)  # one in fifty: seven were to be expected
    assert ratings_stopped(rare, [window(0, 50)] * 9)


def test_feedback_that_was_never_given_has_not_stopped() -> None:
    assert not ratings_stopped([], [window(0, 900)] * 9)
    assert not ratings_stopped([window(0, 900)], [window(0, 900)] * 9)
