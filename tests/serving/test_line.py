"""The line in which requests wait: who is let in, who goes first, who is dropped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.core.errors import NoriaError
from noria.models.bundle import Bundle
from noria.serving.line import Line, Overloaded, Priority, TooLate, priority_of
from noria.serving.protocol.signature import Asked, BadRequest

asks = st.lists(st.tuples(st.integers(1, 12), st.sampled_from(Priority), st.sampled_from([None, 0.5, 2.0]), st.booleans()), max_size=60)


class Asker:
    """Who asks in these tests."""

    def __init__(self, gone: bool) -> None:
        self._gone = gone

    def answered(self, bundle: Bundle, predictions: list[float], ids: list[str], fallback: str | None) -> None: ...
    def fail(self, error: NoriaError) -> None: ...
    def gone(self) -> bool:
        return self._gone


def waiting(rows: int, deadline: float | None = None, *, gone: bool = False) -> Asked:
    asked = Asked([(0.0,)] * rows)
    asked.client, asked.deadline = Asker(gone), deadline
    return asked


@given(asks, st.lists(st.integers(0, 4), max_size=30), st.sampled_from([1, 4, 16]))
def test_nothing_is_lost_repeated_or_counted_wrongly(
    asked: list[tuple[int, Priority, float | None, bool]], turns: list[int], most: int
) -> None:
    """Whatever is put in and taken out in any order: what came in = what goes out + what waits + what was dropped."""
    now = 0.0
    line = Line(lambda: now, most_rows=most, budget_seconds=1.0)
    inside: list[Asked] = []
    out: list[Asked] = []
    pending = list(asked)
    for turn in [*turns, *([4] * 200)]:
        for _ in range(turn):
            if pending:
                rows, priority, deadline, gone = pending.pop()
                one = waiting(rows, deadline, gone=gone)
                try:
                    line.put(one, priority)
                    inside.append(one)
                except Overloaded:
                    assert line.rows
        now += 0.1
        batch, dropped = line.next_batch()
        assert len(batch) == 1 or sum(one.count for one in batch) <= most
        assert not any(one.deadline and now > one.deadline for one in batch)
        assert all(isinstance(error, TooLate) if one.deadline and now > one.deadline else error is None for one, error in dropped)
        out += [*batch, *(one for one, _ in dropped)]
        assert line.rows == sum(one.count for one in inside) - sum(one.count for one in out)
    assert not line
    assert line.rows == 0
    assert sorted(map(id, out)) == sorted(map(id, inside))


def test_the_urgent_go_first_and_the_others_in_their_order() -> None:
    line = Line(lambda: 0.0, most_rows=2, budget_seconds=1.0)
    names = {}
    for name, priority in (("a", 1), ("b", 2), ("c", 0), ("d", 2), ("e", 1)):
        names[name] = waiting(1)
        line.put(names[name], Priority(priority))
    order = []
    while line:
        batch, _ = line.next_batch()
        order += [name for one in batch for name, other in names.items() if one is other]
    assert order == ["b", "d", "a", "c", "e"]


def test_when_the_line_fills_low_priority_is_refused_first_and_high_last() -> None:
    line = Line(lambda: 0.0, most_rows=10, budget_seconds=1.0)

    def fill(priority: Priority) -> int:
        while not line.full(priority):
            line.put(waiting(1), priority)
        with pytest.raises(Overloaded):
            line.put(waiting(1), priority)
        return line.rows

    low, normal, high = fill(Priority.LOW), fill(Priority.NORMAL), fill(Priority.HIGH)
    assert (low, normal, high) == (line.capacity // 2, line.capacity, line.capacity * 5 // 4)


@given(st.floats(0, 0.01), st.floats(1e-5, 1e-3))
def test_batches_fit_into_a_quarter_of_the_budget(fixed: float, each: float) -> None:
    line = Line(lambda: 0.0, most_rows=128, budget_seconds=0.05)
    for rows in (1, 2, 3, 5, 8, 13, 21, 34) * 16:
        line.saw(rows, fixed + each * rows)
    for _ in range(300):
        if line.full(Priority.NORMAL):
            break
        line.put(waiting(1), Priority.NORMAL)
    batch, _ = line.next_batch()
    assert len(batch) == 1 or fixed + each * len(batch) <= 0.05 / 4 * 1.01


def test_a_first_batch_that_takes_long_has_nobody_refused() -> None:
    line = Line(lambda: 0.0, most_rows=128, budget_seconds=0.05)
    line.saw(1, 0.02)
    for _ in range(3):
        line.saw(10, 0.001)
    assert line.capacity > 128


@pytest.mark.parametrize("stall_at", range(6))
def test_a_machine_that_stands_still_for_a_moment_has_nobody_refused(stall_at: int) -> None:
    line = Line(lambda: 0.0, most_rows=128, budget_seconds=5.0)
    for batch in range(16):
        line.saw(1 + batch % 2, 0.8 if batch == stall_at else 0.0002)
    for _ in range(8):
        line.put(waiting(3000), Priority.NORMAL)


def test_large_requests_that_come_together_at_the_very_first_are_let_in() -> None:
    line = Line(lambda: 0.0, most_rows=128, budget_seconds=5.0)
    for _ in range(8):
        line.put(waiting(3000), Priority.NORMAL)


def test_a_model_that_has_become_slow_is_believed_at_its_second_batch() -> None:
    line = Line(lambda: 0.0, most_rows=128, budget_seconds=0.05)
    for batch in range(64):
        line.saw(1 + batch % 8, 0.0002)
    for _ in range(64):
        line.saw(100, 0.05)
    assert line.capacity < 300


def test_priorities_have_names() -> None:
    assert [priority_of(text) for text in ("", "low", "High")] == [Priority.NORMAL, Priority.LOW, Priority.HIGH]
    with pytest.raises(BadRequest, match="did you mean 'normal'"):
        priority_of("norml")
