"""The line in which requests wait: who is let in, who goes first, who is dropped."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.core.errors import NoriaError
from noria.core.signature import Field
from noria.models.bundle import Bundle
from noria.serving.batching.request_queue import CostModel, Overloaded, Priority, RequestQueue, TooLate, priority_of
from noria.serving.protocol.request import BadRequest, PredictRequest

asks = st.lists(st.tuples(st.integers(1, 12), st.sampled_from(Priority), st.sampled_from([None, 0.5, 2.0]), st.booleans()), max_size=60)


class Asker:
    """Who asks in these tests."""

    def __init__(self, gone: bool) -> None:
        self._gone = gone

    def answered(self, bundle: Bundle, predictions: list[float], ids: list[str], fallback: str | None) -> None: ...
    def fail(self, error: NoriaError) -> None: ...
    def gone(self) -> bool:
        return self._gone


def waiting(rows: int, deadline: float | None = None, *, gone: bool = False) -> PredictRequest:
    asked = PredictRequest([(0.0,)] * rows)
    asked.client, asked.deadline = Asker(gone), deadline
    return asked


@given(asks, st.lists(st.integers(0, 4), max_size=30), st.sampled_from([1, 4, 16]))
def test_nothing_is_lost_repeated_or_counted_wrongly(
    asked: list[tuple[int, Priority, float | None, bool]], turns: list[int], most: int
) -> None:
    """Whatever is put in and taken out in any order: what came in = what goes out + what waits + what was dropped."""
    now = 0.0
    line = RequestQueue(lambda: now, most_rows=most, budget_seconds=1.0)
    inside: list[PredictRequest] = []
    out: list[PredictRequest] = []
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
    line = RequestQueue(lambda: 0.0, most_rows=2, budget_seconds=1.0)
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
    line = RequestQueue(lambda: 0.0, most_rows=10, budget_seconds=1.0)

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
    line = RequestQueue(lambda: 0.0, most_rows=128, budget_seconds=0.05)
    for rows in (1, 2, 3, 5, 8, 13, 21, 34) * 16:
        line.saw(rows, fixed + each * rows)
    for _ in range(300):
        if line.full(Priority.NORMAL):
            break
        line.put(waiting(1), Priority.NORMAL)
    batch, _ = line.next_batch()
    assert len(batch) == 1 or fixed + each * len(batch) <= 0.05 / 4 * 1.01


def test_a_first_batch_that_takes_long_has_nobody_refused() -> None:
    line = RequestQueue(lambda: 0.0, most_rows=128, budget_seconds=0.05)
    line.saw(1, 0.02)
    for _ in range(3):
        line.saw(10, 0.001)
    assert line.capacity > 128


@pytest.mark.parametrize("stall_at", range(6))
def test_a_machine_that_stands_still_for_a_moment_has_nobody_refused(stall_at: int) -> None:
    line = RequestQueue(lambda: 0.0, most_rows=128, budget_seconds=5.0)
    for batch in range(16):
        line.saw(1 + batch % 2, 0.8 if batch == stall_at else 0.0002)
    for _ in range(8):
        line.put(waiting(3000), Priority.NORMAL)


def test_large_requests_that_come_together_at_the_very_first_are_let_in() -> None:
    line = RequestQueue(lambda: 0.0, most_rows=128, budget_seconds=5.0)
    for _ in range(8):
        line.put(waiting(3000), Priority.NORMAL)


def test_a_model_that_has_become_slow_is_believed_at_its_second_batch() -> None:
    line = RequestQueue(lambda: 0.0, most_rows=128, budget_seconds=0.05)
    for batch in range(64):
        line.saw(1 + batch % 8, 0.0002)
    for _ in range(64):
        line.saw(100, 0.05)
    assert line.capacity < 300


def test_priorities_have_names() -> None:
    assert [priority_of(text) for text in ("", "low", "High")] == [Priority.NORMAL, Priority.LOW, Priority.HIGH]
    with pytest.raises(BadRequest, match="did you mean 'normal'"):
        priority_of("norml")


def least_squares(seen: list[tuple[int, float]]) -> tuple[float, float]:
    """By numpy, on all that was seen at once: a batch counts 0.98 as much as the next; the slope less two of its standard errors."""
    x, y = np.array(seen).T
    weights = 0.98 ** np.arange(len(seen))[::-1]
    mean_x, mean_y = np.average(x, weights=weights), np.average(y, weights=weights)
    spread = np.sum(weights * (x - mean_x) ** 2)
    if spread < 1e-9 or weights.sum() <= 2:
        return float(mean_y), 0.0
    scale = np.sqrt(weights)
    (slope, at_zero), *_ = np.linalg.lstsq(np.column_stack([scale * x, scale]), scale * y)
    error = np.sqrt(np.sum(weights * (y - slope * x - at_zero) ** 2) / (weights.sum() - 2) / spread)
    each = np.clip(slope - 2 * error, 0.0, mean_y / mean_x)
    return float(mean_y - each * mean_x), float(each)


@given(st.lists(st.tuples(st.integers(1, 200), st.floats(1e-4, 1.0)), min_size=1, max_size=80))
def test_the_pace_is_what_least_squares_make_of_the_batches(seen: list[tuple[int, float]]) -> None:
    pace = CostModel()
    for rows, seconds in seen:
        pace.saw(rows, seconds)
    assert pace.fit() == pytest.approx(least_squares(seen), rel=1e-3, abs=1e-6)


def test_before_anything_was_seen_a_batch_costs_nothing_and_two_sizes_are_no_evidence() -> None:
    pace = CostModel()
    assert pace.fit() == (0.0, 0.0)
    pace.saw(1, 0.001)
    pace.saw(100, 0.1)
    assert pace.fit()[1] == 0.0
    pace.saw(50, 0.05)
    assert pace.fit()[1] == pytest.approx(0.001, rel=0.05)


@pytest.mark.parametrize(
    ("seconds", "most", "rows"), [(0.0155, 128, 14), (0.0155, 10, 10), (0.001, 128, 1), (0.0, 128, 1), (0.0021, 128, 1)]
)
def test_a_batch_may_have_as_many_rows_as_its_time_allows(seconds: float, most: int, rows: int) -> None:
    """One millisecond fixed, and one for each row."""
    pace = CostModel()
    for size in (1, 5, 9, 2, 7):
        pace.saw(size, 0.001 + 0.001 * size)
    assert pace.rows_within(seconds, most) == rows


def test_rows_that_cost_nothing_may_all_go_together() -> None:
    pace = CostModel()
    pace.saw(3, 0.001)
    assert pace.rows_within(0.0, 77) == 77


def learnt(costs: Callable[[int], float], budget: float, most: int) -> RequestQueue:
    """A line that has seen 65 batches of one to eight rows."""
    line = RequestQueue(lambda: 0.0, most_rows=most, budget_seconds=budget)
    for batch in range(65):
        line.saw(1 + batch % 8, costs(1 + batch % 8))
    return line


def first_batch(line: RequestQueue, requests: int, rows: int = 1) -> int:
    for _ in range(requests):
        line.put(waiting(rows), Priority.NORMAL)
    return sum(one.count for one in line.next_batch()[0])


def test_half_of_the_budget_is_for_what_waits_and_a_quarter_for_one_batch() -> None:
    """1 ms and 0.11 ms a row: a batch of 127 rows takes 14.97 ms of 15, and 254 rows take the 30 ms that are for waiting."""
    line = learnt(lambda rows: 0.001 + 0.00011 * rows, 0.06, 1000)
    assert line.capacity == 254
    assert first_batch(line, 200) == 127


def test_the_first_few_batches_are_all_remembered_unless_they_were_slow_by_accident() -> None:
    line = RequestQueue(lambda: 0.0, most_rows=1000, budget_seconds=0.06)
    for rows in range(1, 9):
        line.saw(rows, 0.001 + 0.00011 * rows)
    assert line.capacity == 254
    slow = RequestQueue(lambda: 0.0, most_rows=1000, budget_seconds=0.06)
    for rows in (1, 2, 3, 4):
        slow.saw(rows, 0.1)
    for rows in (5, 6, 7, 8):
        slow.saw(rows, 0.001 + 0.00011 * rows)
    assert slow.capacity == 254


def test_a_batch_is_let_in_however_slow_the_model_is() -> None:
    line = learnt(lambda rows: 1.0 * rows, 0.06, 1000)
    assert line.capacity == 1
    assert first_batch(line, 1) == 1


def test_a_model_whose_rows_cost_nothing_is_limited_by_its_batches() -> None:
    assert learnt(lambda _: 0.0099, 0.1, 50).capacity == 252
    assert learnt(lambda _: 0.0, 0.1, 50).capacity == 256 * 50


def test_the_pace_is_looked_at_after_few_batches_and_then_now_and_then() -> None:
    line, looks = RequestQueue(lambda: 0.0, most_rows=100, budget_seconds=0.05), []
    for batch in range(1, 200):
        before = line.capacity
        line.saw(1 + batch % 7, 0.001 + 0.0001 * (1 + batch % 7) * (1 + 0.002 * batch))
        if line.capacity != before:
            looks.append(batch)
    assert set(looks) <= {2, 4, 8, 16, 32, 64, 128, 192}
    assert {2, 64, 128, 192} <= set(looks)


def test_one_slow_batch_teaches_nothing_and_the_second_in_a_row_does() -> None:
    def after(*slow: int) -> int:
        line = RequestQueue(lambda: 0.0, most_rows=100, budget_seconds=0.05)
        for batch in range(1, 129):
            line.saw(10, 0.02 if batch in slow else 0.00099)
        return line.capacity

    assert after() == after(100) == after(100, 110) == 2525
    assert after(100, 101) < 2525


def test_an_empty_line_has_room_for_any_request_and_says_how_much_waits_where_there_is_none() -> None:
    line = RequestQueue(lambda: 0.0, most_rows=1, budget_seconds=0.25)
    line.put(waiting(300), Priority.LOW)
    assert line.full(Priority.NORMAL)
    with pytest.raises(Overloaded) as refused:
        line.put(waiting(1), Priority.NORMAL)
    assert refused.value.where == "300 rows are queued, about 250 ms of work"
    line.put(waiting(20), Priority.HIGH)
    assert line.rows == 320
    with pytest.raises(Overloaded):
        line.put(waiting(1), Priority.HIGH)


def test_room_is_counted_in_rows_to_the_last_one() -> None:
    line = RequestQueue(lambda: 0.0, most_rows=1, budget_seconds=1.0)
    line.put(waiting(6), Priority.NORMAL)
    with pytest.raises(Overloaded):
        line.put(waiting(251), Priority.NORMAL)
    assert not line.full(Priority.NORMAL)
    line.put(waiting(250), Priority.NORMAL)
    assert (line.rows, line.full(Priority.NORMAL), line.full(Priority.HIGH)) == (256, True, False)


def test_requests_go_together_up_to_the_rows_of_a_batch_and_a_larger_one_alone() -> None:
    line = RequestQueue(lambda: 0.0, most_rows=4, budget_seconds=1.0)
    for rows in (2, 2, 1, 9, 3, 1, 1):
        line.put(waiting(rows), Priority.NORMAL)
    batches = []
    while line:
        batches.append([one.count for one in line.next_batch()[0]])
    assert batches == [[2, 2], [1], [9], [3, 1], [1]]


def test_a_deadline_is_the_last_moment_that_is_in_time() -> None:
    now = 5.0
    line = RequestQueue(lambda: now, most_rows=4, budget_seconds=1.0)
    in_time, late = waiting(1, 5.0), waiting(1, 4.999)
    for one in (late, in_time):
        line.put(one, Priority.NORMAL)
    batch, dropped = line.next_batch()
    assert (batch, [one for one, _ in dropped]) == ([in_time], [late])
    assert isinstance(dropped[0][1], TooLate)


def test_clients_that_are_gone_are_looked_for_only_where_a_batch_is_not_enough() -> None:
    line = RequestQueue(lambda: 0.0, most_rows=2, budget_seconds=1.0)
    gone = [waiting(1, gone=True) for _ in range(3)]
    for one in gone[:2]:
        line.put(one, Priority.NORMAL)
    assert line.next_batch() == (gone[:2], [])
    for one in gone:
        line.put(one, Priority.NORMAL)
    assert line.next_batch() == ([], [(one, None) for one in gone])
    assert not line


def test_the_urgent_stay_first_when_others_are_dropped_or_leave() -> None:
    line = RequestQueue(lambda: 1.0, most_rows=1, budget_seconds=1.0)
    urgent, late, plain, newest = waiting(1), waiting(1, 0.5), waiting(1, 2.0), waiting(1)
    for one, priority in ((late, 2), (urgent, 2), (plain, 1)):
        line.put(one, Priority(priority))
    batch, dropped = line.next_batch()
    assert (batch, [one for one, _ in dropped]) == ([urgent], [late])
    line.put(newest, Priority.HIGH)
    last = waiting(1)
    line.put(last, Priority.HIGH)
    assert [line.next_batch()[0] for _ in range(3)] == [[newest], [last], [plain]]


def test_deadlines_are_looked_at_after_requests_without_one_have_left() -> None:
    now = 0.0
    line = RequestQueue(lambda: now, most_rows=1, budget_seconds=100.0)
    for deadline in (None, 1.0):
        line.put(waiting(1, deadline), Priority.NORMAL)
    assert len(line.next_batch()[0]) == 1
    now = 2.0
    batch, dropped = line.next_batch()
    assert batch == []
    assert [type(error) for _, error in dropped] == [TooLate]


def heavy(size: int, rows: int = 1) -> PredictRequest:
    """A request of an image of so many bytes, or of several."""
    asked = waiting(rows)
    asked.measured(size, (Field("image", "uint8", (None, None, 3)),))
    return asked


def test_bytes_that_wait_have_a_bound_of_their_own() -> None:
    line = RequestQueue(lambda: 0.0, most_rows=100, budget_seconds=1.0, most_bytes=1_000_000, most_batch_bytes=300_000)
    line.put(heavy(5_000_000), Priority.NORMAL)
    assert line.full(Priority.NORMAL)
    with pytest.raises(Overloaded, match="5,000,000 bytes"):
        line.put(heavy(100_000), Priority.NORMAL)
    line.put(waiting(1), Priority.NORMAL)
    assert [one.size for one in line.next_batch()[0]] == [5_000_000], "an empty line has room for any, which then goes alone"
    for _ in range(5):
        line.put(heavy(100_000), Priority.LOW)
    with pytest.raises(Overloaded):
        line.put(heavy(100_000), Priority.LOW)
    line.put(heavy(100_000), Priority.NORMAL)


@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from([0, 5_000, 90_000, 400_000])), max_size=40))
def test_no_batch_has_more_bytes_than_it_may_unless_one_request_has(asked: list[tuple[int, int]]) -> None:
    line = RequestQueue(lambda: 0.0, most_rows=16, budget_seconds=1.0, most_batch_bytes=200_000)
    inside = []
    for rows, size in asked:
        inside.append(heavy(size, rows) if size else waiting(rows))
        line.put(inside[-1], Priority.NORMAL)
    out = []
    while line:
        batch, _ = line.next_batch()
        assert len(batch) == 1 or (sum(one.size for one in batch) <= 200_000 and sum(one.count for one in batch) <= 16)
        out += batch
    assert out == inside
    assert (line.rows, line.load, line.bytes) == (0, 0, 0)


def scored(line: RequestQueue, cost_of: Callable[[PredictRequest], float]) -> tuple[list[PredictRequest], float]:
    """The next batch, scored at what its rows cost."""
    batch, _ = line.next_batch()
    seconds = 0.0002 + sum(map(cost_of, batch))
    line.saw(sum(one.count for one in batch), seconds, sum(one.weight for one in batch))
    return batch, seconds


def test_batches_of_rows_whose_cost_is_their_size_are_sized_by_it() -> None:
    """Images of 20 kB to 1 MB at 10 ns a byte: whatever the mix, no batch takes much longer than a quarter of the budget."""
    line = RequestQueue(lambda: 0.0, most_rows=128, budget_seconds=0.1)
    sizes, took = np.random.default_rng(0), []
    for turn in range(400):
        for _ in range(40):
            with suppress(Overloaded):
                small = sizes.random() < (0.9 if turn < 200 else 0.1)
                line.put(heavy(int(sizes.uniform(20_000, 60_000) if small else sizes.uniform(800_000, 1_200_000))), Priority.NORMAL)
        took.append(scored(line, lambda one: 1e-8 * one.size)[1])
    assert max(took[20:]) < 0.04
    assert max(took[210:]) < 0.04, "nor where large ones come instead"
    assert sorted(took)[len(took) // 2] > 0.015, "and they are no smaller than they need be"
    assert line.load * 1e-8 * 4096 < 0.1, "what waits is what can be answered within the budget"


def test_the_first_batches_of_large_rows_grow_until_their_cost_is_known() -> None:
    line = RequestQueue(lambda: 0.0, most_rows=128, budget_seconds=0.05)
    batches = []
    for _ in range(12):
        for _ in range(64):
            with suppress(Overloaded):
                line.put(heavy(150_000), Priority.NORMAL)
        batches.append(scored(line, lambda _: 0.01)[0])
    assert [len(batch) for batch in batches[:3]] == [2, 4, 8]
    assert all(len(batch) <= 16 for batch in batches)
    assert len(batches[-1]) <= 2, "ten milliseconds each, of a quarter of 50 ms"
